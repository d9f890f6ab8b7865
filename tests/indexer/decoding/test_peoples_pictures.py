"""Pictures as people's cameras, scanners and programs really write them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from imagecodecs import jpegxl_encode
from PIL import Image, PngImagePlugin
from PIL.ExifTags import IFD, Base
from support.media import colour_clip, facts_of, frames_of, notes_of, request
from support.pictures import BLUE, GREEN, RED, landscape, quadrants

from indexer.decoding import child
from indexer.decoding.items import WrittenItem
from search.errors import PermanentMediaError
from search.settings import Settings

UPRIGHT = [RED, GREEN, BLUE, (255, 255, 255)]


def decoded(path: Path, settings: Settings) -> list[object]:
    return list(child.decode(request(path, settings)))


def words_of(items: list[object]) -> str:
    return " / ".join(text for item in items if isinstance(item, WrittenItem) for _, _, text in item.lines)


def shows_quadrants(items: list[object]) -> bool:
    picture = frames_of(items)[0].pictures[1]
    low, high = len(picture) // 4, 3 * len(picture) // 4
    found = [picture[y, x] for y, x in ((low, low), (low, high), (high, low), (high, high))]
    return bool(np.abs(np.array(found, int) - np.array(UPRIGHT)).max() <= 20)


def jpeg(image: Image.Image, **options: object) -> bytes:
    out = BytesIO()
    image.save(out, "JPEG", quality=92, **options)
    return out.getvalue()


def xmp(properties: str) -> bytes:
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        f'xmlns:xmp="http://ns.adobe.com/xap/1.0/">{properties}</rdf:Description></rdf:RDF></x:xmpmeta>'
    ).encode()


class TestWhatIsMissingIsSaid:
    def test_a_photo_without_its_last_bytes_is_shown_as_viewers_show_it(
        self, tmp_path: Path, settings: Settings
    ) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants(640, 480))[:-2])
        items = decoded(tmp_path / "a.jpg", settings)
        assert shows_quadrants(items)
        assert "ends early" in notes_of(items)

    def test_half_a_photo_says_how_much_is_missing(self, tmp_path: Path, settings: Settings) -> None:
        data = jpeg(landscape(3, 800, 600))
        (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
        note = notes_of(decoded(tmp_path / "a.jpg", settings))
        assert "of the picture is missing (the file ends early)" in note
        assert 30 <= int(note.split("%")[0]) <= 75

    def test_a_copy_that_was_filled_up_with_zeros_says_so(self, tmp_path: Path, settings: Settings) -> None:
        data = jpeg(landscape(3, 800, 600))
        (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2] + bytes(len(data) // 2) + b"\xff\xd9")
        assert "missing" in notes_of(decoded(tmp_path / "a.jpg", settings))

    def test_a_photo_with_a_grey_frame_is_whole(self, tmp_path: Path, settings: Settings) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants(640, 480)))
        assert notes_of(decoded(tmp_path / "a.jpg", settings)) == ""

    def test_of_a_cut_photo_in_inks_the_missing_share_is_told(self, tmp_path: Path, settings: Settings) -> None:
        data = jpeg(landscape(3, 800, 600).convert("CMYK"))
        (tmp_path / "a.jpg").write_bytes(data[: len(data) // 2])
        assert "of the picture is missing (the file ends early)" in notes_of(decoded(tmp_path / "a.jpg", settings))

    @pytest.mark.parametrize("kind", ["WEBP", "HEIF", "AVIF", "JPEG2000"])
    def test_what_can_t_be_shown_in_part_says_that_it_ends_early(
        self, tmp_path: Path, settings: Settings, kind: str
    ) -> None:
        landscape(3, 400, 300).save(tmp_path / "a.jpg", kind)
        data = (tmp_path / "a.jpg").read_bytes()
        (tmp_path / "a.jpg").write_bytes(data[: len(data) * 2 // 3])
        there = f"{len(data) * 2 // 3:,} of {len(data):,} bytes are there"
        with pytest.raises(PermanentMediaError, match=f"ends early: {there}"):
            decoded(tmp_path / "a.jpg", settings)

    def test_a_cut_png_is_searchable_with_a_note(self, tmp_path: Path, settings: Settings) -> None:
        landscape(3, 400, 300).save(tmp_path / "a.png")
        data = (tmp_path / "a.png").read_bytes()
        (tmp_path / "a.png").write_bytes(data[: len(data) * 3 // 4])
        assert notes_of(decoded(tmp_path / "a.png", settings))


class TestContentsDecide:
    @pytest.mark.parametrize(("suffix", "kind"), [("dng", "PNG"), ("nef", "JPEG"), ("arw", "TIFF"), ("cr2", "HEIF")])
    def test_a_picture_under_the_suffix_of_a_raw_file(
        self, tmp_path: Path, settings: Settings, suffix: str, kind: str
    ) -> None:
        quadrants(320, 240).save(tmp_path / f"a.{suffix}", kind, quality=95)
        assert shows_quadrants(decoded(tmp_path / f"a.{suffix}", settings))

    def test_a_raw_file_under_a_jpeg_s_suffix_is_seen_through_its_largest_picture(
        self, tmp_path: Path, settings: Settings
    ) -> None:
        thumbnail = np.asarray(landscape(5, 160, 120))
        tifffile.imwrite(tmp_path / "a.jpg", thumbnail, photometric="rgb", metadata=None)
        with (tmp_path / "a.jpg").open("ab") as file:
            file.write(jpeg(quadrants(1200, 900)))
        items = decoded(tmp_path / "a.jpg", settings)
        assert (facts_of(items).facts.width, facts_of(items).facts.height) == (1200, 900)
        assert shows_quadrants(items)
        assert "preview of 1200 x 900 pixels inside the raw file" in notes_of(items)

    def test_jpeg_xl_is_read(self, tmp_path: Path, settings: Settings) -> None:
        (tmp_path / "a.jxl").write_bytes(jpegxl_encode(np.asarray(quadrants(320, 240)), level=90))
        items = decoded(tmp_path / "a.jxl", settings)
        assert shows_quadrants(items)
        assert (facts_of(items).facts.width, facts_of(items).facts.height) == (320, 240)


DEEP = np.asarray(quadrants(160, 120))


class TestTiff:
    @pytest.mark.parametrize(
        ("pixels", "options"),
        [
            ((DEEP / 255).astype(np.float32), {"photometric": "rgb"}),
            ((DEEP / 255).astype(np.float16), {"photometric": "rgb"}),
            (DEEP.astype(np.uint16) * 257, {"photometric": "rgb"}),
            (np.moveaxis(DEEP.astype(np.uint16) * 257, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
            (np.moveaxis(DEEP, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
            (DEEP.astype(np.uint16) * 257, {"photometric": "rgb", "compression": "zstd", "predictor": True}),
            (DEEP, {"photometric": "rgb", "compression": "jpegxl"}),
        ],
        ids=["float32", "float16", "16 bits", "16 bits in planes", "planes", "zstd", "JPEG XL inside"],
    )
    def test_deep_floating_and_planar_pixels_show_the_picture(
        self, tmp_path: Path, settings: Settings, pixels: np.ndarray, options: dict[str, Any]
    ) -> None:
        tifffile.imwrite(tmp_path / "a.tif", pixels, metadata=None, **options)
        assert shows_quadrants(decoded(tmp_path / "a.tif", settings))

    def test_deep_grey_with_alpha_is_grey(self, tmp_path: Path, settings: Settings) -> None:
        ramp = np.linspace(0, 65535, 160 * 120).reshape(120, 160).astype(np.uint16)
        pixels = np.stack([ramp, np.full_like(ramp, 65535)], axis=-1)
        tifffile.imwrite(
            tmp_path / "a.tif", pixels, photometric="minisblack", extrasamples=["unassalpha"], metadata=None
        )
        picture = frames_of(decoded(tmp_path / "a.tif", settings))[0].pictures[1]
        assert picture[2].mean() < 20 < 230 < picture[-3].mean()

    @pytest.mark.parametrize("planar", [False, True])
    def test_deep_inks_show_their_colours(self, tmp_path: Path, settings: Settings, planar: bool) -> None:
        inks = np.asarray(quadrants(160, 120).convert("CMYK")).astype(np.uint16) * 257
        pixels, config = (np.moveaxis(inks, -1, 0), "separate") if planar else (inks, "contig")
        tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="separated", planarconfig=config, metadata=None)
        assert shows_quadrants(decoded(tmp_path / "a.tif", settings))

    def test_deep_values_that_count_from_white_are_no_negative(self, tmp_path: Path, settings: Settings) -> None:
        ramp = np.linspace(60_000, 10_000, 64 * 64).astype(np.uint16).reshape(64, 64)
        tifffile.imwrite(tmp_path / "a.tif", ramp, photometric="miniswhite", metadata=None)
        picture = frames_of(decoded(tmp_path / "a.tif", settings))[0].pictures[1]
        assert picture[0].mean() == pytest.approx(22, abs=3)
        assert picture[-1].mean() == pytest.approx(216, abs=3)

    def test_of_several_pages_the_largest_is_seen_and_all_are_counted(self, tmp_path: Path, settings: Settings) -> None:
        with tifffile.TiffWriter(tmp_path / "a.tif") as file:
            for page in (landscape(1, 100, 80), quadrants(320, 240), landscape(2, 120, 90)):
                file.write(np.asarray(page), photometric="rgb", metadata=None)
        items = decoded(tmp_path / "a.tif", settings)
        assert shows_quadrants(items)
        assert notes_of(items) == "2 of 3 pictures left out (only the largest is searched)"


class TestWhatPeopleWrote:
    def test_utf_8_in_exif_text_is_read_as_it_was_written(self, tmp_path: Path, settings: Settings) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants(), exif=_utf8_exif("Grüße aus Köln, 東京")))
        items = decoded(tmp_path / "a.jpg", settings)
        assert facts_of(items).facts.title == "Grüße aus Köln, 東京"
        assert "東京" in words_of(items)

    @pytest.mark.parametrize(
        "stock",
        [
            "OLYMPUS DIGITAL CAMERA",
            "SONY DSC",
            "Exif_JPEG_PICTURE",
            "dav",
            "cof_soft",
            "DCIM\\100MEDIA\\DJI_0001.JPG",
            '{"shape": [3]}',
        ],
    )
    def test_what_makers_write_into_every_picture_is_nobody_s_words(
        self, tmp_path: Path, settings: Settings, stock: str
    ) -> None:
        exif = Image.Exif()
        exif[Base.ImageDescription] = stock.ljust(31)
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants(), exif=exif))
        items = decoded(tmp_path / "a.jpg", settings)
        assert facts_of(items).facts.title is None
        assert words_of(items) == ""

    def test_iptc_caption_keywords_and_date_are_read(self, tmp_path: Path, settings: Settings) -> None:
        records = [
            (25, b"garden"),
            (25, "Großmutter".encode()),
            (55, b"19870605"),
            (60, b"143000+0200"),
            (120, b"In the sun"),
        ]
        (tmp_path / "a.jpg").write_bytes(_with_iptc(jpeg(quadrants()), records))
        items = decoded(tmp_path / "a.jpg", settings)
        assert words_of(items) == "In the sun. garden, Großmutter"
        assert facts_of(items).facts.captured_at == 549894600.0
        assert facts_of(items).facts.captured_offset == 7200

    def test_xmp_inside_tells_the_place(self, tmp_path: Path, settings: Settings) -> None:
        place = xmp("<exif:GPSLatitude>48,51.504N</exif:GPSLatitude><exif:GPSLongitude>2,17,40W</exif:GPSLongitude>")
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants(), xmp=place))
        facts = facts_of(decoded(tmp_path / "a.jpg", settings)).facts
        assert facts.latitude == pytest.approx(48.8584)
        assert facts.longitude == pytest.approx(-2.294444)

    @pytest.mark.parametrize("name", ["a.jpg.xmp", "a.xmp", "A.XMP"])
    def test_xmp_beside_is_believed_before_the_picture_itself(
        self, tmp_path: Path, settings: Settings, name: str
    ) -> None:
        exif = Image.Exif()
        exif[Base.ImageDescription] = "the old title"
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants(), exif=exif))
        (tmp_path / name).write_bytes(
            xmp(
                "<dc:title><rdf:Alt><rdf:li xml:lang='x-default'>Lena&apos;s boat</rdf:li></rdf:Alt></dc:title>"
                "<dc:subject><rdf:Bag><rdf:li>lake</rdf:li><rdf:li>summer</rdf:li></rdf:Bag></dc:subject>"
                "<xmp:CreateDate>2019-07-04T15:30:00+02:00</xmp:CreateDate>"
            )
        )
        items = decoded(tmp_path / "a.jpg", settings)
        assert facts_of(items).facts.title == "Lena's boat"
        assert "lake, summer" in words_of(items)
        assert facts_of(items).facts.captured_offset == 7200

    @pytest.mark.parametrize(
        ("picture", "beside"),
        [
            ("IMG_1.jpg", "IMG_1.jpg.json"),
            ("IMG_1.jpg", "IMG_1.jpg.supplemental-metadata.json"),
            ("IMG_1(2).jpg", "IMG_1.jpg(2).json"),
            ("IMG_1-edited.jpg", "IMG_1.jpg.json"),
            ("IMG_1-bearbeitet.jpg", "IMG_1.jpg.supplemental-metadata.json"),
            ("IMG_1-modifié.jpg", "IMG_1.jpg.json"),
            (unicodedata.normalize("NFD", "IMG_1-modifié.jpg"), "IMG_1.jpg.json"),
            ("IMG_1(2).jpg", "IMG_1.jpg.supplemental-metadata(2).json"),
            ("IMG_1.jpg", "IMG_1.json"),
            ("PXL_20230101_a_rather_long_name_of_a_phone.jpg", "PXL_20230101_a_rather_long_name_of_a_phone.jpg.json"),
            ("PXL_20230101_a_rather_long_name_of.jpg", "PXL_20230101_a_rather_long_name_of.jpg.supplem.json"),
        ],
    )
    def test_google_takeout_s_file_beside_is_read(
        self, tmp_path: Path, settings: Settings, picture: str, beside: str
    ) -> None:
        (tmp_path / picture).write_bytes(jpeg(quadrants()))
        told = {
            "description": "At the lake",
            "photoTakenTime": {"timestamp": "1562254200"},
            "geoData": {"latitude": 0.0, "longitude": 0.0},
            "geoDataExif": {"latitude": 47.5, "longitude": 9.7},
            "people": [{"name": "Lena"}],
        }
        (tmp_path / beside).write_text(json.dumps(told))
        items = decoded(tmp_path / picture, settings)
        facts = facts_of(items).facts
        assert (facts.captured_at, facts.latitude, facts.longitude) == (1562254200.0, 47.5, 9.7)
        assert words_of(items) == "At the lake. Lena"

    def test_a_moving_photo_s_video_is_told_of_beside_the_photo(self, tmp_path: Path, settings: Settings) -> None:
        colour_clip(tmp_path / "IMG_1.MP4", ["red"])
        told = {"description": "At the lake", "photoTakenTime": {"timestamp": "1562254200"}}
        (tmp_path / "IMG_1.HEIC.supplemental-metadata.json").write_text(json.dumps(told))
        items = decoded(tmp_path / "IMG_1.MP4", settings)
        assert facts_of(items).facts.captured_at == 1562254200.0
        assert words_of(items) == "At the lake"

    def test_png_texts_are_read(self, tmp_path: Path, settings: Settings) -> None:
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("Title", "Löwe 🦁")
        texts.add_text("Description", "In the zoo")
        texts.add_text("Creation Time", "Thu, 04 Jul 2019 15:30:00 +0200")
        quadrants().save(tmp_path / "a.png", pnginfo=texts)
        items = decoded(tmp_path / "a.png", settings)
        assert words_of(items) == "Löwe 🦁. In the zoo"
        assert facts_of(items).facts.captured_at == 1562247000

    @pytest.mark.parametrize("suffix", ["jpg", "gif"])
    def test_comments_are_read(self, tmp_path: Path, settings: Settings, suffix: str) -> None:
        quadrants().save(tmp_path / f"a.{suffix}", comment="Großmutter im Garten".encode())
        assert words_of(decoded(tmp_path / f"a.{suffix}", settings)) == "Großmutter im Garten"

    @pytest.mark.parametrize(
        "comment",
        ["cmp3.10.3.2Lq3 0x756ffbf7", "Lavc60.31.102", "AppleMark", "CREATOR: gd-jpeg v1.0", "Resized on ezgif.com"],
    )
    def test_comments_of_programs_are_nobody_s_words(self, tmp_path: Path, settings: Settings, comment: str) -> None:
        quadrants().save(tmp_path / "a.jpg", comment=comment.encode())
        assert words_of(decoded(tmp_path / "a.jpg", settings)) == ""

    def test_a_description_that_only_repeats_the_maker_is_nobody_s_words(
        self, tmp_path: Path, settings: Settings
    ) -> None:
        exif = Image.Exif()
        exif[Base.Make] = exif[Base.ImageDescription] = "SAMSUNG"
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants(), exif=exif))
        assert words_of(decoded(tmp_path / "a.jpg", settings)) == ""

    def test_a_link_beside_that_leads_elsewhere_is_not_read(self, tmp_path: Path, settings: Settings) -> None:
        folder = tmp_path / "library"
        folder.mkdir()
        (folder / "a.jpg").write_bytes(jpeg(quadrants()))
        (tmp_path / "secret.xmp").write_bytes(xmp("<dc:title>secret</dc:title>"))
        (folder / "a.xmp").symlink_to(tmp_path / "secret.xmp")
        items = decoded(folder / "a.jpg", settings)
        assert facts_of(items).facts.title is None
        assert "a.xmp was left out: it is a link out of its folder" in notes_of(items)

    @pytest.mark.parametrize(
        "bomb", [b"<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", b"<a" * 100_000, b"\xff\xfe<", b"{" * 90_000]
    )
    def test_hostile_files_beside_cost_nothing_but_their_words(
        self, tmp_path: Path, settings: Settings, bomb: bytes
    ) -> None:
        (tmp_path / "a.jpg").write_bytes(jpeg(quadrants()))
        (tmp_path / "a.jpg.xmp").write_bytes(bomb)
        (tmp_path / "a.jpg.json").write_bytes(bomb)
        assert shows_quadrants(decoded(tmp_path / "a.jpg", settings))


def _exif_date(text: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        exif = Image.Exif()
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = text
        path.write_bytes(jpeg(quadrants(), exif=exif))

    return write


class TestDates:
    @pytest.mark.parametrize(
        ("text", "epoch"),
        [
            ("2019/07/04 15:30:00", 1562254200),
            ("2019-07-04 03:30:00 PM", 1562254200),
            ("07/04/2019 03:30 PM", 1562254200),
            ("25/12/2019 15:30", 1577287800),
            ("04.07.2019 15:30:00", 1562254200),
            ("2019:07:04 12:05:00 AM", 1562198700),
            ("2019:07:04 3:30:00 p.m.", 1562254200),
            ("2019:07:04 24:00:00", 1562284799),
            ("Jul 4, 2019 3:30:00 PM", 1562254200),
            ("Thu Jul  4 15:30:00 2019", 1562254200),
            ("Thu, 04 Jul 2019 15:30:00 +0200", 1562247000),
            ("2019-07-04 15:30 +9:00", 1562221800),
        ],
    )
    def test_dates_are_read_as_programs_write_them(
        self, tmp_path: Path, settings: Settings, text: str, epoch: float
    ) -> None:
        _exif_date(text)(tmp_path / "a.jpg")
        assert facts_of(decoded(tmp_path / "a.jpg", settings)).facts.captured_at == epoch

    @pytest.mark.parametrize(
        ("name", "epoch"),
        [
            ("IMG_20190704_153000.jpg", 1562254200),
            ("PXL_20190704_153000123.MP.jpg", 1562254200),
            ("IMG-20190704-WA0012.jpg", 1562198400),
            ("Screenshot_2019-07-04-15-30-00.png", 1562254200),
            ("2019-07-04 15.30.00.jpg", 1562254200),
            ("signal-2019-07-04-153000.jpg", 1562254200),
            ("WhatsApp Image 2019-07-04 at 15.30.00.jpeg", 1562254200),
            ("Screenshot 2019-07-04 at 3.30.00 PM.png", 1562254200),
            ("Screenshot 2019-07-04 at 3.30.00\u202fPM.png", 1562254200),
            ("Bildschirmfoto 2019-07-04 um 15.30.00.png", 1562254200),
            ("FB_IMG_1562254200000.jpg", 1562254200),
            ("mmexport1562254200000.jpg", 1562254200),
            ("1562254200000 (1).jpg", 1562254200),
        ],
    )
    def test_the_name_tells_where_nothing_else_does(
        self, tmp_path: Path, settings: Settings, name: str, epoch: float
    ) -> None:
        quadrants().save(tmp_path / name)
        assert facts_of(decoded(tmp_path / name, settings)).facts.captured_at == epoch

    @pytest.mark.parametrize(
        "name", ["IMG_1234.jpg", "20191399.jpg", "scan 123456789012.jpg", "scan 1562254200000.jpg", "1920x1080.jpg"]
    )
    def test_numbers_in_names_are_not_taken_for_dates(self, tmp_path: Path, settings: Settings, name: str) -> None:
        quadrants().save(tmp_path / name)
        assert facts_of(decoded(tmp_path / name, settings)).facts.captured_at is None

    def test_what_the_picture_says_comes_before_its_name(self, tmp_path: Path, settings: Settings) -> None:
        _exif_date("2019:07:04 15:30:00")(tmp_path / "IMG_20010101_000000.jpg")
        assert facts_of(decoded(tmp_path / "IMG_20010101_000000.jpg", settings)).facts.captured_at == 1562254200


def _utf8_exif(text: str) -> bytes:
    data = text.encode()
    entry = b"\x01\x0e\x00\x02" + len(data).to_bytes(4) + (26).to_bytes(4)
    return b"Exif\0\0MM\0*\0\0\0\x08\0\x01" + entry + bytes(4) + data


def _with_iptc(data: bytes, records: list[tuple[int, bytes]]) -> bytes:
    block = b"".join(b"\x1c\x02" + bytes([number]) + len(value).to_bytes(2) + value for number, value in records)
    resource = b"8BIM\x04\x04\0\0" + len(block).to_bytes(4) + block + b"\0" * (len(block) % 2)
    segment = b"Photoshop 3.0\0" + resource
    return data[:2] + b"\xff\xed" + (len(segment) + 2).to_bytes(2) + segment + data[2:]
