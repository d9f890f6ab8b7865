"""The revisions, `NNNN_what.py` each, in one line."""
