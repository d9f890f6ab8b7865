"""Recordings come out as 16 kHz mono in true time, whatever they were stored as."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support import media

from indexer.decoding import audio
from search.errors import PermanentMediaError
from search.results import Kind
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ


def loudest_hertz(waveform: np.ndarray) -> float:
    return float(np.abs(np.fft.rfft(waveform)).argmax() * SAMPLE_RATE_HZ / len(waveform))


def test_a_stereo_recording_at_another_rate_becomes_16_khz_mono(tmp_path: Path, settings: Settings) -> None:
    stereo = np.stack([media.tone(3, 440, 44_100), media.tone(3, 440, 44_100)], axis=1)
    path = media.write_wav(tmp_path / "a.wav", stereo, 44_100)
    items = list(audio.decode(media.request(path, settings)))
    waveform = media.sound_of(items)
    assert media.facts_of(items).kind is Kind.AUDIO
    assert media.facts_of(items).facts.duration_seconds == pytest.approx(3.0, abs=0.01)
    assert waveform.dtype == np.float32
    assert len(waveform) == pytest.approx(3 * SAMPLE_RATE_HZ, abs=200)
    assert loudest_hertz(waveform) == pytest.approx(440, abs=2)


def test_a_long_recording_comes_in_pieces_of_at_most_thirty_seconds(tmp_path: Path, settings: Settings) -> None:
    path = media.write_wav(tmp_path / "long.wav", np.tile(media.tone(1), 75))
    pieces = [item for item in audio.decode(media.request(path, settings)) if hasattr(item, "waveform")]
    assert [round(len(piece.waveform) / SAMPLE_RATE_HZ) for piece in pieces] == [30, 30, 15]


def test_a_hole_in_the_track_is_filled_so_that_later_times_stay_true(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(4))
    # Two seconds of sound, two of nothing, two of sound.
    late = "aselect='lt(t,2)+gte(t,2)',asetpts='if(gte(T,2),PTS+2/TB,PTS)'"
    media.ffmpeg("-i", tmp_path / "a.wav", "-af", late, "-c:a", "flac", tmp_path / "hole.mkv")
    waveform = media.sound_of(list(audio.decode(media.request(tmp_path / "hole.mkv", settings))))
    middles = [int((second + 0.5) * SAMPLE_RATE_HZ) for second in range(6)]
    seconds = [float(np.abs(waveform[middle : middle + 1000]).max()) > 0.1 for middle in middles]
    assert seconds == [True, True, False, False, True, True]


def test_a_file_that_ends_early_gives_what_is_there(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", np.tile(media.tone(1), 20))
    media.ffmpeg("-i", tmp_path / "a.wav", tmp_path / "a.mp3")
    whole = (tmp_path / "a.mp3").read_bytes()
    (tmp_path / "cut.mp3").write_bytes(whole[: len(whole) // 2])
    waveform = media.sound_of(list(audio.decode(media.request(tmp_path / "cut.mp3", settings))))
    assert 8 < len(waveform) / SAMPLE_RATE_HZ < 12


def test_random_bytes_are_refused_with_a_reason(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "noise.mp3"
    path.write_bytes(np.random.default_rng(0).bytes(200_000))
    with pytest.raises(PermanentMediaError, match=r"noise\.mp3"):
        list(audio.decode(media.request(path, settings)))


def test_a_header_that_promises_a_day_is_not_believed(tmp_path: Path, settings: Settings) -> None:
    path = media.write_wav(tmp_path / "liar.wav", media.tone(2))
    data = bytearray(path.read_bytes())
    data[40:44] = (2 * SAMPLE_RATE_HZ * 3600 * 17).to_bytes(4, "little")  # 17 hours of samples
    data[4:8] = (len(data) - 8 + 2 * SAMPLE_RATE_HZ * 3600 * 17).to_bytes(4, "little")
    path.write_bytes(data)
    items = list(audio.decode(media.request(path, settings)))
    assert len(media.sound_of(items)) == pytest.approx(2 * SAMPLE_RATE_HZ, abs=200)
    assert media.facts_of(items).facts.duration_seconds == pytest.approx(2.0, abs=0.1)


def test_a_recording_above_the_limit_is_refused_with_the_setting(tmp_path: Path, home: Path) -> None:
    strict = Settings.load({}, home=home, max_duration_seconds=1.0)
    path = media.write_wav(tmp_path / "a.wav", media.tone(3))
    with pytest.raises(PermanentMediaError, match="max_duration_seconds = 1"):
        list(audio.decode(media.request(path, strict)))


def test_title_place_and_time_are_read_from_the_tags(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(1))
    tags = ["title=Evening choir", "creation_time=2021-05-06T07:08:09Z", "location=+48.2082+016.3738/"]
    named = [part for tag in tags for part in ("-metadata", tag)]
    path = tmp_path / "a.mp4"
    media.ffmpeg("-i", tmp_path / "a.wav", "-c:a", "aac", *named, path)
    facts = media.facts_of(list(audio.decode(media.request(path, settings)))).facts
    assert facts.title == "Evening choir"
    assert facts.captured_at == 1620284889.0
    assert (facts.latitude, facts.longitude) == (48.2082, 16.3738)


def test_the_sound_track_is_left_alone_when_nobody_wants_it(tmp_path: Path, settings: Settings) -> None:
    path = media.write_wav(tmp_path / "a.wav", media.tone(1))
    items = list(audio.decode(media.request(path, settings, want_sound_track=False)))
    assert len(items) == 1
