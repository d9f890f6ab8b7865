"""Pixels of any kind -> upright 8-bit sRGB.

Knows modes, transparency, colour profiles and EXIF orientation; knows no file, no limit and no model.
"""

from __future__ import annotations

import math
from functools import lru_cache
from io import BytesIO

import numpy as np
from PIL import Image, ImageCms
from PIL.ExifTags import Base

from search.arrays import UInt8Array

# Above this many pixels an image is halved (and so on) before it is converted: a conversion takes four
# bytes a pixel, twice, and no encoder looks at so many.
MAX_CONVERTED_PIXELS = 16_000_000
_BRIGHT = 200  # mean grey level above which a drawing on a transparent ground would vanish on white
_DARK_GROUND = 64

_FILLED = {"JPEG": 128, "MPO": 128}  # what stands where nothing was decoded
_BORDER = 0.02  # of the height: less may be a frame that somebody drew

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation(image: Image.Image) -> int:
    """The EXIF orientation still to be applied to a loaded image, 1 to 8; 1 where it is damaged."""
    try:
        value = image.getexif().get(Base.Orientation, 1)
    except Exception:  # noqa: BLE001 - damaged EXIF raises many things
        return 1
    return value if value in _TURNS else 1


def turned(image: Image.Image, orientation: int) -> Image.Image:
    """As an EXIF orientation says."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def upright(image: Image.Image) -> Image.Image:
    """A loaded image of any mode as upright RGB."""
    turn, profile = orientation(image), image.info.get("icc_profile")
    return turned(_to_srgb(_opaque(_shrunk(_eight_bit(image))), profile), turn)


def missing_share(image: Image.Image, *, is_cut: bool) -> float:
    """How much of a loaded image, from below, was never decoded, 0 to 1.

    Whole rows of exactly what a decoder leaves there, and more than a border: photographs have noise. libjpeg leaves
    its middle grey, and that tells by itself; others leave one value, which tells only of a file known to be cut.
    """
    filled = _FILLED.get(image.format or "")
    if image.mode not in ("RGB", "L", "RGBA", "P", "1", "LA", "CMYK") or not (filled or is_cut):
        return 0.0
    rows = np.asarray(image)
    if filled is None:
        empty = (rows == rows[-1, -1]).all(axis=tuple(range(1, rows.ndim)))
    else:
        empty = np.abs(rows.astype(np.int16) - filled).max(axis=tuple(range(1, rows.ndim))) <= 1
    lowest = len(empty) if empty.all() else int(np.argmin(empty[::-1]))
    return lowest / len(empty) if lowest >= max(2, _BORDER * len(empty)) else 0.0


def _eight_bit(image: Image.Image) -> Image.Image:
    """Palettes and deep pixels as 8 bits a channel; what is transparent keeps an alpha channel."""
    if "transparency" in image.info and image.mode in ("1", "L", "RGB", "P", "I;16"):
        return (image if image.mode != "I;16" else _scaled(image)).convert("RGBA")
    if image.mode in ("P", "PA"):
        return image.convert(
            "RGBA" if image.mode == "PA" or (image.palette and image.palette.mode == "RGBA") else "RGB"
        )
    if image.mode == "1":
        return image.convert("L")
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scaled(image)
    return image


def _scaled(image: Image.Image) -> Image.Image:
    return Image.fromarray(eight_bit_array(np.asarray(image)))


def eight_bit_array(pixels: np.ndarray) -> UInt8Array:
    """Deep values -> 8 bits, in the same shape `(...)`, by the bits that are used.

    Cameras and scanners put 10 or 12 bits into 16.
    """
    if pixels.dtype == np.uint8:
        return np.ascontiguousarray(pixels)
    if pixels.dtype.kind == "f":
        pixels = np.nan_to_num(pixels, posinf=0, neginf=0)
    low, high = float(pixels.min()), float(pixels.max())
    if low >= 0 and (pixels.dtype.kind != "f" or high > 1):
        low, high = 0.0, 2.0 ** max(8, math.ceil(math.log2(high + 1))) - 1
    elif low >= 0:
        low, high = 0.0, 1.0
    scale = 255 / (high - low or 1)
    out = np.empty(pixels.shape, np.uint8)
    for start in range(0, len(pixels), 512):  # in stripes: a float copy of a panorama would be gigabytes
        rows = pixels[start : start + 512].astype(np.float32)
        out[start : start + 512] = np.clip((rows - low) * scale + 0.5, 0, 255)
    return out


def _shrunk(image: Image.Image) -> Image.Image:
    factor = 1
    while image.width * image.height > MAX_CONVERTED_PIXELS * factor * factor and min(image.size) // (factor * 2) > 512:
        factor *= 2
    if factor == 1:
        return image
    # Transparent pixels have a colour too; without this it would bleed into their neighbours.
    if image.mode == "RGBA":
        return image.convert("RGBa").reduce(factor).convert("RGBA")
    return image.reduce(factor)


def _opaque(image: Image.Image) -> Image.Image:
    """On white; or on dark grey, if what is drawn is nearly white itself."""
    if image.mode not in ("RGBA", "LA", "La", "RGBa"):
        return image
    if image.mode == "La":
        image = image.convert("LA")
    image = image.convert("RGBA")
    alpha = image.getchannel("A")
    lowest, highest = alpha.getextrema()
    if lowest == 255:
        return image.convert("RGB")
    ground = 255
    if highest:
        weights = np.asarray(alpha.resize((64, 64), Image.Resampling.BOX), np.float32)
        grey = np.asarray(image.convert("RGBa").resize((64, 64), Image.Resampling.BOX).convert("RGBA").convert("L"))
        ground = _DARK_GROUND if float((grey * weights).sum() / max(weights.sum(), 1)) > _BRIGHT else 255
    canvas = Image.new("RGBA", image.size, (ground, ground, ground, 255))
    canvas.alpha_composite(image)
    return canvas.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    if image.mode in ("YCbCr", "HSV"):
        image = image.convert("RGB")
    if profile or image.mode == "LAB":
        transform = _transform(profile or b"", image.mode)
        if transform is not None:
            try:
                return transform.apply(image)
            except (ValueError, ImageCms.PyCMSError):
                pass  # a profile for other channels than the image has: its colours are as good as untagged
    return image if image.mode == "RGB" else image.convert("RGB")


@lru_cache(maxsize=16)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """From a profile (a camera writes the same one into every photo) to sRGB; None when it is or says sRGB."""
    try:
        if mode == "LAB":
            source = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
        else:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if "srgb" in ImageCms.getProfileDescription(source).lower():
                return None
        return ImageCms.buildTransform(source, _SRGB, mode, "RGB")
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


_SRGB = ImageCms.createProfile("sRGB")
