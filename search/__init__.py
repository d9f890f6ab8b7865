"""The engine: catalogue, embedding spaces, vector indexes, ranking, answering."""

import os

# Before any library loads OpenMP: its threads are to sleep while they wait for each other. Spinning is OpenMP's
# default and wins a little on an idle machine; where decoders, searches and models share the cores, two spinning
# threads did the work of a tenth of one.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
