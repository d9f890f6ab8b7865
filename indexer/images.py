"""Image files -> upright sRGB pictures, fitted to every space that wants one.

Knows Pillow and the traps of its formats: reduced decoding of JPEG, EXIF orientation, colour profiles,
transparency, palettes, 16 bits, animation, decompression bombs. Runs in the killable child process;
knows nothing of segments.
"""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path

import msgspec
import numpy as np
import pillow_heif
from PIL import Image, UnidentifiedImageError
from PIL.ExifTags import Base

from indexer.items import DecodedItem, DecodeRequest, Facts, Limits, PictureItem
from indexer.metadata import read_facts
from indexer.pixels import orientation, upright
from indexer.readable import looks_like_text
from search.errors import PermanentMediaError
from search.perceptual import perceptual_hash
from search.results import Kind, Signal
from search.spaces.inputs import ImageInput, Picture, fit

# Longer side of the picture from which text is read.
READABLE_SIDE = 1600
_GLANCE_SIDE = 480  # longer side of the picture that decides whether there may be any
# A JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 that is still this much larger than the picture
# wanted: from 1.45 times, embeddings fell to a cosine of 0.990 with those of full decoding; see docs/benchmarks.md.
DRAFT_MARGIN = 1.65
_HASHED_SIDE = 128
_MIN_SIDE = 224  # what the perceptual hash and the search for text look at when no space wants pictures
_BLANK_FRAMES = 16  # how far into an animation to look for a frame that shows something
_BLANK_DEVIATION = 2.0  # grey levels
_MAX_PREVIEWS = 64  # JPEG marks looked at in a raw file
_PREVIEW_HEAD_BYTES = 256 * 1024  # holds a JPEG's tables, EXIF and thumbnail
_MAX_PREVIEW_BYTES = 64 * 1024**2
_HEIF_HEAD_BYTES = 64 * 1024  # the boxes that describe a HEIF file come first
_ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})

# Plugins that start other programs, or only recognise files that something else would have to decode.
_UNSAFE_FORMATS = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FPX", "MIC"})

pillow_heif.register_heif_opener(thumbnails=False)
pillow_heif.options.DECODE_THREADS = 1  # files are decoded beside each other already
Image.init()
_FIRST = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "TIFF", "BMP")
Source = Path | bytes
FORMATS = (*_FIRST, *(name for name in Image.ID if name not in _UNSAFE_FORMATS and name not in _FIRST))


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Facts, then one picture: the image, or the first frame of an animation that shows something."""
    yield from _decode(request, request.path)


def decode_raw(request: DecodeRequest) -> Iterator[DecodedItem]:
    """As `decode`, for a camera's raw file: from the largest preview inside it."""
    preview = _largest_preview(request.path, request.limits)
    if preview is None:
        raise PermanentMediaError("is a raw file without a preview that can be read; raw pixels are not developed")
    facts, picture = _decode(request, preview)
    told = facts.facts
    # The preview rarely carries the data of the shot; the raw file around it mostly reads as TIFF.
    with (
        suppress(OSError, ValueError, SyntaxError, PermanentMediaError),
        _opened(request.path, request.limits) as image,
    ):
        around = {key: value for key, value in msgspec.structs.asdict(read_facts(image)).items() if value is not None}
        told = msgspec.structs.replace(told, **around)
    yield Facts(facts.kind, told, "seen through the preview inside the raw file")
    yield picture


def _decode(request: DecodeRequest, source: Source) -> tuple[Facts, PictureItem]:
    sides = [wanted.side for wanted in request.image_inputs.values()] or [_MIN_SIDE]
    with _opened(source, request.limits) as image:
        facts, note = read_facts(image), _note(image)
        width, height = image.size
        looked_at = max(request.whole_side, _GLANCE_SIDE if request.want_text else 0)
        side = max(max(sides) * DRAFT_MARGIN, min(looked_at / max(width, height), 1) * min(width, height))
        small = _load(image, int(side))
        if orientation(image) > 4:  # lies on its side
            width, height = height, width
    facts = msgspec.structs.replace(facts, width=width, height=height, perceptual_hash=_hash(small))
    fitted: dict[ImageInput, Picture] = {wanted: fit(small, wanted) for wanted in set(request.image_inputs.values())}
    pictures = {space: fitted[wanted] for space, wanted in request.image_inputs.items()}
    readable: Picture | None = None
    has_text = request.want_text and not request.whole_side and looks_like_text(np.asarray(small))
    if request.whole_side:
        readable = _within(small, request.whole_side)
    elif has_text and request.text_now:
        readable = _readable(source, request.limits, small, max(width, height))
    unread = has_text and readable is None
    return Facts(Kind.IMAGE, facts, note), PictureItem(Signal.IMAGE, pictures, readable=readable, unread=unread)


def _hash(image: Image.Image) -> bytes | None:
    """Of a smaller picture, where there is enough of it: the hash looks at 64 pixels a side."""
    factor = max(1, min(image.size) // _HASHED_SIDE)
    return perceptual_hash(np.asarray(image.reduce(factor) if factor > 1 else image)) or None


@contextmanager
def _opened(source: Source, limits: Limits) -> Iterator[Image.Image]:
    """The image, its header read and its size checked. Raises PermanentMediaError, OSError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata
        Image.MAX_IMAGE_PIXELS = None
        try:
            image = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
        except UnidentifiedImageError:
            raise PermanentMediaError("is damaged at its beginning, or no image format that can be read") from None
        # Icons hold images that are larger than they say; Pillow checks those when it loads them.
        Image.MAX_IMAGE_PIXELS = limits.max_image_pixels
        with image:
            width, height = image.size
            if width * height > limits.max_image_pixels:
                size = f"{width} x {height} = {width * height:,} pixels"
                raise PermanentMediaError(f"has {size}, more than max_image_pixels = {limits.max_image_pixels:,}")
            if not width * height:
                raise PermanentMediaError("has no pixels")
            if image.format == "HEIF":
                _keep_orientation(image, source)
            yield image


def _keep_orientation(image: Image.Image, source: Source) -> None:
    """libheif turns an image as its container says and then drops the EXIF orientation, which repeats that.

    Some encoders write only the EXIF one: it counts where the container says nothing.
    """
    wanted = image.info.get("original_orientation")
    head = source[:_HEIF_HEAD_BYTES] if isinstance(source, bytes) else _read(source, _HEIF_HEAD_BYTES)
    if wanted and b"irot" not in head and b"imir" not in head:
        image.getexif()[Base.Orientation] = wanted


def _read(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _load(image: Image.Image, side: int) -> Image.Image:
    """Upright RGB, no side shorter than `side` where the file has so many pixels."""
    image.draft(None, (side, side))  # JPEG: decode at a reduced size; other formats do nothing
    _seek_shown(image)
    image.load()
    return upright(image)


def _seek_shown(image: Image.Image) -> None:
    """Go to the first frame of an animation that is not blank: many fade in."""
    if image.format not in _ANIMATED or not getattr(image, "is_animated", False):
        return
    for number in range(_BLANK_FRAMES):
        try:
            image.seek(number)
        except EOFError:
            break
        if np.asarray(upright(image).reduce(max(1, min(image.size) // 32)), np.float32).std() > _BLANK_DEVIATION:
            return
    image.seek(0)


def _note(image: Image.Image) -> str | None:
    if image.format in _ANIMATED and getattr(image, "is_animated", False):
        return "an animation, of which one frame is searched"
    if image.format == "TIFF" and getattr(image, "n_frames", 1) > 1:
        return f"one of {getattr(image, 'n_frames', 1)} pages is searched"
    return None


def _readable(source: Source, limits: Limits, small: Image.Image, longest: int) -> Picture:
    """A picture large enough to read text from."""
    if max(small.size) < min(READABLE_SIDE, longest):
        with _opened(source, limits) as image:
            share = READABLE_SIDE / longest
            small = _load(image, max(1, int(min(image.size) * min(1.0, share))))
    return _within(small, READABLE_SIDE)


def _within(image: Image.Image, side: int) -> Picture:
    """The whole image, no side longer than `side`."""
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(image)


def _largest_preview(path: Path, limits: Limits) -> bytes | None:
    """The JPEG with the most pixels inside a raw file of any maker, found by its marks."""
    best, most = None, 0
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = -1
        for _ in range(_MAX_PREVIEWS):
            if (start := data.find(b"\xff\xd8\xff", start + 1)) < 0:
                break
            head = BytesIO(data[start : start + _PREVIEW_HEAD_BYTES])
            with (
                suppress(OSError, ValueError, SyntaxError, Image.DecompressionBombError),
                Image.open(head, formats=("JPEG",)) as image,
            ):
                pixels = image.width * image.height
                if most < pixels <= limits.max_image_pixels:
                    best, most = start, pixels
        return None if best is None else data[best : best + _MAX_PREVIEW_BYTES]
