"""A picture's perceptual hash: the same for altered copies, different for different pictures.

Signs of low DCT frequencies of the grey picture (the idea of pHash, Zauner 2010), of the whole
picture and of views that lose a margin, so that a copy that was cropped a little still meets one of
them. Mirroring a picture flips the signs of odd frequencies, so a mirrored copy needs no hash of its
own: `mirrored` computes it. Knows no catalogue and no model; matching is in search/duplicates/matching.py.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

VERSION = 1  # first byte of every hash; another version never matches
SIDE = 64  # pixels of the grey picture that is hashed
BITS = 128
BYTES = BITS // 8
# A picture whose grey levels spread less than this has no shape to recognise: a black frame, a blank page.
FLAT_LEVELS = 2.0
# A copy may have lost up to about a tenth of each edge: the views keep these shares, at these places.
_VIEWS: tuple[tuple[float, float, float, float], ...] = (
    (0.0, 0.0, 1.0, 1.0),
    (0.05, 0.05, 0.95, 0.95),
    (0.0, 0.0, 0.92, 0.92),
    (0.08, 0.0, 1.0, 0.92),
    (0.0, 0.08, 0.92, 1.0),
    (0.08, 0.08, 1.0, 1.0),
)
VIEWS = len(_VIEWS)


def _frequencies() -> np.ndarray:
    """The BITS lowest frequencies `(BITS, 2)` as (vertical, horizontal), without the constant one."""
    pairs = [(v, h) for v in range(20) for h in range(20) if (v, h) != (0, 0)]
    pairs.sort(key=lambda pair: (pair[0] + pair[1], max(pair), pair))
    return np.array(pairs[:BITS])


def _basis() -> np.ndarray:
    """DCT-II rows `(20, SIDE)`."""
    places = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    return np.cos(np.arange(20)[:, None] * places[None, :]).astype(np.float32)


def _packed(bits: np.ndarray) -> np.ndarray:
    """Little-endian, as FAISS reads binary vectors: its hash tables then take the lowest frequencies."""
    return np.packbits(bits, axis=-1, bitorder="little")


_FREQUENCIES = _frequencies()
_BASIS = _basis()
_MIRRORS = {
    "horizontal": _packed(_FREQUENCIES[:, 1] % 2 == 1),
    "vertical": _packed(_FREQUENCIES[:, 0] % 2 == 1),
    "both": _packed(_FREQUENCIES.sum(axis=1) % 2 == 1),
}


def perceptual_hash(picture: np.ndarray) -> bytes:
    """`(h, w, 3) uint8`, upright sRGB -> 1 + VIEWS * BYTES bytes, view after view; none at all for a flat picture."""
    if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8 or 0 in picture.shape:
        raise ValueError(f"a picture must be (h, w, 3) uint8, not {picture.dtype} of shape {picture.shape}")
    grey = Image.fromarray(np.ascontiguousarray(picture)).convert("L")
    width, height = grey.size
    views = [
        grey.resize(
            (SIDE, SIDE),
            Image.Resampling.BOX if min(width, height) >= 2 * SIDE else Image.Resampling.BILINEAR,
            box=(left * width, top * height, right * width, bottom * height),
        )
        for left, top, right, bottom in _VIEWS
    ]
    pixels = np.stack([np.asarray(view, dtype=np.float32) for view in views])
    spectrum = _BASIS @ pixels @ _BASIS.T
    if pixels[0].std() < FLAT_LEVELS:
        return b""
    signs = spectrum[:, _FREQUENCIES[:, 0], _FREQUENCIES[:, 1]] > 0
    return bytes([VERSION]) + _packed(signs).tobytes()


def views_of(stored: bytes) -> np.ndarray | None:
    """The result of `perceptual_hash` -> `(VIEWS, BYTES) uint8`; None for a flat picture or another version."""
    if len(stored) != 1 + VIEWS * BYTES or stored[0] != VERSION:
        return None
    return np.frombuffer(stored, dtype=np.uint8, offset=1).reshape(VIEWS, BYTES)


def mirrored(hashes: np.ndarray) -> np.ndarray:
    """Hashes `(n, BYTES) uint8` -> `(4, n, BYTES)`: as they are, mirrored left to right, upside down, both."""
    return np.stack([hashes, *(hashes ^ mask for mask in _MIRRORS.values())])
