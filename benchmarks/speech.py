"""Speech: word error and cost beside plain faster-whisper and its batched pipeline, on the same weights.

    python -m benchmarks.speech ../shared/data [--rounds N] [--pause SECONDS]

The readings are joined to one recording with pauses between them, in another order each round: where windows
begin and end changes more words than any setting does. Times are CPU seconds of this process, because test
machines are shared; rounds are interleaved, medians of times and means of word errors are shown. Overhead is
what the segmenter adds to its own transcriber: voice detection, filters, passages.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from indexer.decoding import audio
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import DecodeRequest, SegmentDraft, SoundItem
from indexer.decoding.streams.sound_assembler import PIECE_SAMPLES
from indexer.segmenting.faster_whisper_backend import FasterWhisperTranscriber
from indexer.segmenting.speech import SpeechSegmenter
from indexer.segmenting.transcriber import Utterance
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.whisper_weights import unpacked_whisper

PAUSE_SECONDS = 1.5  # between readings
BATCH = 8
THREADS = 1
_ABBREVIATIONS = {"mr": "mister", "mrs": "missis", "dr": "doctor", "st": "saint"}


class Timed:
    """A transcriber that counts the CPU seconds spent in it."""

    def __init__(self, inner: FasterWhisperTranscriber) -> None:
        self.inner, self.seconds = inner, 0.0

    def transcribe(self, stretches: Sequence[Waveform], language: str) -> list[Utterance]:
        """As the transcriber inside; its CPU time is added to `seconds`."""
        began = cpu_seconds()
        heard = self.inner.transcribe(stretches, language)
        self.seconds += cpu_seconds() - began
        return heard

    def release(self) -> None:
        """Release the model."""
        self.inner.release()


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--pause", type=float, default=PAUSE_SECONDS, help="seconds between readings")
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/speech.json"))
    options = arguments.parse_args()
    settings = Settings.load(threads=THREADS)
    readings = load(options.data / "speech")
    recording, words = joined(readings, options.pause, 0)
    print(f"{len(recording) / SAMPLE_RATE_HZ:.0f} seconds, {len(words)} words")
    ways = {"plain faster-whisper": plain(settings), "batched faster-whisper": batched(settings)}
    transcriber = Timed(FasterWhisperTranscriber(settings))
    ways["medley"] = lambda waveform: medley(transcriber, waveform)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    overheads: list[float] = []
    errors: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way(recording[: 5 * SAMPLE_RATE_HZ])  # models load
    for number in range(options.rounds):
        recording, words = joined(readings, options.pause, number)
        for name, way in ways.items():
            transcriber.seconds, began = 0.0, cpu_seconds()
            errors[name].append(word_error(words, plain_words(way(recording))))
            seconds[name].append(cpu_seconds() - began)
            if name == "medley":
                overheads.append(seconds[name][-1] / transcriber.seconds - 1)
    rows = {
        name: {"word_error": statistics.mean(errors[name]), "cpu_seconds": statistics.median(seconds[name])}
        for name in ways
    }
    print(f"{'':24}{'word error':>12}{'CPU seconds':>14}")
    for name, row in rows.items():
        print(f"{name:24}{row['word_error']:12.2%}{row['cpu_seconds']:14.1f}")
    overhead = statistics.median(overheads)
    print(f"overhead of the segmenter over its transcriber: {overhead:.1%}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(
        json.dumps({**rows, "overhead": overhead, "rounds": options.rounds, "pause_seconds": options.pause}, indent=2)
        + "\n"
    )


def cpu_seconds() -> float:
    """CPU time of this process so far, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def load(folder: Path) -> list[tuple[Waveform, list[str]]]:
    """The readings, each with what is said in it."""
    readings = []
    for line in (folder / "ljspeech.jsonl").read_text("utf-8").splitlines():
        row = json.loads(line)
        request = DecodeRequest(folder / "ljspeech" / row["file"], limits_of(Settings.load()), {})
        pieces = [item.waveform for item in audio.decode(request) if isinstance(item, SoundItem)]
        readings.append((np.concatenate(pieces), plain_words(row["text"])))
    return readings


def joined(
    readings: Sequence[tuple[Waveform, list[str]]], pause_seconds: float, order: int
) -> tuple[Waveform, list[str]]:
    """The readings as one recording, in one of many orders (0: as they come), and what is said in it."""
    chosen = list(readings)
    if order:
        random.Random(order).shuffle(chosen)
    pause = np.zeros(int(pause_seconds * SAMPLE_RATE_HZ), np.float32)
    recording = np.concatenate([part for waveform, _ in chosen for part in (waveform, pause)])
    return recording, [word for _, words in chosen for word in words]


def plain(settings: Settings) -> Callable[[Waveform], str]:
    """faster-whisper as it comes, with its voice filter."""
    from faster_whisper import WhisperModel

    folder = str(unpacked_whisper(settings.models))
    model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=THREADS, local_files_only=True)

    def run(waveform: Waveform) -> str:
        segments, _ = model.transcribe(waveform, beam_size=5, vad_filter=True, word_timestamps=True)
        return " ".join(segment.text for segment in segments)

    return run


def batched(settings: Settings) -> Callable[[Waveform], str]:
    """faster-whisper's batched pipeline."""
    from faster_whisper import BatchedInferencePipeline, WhisperModel

    folder = str(unpacked_whisper(settings.models))
    model = WhisperModel(folder, device="cpu", compute_type="int8", cpu_threads=THREADS, local_files_only=True)
    pipeline = BatchedInferencePipeline(model)

    def run(waveform: Waveform) -> str:
        segments, _ = pipeline.transcribe(waveform, beam_size=5, batch_size=BATCH, word_timestamps=True)
        return " ".join(segment.text for segment in segments)

    return run


def medley(transcriber: Timed, waveform: Waveform) -> str:
    """What would be indexed."""
    segmenter = SpeechSegmenter(transcriber)
    drafts: list[object] = []
    for start in range(0, len(waveform), PIECE_SAMPLES):
        drafts += segmenter.feed(SoundItem(waveform[start : start + PIECE_SAMPLES], start / SAMPLE_RATE_HZ))
    drafts += segmenter.finish()
    return " ".join(draft.text or "" for draft in drafts if isinstance(draft, SegmentDraft))


def plain_words(text: str) -> list[str]:
    """Lower case, no punctuation, abbreviations spelled out."""
    words = re.findall(r"[a-z0-9']+", text.lower().replace("’", "'"))
    return [_ABBREVIATIONS.get(word, word) for word in words]


def word_error(wanted: Sequence[str], heard: Sequence[str]) -> float:
    """Levenshtein distance in words, per wanted word."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(wanted, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1] / len(wanted)


if __name__ == "__main__":
    main()
