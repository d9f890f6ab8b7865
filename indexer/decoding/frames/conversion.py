"""A decoded video frame as people see it: upright, square pixels, one field, standard dynamic range.

Knows the flags of PyAV's frames; knows nothing of times, files or what the pictures are for.
"""

from __future__ import annotations

import struct
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import Type as SideDataType
from av.video.reformatter import Interpolation, VideoReformatter
from PIL import Image

from indexer.decoding.frames.selection import THUMB_HEIGHT, THUMB_WIDTH
from search.spaces.inputs import Picture

Matrix = tuple[int, int, int, int]

_PQ, _HLG = 16, 18  # transfer characteristics of ITU-T H.273: SMPTE ST 2084 and ARIB STD-B67
_MAX_ASPECT = 16.0  # a pixel aspect ratio beyond this is a mistake in the header
_WHITE_NITS = 203.0  # brightness of white in HDR (ITU-R BT.2408)
_PEAK = 1000.0 / _WHITE_NITS  # highlights are rolled off up to here
_BT2020_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], np.float32
)
_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


class FrameConverter:
    """Turns frames into pictures whose longer side is at most `side` pixels. One per file and thread."""

    def __init__(self, side: int) -> None:
        self._side = side
        self._reformatter = VideoReformatter()

    def thumb(self, frame: av.VideoFrame) -> np.ndarray:
        """`(36, 64, 3) uint8` to compare frames with; not turned, not tone-mapped."""
        small = self._reformatter.reformat(
            frame, THUMB_WIDTH, THUMB_HEIGHT, "rgb24", interpolation=Interpolation.FAST_BILINEAR, threads=1
        )
        return small.to_ndarray()

    def picture(self, frame: av.VideoFrame) -> Picture:
        """The frame as `(h, w, 3) uint8`, sRGB."""
        width, height = _shown(frame)
        scale = min(1.0, self._side / max(width, height))
        width, height = max(2, round(width * scale)), max(2, round(height * scale))
        # A field is half of the lines: the two fields of a moving picture are a sixtieth of a second apart.
        lines = frame.height if frame.interlaced_frame else height
        hdr = frame.color_trc in (_PQ, _HLG)
        scaled = self._reformatter.reformat(
            frame, width, lines, "rgb48le" if hdr else "rgb24", interpolation=Interpolation.AREA, threads=1
        )
        array = scaled.to_ndarray()
        if hdr:
            array = tone_map(array, frame.color_trc)
        if frame.interlaced_frame:
            array = np.asarray(Image.fromarray(array[::2]).resize((width, height), Image.Resampling.BICUBIC))
        return np.ascontiguousarray(_as_displayed(array, display_matrix(frame)))


def displayed_size(frame: av.VideoFrame) -> tuple[int, int]:
    """Width and height in square pixels, upright."""
    width, height = _shown(frame)
    return (height, width) if _swaps_axes(display_matrix(frame)) else (width, height)


def display_matrix(frame: av.VideoFrame) -> Matrix:
    """Where a player puts what is stored: `x' = ax + cy, y' = bx + dy`, as (a, b, c, d)."""
    side_data: Any = frame.side_data  # its stubs know fewer keys than it does
    matrix = side_data.get(SideDataType.DISPLAYMATRIX)
    if matrix is None:
        return 1, 0, 0, 1
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(matrix)[:36])
    return a, b, c, d


def _swaps_axes(matrix: Matrix) -> bool:
    return abs(matrix[1]) > abs(matrix[0])


def _as_displayed(array: np.ndarray, matrix: Matrix) -> np.ndarray:
    """Turned by quarters and mirrored as the matrix says; no camera writes other angles."""
    a, b, c, d = matrix
    if _swaps_axes(matrix):
        array, right, down = array.swapaxes(0, 1), c, b
    else:
        right, down = a, d
    return array[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def _shown(frame: av.VideoFrame) -> tuple[int, int]:
    """The size with square pixels, before turning."""
    aspect = float(frame.opaque) if isinstance(frame.opaque, float) else 1.0
    if not 1 / _MAX_ASPECT <= aspect <= _MAX_ASPECT:
        aspect = 1.0
    return max(1, round(frame.width * aspect)), frame.height


def tone_map(rgb: np.ndarray, transfer: int) -> Picture:
    """`(h, w, 3) uint16` of a PQ or HLG picture in BT.2020 colours -> `(h, w, 3) uint8` sRGB."""
    signal = rgb.astype(np.float32) / 65535
    light = _pq(signal) if transfer == _PQ else _hlg(signal)
    light = np.maximum(light @ _BT2020_TO_BT709.T, 0)
    # Reinhard's curve with a white point, on the brightness, so that hues stay.
    luma = np.maximum(light @ _LUMA, 1e-6)[..., None]
    light = light * ((1 + luma / _PEAK**2) / (1 + luma))
    light *= (1 + 1.0) / (1 + 1 / _PEAK**2)  # diffuse white stays white
    light = np.clip(light, 0, 1)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.asarray(np.round(encoded * 255), np.uint8)


def _pq(signal: np.ndarray) -> np.ndarray:
    """SMPTE ST 2084: signal -> light, 1.0 = diffuse white."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = signal ** (1 / m2)
    return (np.maximum(power - c1, 0) / (c2 - c3 * power)) ** (1 / m1) * (10_000 / _WHITE_NITS)


def _hlg(signal: np.ndarray) -> np.ndarray:
    """ARIB STD-B67: signal -> light, 1.0 = diffuse white (75 % signal)."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    luma = np.maximum(scene @ np.array([0.2627, 0.6780, 0.0593], np.float32), 1e-6)[..., None]
    return np.asarray(scene * luma**0.2 * _PEAK)  # system gamma 1.2 for a 1000-nit display
