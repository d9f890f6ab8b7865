"""Speech in recordings and videos: passages with their words and times.

Collects the sound track, hears only where somebody speaks, and leaves out what the model made up.
Subtitles that came with the file take the place of a transcription where they cover what is spoken. Knows no speech
library.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from indexer.decoding.items import Note, SegmentDraft, SoundItem, SubtitleItem
from indexer.decoding.streams.voice_detector import Span, VoiceDetector, find_speech
from indexer.segmenting.passages import Passage, cut, without_loops
from indexer.segmenting.transcriber import MAX_STRETCH_SECONDS, Transcriber, Utterance, Word
from indexer.segmenting.voice_activity import Stretch, join
from search.catalog.states import NoteKind
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

GROUP_SECONDS = 240  # of sound kept before it is transcribed: 15 MB, and enough stretches to batch
# A stretch that begins this close to the end of a group waits for the next: it may go on there, and a window that is
# half empty takes as long as a full one.
_OPEN_SECONDS = 45.0
_LONGEST_STRETCH = int((MAX_STRETCH_SECONDS - 0.5) * SAMPLE_RATE_HZ)

# Subtitles stand a little beside what is spoken, and are silent over cries and songs: only what is open for longer, and
# is a good part of what is spoken in a group, is transcribed beside them.
_LINE_MARGIN_SECONDS = 2.0
_OPEN_PART_SECONDS = 1.0
_OPEN_WORDS_SECONDS = 3.0
_OPEN_SHARE = 0.15

# What whisper writes where nobody speaks is unsure of itself in one of these ways.
_MIN_LOG_PROBABILITY = -1.0
_NO_SPEECH = 0.6  # whisper's own threshold, applied together with the next
_NO_SPEECH_LOG_PROBABILITY = -0.5
_MIN_WORD_PROBABILITY = 0.25  # mean over the stretch
_MAX_WORDS_PER_SECOND = 7.0  # nobody speaks faster for long
# Sentences that whisper learned from the ends of videos and writes over silence and music.
_STOCK_PHRASES = (
    "thank you",
    "thanks for watching",
    "thank you for watching",
    "please subscribe",
    "subtitles by the amaraorg community",
    "you",
    "bye",
    "im sorry",
    "ill see you next time",
)
_STOCK_LOG_PROBABILITY = -0.35  # people do say thank you; then the model is sure


@dataclass(frozen=True)
class Heard:
    """How much speech was found and how much of it was left out as unclear."""

    spoken_seconds: float = 0.0
    unclear_stretches: int = 0
    unclear_seconds: float = 0.0


class SpeechSegmenter:
    """Turns the items of one asset into drafts of speech. Not thread-safe; one per asset."""

    def __init__(self, transcriber: Transcriber, language: str = "", find_voice: VoiceDetector = find_speech) -> None:
        self._transcriber = transcriber
        self._language = language
        self._find_voice = find_voice
        self._waiting: list[Waveform] = []
        self._samples = 0  # waiting
        self._start = 0  # sample of the recording at which the waiting ones begin
        self._words: list[tuple[Word, str]] = []  # not yet in a passage, with their language
        self._given = False  # words came with the file that are meant to be all of them
        self._covered: list[tuple[float, float]] = []  # seconds whose words came with the file, in order
        self.heard = Heard()

    def feed(self, item: object) -> Iterator[SegmentDraft]:
        """Take the next item of the asset; drafts come out when enough has been heard."""
        if isinstance(item, SubtitleItem) and not (self._given and not item.is_partial):
            if not item.is_partial:
                self._given = True
                self._covered = _covered_by(item)
            yield from _from_subtitles(item)
        elif isinstance(item, SoundItem):
            self._waiting.append(item.waveform)
            self._samples += len(item.waveform)
            if self._samples >= GROUP_SECONDS * SAMPLE_RATE_HZ:
                yield from self._hear(last=False)

    def finish(self) -> Iterator[SegmentDraft | Note]:
        """Drafts of what is left, and a note about what was left out."""
        if self._samples:
            yield from self._hear(last=True)
        for passage, language in _in_one_language(self._words):
            yield _draft(passage, language)
        self._words = []
        if self.heard.unclear_stretches:
            seconds = max(1, round(self.heard.unclear_seconds))
            count = "1 second was" if seconds == 1 else f"{seconds} seconds were"
            yield Note(NoteKind.WORDS, f"{count} left out that may be speech but could not be understood")

    def _hear(self, *, last: bool) -> Iterator[SegmentDraft]:
        waveform = np.concatenate(self._waiting)
        spans = self._without_words(self._find_voice(waveform))
        stretches = join(spans, _LONGEST_STRETCH)
        done = len(waveform)
        if not last and stretches and len(waveform) - stretches[-1].start < _OPEN_SECONDS * SAMPLE_RATE_HZ:
            done = stretches[-1].start
            stretches = stretches[:-1]
        self._transcribe(waveform, stretches)
        rest = waveform[done:].copy()  # a view would keep the whole group in memory
        self._waiting, self._samples = [rest], len(rest)
        self._start += done
        if not last:
            yield from self._complete_passages()

    def _without_words(self, spans: list[Span]) -> list[Span]:
        """Stretches of speech that the subtitles of the file don't cover, if longer than an aside."""
        if not self._covered:
            return spans
        open_spans = [(max(0, start), end) for span in spans for start, end in self._open_parts(span)]
        open_seconds = sum(end - start for start, end in open_spans) / SAMPLE_RATE_HZ
        spoken_seconds = sum(end - start for start, end in spans) / SAMPLE_RATE_HZ
        return open_spans if open_seconds >= max(_OPEN_WORDS_SECONDS, _OPEN_SHARE * spoken_seconds) else []

    def _open_parts(self, span: Span) -> Iterator[Span]:
        at, end = span
        for first, last in self._covered:
            covered_from, covered_to = (round(second * SAMPLE_RATE_HZ) - self._start for second in (first, last))
            if covered_to <= at:
                continue
            if covered_from >= end:
                break
            if covered_from - at >= _OPEN_PART_SECONDS * SAMPLE_RATE_HZ:
                yield at, covered_from
            at = max(at, covered_to)
        if end - at >= _OPEN_PART_SECONDS * SAMPLE_RATE_HZ:
            yield at, end

    def _transcribe(self, waveform: Waveform, stretches: Sequence[Stretch]) -> None:
        if not stretches:
            return
        sounds = [stretch.of(waveform) for stretch in stretches]
        for stretch, utterance in zip(stretches, self._transcriber.transcribe(sounds, self._language), strict=True):
            seconds = stretch.seconds
            words = without_loops(utterance.words)
            if not words:
                continue
            clear = is_clear(utterance, seconds)
            self.heard = Heard(
                self.heard.spoken_seconds + seconds,
                self.heard.unclear_stretches + (not clear),
                self.heard.unclear_seconds + (0.0 if clear else seconds),
            )
            if clear:
                offset = self._start / SAMPLE_RATE_HZ
                self._words += [(_placed(word, stretch, offset), utterance.language) for word in words]

    def _complete_passages(self) -> Iterator[SegmentDraft]:
        """All passages but the last, which may continue."""
        passages = _in_one_language(self._words)
        for passage, language in passages[:-1]:
            yield _draft(passage, language)
        complete = sum(len(passage.words) for passage, _ in passages[:-1])
        self._words = self._words[complete:]


def _in_one_language(words: Sequence[tuple[Word, str]]) -> list[tuple[Passage, str]]:
    """Passages, none of which mixes languages."""
    return [
        (passage, language)
        for language, run in groupby(words, key=lambda entry: entry[1])
        for passage in cut([word for word, _ in run])
    ]


def is_clear(utterance: Utterance, seconds: float) -> bool:
    """Whether this was really said, and not made up by the model."""
    sure = utterance.mean_log_probability
    if sure < _MIN_LOG_PROBABILITY:
        return False
    if utterance.no_speech_probability > _NO_SPEECH and sure < _NO_SPEECH_LOG_PROBABILITY:
        return False
    if len(utterance.words) / max(seconds, 1.0) > _MAX_WORDS_PER_SECOND:
        return False
    if float(np.mean([word.probability for word in utterance.words])) < _MIN_WORD_PROBABILITY:
        return False
    plain = "".join(c for c in utterance.text.casefold() if c.isalnum() or c == " ").strip()
    return plain not in _STOCK_PHRASES or sure >= _STOCK_LOG_PROBABILITY


def _placed(word: Word, stretch: Stretch, offset: float) -> Word:
    start, end = stretch.place(word.start_seconds, word.end_seconds)
    return Word(start + offset, end + offset, word.text, word.probability)


def _draft(passage: Passage, language: str) -> SegmentDraft:
    confidence = float(np.mean([word.probability for word in passage.words]))
    return SegmentDraft(
        Signal.SPEECH,
        passage.start_seconds,
        passage.end_seconds,
        passage.text,
        details={
            "language": language,
            "confidence": round(confidence, 3),
            "words": [[round(w.start_seconds, 2), round(w.end_seconds, 2), w.text.strip()] for w in passage.words],
        },
    )


def _from_subtitles(item: SubtitleItem) -> Iterator[SegmentDraft]:
    """Passages joined from lines of subtitles, which are never split."""
    lines = [Word(start, end, text if text.startswith(" ") else " " + text, 1.0) for start, end, text in item.lines]
    for passage in cut(_without_overlap(lines)):
        details: dict[str, object] = {
            "subtitles": True,
            "words": [[round(w.start_seconds, 2), round(w.end_seconds, 2), w.text.strip()] for w in passage.words],
        }
        if item.language:
            details["language"] = item.language
        yield SegmentDraft(Signal.SPEECH, passage.start_seconds, passage.end_seconds, passage.text, details=details)


def _covered_by(item: SubtitleItem) -> list[tuple[float, float]]:
    """The seconds that its lines stand for, with the pauses between lines that follow each other."""
    covered: list[tuple[float, float]] = []
    for start, end, _ in sorted(item.lines):
        start, end = start - _LINE_MARGIN_SECONDS, end + _LINE_MARGIN_SECONDS
        if covered and start <= covered[-1][1]:
            covered[-1] = (covered[-1][0], max(covered[-1][1], end))
        else:
            covered.append((start, end))
    return covered


def _without_overlap(lines: Iterable[Word]) -> list[Word]:
    """Two speakers at once have overlapping lines; passages overlap nothing."""
    tidy: list[Word] = []
    for line in lines:
        start = max(line.start_seconds, tidy[-1].end_seconds if tidy else 0.0)
        tidy.append(Word(start, max(start, line.end_seconds), line.text, 1.0))
    return tidy
