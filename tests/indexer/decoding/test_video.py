"""Frames follow what a video shows, in true time and upright, however the file is laid out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import media

from indexer.decoding import video
from indexer.decoding.container import open_media
from indexer.decoding.decoder import limits_of
from indexer.decoding.frames.conversion import tone_map
from indexer.decoding.frames.reader import FrameReader
from indexer.decoding.frames.seek_strategy import Layout, SeekStrategy, choose_strategy
from indexer.decoding.frames.selection import (
    THUMB_HEIGHT,
    THUMB_WIDTH,
    Candidate,
    FrameSelector,
    Stretch,
    candidate_step,
)
from search.errors import PermanentMediaError
from search.results import Kind
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def decode(path: Path, settings: Settings, **changes: object) -> list[object]:
    return list(video.decode(media.request(path, settings, **changes)))


def test_each_shot_has_a_frame_that_stands_for_its_time(tmp_path: Path, settings: Settings) -> None:
    items = decode(media.colour_clip(tmp_path / "a.mp4", ["red", "green", "blue"], 3.0), settings)
    facts = media.facts_of(items)
    assert (facts.kind, facts.facts.width, facts.facts.height) == (Kind.VIDEO, 160, 120)
    assert facts.facts.duration_seconds == pytest.approx(9.0, abs=0.2)
    frames = media.frames_of(items)
    assert [media.colour_of(frame) for frame in frames] == ["red", "green", "blue"]
    starts, ends = [f.start_seconds for f in frames], [f.end_seconds for f in frames]
    assert starts == pytest.approx([0, 3, 6], abs=0.3)
    assert ends == pytest.approx([3, 6, 9], abs=0.3)


def test_black_frames_are_dropped_and_leave_a_gap(tmp_path: Path, settings: Settings) -> None:
    frames = media.frames_of(decode(media.colour_clip(tmp_path / "a.mp4", ["black", "red", "black"], 3.0), settings))
    assert [media.colour_of(frame) for frame in frames] == ["red"]
    assert frames[0].start_seconds == pytest.approx(3, abs=0.3)
    assert frames[0].end_seconds == pytest.approx(6, abs=0.3)


def test_a_video_with_sound_gives_both(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(4))
    silent = media.colour_clip(tmp_path / "silent.mp4", ["red", "blue"])
    media.ffmpeg("-i", silent, "-i", tmp_path / "a.wav", "-c:v", "copy", "-c:a", "aac", tmp_path / "a.mkv")
    items = decode(tmp_path / "a.mkv", settings)
    assert len(media.sound_of(items)) == pytest.approx(4 * SAMPLE_RATE_HZ, abs=2000)
    assert len(media.frames_of(items)) == 2


def test_a_turned_video_stands_upright(tmp_path: Path, settings: Settings) -> None:
    picture = np.zeros((96, 160, 3), np.uint8)
    picture[:48] = (200, 40, 40)  # red above blue
    picture[48:] = (40, 40, 200)
    Image.fromarray(picture).save(tmp_path / "a.png")
    media.ffmpeg(
        "-loop", "1", "-t", "2", "-i", tmp_path / "a.png", "-vf", "transpose=1", "-r", "10", *X264, tmp_path / "b.mp4"
    )
    media.ffmpeg("-display_rotation", "90", "-i", tmp_path / "b.mp4", "-c", "copy", tmp_path / "turned.mp4")
    items = decode(tmp_path / "turned.mp4", settings)
    assert (media.facts_of(items).facts.width, media.facts_of(items).facts.height) == (160, 96)
    shown = media.frames_of(items)[0].pictures[1]
    assert shown[8].mean(axis=0)[0] > 150, "the upper half is red"
    assert shown[-8].mean(axis=0)[2] > 150, "the lower half is blue"


def test_odd_pixels_are_made_square(tmp_path: Path, settings: Settings) -> None:
    path = media.colour_clip(tmp_path / "a.mp4", ["red"], 2.0, "-r", "10", "-vf", "setsar=2/1", *X264)
    facts = media.facts_of(decode(path, settings)).facts
    assert (facts.width, facts.height) == (320, 120)


def test_interlaced_video_shows_one_field(tmp_path: Path, settings: Settings) -> None:
    lines = ("-r", "25", "-vf", "scale=160:120,setfield=tff", "-c:v", "mpeg2video", "-flags", "+ilme+ildct")
    path = media.colour_clip(tmp_path / "a.mpg", ["red", "blue"], 2.0, *lines)
    assert [media.colour_of(f) for f in media.frames_of(decode(path, settings))] == ["red", "blue"]


def test_variable_frame_rates_keep_their_times(tmp_path: Path, settings: Settings) -> None:
    # Frames stand closer and closer, and the cut at six seconds stays where it is.
    choppy = ("-vf", "fps=20,select='not(mod(n,1+mod(floor(n/20),5)))'", "-fps_mode", "vfr", *X264)
    path = media.colour_clip(tmp_path / "a.mkv", ["red", "green"], 6.0, *choppy)
    frames = media.frames_of(decode(path, settings))
    assert [media.colour_of(f) for f in frames] == ["red", "green"]
    assert frames[1].start_seconds == pytest.approx(6, abs=0.4)


def test_high_dynamic_range_is_brought_to_what_screens_show() -> None:
    white_pq = round(0.5807 * 65535)  # 203 nits, diffuse white
    grey = np.full((4, 4, 3), white_pq, np.uint16)
    assert tone_map(grey, 16).mean() > 230
    assert tone_map(np.zeros((4, 4, 3), np.uint16), 16).max() == 0
    assert tone_map(np.full((4, 4, 3), 65535, np.uint16), 16).min() == 255
    assert tone_map(np.full((4, 4, 3), round(0.75 * 65535), np.uint16), 18).mean() > 200


def test_an_hdr_video_is_decoded(tmp_path: Path, settings: Settings) -> None:
    marks = "setparams=color_primaries=bt2020:color_trc=smpte2084:colorspace=bt2020nc"
    encoder = ("-r", "10", "-vf", f"scale=160:120,{marks}", "-c:v", "libx265", "-preset", "ultrafast")
    ten_bit = (*encoder, "-pix_fmt", "yuv420p10le", "-x265-params", "log-level=none")
    frames = media.frames_of(decode(media.colour_clip(tmp_path / "a.mp4", ["red", "blue"], 2.0, *ten_bit), settings))
    assert len(frames) == 2
    assert frames[0].pictures[1].dtype == np.uint8


def test_a_video_that_ends_early_says_so(tmp_path: Path, settings: Settings) -> None:
    path = media.colour_clip(
        tmp_path / "a.mp4", ["red", "green", "blue", "white"], 5.0, "-r", "10", "-movflags", "faststart", *X264
    )
    data = path.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(data[: len(data) * 6 // 10])
    items = decode(tmp_path / "cut.mp4", settings)
    assert media.frames_of(items)
    assert media.colour_of(media.frames_of(items)[0]) == "red"


def test_a_stream_without_timestamps_is_timed_by_its_rate(tmp_path: Path, settings: Settings) -> None:
    path = media.colour_clip(tmp_path / "a.h264", ["red", "green"], 3.0, "-r", "25", *X264, "-f", "h264")
    frames = media.frames_of(decode(path, settings))
    assert [media.colour_of(f) for f in frames] == ["red", "green"]
    assert frames[1].start_seconds == pytest.approx(3.0, abs=0.6)


def test_all_strategies_see_the_same(tmp_path: Path, settings: Settings) -> None:
    path = media.colour_clip(tmp_path / "a.mp4", ["red", "green", "blue"] * 4, 2.0, "-r", "10", "-g", "10", *X264)
    seen = {}
    for strategy in SeekStrategy:
        reader = FrameReader(path, limits_of(settings), 24.0, 1.0, strategy)
        seen[strategy] = [round(seconds) for seconds, _ in reader]
    assert seen[SeekStrategy.SEQUENTIAL] == list(range(24))
    assert seen[SeekStrategy.KEYFRAMES] == seen[SeekStrategy.SEQUENTIAL]
    assert seen[SeekStrategy.SEEK] == seen[SeekStrategy.SEQUENTIAL]


def test_the_strategy_follows_keyframes_and_length() -> None:
    every_second = [float(n) for n in range(600)]
    rare = [float(n) for n in range(0, 600, 10)]
    assert choose_strategy(Layout(every_second, 600.0, 25.0, True), 1.0) is SeekStrategy.KEYFRAMES
    assert choose_strategy(Layout(rare, 600.0, 25.0, True), 1.0) is SeekStrategy.SEQUENTIAL
    assert choose_strategy(Layout([n * 10.0 for n in range(3600)], 36_000.0, 25.0, True), 36.0) is SeekStrategy.SEEK
    assert choose_strategy(Layout([], None, 25.0, True), 1.0) is SeekStrategy.SEQUENTIAL


def test_ten_hours_stay_within_the_limit_and_are_covered_evenly() -> None:
    step = candidate_step(36_000.0, 2000)
    random = np.random.default_rng(0)
    chooser: FrameSelector[int] = FrameSelector()
    stretches: list[Stretch[int]] = []
    for number in range(int(36_000 / step)):  # every candidate looks different: the worst case
        thumb = random.integers(0, 255, (1, 1, 3)).astype(np.uint8).repeat(36, axis=0).repeat(64, axis=1)
        stretches += chooser.feed(Candidate(number * step, thumb, number))
    stretches += chooser.finish(36_000.0)
    assert 1000 < len(stretches) <= 2000
    assert stretches[0].start_seconds == 0
    assert stretches[-1].end_seconds == 36_000
    covered = sum(s.end_seconds - s.start_seconds for s in stretches)
    assert covered > 0.95 * 36_000
    assert max(s.end_seconds - s.start_seconds for s in stretches) < 10 * step


def test_shots_shorter_than_a_step_do_not_overlap() -> None:
    chooser: FrameSelector[int] = FrameSelector()
    stretches: list[Stretch[int]] = []
    for number, level in enumerate((60, 130, 220)):
        thumb = np.full((THUMB_HEIGHT, THUMB_WIDTH, 3), level, np.uint8)
        stretches += chooser.feed(Candidate(number * 0.2, thumb, number))
    stretches += chooser.finish(0.6)
    times = [(stretch.start_seconds, stretch.end_seconds) for stretch in stretches]
    assert times == [pytest.approx(pair) for pair in ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6))]


def test_a_long_shot_that_changes_slowly_has_several_frames() -> None:
    chooser: FrameSelector[int] = FrameSelector()
    stretches: list[Stretch[int]] = []
    ramp = np.linspace(0, 1, 64)[None, :, None] * np.ones((36, 64, 3))
    for number in range(120):  # a pan over a minute
        thumb = (np.roll(ramp, number // 2, axis=1) * 200 + 30).astype(np.uint8)
        stretches += chooser.feed(Candidate(number * 0.5, thumb, number))
    stretches += chooser.finish(60.0)
    assert 3 < len(stretches) < 60


def test_a_playlist_in_disguise_reaches_no_other_file(tmp_path: Path, settings: Settings) -> None:
    secret = media.colour_clip(tmp_path / "secret.mp4", ["red"], 2.0)
    for text in (
        f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{secret}\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:5,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "#EXTM3U\n#EXTINF:5,\n/etc/passwd\n#EXT-X-ENDLIST\n",
        f"ffconcat version 1.0\nfile '{secret}'\n",
    ):
        path = tmp_path / "list.mp4"
        path.write_text(text)
        with pytest.raises(PermanentMediaError):
            decode(path, settings)


def test_a_flood_of_streams_is_refused_early(tmp_path: Path, home: Path) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(1))
    maps = [part for _ in range(12) for part in ("-map", "0:a")]
    media.ffmpeg("-i", tmp_path / "a.wav", *maps, "-c:a", "flac", tmp_path / "many.mkv")
    strict = Settings.load({}, home=home, max_streams=8)
    with pytest.raises(PermanentMediaError, match=r"many\.mkv"), open_media(tmp_path / "many.mkv", limits_of(strict)):
        pass


def test_frames_above_the_pixel_limit_are_refused(tmp_path: Path, home: Path) -> None:
    path = media.colour_clip(tmp_path / "a.mp4", ["red"], 1.0)
    strict = Settings.load({}, home=home, max_image_pixels=10_000)
    with pytest.raises(PermanentMediaError, match="max_image_pixels = 10000"):
        decode(path, strict)


def test_a_recording_with_cover_art_is_a_recording(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(2))
    Image.new("RGB", (64, 64), "red").save(tmp_path / "cover.png")
    cover = ("-map", "0:a", "-map", "1:v", "-c:v", "mjpeg", "-disposition:v:0", "attached_pic")
    media.ffmpeg("-i", tmp_path / "a.wav", "-i", tmp_path / "cover.png", *cover, tmp_path / "a.mp3")
    items = decode(tmp_path / "a.mp3", settings)
    assert media.facts_of(items).kind is Kind.AUDIO
    assert not media.frames_of(items)
