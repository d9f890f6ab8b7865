"""The probe: a fixed sentence whose vectors tell whether a space still is what it was.

The vectors are stored with the space when it is created; `/health/ready` and opening compare with them.
Words only: embedding a picture would load the large half of the models into processes that never need it.
"""

from __future__ import annotations

import numpy as np

from search.errors import SpaceError
from search.spaces.space import Space

TEXT = "a photo of a dog on the beach"
# Batch sizes, instruction sets and number types move a vector in the third digit at most.
SAME_COSINE = 0.998


def take(space: Space) -> bytes:
    """The probe's vectors of all signals, in their order, float32 little-endian."""
    vectors = space.embed_query_text([TEXT])
    return np.concatenate([vectors[signal][0] for signal in sorted(space.dimensions)]).astype("<f4").tobytes()


def check(space: Space, stored: bytes, name: str) -> None:
    """Raise SpaceError unless the space answers the probe as it did when it was created."""
    then, now = np.frombuffer(stored, "<f4"), np.frombuffer(take(space), "<f4")
    start = 0
    if len(then) != len(now):
        raise SpaceError(f"the space {name!r} has other dimensions than when it was created")
    for signal in sorted(space.dimensions):
        part = slice(start, start := start + space.dimensions[signal])
        lengths = float(np.linalg.norm(now[part]) * np.linalg.norm(then[part]))
        if not now[part].any() and not then[part].any():
            continue  # a part that takes no words
        # Written so that NaN fails too.
        if not (lengths > 0 and float(now[part] @ then[part]) / lengths >= SAME_COSINE):
            raise SpaceError(f"the space {name!r} answers its probe for {signal} differently than when it was created")
