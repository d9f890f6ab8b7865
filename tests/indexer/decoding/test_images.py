"""Every kind of image becomes an upright sRGB picture, and says what it is."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from PIL.ExifTags import IFD, Base
from support import media
from support.pictures import BLUE, GREEN, RED, landscape, quadrants

from indexer.decoding import images
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import DecodedItem, DecodeRequest, Facts, Limits, PictureItem
from indexer.decoding.metadata.capture_time import read_date
from indexer.decoding.pixels import upright
from indexer.decoding.probe import Content, probe, sniff
from search.duplicates.perceptual_hash import perceptual_hash
from search.errors import PermanentMediaError
from search.settings import Settings
from search.spaces.inputs import ImageInput

SQUARE = ImageInput(side=64, fit="squash")


@pytest.fixture
def limits(settings: Settings) -> Limits:
    return limits_of(settings)


def items_of(path: Path, limits: Limits, want_text: bool = False, text_now: bool = False) -> list[DecodedItem]:
    request = DecodeRequest(path, limits, {1: SQUARE}, want_text=want_text, text_now=text_now)
    decoder = images.decode_raw if probe(path) is Content.RAW else images.decode
    return list(decoder(request))


def decode(path: Path, limits: Limits, want_text: bool = False, text_now: bool = False) -> tuple[Facts, PictureItem]:
    facts, *_, picture = items_of(path, limits, want_text, text_now)
    assert isinstance(facts, Facts)
    assert isinstance(picture, PictureItem)
    return facts, picture


def corners(picture: np.ndarray) -> list[tuple[int, ...]]:
    """Colours a quarter into the picture: top left, top right, bottom left, bottom right."""
    low, high = len(picture) // 4, 3 * len(picture) // 4
    return [tuple(int(v) for v in picture[y, x]) for y, x in ((low, low), (low, high), (high, low), (high, high))]


def assert_like(found: Sequence[tuple[int, ...]], wanted: Sequence[tuple[int, ...]], tolerance: int = 12) -> None:
    assert np.abs(np.array(found) - np.array(wanted)).max() <= tolerance, f"{found} is not {wanted}"


UPRIGHT = [RED, GREEN, BLUE, (255, 255, 255)]


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        ("jpg", {"quality": 92}),
        ("png", {}),
        ("webp", {"quality": 92}),
        ("gif", {}),
        ("tiff", {}),
        ("bmp", {}),
        ("heic", {"quality": 90}),
        ("avif", {"quality": 90}),
        ("jp2", {}),
        ("ico", {"sizes": [(128, 96)]}),
        ("ppm", {}),
        ("tga", {}),
        ("qoi", {}),
    ],
)
def test_every_format_becomes_the_same_picture(
    tmp_path: Path, limits: Limits, suffix: str, options: dict[str, Any]
) -> None:
    path = tmp_path / f"picture.{suffix}"
    quadrants(128, 96).save(path, **options)
    facts, item = decode(path, limits)
    assert (facts.facts.width, facts.facts.height) == (128, 96)
    assert item.pictures[1].shape == (64, 64, 3)
    assert_like(corners(item.pictures[1]), UPRIGHT, tolerance=20)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif", "heic"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_stand_upright(tmp_path: Path, limits: Limits, suffix: str, orientation: int) -> None:
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = quadrants(128, 96)
    if orientation > 1:
        stored = stored.transpose(undo[orientation])
    exif = Image.Exif()
    exif[Base.Orientation] = orientation
    path = tmp_path / f"picture.{suffix}"
    stored.save(path, exif=exif, quality=95)
    facts, item = decode(path, limits)
    assert (facts.facts.width, facts.facts.height) == (128, 96)
    assert_like(corners(item.pictures[1]), UPRIGHT, tolerance=20)


def test_a_large_jpeg_is_decoded_small_and_looks_the_same(tmp_path: Path, limits: Limits) -> None:
    path = tmp_path / "large.jpg"
    landscape(3, 2400, 1800).save(path, quality=95)
    facts, item = decode(path, limits)
    assert (facts.facts.width, facts.facts.height) == (2400, 1800)
    full = np.asarray(landscape(3, 2400, 1800).resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(item.pictures[1].astype(int) - full).mean() < 2


class TestPixels:
    def test_transparency_is_laid_on_white(self) -> None:
        image = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
        image.paste((*RED, 255), (0, 0, 40, 80))
        assert_like(corners(np.asarray(upright(image))), [RED, (255, 255, 255), RED, (255, 255, 255)])

    def test_a_white_drawing_on_nothing_stays_visible(self) -> None:
        image = Image.new("RGBA", (80, 80), (0, 0, 0, 0))
        image.paste((255, 255, 255, 255), (0, 0, 40, 80))
        left, right = np.asarray(upright(image))[40, [10, 70]].astype(int)
        assert abs(left - right).max() > 100

    @pytest.mark.parametrize(
        "mode", ["P", "L", "1", "LA", "PA", "CMYK", "YCbCr", "LAB", "I", "F", "I;16", "RGBa", "La"]
    )
    def test_every_mode_becomes_rgb(self, mode: str) -> None:
        grey = np.repeat(np.linspace(0, 255, 80).astype(np.uint8)[None], 80, axis=0)
        image = Image.fromarray(grey)
        if mode == "I;16":
            image = Image.fromarray(grey.astype(np.uint16) * 257)
        elif mode == "RGBa":
            image = image.convert("RGBA").convert("RGBa")
        elif mode == "La":
            image = image.convert("LA").convert("La")
        elif mode == "LAB":
            profiles = (ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"))
            image = ImageCms.profileToProfile(image.convert("RGB"), *profiles, outputMode="LAB") or image
        else:
            image = image.convert(mode if mode not in ("PA",) else "P")
            if mode == "PA":
                image = image.convert("PA")
        found = np.asarray(upright(image))
        assert found.shape == (80, 80, 3)
        assert found[:, :20].mean() < 60
        assert found[:, 60:].mean() > 190

    @pytest.mark.parametrize("bits", [10, 12, 16])
    def test_deep_grey_keeps_its_range(self, tmp_path: Path, limits: Limits, bits: int) -> None:
        """Cut at 255, as a plain conversion does it, nearly all of it would be white."""
        ramp = np.repeat(np.linspace(0, 2**bits - 1, 256)[None], 64, axis=0).astype(np.uint16)
        Image.fromarray(ramp).save(tmp_path / "deep.png")
        _, item = decode(tmp_path / "deep.png", limits)
        row = item.pictures[1][32, :, 0].astype(int)
        assert np.abs(row - np.linspace(2, 253, 64)).max() < 6

    def test_colours_of_a_wide_profile_become_those_of_srgb(self) -> None:
        """The same numbers mean other colours in another profile: here, with the channels swapped."""
        image = Image.new("RGB", (64, 64), (60, 120, 200))
        swapped = Image.new("RGB", (64, 64), (60, 120, 200))
        swapped.info["icc_profile"] = _profile_with_gamma(1.0)
        plain, converted = np.asarray(upright(image))[0, 0], np.asarray(upright(swapped))[0, 0]
        assert (converted.astype(int) - plain).min() > 20  # linear light looks brighter in sRGB

    @pytest.mark.parametrize("profile", [b"", b"nonsense", b"\0" * 200])
    def test_a_damaged_profile_is_ignored(self, profile: bytes) -> None:
        image = Image.new("RGB", (8, 8), RED)
        image.info["icc_profile"] = profile
        assert_like([tuple(np.asarray(upright(image))[0, 0])], [RED])


def _profile_with_gamma(gamma: float) -> bytes:
    """A copy of the sRGB profile with another tone curve."""
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    curve = struct.pack(">4sIIH", b"curv", 0, 1, round(gamma * 256))
    for number in range(struct.unpack(">I", data[128:132])[0]):
        entry = 132 + 12 * number
        signature, offset, _ = struct.unpack(">4sII", data[entry : entry + 12])
        if signature in (b"rTRC", b"gTRC", b"bTRC"):
            data[offset : offset + len(curve)] = curve
            data[entry + 8 : entry + 12] = struct.pack(">I", len(curve))
        elif signature == b"desc":
            at = data.find("sRGB".encode("utf-16-be"), offset)
            data[at : at + 8] = "mine".encode("utf-16-be")
    return bytes(data)


class TestAnimations:
    @pytest.mark.parametrize("suffix", ["gif", "webp", "png", "avif"])
    def test_the_first_frame_that_shows_something_is_taken(self, tmp_path: Path, limits: Limits, suffix: str) -> None:
        path = tmp_path / f"moving.{suffix}"
        black = Image.new("RGB", (128, 96))
        black.save(path, save_all=True, append_images=[black.point(lambda _: 1), quadrants(128, 96)], duration=100)
        items = items_of(path, limits)
        assert_like(corners(media.frames_of(items)[0].pictures[1]), UPRIGHT, tolerance=40)
        assert media.notes_of(items).endswith("pictures left out (an animation: one frame is searched)")

    def test_a_blank_animation_is_still_an_image(self, tmp_path: Path, limits: Limits) -> None:
        frames = [Image.new("RGB", (32, 32), (value, 0, 0)) for value in range(4)]
        frames[0].save(tmp_path / "blank.gif", save_all=True, append_images=frames[1:])
        facts, item = decode(tmp_path / "blank.gif", limits)
        assert item.pictures[1].max() < 10
        assert facts.facts.perceptual_hash is None


class TestLimits:
    def test_too_many_pixels_are_refused_before_they_are_decoded(self, tmp_path: Path, limits: Limits) -> None:
        path = tmp_path / "bomb.png"
        Image.new("1", (30_000, 30_000)).save(path)
        assert path.stat().st_size < 200_000
        with pytest.raises(PermanentMediaError, match="900,000,000 pixels, more than max_image_pixels = 250,000,000"):
            decode(path, limits)

    def test_the_limit_is_a_setting(self, tmp_path: Path, limits: Limits) -> None:
        quadrants(100, 100).save(tmp_path / "a.png")
        decode(tmp_path / "a.png", dataclasses.replace(limits, max_image_pixels=10_000))
        with pytest.raises(PermanentMediaError, match="max_image_pixels = 9,999"):
            decode(tmp_path / "a.png", dataclasses.replace(limits, max_image_pixels=9_999))

    @pytest.mark.parametrize("suffix", ["webp", "gif", "tiff", "avif", "heic", "jp2"])
    def test_a_truncated_file_is_an_error_or_says_so(self, tmp_path: Path, limits: Limits, suffix: str) -> None:
        path = tmp_path / f"cut.{suffix}"
        landscape(1).save(path)
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        try:
            note = media.notes_of(items_of(path, limits))
        except (PermanentMediaError, OSError, ValueError, SyntaxError):
            return
        assert "missing" in note


class TestFacts:
    def test_date_place_camera_and_title_are_read(self, tmp_path: Path, limits: Limits) -> None:
        exif = Image.Exif()
        exif[Base.Make], exif[Base.Model] = "Canon", "Canon EOS R5"
        exif[Base.ImageDescription] = "Grandmother's\ngarden\0"
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = "2021:06:05 14:03:02"
        exif.get_ifd(IFD.Exif)[Base.OffsetTimeOriginal] = "+02:00"
        exif.get_ifd(IFD.GPSInfo).update({1: "S", 2: (33.0, 51.0, 24.84), 3: "E", 4: (151.0, 12.0, 33.5)})
        quadrants().save(tmp_path / "told.jpg", exif=exif)
        facts = decode(tmp_path / "told.jpg", limits)[0].facts
        assert facts.captured_at == datetime(2021, 6, 5, 12, 3, 2, tzinfo=UTC).timestamp()
        assert facts.latitude == pytest.approx(-33.8569, abs=1e-4)
        assert facts.longitude == pytest.approx(151.2093, abs=1e-4)
        assert facts.camera == "Canon EOS R5"
        assert facts.title == "Grandmother's garden"

    def test_xmp_is_read_where_exif_is_silent(self, tmp_path: Path, limits: Limits) -> None:
        xmp = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
            <rdf:Description xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:dc="http://purl.org/dc/elements/1.1/"
            xmp:CreateDate="2019-03-02T10:00:00Z">
            <dc:title><rdf:Alt><rdf:li xml:lang="x-default">Fish &amp; chips</rdf:li></rdf:Alt></dc:title>
            </rdf:Description></rdf:RDF></x:xmpmeta>"""
        quadrants().save(tmp_path / "told.jpg", xmp=xmp)
        facts = decode(tmp_path / "told.jpg", limits)[0].facts
        assert facts.title == "Fish & chips"
        assert facts.captured_at == datetime(2019, 3, 2, 10, tzinfo=UTC).timestamp()

    @pytest.mark.parametrize(
        "damage", [b"\xff" * 40, b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff" + b"\0" * 30]
    )
    def test_damaged_exif_costs_only_the_facts(self, tmp_path: Path, limits: Limits, damage: bytes) -> None:
        quadrants().save(tmp_path / "told.jpg", exif=b"Exif\0\0" + damage)
        facts, item = decode(tmp_path / "told.jpg", limits)
        assert_like(corners(item.pictures[1]), UPRIGHT, tolerance=20)
        assert facts.facts.captured_at is None

    @pytest.mark.parametrize(
        "text",
        [
            "0000:00:00 00:00:00",
            "    :  :     :  :  ",
            "2021:13:41 99:99:99",
            "9999-12-31",
            "yesterday",
            "",
        ],
    )
    def test_dates_that_are_none_are_left_out(self, text: str) -> None:
        assert read_date(text) is None

    def test_the_hash_survives_recompression_and_resizing(self, tmp_path: Path, limits: Limits) -> None:
        landscape(5, 800, 600).save(tmp_path / "a.jpg", quality=95)
        landscape(5, 800, 600).resize((500, 375)).save(tmp_path / "b.webp", quality=60)
        landscape(6, 800, 600).save(tmp_path / "c.jpg", quality=95)
        a, b, c = (
            int.from_bytes(decode(tmp_path / name, limits)[0].facts.perceptual_hash or b"")
            for name in ("a.jpg", "b.webp", "c.jpg")
        )
        assert (a ^ b).bit_count() * 4 < (a ^ c).bit_count()


class TestRaw:
    def test_the_largest_preview_inside_is_used(self, tmp_path: Path, limits: Limits) -> None:
        small, large = BytesIO(), BytesIO()
        landscape(1, 160, 120).save(small, "JPEG")
        quadrants(1200, 900).save(large, "JPEG", quality=92)
        raw = b"II*\0\x08\0\0\0\0\0\0\0\0\0" + b"\0" * 50 + small.getvalue() + b"\x01\x02" * 5000 + large.getvalue()
        (tmp_path / "shot.cr2").write_bytes(raw + b"\0" * 1000)
        facts, item = decode(tmp_path / "shot.cr2", limits)
        assert (facts.facts.width, facts.facts.height) == (1200, 900)
        assert_like(corners(item.pictures[1]), UPRIGHT)

    def test_without_a_preview_it_is_refused(self, tmp_path: Path, limits: Limits) -> None:
        (tmp_path / "shot.nef").write_bytes(b"MM\0*\0\0\0\x08" + bytes(range(256)) * 100)
        with pytest.raises(PermanentMediaError, match="raw file without a preview"):
            decode(tmp_path / "shot.nef", limits)


class TestReadable:
    def test_a_page_of_text_comes_in_a_size_to_be_read(self, tmp_path: Path, limits: Limits) -> None:
        from PIL import ImageDraw, ImageFont

        page = Image.new("RGB", (3000, 2000), "white")
        draw = ImageDraw.Draw(page)
        for line in range(12):
            draw.text((200, 100 + 150 * line), "The quick brown fox jumps over it", "black", ImageFont.load_default(90))
        page.save(tmp_path / "page.jpg", quality=90)
        _, item = decode(tmp_path / "page.jpg", limits, want_text=True, text_now=True)
        assert item.readable is not None
        assert max(item.readable.shape) == images.READABLE_SIDE
        assert not item.unread
        _, item = decode(tmp_path / "page.jpg", limits, want_text=True)
        assert item.readable is None
        assert item.unread

    def test_a_smooth_picture_has_nothing_to_read(self, tmp_path: Path, limits: Limits) -> None:
        landscape(2).save(tmp_path / "a.jpg")
        _, item = decode(tmp_path / "a.jpg", limits, want_text=True, text_now=True)
        assert item.readable is None
        assert not item.unread


class TestSniffing:
    def test_content_decides_and_not_the_name(self, tmp_path: Path, limits: Limits) -> None:
        quadrants().save(tmp_path / "really.png")
        path = (tmp_path / "really.png").rename(tmp_path / "called.mp4")
        assert_like(corners(decode(path, limits)[1].pictures[1]), UPRIGHT)

    @pytest.mark.parametrize(
        ("head", "content"),
        [
            (b"", Content.EMPTY),
            (b"hello world\n", Content.TEXT),
            ("Grüße".encode("utf-16"), Content.TEXT),
            (b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg'/>", Content.SVG),
            (b"#EXTM3U\nhttp://example.com/a.ts", Content.PLAYLIST),
            (b"\xef\xbb\xbf#EXTM3U\n", Content.PLAYLIST),
            (b"ffconcat version 1.0\nfile /etc/passwd", Content.PLAYLIST),
            (b"%PDF-1.7", Content.PDF),
            (b"PK\3\4", Content.DOCUMENT),
            (b"\0\0\0\x20ftypheic\0\0\0\0mif1", Content.IMAGE),
            (b"\0\0\0\x20ftypavif\0\0\0\0mif1", Content.IMAGE),
            (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom", Content.RAW),
            (b"\0\0\0\x20ftypisom\0\0\2\0isom", Content.CONTAINER),
            (b"RIFF\0\0\0\0WEBPVP8 ", Content.IMAGE),
            (b"RIFF\0\0\0\0WAVEfmt ", Content.CONTAINER),
            (b"\xff\xfb\x90\x64" + b"\0" * 100, Content.CONTAINER),
            (bytes(range(200, 256)), Content.UNKNOWN),
        ],
    )
    def test_first_bytes_tell(self, head: bytes, content: Content) -> None:
        assert sniff(head) is content


def test_png_text_chunks_cannot_fill_the_memory(tmp_path: Path, limits: Limits) -> None:
    info = PngImagePlugin.PngInfo()
    for number in range(80):
        info.add_text(f"key{number}", "x" * 1_000_000, zip=True)
    quadrants().save(tmp_path / "chatty.png", pnginfo=info)
    with pytest.raises((ValueError, PermanentMediaError)):
        decode(tmp_path / "chatty.png", limits)


def test_a_flat_picture_has_no_hash() -> None:
    assert not perceptual_hash(np.full((64, 64, 3), 77, np.uint8))
