"""TIFF as scanners, microscopes and scientists write it: deep, floating, planar, many pages.

Knows tifffile (and imagecodecs behind it); opens nothing else. Runs in the killable child process.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from PIL import Image

from indexer.decoding.items import Limits
from indexer.decoding.pixels import eight_bit_array
from search.arrays import UInt8Array
from search.errors import PermanentMediaError

_MAX_PAGES = 1000
_REDUCED = 1  # a bit of NewSubfileType: a thumbnail of another page


def largest_page(path: Path, limits: Limits) -> tuple[UInt8Array, int]:
    """`(h, w) or (h, w, 3 or 4) uint8`, and the number of pages. Raises PermanentMediaError with the true reason."""
    try:
        with tifffile.TiffFile(path) as file:
            pages: list[Any] = list(islice(file.pages, _MAX_PAGES))
            whole = [page for page in pages if not page.subfiletype & _REDUCED] or pages
            page = max(whole, key=lambda candidate: candidate.imagelength * candidate.imagewidth)
            pixels = page.imagelength * page.imagewidth
            if pixels > limits.max_image_pixels:
                raise PermanentMediaError(
                    f"has {pixels:,} pixels, more than max_image_pixels = {limits.max_image_pixels:,}"
                )
            return _as_shown(page), len(whole)
    except PermanentMediaError:
        raise
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - tifffile and its codecs raise whatever they meet
        raise PermanentMediaError(f"is a TIFF that can't be read: {' '.join(str(error).split())[:200]}") from None


def _as_shown(page: Any) -> UInt8Array:
    array = np.asarray(page.asarray())
    axes = page.axes  # such as YX, YXS, SYX
    for axis in [axis for axis in axes if axis not in "YXS"]:  # depth: the middle of a volume shows most
        dimension = axes.index(axis)
        array, axes = array.take(array.shape[dimension] // 2, axis=dimension), axes.replace(axis, "", 1)
    if axes == "SYX":
        array = np.moveaxis(array, 0, -1)
    if page.photometric == tifffile.PHOTOMETRIC.SEPARATED and array.ndim == 3 and array.shape[-1] >= len("CMYK"):
        inks = Image.fromarray(eight_bit_array(array[..., : len("CMYK")]), "CMYK")
        return np.asarray(inks.convert("RGB"))
    if array.ndim == 3 and array.shape[-1] not in (3, 4):
        # Two samples are grey with alpha; more than four are bands, of which the first three are shown.
        array = array[..., 0] if array.shape[-1] < 3 else array[..., :3]
    if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
        white = array.max() if array.dtype.kind == "f" else (1 << page.bitspersample) - 1
        array = (white - array).astype(array.dtype)
    if array.dtype == bool:
        array = array.astype(np.uint8) * 255
    return eight_bit_array(array)
