"""One file of each kind, as the bundled libraries can make them: each is decoded, indexed and found.

What becomes of the pixels of images has its own tests (test_images.py).
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pillow_heif
import pytest
from msgspec.structs import replace
from PIL import Image
from support import media
from support.library import Library
from support.pictures import RED, landscape

from indexer.decoding.decoder import DecoderPool
from indexer.segmenting.segmenter import PictureMaker
from indexer.segmenting.sound import SoundSegmenter
from search.catalog.database import Database
from search.engine import SearchEngine
from search.errors import PermanentMediaError
from search.query.parse import parse_query
from search.results import Filters, Kind, Moment
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ

SOUNDS: dict[str, tuple[str, ...]] = {
    "wav": (),
    "mp3": (),
    "flac": (),
    "ogg": ("-c:a", "libvorbis"),
    "opus": (),
    "m4a": (),
    "aac": (),
    "aiff": (),
    "wma": ("-c:a", "wmav2"),
    "amr": ("-ar", "8000", "-ac", "1", "-c:a", "libopencore_amrnb"),
    "mka": ("-c:a", "flac"),
    "caf": (),
    "au": (),
    "ac3": (),
}
X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none", "-pix_fmt", "yuv420p")
VIDEOS: dict[str, tuple[str, ...]] = {
    "mp4-h264": (*X264, "-c:a", "aac"),
    "mov-h264": (*X264, "-c:a", "aac"),
    "mkv-hevc": (*X265, "-c:a", "libopus"),
    "mp4-hevc": (*X265, "-c:a", "aac"),
    "webm-vp9": ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "mp4-av1": ("-c:v", "libsvtav1", "-preset", "12", "-c:a", "aac"),
    "webm-av1": ("-c:v", "libaom-av1", "-cpu-used", "8", "-usage", "realtime", "-c:a", "libopus"),
    "avi-mpeg4": ("-c:v", "mpeg4", "-c:a", "libmp3lame"),
    "ts-h264": (*X264, "-c:a", "aac"),
    "mpg-mpeg2": ("-c:v", "mpeg2video", "-c:a", "mp2"),
    "wmv-wmv2": ("-c:v", "wmv2", "-c:a", "wmav2"),
    "3gp-h263": ("-c:v", "h263", "-s", "176x144", "-ar", "8000", "-ac", "1", "-c:a", "libopencore_amrnb"),
    "flv-flv1": ("-c:v", "flv1", "-ar", "44100", "-c:a", "libmp3lame"),
    "ogv-theora": ("-c:v", "libtheora", "-c:a", "libvorbis"),
}


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DecoderPool]:
    with DecoderPool(Settings.load({}, home=tmp_path_factory.mktemp("home")), 1) as pool:
        yield pool


IMAGES: dict[str, dict[str, Any]] = {
    suffix: {} for suffix in ["jpg", "png", "webp", "gif", "tiff", "bmp", "heic", "avif", "jp2", "ppm", "tga", "qoi"]
}
IMAGES["ico"] = {"sizes": [(128, 96)]}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone and a video of two colours, to be converted."""
    folder = tmp_path_factory.mktemp("sources")
    media.write_wav(folder / "tone.wav", media.tone(3))
    media.colour_clip(folder / "colours.mkv", ["red", "blue"], 2.0, "-r", "25", "-c:v", "ffv1")
    return folder


@pytest.fixture(scope="module")
def made(sources: Path) -> Path:
    """The folder with one of each."""
    pillow_heif.register_heif_opener(thumbnails=False)
    folder = sources / "made"
    folder.mkdir()
    picture = Image.blend(Image.new("RGB", (128, 96), RED), landscape(1, 128, 96), 0.2)
    for suffix, settings in IMAGES.items():
        picture.save(folder / f"picture.{suffix}", **settings)
    preview = BytesIO()
    picture.save(preview, "JPEG")
    head = b"II*\0\x08\0\0\0\0\0\0\0\0\0"
    (folder / "picture.cr2").write_bytes(head + bytes(50) + preview.getvalue() + b"\x01\x02" * 5000)
    (folder / "picture.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'><rect width='9' height='9'/></svg>")
    for extension, options in SOUNDS.items():
        media.ffmpeg("-i", sources / "tone.wav", *options, folder / f"tone.{extension}")
    for kind, options in VIDEOS.items():
        path = folder / f"{kind}.{kind.partition('-')[0]}"
        media.ffmpeg("-i", sources / "colours.mkv", "-i", sources / "tone.wav", *options, path)
    return folder


def test_one_of_each_is_indexed_and_found(
    made: Path, pool: DecoderPool, settings: Settings, sqlite_url: str, tmp_path: Path
) -> None:
    database = Database.open(sqlite_url)
    shutil.copytree(made, tmp_path / "media")
    library = Library(database, settings, tmp_path / "media", pool)
    library.makers = (PictureMaker, SoundSegmenter)
    library.index()
    left_out = {name: record.error for name, record in library.all().items() if record.status != "indexed"}
    assert left_out.keys() == {b"picture.svg"}
    assert "SVG is refused" in (left_out[b"picture.svg"] or "")
    engine = SearchEngine.open(library.settings, database, lambda record: library.space)
    engine.catch_up()

    def found(text: str, kind: Kind) -> dict[str, Moment]:
        query = replace(parse_query(text, filters=Filters(kind=(kind,))), limit=100, fold_copies=False)
        return {Path(hit.asset.path).name: hit.moments[0] for hit in engine.search(query).hits}

    assert set(found("red", Kind.IMAGE)) == {f"picture.{suffix}" for suffix in (*IMAGES, "cr2")}
    assert set(found("sound", Kind.AUDIO)) == {f"tone.{extension}" for extension in SOUNDS}
    for text, start in (("red", 0.0), ("blue", 2.0)):
        moments = found(text, Kind.VIDEO)
        assert set(moments) == {f"{kind}.{kind.partition('-')[0]}" for kind in VIDEOS}
        assert [moment.start_seconds for moment in moments.values()] == pytest.approx([start] * len(VIDEOS), abs=0.4)
    engine.close()
    database.close()


@pytest.mark.parametrize("extension", SOUNDS)
def test_every_kind_of_recording_is_heard(extension: str, pool: DecoderPool, made: Path, settings: Settings) -> None:
    items = list(pool.decode(media.request(made / f"tone.{extension}", settings)))
    waveform = media.sound_of(items)
    assert media.facts_of(items).kind is Kind.AUDIO
    assert media.facts_of(items).facts.duration_seconds == pytest.approx(3.0, abs=0.2)
    assert len(waveform) / SAMPLE_RATE_HZ == pytest.approx(3.0, abs=0.2)
    loudest = np.abs(np.fft.rfft(waveform)).argmax() * SAMPLE_RATE_HZ / len(waveform)
    assert loudest == pytest.approx(440, abs=3)
    assert media.notes_of(items) == ""


@pytest.mark.parametrize("kind", VIDEOS)
def test_every_kind_of_video_is_seen_and_heard(kind: str, pool: DecoderPool, made: Path, settings: Settings) -> None:
    items = list(pool.decode(media.request(made / f"{kind}.{kind.partition('-')[0]}", settings)))
    facts = media.facts_of(items)
    assert facts.kind is Kind.VIDEO
    assert facts.facts.duration_seconds == pytest.approx(4.0, abs=0.4)
    frames = media.frames_of(items)
    assert [media.colour_of(frame) for frame in frames] == ["red", "blue"]
    assert frames[1].start_seconds == pytest.approx(2.0, abs=0.4)
    assert len(media.sound_of(items)) / SAMPLE_RATE_HZ == pytest.approx(3.0, abs=0.4)
    assert media.notes_of(items) == ""


@pytest.mark.parametrize("lie", ["duration", "size"])
def test_a_video_whose_header_lies_is_taken_for_what_it_is(
    lie: str, pool: DecoderPool, sources: Path, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    media.ffmpeg("-i", sources / "colours.mkv", *X264, "-video_track_timescale", "1000", path)
    data = bytearray(path.read_bytes())
    if lie == "duration":
        offset = data.index(b"mvhd") + 4  # version and flags, two times, timescale, duration
        data[offset + 16 : offset + 20] = (0xFFFFFFF0).to_bytes(4, "big")
    else:
        offset = data.index(b"avc1") + 4  # the sample entry's width and height
        data[offset + 24 : offset + 28] = (60_000).to_bytes(2, "big") * 2
    path.write_bytes(data)
    items = list(pool.decode(media.request(path, settings)))
    assert media.facts_of(items).facts.duration_seconds == pytest.approx(4.0, abs=0.4)
    assert len(media.frames_of(items)) == 2


def test_a_hundred_thousand_streams_are_refused_soon(pool: DecoderPool, settings: Settings, tmp_path: Path) -> None:
    # ffmpeg refuses to write such a file: one track's description is repeated.
    path = tmp_path / "many.mkv"
    with av.open(str(path), "w") as container:
        for _ in range(3):
            container.add_stream("pcm_s16le", rate=8000).layout = "mono"
        container.start_encoding()
    data = path.read_bytes()
    start = data.index(b"\x16\x54\xae\x6b")  # Matroska's Tracks
    entry = data.index(b"\xae", start + 4)
    size = (
        data[entry + 1] & 0x7F
        if data[entry + 1] & 0x80
        else int.from_bytes(data[entry + 1 : entry + 9], "big") & (2**56 - 1)
    )
    length = 2 + size if data[entry + 1] & 0x80 else 9 + size
    tracks = data[entry : entry + length] * 100_000
    head = data[:start] + b"\x16\x54\xae\x6b" + (len(tracks) | 1 << 56).to_bytes(8, "big")
    path.write_bytes(head + tracks)
    with pytest.raises(PermanentMediaError, match="stream"):
        list(pool.decode(media.request(path, settings)))
