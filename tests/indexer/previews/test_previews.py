"""Previews are made once, outside this process, and show what they should."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import av
import ffmpeg as ffmpeg_python
import numpy as np
import pytest
from PIL import Image
from support import media

from indexer.decoding.decoder import DecoderPool
from indexer.previews import ffmpeg
from indexer.previews.previews import CLIP_SECONDS, Previews
from indexer.sources.original import local
from search.errors import MediaError, PermanentMediaError, TransientMediaError
from search.results import Kind
from search.settings import Settings


@pytest.fixture
def previews(settings: Settings) -> Iterator[Previews]:
    with DecoderPool(settings, 1) as pool:
        yield Previews(settings, pool.decode)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    media.write_wav(tmp_path / "a.wav", media.tone(6))
    silent = media.colour_clip(tmp_path / "silent.mp4", ["red", "blue"], 3.0)
    media.ffmpeg("-i", silent, "-i", tmp_path / "a.wav", "-c:v", "copy", "-c:a", "aac", tmp_path / "a.mp4")
    return tmp_path / "a.mp4"


def opened(path: Path) -> Image.Image:
    """The picture, with its file closed."""
    with Image.open(path) as image:
        assert image.format == "WEBP"
        return image.copy()


def mean_colour(path: Path) -> np.ndarray:
    return np.asarray(np.asarray(opened(path).convert("RGB"), float).reshape(-1, 3).mean(axis=0))


def test_a_thumbnail_shows_the_frame_at_its_time(previews: Previews, video: Path) -> None:
    early, late = previews.thumbnail(local(video), Kind.VIDEO, 1.0), previews.thumbnail(local(video), Kind.VIDEO, 5.0)
    assert mean_colour(early)[0] > 150
    assert mean_colour(late)[2] > 150


def test_a_time_behind_the_end_still_has_a_picture(previews: Previews, video: Path) -> None:
    assert opened(previews.thumbnail(local(video), Kind.VIDEO, 60.0)).size == (160, 120)


def test_a_preview_is_made_once_until_the_file_changes(previews: Previews, video: Path) -> None:
    first = previews.thumbnail(local(video), Kind.VIDEO, 1.0)
    made = first.stat().st_mtime_ns
    assert previews.thumbnail(local(video), Kind.VIDEO, 1.0) == first
    assert first.stat().st_mtime_ns == made
    os.utime(video, (1, 1))
    assert previews.thumbnail(local(video), Kind.VIDEO, 1.0) != first


def test_interlaced_video_has_no_combs(previews: Previews, tmp_path: Path) -> None:
    """A bar that moves from field to field: in a frame as it is stored, every other line shows it elsewhere."""
    bright = "if(between(X,mod(N*8,120),mod(N*8,120)+20),235,16)"
    bar = f"color=black:s=160x120:r=50,format=yuv420p,geq=lum='{bright}':cb=128:cr=128"
    woven = ("-vf", "interlace,setfield=tff", "-flags", "+ilme+ildct", "-c:v", "mpeg2video", "-q:v", "2")
    media.ffmpeg("-f", "lavfi", "-t", "2", "-i", bar, *woven, tmp_path / "a.mpg")
    shown = np.asarray(opened(previews.thumbnail(local(tmp_path / "a.mpg"), Kind.VIDEO, 1.0)).convert("L"), float)
    combs = np.abs(2 * shown[1:-1] - shown[:-2] - shown[2:]).mean()
    assert combs < 4


def test_an_image_keeps_its_shape_in_a_thumbnail(previews: Previews, tmp_path: Path) -> None:
    Image.new("RGB", (1000, 500), "red").save(tmp_path / "a.jpg")
    picture = opened(previews.thumbnail(local(tmp_path / "a.jpg"), Kind.IMAGE, side=128))
    assert picture.size == (128, 64)


def test_a_recording_has_a_waveform_for_a_thumbnail(previews: Previews, tmp_path: Path) -> None:
    sound = np.concatenate([np.zeros(16_000, np.float32), media.tone(1)])
    path = media.write_wav(tmp_path / "a.wav", sound)
    drawn = (
        np.asarray(opened(previews.thumbnail(local(path), Kind.AUDIO)).convert("RGBA"))[..., 3].astype(bool).sum(axis=0)
    )
    assert drawn[400:].mean() > 5 * drawn[:240].mean()


def test_a_spectrogram_of_a_stretch(previews: Previews, video: Path) -> None:
    picture = opened(previews.spectrogram(local(video), 1.0, 3.0))
    assert np.asarray(picture.convert("L")).std() > 5


def test_a_clip_is_short_and_plays(previews: Previews, video: Path) -> None:
    with av.open(str(previews.clip(local(video), Kind.VIDEO, 2.0, 4.0))) as clip:
        assert clip.streams.video[0].codec_context.name == "h264"
        assert clip.streams.audio[0].codec_context.name == "aac"
        frames = [frame.time for frame in clip.decode(video=0)]
    assert frames[-1] - frames[0] == pytest.approx(2.0, abs=0.3)


def test_a_clip_of_a_recording_and_of_a_long_stretch(previews: Previews, tmp_path: Path) -> None:
    path = media.write_wav(tmp_path / "a.wav", media.tone(CLIP_SECONDS + 20))
    with av.open(str(previews.clip(local(path), Kind.AUDIO, 0.0, CLIP_SECONDS + 20))) as clip:
        samples = sum(frame.samples for frame in clip.decode(audio=0))
        assert samples / clip.streams.audio[0].rate == pytest.approx(CLIP_SECONDS, abs=0.5)


def test_what_is_no_media_has_no_preview_and_leaves_nothing_behind(
    previews: Previews, settings: Settings, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").write_bytes(b"#EXTM3U\nhttp://127.0.0.1:9/a.ts\n")
    with pytest.raises(PermanentMediaError):
        previews.thumbnail(local(tmp_path / "a.mp4"), Kind.VIDEO)
    with pytest.raises(MediaError):
        previews.clip(local(tmp_path / "a.mp4"), Kind.VIDEO, 0, 5)
    with pytest.raises(TransientMediaError):
        previews.thumbnail(local(tmp_path / "gone.mp4"), Kind.VIDEO)
    assert [path for path in settings.thumbnails.rglob("*") if path.is_file()] == []


def test_ffmpeg_is_killed_when_its_time_is_over(tmp_path: Path) -> None:
    endless = ffmpeg_python.input("sine=frequency=440", f="lavfi", re=None).output("pipe:", format="s16le")
    began = time.monotonic()
    with pytest.raises(PermanentMediaError, match="decode_timeout_seconds"):
        ffmpeg.run(endless, 0.5)
    assert time.monotonic() - began < 10


def test_a_reader_that_leaves_ends_ffmpeg(tmp_path: Path) -> None:
    endless = ffmpeg_python.input("sine=frequency=440", f="lavfi").output("pipe:", format="s16le")
    left = RuntimeError("the reader has seen enough")

    def read_a_little() -> None:
        with ffmpeg.running(endless, 60) as pieces:
            next(pieces)
            raise left

    began = time.monotonic()
    with pytest.raises(RuntimeError, match="seen enough"):
        read_a_little()
    assert time.monotonic() - began < 10
