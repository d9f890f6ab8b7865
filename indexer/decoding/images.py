"""Image files -> upright sRGB pictures, scaled for every space that wants one.

Chooses between what a file holds, decodes it at a reduced size, and says what of it is missing. Knows animations,
raw files and files that end early. Runs in the killable child process; knows nothing of segments.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
from PIL import Image

from indexer.decoding.boxes import missing_bytes
from indexer.decoding.documents import scans
from indexer.decoding.image_opening import (
    Opened,
    Source,
    has_larger_preview,
    may_be_raw,
    opened_image,
    opened_preview,
    tolerant,
)
from indexer.decoding.items import (
    Decoded,
    DecodedItem,
    DecodeRequest,
    Facts,
    Limits,
    Note,
    Part,
    PictureItem,
    Promised,
)
from indexer.decoding.metadata.capture_time import date_in_name
from indexer.decoding.metadata.companions import companions
from indexer.decoding.metadata.image_metadata import read_metadata
from indexer.decoding.metadata.witness import Witness, believed
from indexer.decoding.pixels import missing_share, orientation, upright
from indexer.decoding.probe import RAW_SUFFIXES
from indexer.decoding.text_likelihood import looks_like_text
from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.duplicates.perceptual_hash import perceptual_hash
from search.errors import PermanentMediaError
from search.results import Kind
from search.signals import Signal
from search.spaces.inputs import ImageInput, Picture, fit

# Longer side of the picture from which text is read.
READABLE_SIDE = 1600
_GLANCE_SIDE = 480  # longer side of the picture that decides whether there may be any
# A JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 that is still this much larger than the picture
# wanted: from 1.45 times, embeddings fell to a cosine of 0.990 with those of full decoding
# (docs/benchmarks/ingestion.md).
DRAFT_MARGIN = 1.65
_HASHED_SIDE = 128
_MIN_SIDE = 224  # what the perceptual hash and the search for text look at when no space wants pictures
_BLANK_FRAMES = 16  # how far into an animation to look for a frame that shows something
_BLANK_DEVIATION = 2.0  # grey levels
_ANIMATED = frozenset({"GIF", "WEBP", "PNG", "AVIF"})
_MOST_MISSING = 0.95  # share of a picture; with more missing there is no picture
_DNG_VERSION = 50706  # the tag that makes a TIFF a raw file
_CUT = (
    "truncated",
    "broken data stream",
    "broken png",
    "unrecognized data stream",
)  # what Pillow says about files that end early


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Facts, then one picture: the largest, or the first frame of an animation that shows something.

    Of a scanned document every page is one. Raises PermanentMediaError, which says so of what ends early and can't be
    shown in part.
    """
    try:
        yield from _decode_any(request)
    except (OSError, ValueError, SyntaxError, PermanentMediaError) as error:
        if isinstance(error, FileNotFoundError) or not (there := missing_bytes(request.path)):
            raise
        raise PermanentMediaError(f"ends early: {there}, and nothing of it can be shown") from None


def _decode_any(request: DecodeRequest) -> Iterator[DecodedItem]:
    told = Witness()
    try:
        with opened_image(request.path, request.limits) as opened:
            is_raw = opened.image.format == "TIFF" and has_larger_preview(request.path, opened.image, request.limits)
            told = read_metadata(opened.teller)
            numbers = () if is_raw or _is_dng(opened.image, request.path) else opened.numbers
    except PermanentMediaError:
        if not may_be_raw(request.path):
            raise
        is_raw, numbers = True, ()
    if is_raw:
        yield from decode_raw(request)
    elif numbers:
        yield from scans.decode(request, numbers, told)
    else:
        yield from _decode(request, request.path, told, is_raw=False)


def decode_raw(request: DecodeRequest) -> Iterator[DecodedItem]:
    """As `decode`, for a camera's raw file: from the largest preview inside it."""
    preview = opened_preview(request.path, request.limits)
    told: list[Witness] = []
    # The preview rarely carries the data of the shot; the raw file around it mostly reads as TIFF.
    for source in (request.path, preview):
        with (
            suppress(OSError, ValueError, SyntaxError, PermanentMediaError),
            opened_image(source, request.limits) as opened,
        ):
            told.append(read_metadata(opened.teller))
    yield from _decode(request, preview, believed(told), is_raw=True)


def _decode(request: DecodeRequest, source: Source, told: Witness, is_raw: bool) -> Iterator[DecodedItem]:
    sides = [wanted.side for wanted in request.image_inputs.values()] or [_MIN_SIDE]
    with opened_image(source, request.limits) as opened:
        width, height = opened.image.size
        looked_at = max(request.whole_side, _GLANCE_SIDE if request.want_text else 0)
        side = int(max(max(sides) * DRAFT_MARGIN, min(looked_at / max(width, height), 1) * min(width, height)))
        count, reason = _pictures_inside(opened)
        inside_raw = _inside_raw(opened, is_raw, request.path.suffix.lower() in RAW_SUFFIXES)
        if opened.image.format != "TIFF" and orientation(opened.image) > 4:  # lies on its side; Pillow turns TIFF
            width, height = height, width
    small, shown = load_picture(source, request.limits, side)
    beside, later, left_out = companions(request.path)
    words = believed((*beside, told, *later, Witness(taken=date_in_name(request.path.name))))
    facts = AssetFacts(width=width, height=height, perceptual_hash=_hash(small), **words.facts())
    yield Facts(Kind.IMAGE, facts, Promised({Part.PICTURE: count}))
    yield shown
    if count > 1:
        yield Decoded(part=Part.PICTURE, count=count - 1, share=0, why=reason)
    if inside_raw:
        yield Note(NoteKind.PICTURE, inside_raw)
    yield from (Note(NoteKind.BESIDE, text) for text in left_out)
    if written := words.written():
        yield written
    fitted: dict[ImageInput, Picture] = {wanted: fit(small, wanted) for wanted in set(request.image_inputs.values())}
    pictures = {space: fitted[wanted] for space, wanted in request.image_inputs.items()}
    readable: Picture | None = None
    has_text = request.want_text and not request.whole_side and looks_like_text(np.asarray(small))
    if request.whole_side:
        readable = _within(small, request.whole_side)
    elif has_text and request.text_now:
        readable = _readable(source, request.limits, small, max(width, height))
    yield PictureItem(Signal.IMAGE, pictures, readable=readable, unread=has_text and readable is None)


def _is_dng(image: Image.Image, path: Path) -> bool:
    return path.suffix.lower() in RAW_SUFFIXES or _DNG_VERSION in getattr(image, "tag_v2", {})


def _hash(image: Image.Image) -> bytes | None:
    """The hash of a smaller copy, if the picture is large enough: the hash looks at 64 pixels a side."""
    factor = max(1, min(image.size) // _HASHED_SIDE)
    return perceptual_hash(np.asarray(image.reduce(factor) if factor > 1 else image)) or None


def load_picture(source: Source, limits: Limits, side: int) -> tuple[Image.Image, Decoded]:
    """Upright RGB, no side shorter than `side` if the file has that many pixels; and the share that was decoded."""
    with opened_image(source, limits) as opened:
        try:
            image, missing = _loaded(opened.image, side, is_cut=False)
        except OSError as error:
            if not any(mark in str(error).lower() for mark in _CUT):
                raise
            reason = error
        else:
            return image, _shown(missing, "it ends with rows of nothing" if missing else "")
    with tolerant(), opened_image(source, limits) as opened:
        try:
            image, missing = _loaded(opened.image, side, is_cut=True)
        except (EOFError, SyntaxError, ValueError):
            raise reason from None
    is_blank = float(np.asarray(image.reduce(max(1, min(image.size) // 32)), np.float32).std()) < _BLANK_DEVIATION
    if is_blank or missing > _MOST_MISSING:
        raise reason  # nothing of it could be decoded
    return image, _shown(
        missing, "the file ends early" if missing else "the file ends early: the last of its data are missing"
    )


def _shown(missing: float, why: str) -> Decoded:
    return Decoded(part=Part.PICTURE, share=1 - missing, why=why)


def _loaded(image: Image.Image, side: int, *, is_cut: bool) -> tuple[Image.Image, float]:
    image.draft(None, (side, side))  # JPEG: decode at a reduced size; other formats do nothing
    _seek_shown(image)
    image.load()
    share = missing_share(image, is_cut=is_cut)
    return upright(image), share


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


def _pictures_inside(opened: Opened) -> tuple[int, str]:
    """How many pictures a file holds, and why only one of them is searched."""
    image = opened.image
    if opened.pages > 1:
        return opened.pages, "only the largest is searched"
    if image.format in (*_ANIMATED, "HEIF"):
        count = 1
        with suppress(EOFError, OSError, ValueError, SyntaxError):  # a truncated file: as many as are found
            count = getattr(image, "n_frames", 1)
        why = "the main one is searched" if image.format == "HEIF" else "an animation: one frame is searched"
        return max(1, count), why
    return 1, ""


def _inside_raw(opened: Opened, is_raw: bool, named_raw: bool) -> str | None:
    """Which picture of a camera's raw file is searched."""
    image = opened.image
    size = f"{image.width} x {image.height} pixels inside the raw file"
    if is_raw:
        return f"seen through the preview of {size}"
    if image.format == "TIFF" and (named_raw or _DNG_VERSION in getattr(image, "tag_v2", {})):
        return f"seen through a page of {size}"
    return None


def _readable(source: Source, limits: Limits, small: Image.Image, longest: int) -> Picture:
    """A picture large enough to read text from."""
    if max(small.size) < min(READABLE_SIDE, longest):
        share = READABLE_SIDE / longest
        small, _ = load_picture(source, limits, max(1, int(share * min(small.size) * longest / max(small.size))))
    return _within(small, READABLE_SIDE)


def _within(image: Image.Image, side: int) -> Picture:
    """The whole image, no side longer than `side`."""
    image.thumbnail((side, side), Image.Resampling.BICUBIC, reducing_gap=2.0)
    return np.asarray(image)
