"""A cheap look at a picture: could there be text in it?

Reading text takes a quarter of a second a picture, looking takes two milliseconds. The look is meant
to be wrong in one direction only: a busy picture without text may pass, a sign may not be missed.
Pure NumPy; runs in the killable child process.
"""

from __future__ import annotations

import numpy as np
from PIL import Image

from search.spaces.inputs import Picture

# Longer side of the sizes looked at, with the step over two pixels (of 255) that counts as the edge of a stroke:
# strokes are a few pixels wide in one of them, be it small print or a headline. Chosen on 176 photographs with
# and without words drawn into them (benchmarks/text_seen.py).
_LOOKS = ((640, 50.0), (224, 90.0))
_CELL = 16  # pixels a side of the cells whose strokes are counted
_MIN_STROKES = 0.5  # strokes a row of a cell, with both of their edges: letters have one and more, contours none
_MIN_CELLS_IN_ROW = 3  # cells side by side; a word is wider than high


def looks_like_text(picture: Picture) -> bool:
    """Are there places where sharp vertical strokes stand close together in a row, as letters do?"""
    image = Image.fromarray(picture).convert("L")
    return any(_has_rows_of_strokes(image, side, edge) for side, edge in _LOOKS)


def _has_rows_of_strokes(image: Image.Image, side: int, edge: float) -> bool:
    # Small pictures are enlarged, too: in their own pixels every texture is as fine as letters.
    scale = side / max(image.size)
    size = (max(_CELL, round(image.width * scale)), max(_CELL, round(image.height * scale)))
    image = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)
    luma = np.asarray(image, np.float32)
    rows, columns = (luma.shape[0] - 1) // _CELL, (luma.shape[1] - 1) // _CELL
    if rows < 1 or columns < _MIN_CELLS_IN_ROW:
        return False
    steps = np.pad(luma[:, 2:] - luma[:, :-2], ((0, 0), (0, 1)))[: rows * _CELL, : columns * _CELL]
    # A stroke has two sides: brightness falls and rises again within its cell.
    strokes = np.minimum(_edges(steps > edge, rows, columns), _edges(steps < -edge, rows, columns))
    dense = strokes >= _MIN_STROKES * _CELL
    in_row = dense[:, : columns - _MIN_CELLS_IN_ROW + 1].copy()
    for shift in range(1, _MIN_CELLS_IN_ROW):
        in_row &= dense[:, shift : columns - _MIN_CELLS_IN_ROW + 1 + shift]
    return bool(in_row.any())


def _edges(marks: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """`(rows, columns) int`: edges in each cell; an edge several pixels wide counts once."""
    first = marks.copy()
    first[:, 1:] &= ~marks[:, :-1]
    return np.asarray(first.reshape(rows, _CELL, columns, _CELL).sum(axis=(1, 3)))
