"""What encoders take: decoded pictures and waveforms, and how a picture is fitted to a model.

Decoders (in child processes) and query uploads both go through `fit`, so that a query image and an
indexed image can't be prepared differently.
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np
from PIL import Image, ImageOps

from search.arrays import Float32Array, UInt8Array

# (h, w, 3) uint8, upright, sRGB.
Picture = UInt8Array
# (n,) float32 in [-1, 1], mono, SAMPLE_RATE_HZ.
Waveform = Float32Array

SAMPLE_RATE_HZ = 16_000


class ImageInput(msgspec.Struct, frozen=True):
    """The picture that a space wants: side in pixels and how to get there."""

    side: int
    # Whole picture distorted to a square; shorter side scaled and the centre cropped; longer side scaled and padded;
    # longer side scaled down, and no square.
    fit: Literal["squash", "crop", "pad", "inside"]
    resample: Literal["bilinear", "bicubic"] = "bicubic"


def fit(image: Image.Image, wanted: ImageInput) -> Picture:
    """An upright RGB image -> `(side, side, 3) uint8`, prepared as `wanted` says; `(h, w, 3)` for inside."""
    resample = Image.Resampling[wanted.resample.upper()]
    side = wanted.side
    if wanted.fit == "squash":
        return np.asarray(image.resize((side, side), resample, reducing_gap=3.0))
    if wanted.fit == "pad":
        return np.asarray(ImageOps.pad(image, (side, side), resample, color=(0, 0, 0)))
    width, height = image.size
    if wanted.fit == "inside":
        scale = min(1.0, side / max(width, height))
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        return np.asarray(image.resize(size, resample, reducing_gap=3.0) if scale < 1 else image)
    scale = side / min(width, height)
    # Rounding as torchvision does for an integer size, so that crops agree to the pixel.
    size = (side, int(side * height / width)) if width <= height else (int(side * width / height), side)
    resized = image.resize(size, resample, reducing_gap=3.0) if scale != 1 else image
    left, top = round((size[0] - side) / 2), round((size[1] - side) / 2)
    return np.asarray(resized.crop((left, top, left + side, top + side)))


def fit_picture(picture: Picture, wanted: ImageInput) -> Picture:
    """As `fit`, for a picture that is already decoded."""
    if wanted.fit == "squash" and picture.shape[:2] == (wanted.side, wanted.side):
        return picture
    return fit(Image.fromarray(picture), wanted)
