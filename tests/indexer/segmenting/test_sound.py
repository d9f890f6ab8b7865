"""Spectrograms are what others compute, and sounds are cut where they change."""

from __future__ import annotations

import numpy as np
import pytest
from support.paths import DEMO_MEDIA as DEMO

from indexer.decoding import audio
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import DecodeRequest, SegmentDraft, SoundItem
from indexer.previews.spectrogram import spectrogram_picture, waveform_picture
from indexer.segmenting.sound import LONGEST_SECONDS, SoundSegmenter
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.mel import BANDS, HOP_SAMPLES, WINDOW_SAMPLES, log_mel, whisper_features
from search.spaces.registry import open_space
from search.spaces.specification import StarterSpecification


def noise(seconds: float, seed: int = 0, level: float = 0.2) -> Waveform:
    return (level * np.random.default_rng(seed).normal(size=int(seconds * SAMPLE_RATE_HZ))).astype(np.float32)


def hum(seconds: float, hertz: float = 220.0) -> Waveform:
    times = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    return (0.3 * np.sin(2 * np.pi * hertz * times) + 0.01 * noise(seconds)).astype(np.float32)


def segments(waveform: Waveform) -> list[SegmentDraft]:
    segmenter = SoundSegmenter()
    drafts: list[SegmentDraft] = []
    step = 30 * SAMPLE_RATE_HZ
    for start in range(0, len(waveform), step):
        drafts += segmenter.feed(SoundItem(waveform[start : start + step], start / SAMPLE_RATE_HZ))
    return [*drafts, *segmenter.finish()]


@pytest.mark.parametrize("sound", [noise(2.0), hum(2.0), 0.001 * noise(1.3), np.zeros(SAMPLE_RATE_HZ, np.float32)])
def test_the_spectrogram_is_the_one_that_others_compute(sound: Waveform) -> None:
    # transformers' own, which follows librosa's; that one takes twenty seconds to compile itself.
    from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

    bands = mel_filter_bank(
        WINDOW_SAMPLES // 2 + 1, BANDS, 0.0, SAMPLE_RATE_HZ / 2, SAMPLE_RATE_HZ, norm="slaney", mel_scale="slaney"
    )
    theirs = spectrogram(
        sound, window_function(WINDOW_SAMPLES, "hann"), WINDOW_SAMPLES, HOP_SAMPLES, power=2.0, mel_filters=bands,
        log_mel="log10",
    )  # fmt: skip
    assert np.abs(log_mel(sound) - theirs[:, : len(sound) // HOP_SAMPLES]).max() < 1e-3


def test_the_spectrogram_is_the_one_whisper_was_trained_on() -> None:
    from faster_whisper.feature_extractor import FeatureExtractor

    sound = noise(3.0)
    theirs = FeatureExtractor()(sound, padding=0)[:, :300]
    assert np.abs(whisper_features(log_mel(sound)) - theirs).max() < 1e-3


def test_the_shortest_sounds_have_a_spectrogram() -> None:
    assert log_mel(np.zeros(0, np.float32)).shape == (BANDS, 0)
    assert log_mel(np.ones(200, np.float32)).shape == (BANDS, 1)


def test_sounds_are_cut_where_they_change() -> None:
    drafts = segments(np.concatenate([noise(8), hum(8), noise(8, seed=1, level=0.02)]))
    assert [draft.signal for draft in drafts] == [Signal.SOUND] * 3
    assert [draft.start_seconds for draft in drafts] == pytest.approx([0, 8, 16], abs=0.6)
    assert [draft.end_seconds for draft in drafts] == pytest.approx([8, 16, 24], abs=0.6)


def test_a_steady_sound_is_one_segment_with_one_window() -> None:
    (draft,) = segments(noise(40))
    assert (draft.start_seconds, draft.end_seconds) == (0, 40)
    assert draft.sound is not None
    assert len(draft.sound) == 5 * SAMPLE_RATE_HZ


def test_no_segment_is_longer_than_a_minute_and_nothing_is_lost() -> None:
    # Ten minutes that slowly rise in pitch.
    rising = np.concatenate([hum(10, 200 * 1.04**n) for n in range(60)])
    drafts = segments(rising)
    lengths = [(draft.end_seconds or 0) - (draft.start_seconds or 0) for draft in drafts]
    assert max(lengths) <= LONGEST_SECONDS + 1
    assert sum(lengths) > 0.8 * 600


def test_quiet_is_skipped() -> None:
    quiet = np.zeros(10 * SAMPLE_RATE_HZ, np.float32)
    (draft,) = segments(np.concatenate([quiet, noise(6), quiet]))
    assert (draft.start_seconds, draft.end_seconds) == pytest.approx((10, 16), abs=0.6)
    assert segments(np.zeros(120 * SAMPLE_RATE_HZ, np.float32)) == []


def test_a_copy_of_an_earlier_sound_is_skipped() -> None:
    pause = np.zeros(4 * SAMPLE_RATE_HZ, np.float32)
    jingle = np.concatenate([hum(1, hertz) for hertz in (300, 500, 700, 900, 1100)])
    once = segments(jingle)
    again = segments(np.concatenate([jingle, pause, jingle, pause, jingle]))
    assert [(d.start_seconds, d.end_seconds) for d in again] == [(d.start_seconds, d.end_seconds) for d in once]


def test_pauses_between_barks_do_not_tear_a_sound_apart() -> None:
    bark = np.concatenate([noise(0.3), np.zeros(int(0.7 * SAMPLE_RATE_HZ), np.float32)])
    assert len(segments(np.tile(bark, 10))) == 1


def test_pictures_of_sound_show_where_it_is() -> None:
    sound = np.concatenate([np.zeros(SAMPLE_RATE_HZ, np.float32), hum(1, 4000)])
    picture = spectrogram_picture(sound, width=100).astype(int).sum(axis=2)
    assert picture[:, 60:].max() > picture[:, :40].max()
    assert picture[:80, 75].max() > picture[120:, 75].max(), "high pitches are above"
    wave = waveform_picture(iter(np.array_split(sound, 7)), width=100)
    assert wave[:, 75, 3].astype(bool).sum() > wave[:, 25, 3].astype(bool).sum()


@pytest.mark.models
def test_the_starter_space_tells_speech_noise_tones_and_silence_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings.load({}, home=tmp_path_factory.mktemp("home"))
    space = open_space(StarterSpecification(), settings)
    request = DecodeRequest(DEMO / "bridge_tour.ogg", limits_of(settings), {})
    speech = np.concatenate([item.waveform for item in audio.decode(request) if isinstance(item, SoundItem)])
    beeps = hum(5, 1000) * (np.arange(5 * SAMPLE_RATE_HZ) % 16_000 < 6_000)
    sounds = {
        "a woman talking": speech,
        "white noise": noise(5),
        "a beeping sound": beeps,
        "silence": noise(5, level=1e-6),
    }
    vectors = space.embed(Signal.SOUND, [sound.astype(np.float32) for sound in sounds.values()])
    queries = space.embed_query_text(list(sounds))[Signal.SOUND]
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert (queries @ vectors.T).argmax(axis=1).tolist() == [0, 1, 2, 3]
    again = space.embed_query_sound([speech])[Signal.SOUND]
    assert float(again[0] @ vectors[0]) > 0.999
    space.release()
