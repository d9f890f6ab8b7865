"""One file of each kind of recording and video that the bundled ffmpeg can make: each is decoded.

Images have their own tests (test_images.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import media
import numpy as np
import pytest

from indexer.decoder import DecoderPool
from search.errors import PermanentMediaError
from search.results import Kind
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ

SOUNDS = {
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
VIDEOS = {
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


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tone and a video of two colours, to be converted."""
    folder = tmp_path_factory.mktemp("sources")
    media.write_wav(folder / "tone.wav", media.tone(3))
    media.colour_clip(folder / "colours.mkv", ["red", "blue"], 2.0, "-r", "25", "-c:v", "ffv1")
    return folder


@pytest.mark.parametrize("extension", SOUNDS)
def test_every_kind_of_recording_is_heard(
    extension: str, pool: DecoderPool, sources: Path, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{extension}"
    media.ffmpeg("-i", sources / "tone.wav", *SOUNDS[extension], path)
    items = list(pool.decode(media.request(path, settings)))
    waveform = media.sound_of(items)
    assert media.facts_of(items).kind is Kind.AUDIO
    assert media.facts_of(items).facts.duration_seconds == pytest.approx(3.0, abs=0.2)
    assert len(waveform) / SAMPLE_RATE_HZ == pytest.approx(3.0, abs=0.2)
    loudest = np.abs(np.fft.rfft(waveform)).argmax() * SAMPLE_RATE_HZ / len(waveform)
    assert loudest == pytest.approx(440, abs=3)


@pytest.mark.parametrize("kind", VIDEOS)
def test_every_kind_of_video_is_seen_and_heard(
    kind: str, pool: DecoderPool, sources: Path, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / f"a.{kind.partition('-')[0]}"
    media.ffmpeg("-i", sources / "colours.mkv", "-i", sources / "tone.wav", *VIDEOS[kind], path)
    items = list(pool.decode(media.request(path, settings)))
    facts = media.facts_of(items)
    assert facts.kind is Kind.VIDEO
    assert facts.facts.duration_seconds == pytest.approx(4.0, abs=0.4)
    frames = media.frames_of(items)
    assert [media.colour_of(frame) for frame in frames] == ["red", "blue"]
    assert frames[1].start_seconds == pytest.approx(2.0, abs=0.4)
    assert len(media.sound_of(items)) / SAMPLE_RATE_HZ == pytest.approx(3.0, abs=0.4)


@pytest.mark.parametrize("lie", ["duration", "size"])
def test_a_video_whose_header_lies_is_taken_for_what_it_is(
    lie: str, pool: DecoderPool, sources: Path, settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "a.mp4"
    media.ffmpeg("-i", sources / "colours.mkv", *X264, "-video_track_timescale", "1000", path)
    data = bytearray(path.read_bytes())
    if lie == "duration":
        place = data.index(b"mvhd") + 4  # version and flags, two times, timescale, duration
        data[place + 16 : place + 20] = (0xFFFFFFF0).to_bytes(4, "big")
    else:
        place = data.index(b"avc1") + 4  # the sample entry's width and height
        data[place + 24 : place + 28] = (60_000).to_bytes(2, "big") * 2
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
