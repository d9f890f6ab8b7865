"""Opening image files that nobody vouches for: the right page of the right picture, its size checked.

Knows Pillow, tifffile and imagecodecs, and which of them reads what; knows nothing of metadata, spaces or segments.
"""

from __future__ import annotations

import mmap
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pillow_heif
from PIL import Image, ImageFile, UnidentifiedImageError
from PIL.ExifTags import Base

from indexer.decoding.items import Limits
from indexer.decoding.pixels import eight_bit_array, orientation, turned
from indexer.decoding.probe import RAW_SUFFIXES
from search.errors import PermanentMediaError

_RAW_HEAD_BYTES = 16 * 1024**2  # within which cameras put the picture for their own screen
_MAX_PREVIEWS = 64  # JPEG marks looked at in a raw file
_TRIED_PREVIEWS = 3
_PREVIEW_HEAD_BYTES = 256 * 1024  # holds a JPEG's tables, EXIF and thumbnail
_MAX_PREVIEW_BYTES = 64 * 1024**2
_HEIF_HEAD_BYTES = 64 * 1024  # the boxes that describe a HEIF file come first
_MAX_PAGES = 1000  # of a TIFF, looked at for the largest
_PAGE_SHARE = 0.2  # of the pixels of a document's largest page, which its other pages have at least
_JXL_MAGIC = (b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")
_WHITE_IS_ZERO = 0
_OLD_JPEG = 6  # TIFF's compression that every camera maker understands in a way of his own

# Plugins that start other programs, or only recognise files that something else would have to decode.
_UNSAFE_FORMATS = frozenset({"EPS", "WMF", "BUFR", "GRIB", "HDF5", "MPEG", "FPX", "MIC"})

pillow_heif.register_heif_opener(thumbnails=False)
pillow_heif.options.DECODE_THREADS = 1  # files are decoded beside each other already
Image.init()
_FIRST = ("JPEG", "PNG", "WEBP", "HEIF", "AVIF", "GIF", "TIFF", "BMP")
Source = Path | bytes
FORMATS = (*_FIRST, *(name for name in Image.ID if name not in _UNSAFE_FORMATS and name not in _FIRST))


@dataclass
class Opened:
    """An image whose header is read and whose size is allowed; its pixels may not be."""

    image: Image.Image
    teller: Image.Image  # whose metadata tell of it; mostly the same
    pages: int = 1  # of which the largest was chosen
    numbers: tuple[int, ...] = ()  # from 0, of those that are the pages of a scanned document


@contextmanager
def opened_image(source: Source, limits: Limits) -> Iterator[Opened]:
    """The largest picture in a file. Raises PermanentMediaError, OSError."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about damaged metadata
        opened = _open(source, limits)
        # Icons hold images that are larger than they say; Pillow checks those when it loads them.
        Image.MAX_IMAGE_PIXELS = limits.max_image_pixels
        another = opened.teller is not opened.image
        with closing(opened.teller) if another else nullcontext(), opened.image as image:
            check_size(*image.size, limits)
            if image.format == "HEIF":
                _keep_orientation(image, source)
            yield opened


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raises PermanentMediaError for what is larger than a setting allows, or empty."""
    if width * height > limits.max_image_pixels:
        size = f"{width} x {height} = {width * height:,} pixels"
        raise PermanentMediaError(f"has {size}, more than max_image_pixels = {limits.max_image_pixels:,}")
    if not width * height:
        raise PermanentMediaError("has no pixels")


def opened_preview(path: Path, limits: Limits) -> bytes:
    """The largest JPEG inside a raw file that can be decoded. Raises PermanentMediaError when there is none."""
    for _, _, preview in _previews(path, limits)[:_TRIED_PREVIEWS]:
        with suppress(OSError, ValueError, SyntaxError), Image.open(BytesIO(preview), formats=("JPEG",)) as image:
            image.draft(None, (64, 64))
            image.load()
            return preview
    raise PermanentMediaError("is a raw file without a preview that can be read; raw pixels are not developed")


def may_be_raw(path: Path) -> bool:
    """Of a file that can't be opened as it is: is it one that a camera may have written, with a preview inside?"""
    return path.suffix.lower() in RAW_SUFFIXES or b"\xff\xd8\xff" in _read(path, _RAW_HEAD_BYTES)


def has_larger_preview(path: Path, image: Image.Image, limits: Limits) -> bool:
    """Is what reads as TIFF a camera's raw file, whose first page is only a thumbnail?"""
    pixels = image.width * image.height
    is_old_jpeg = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(Base.Compression) == _OLD_JPEG
    previews = _previews(path, limits)
    return bool(previews) and (previews[0][0] > pixels or (is_old_jpeg and previews[0][0] == pixels))


def _open(source: Source, limits: Limits) -> Opened:
    Image.MAX_IMAGE_PIXELS = None
    head = source[:16] if isinstance(source, bytes) else _read(source, 16)
    if head.startswith(_JXL_MAGIC):
        image = _jpeg_xl(source)
        return Opened(image, image)
    is_tiff = head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
    try:
        image = Image.open(BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS)
    except UnidentifiedImageError:
        if is_tiff and isinstance(source, Path):
            return _scientific(source, limits, None)
        raise PermanentMediaError("is damaged at its beginning, or no image format that can be read") from None
    if image.format != "TIFF":
        return Opened(image, image)
    try:
        pages, numbers = _choose_page(image)
        if isinstance(source, Path) and not _is_read_right(image):
            return _scientific(source, limits, image)
    except BaseException:
        image.close()
        raise
    return Opened(image, image, pages, numbers)


def _choose_page(image: Image.Image) -> tuple[int, tuple[int, ...]]:
    """Go to the largest page of a TIFF; gives how many there are, thumbnails not counted, and those of a document."""
    sizes: list[int] = []
    thumbnails: set[int] = set()
    with suppress(EOFError, OSError, ValueError, SyntaxError, KeyError):
        for number in range(_MAX_PAGES):
            image.seek(number)
            sizes.append(image.width * image.height)
            if getattr(image, "tag_v2", {}).get(Base.NewSubfileType, 0) & 1:
                thumbnails.add(number)
    image.seek(sizes.index(max(sizes)) if sizes else 0)
    # A scanner's pages are about equally large; smaller pictures are previews of the largest.
    alike = [n for n, size in enumerate(sizes) if n not in thumbnails and size >= max(sizes) * _PAGE_SHARE]
    return max(1, len(sizes) - len(thumbnails)), tuple(alike) if len(alike) > 1 else ()


def _is_read_right(image: Image.Image) -> bool:
    """Pillow takes some deep pixels for shallow ones, and planes of them for rows."""
    tags = getattr(image, "tag_v2", {})
    bits = tags.get(Base.BitsPerSample, (1,))
    deepest = max(bits if isinstance(bits, tuple) else (bits,))
    samples = tags.get(Base.SamplesPerPixel, 1)
    is_inverted = tags.get(Base.PhotometricInterpretation) == _WHITE_IS_ZERO
    return bool(deepest <= 8 or (samples == 1 and deepest <= 32 and not is_inverted))


def _scientific(path: Path, limits: Limits, teller: Image.Image | None) -> Opened:
    """The largest page of a TIFF that Pillow can't read, its values brought to 8 bits."""
    from indexer.decoding import tiff  # noqa: PLC0415 - loads slowly, and few files need it

    array, pages = tiff.largest_page(path, limits)
    image = turned(Image.fromarray(array), orientation(teller) if teller else 1)
    image.format = "TIFF"
    return Opened(image, teller or image, pages)


def _jpeg_xl(source: Source) -> Image.Image:
    from imagecodecs import JpegxlError, jpegxl_decode  # noqa: PLC0415 - loads slowly, and few files need it

    try:
        array = jpegxl_decode(source if isinstance(source, bytes) else source.read_bytes(), numthreads=1)
    except (JpegxlError, ValueError, RuntimeError) as error:
        raise PermanentMediaError(f"is a JPEG XL file that libjxl can't read: {error}") from None
    frame = array[0] if array.ndim == 4 or (array.ndim == 3 and array.shape[-1] > 4) else array
    image = Image.fromarray(eight_bit_array(frame))
    image.format = "JXL"
    return image


def _keep_orientation(image: Image.Image, source: Source) -> None:
    """Libheif turns an image as its container says and then drops the EXIF orientation, which repeats that.

    Some encoders write only the EXIF one: it counts where the container says nothing.
    """
    wanted = image.info.get("original_orientation")
    head = source[:_HEIF_HEAD_BYTES] if isinstance(source, bytes) else _read(source, _HEIF_HEAD_BYTES)
    if wanted and b"irot" not in head and b"imir" not in head:
        image.getexif()[Base.Orientation] = wanted


def _read(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _previews(path: Path, limits: Limits) -> list[tuple[int, int, bytes]]:
    """Pixels, place and bytes of the JPEGs inside a file of any maker, found by their marks, the largest first."""
    previews: list[tuple[int, int]] = []
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
                if pixels <= limits.max_image_pixels:
                    previews.append((pixels, start))
        previews.sort(key=lambda entry: (-entry[0], entry[1]))
        return [(pixels, at, data[at : at + _MAX_PREVIEW_BYTES]) for pixels, at in previews[:_TRIED_PREVIEWS]]


@contextmanager
def tolerant() -> Iterator[None]:
    """Decoding goes on behind what is missing; only for a file that has been found to be cut."""
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    try:
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = False
