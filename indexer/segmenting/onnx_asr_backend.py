"""Speech to words with onnx-asr: NeMo's Parakeet and Canary, and whatever else it knows; an extra (`parakeet`).

Parakeet is several times as fast as whisper and times its words by itself; Canary tells no times, so its words are
spread over the stretch by their length. Knows onnx-asr; knows nothing of segments or files.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from indexer.segmenting.transcriber import Utterance, Word
from search.errors import SpaceError
from search.runtime.lazy import Exclusive
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

if TYPE_CHECKING:
    from onnx_asr.adapters import TimestampedResultsAsrAdapter
    from onnx_asr.asr import TimestampedResult

DEFAULT_MODEL = "nemo-parakeet-tdt-0.6b-v3"  # 25 European languages
_BATCH = 8
_LONGEST_TOKEN_SECONDS = 0.4  # tokens tell only when they begin


class OnnxTranscriber:
    """onnx-asr as a Transcriber; loads at first use and is released when idle."""

    def __init__(self, settings: Settings) -> None:
        self._model = Exclusive(_loader(settings), settings.idle_release_seconds)

    def transcribe(self, stretches: Sequence[Waveform], language: str) -> list[Utterance]:
        """See `Transcriber.transcribe`. Parakeet tells no language; Canary takes English without one."""
        heard: list[Utterance] = []
        with self._model.use() as model:
            for start in range(0, len(stretches), _BATCH):
                batch: list[str | Path | Waveform] = [*stretches[start : start + _BATCH]]
                results = model.recognize(batch, sample_rate=16_000, language=language or None)
                heard += [
                    utterance(result, len(stretch) / SAMPLE_RATE_HZ, language)
                    for result, stretch in zip(results, stretches[start : start + _BATCH], strict=True)
                ]
        return heard

    def release(self) -> None:
        """See `Transcriber.release`."""
        self._model.release()


def utterance(result: TimestampedResult, duration: float, language: str) -> Utterance:
    """What was heard in a stretch of that many seconds."""
    logs = list(result.logprobs or [])
    mean = sum(logs) / len(logs) if logs else 0.0
    words = _timed(result, duration) if result.timestamps else _spread(result.text, duration, math.exp(mean))
    return Utterance(tuple(words), language, mean, 0.0 if words else 1.0)


def _timed(result: TimestampedResult, duration: float) -> list[Word]:
    """Tokens that begin with a space begin a word; it ends where the next begins, or soon after its last token."""
    tokens, times = result.tokens or [], result.timestamps or []
    logs = result.logprobs or [0.0] * len(tokens)
    groups: list[list[int]] = []
    for number, token in enumerate(tokens):
        if token.startswith(" ") or not groups:
            groups.append([])
        groups[-1].append(number)
    words: list[Word] = []
    for index, group in enumerate(groups):
        text = "".join(tokens[number] for number in group)
        if not text.strip():
            continue
        follows = times[groups[index + 1][0]] if index + 1 < len(groups) else duration
        start = min(times[group[0]], duration)
        end = max(start, min(follows, times[group[-1]] + _LONGEST_TOKEN_SECONDS, duration))
        probability = math.exp(sum(logs[number] for number in group) / len(group))
        words.append(Word(start, end, text if text.startswith(" ") else f" {text}", probability))
    return words


def _spread(text: str, duration: float, probability: float) -> list[Word]:
    """Words without times, each as long as its letters are of all."""
    parts = text.split()
    letters = sum(len(part) + 1 for part in parts)
    words: list[Word] = []
    passed = 0
    for part in parts:
        start, passed = duration * passed / letters, passed + len(part) + 1
        words.append(Word(start, duration * passed / letters, f" {part}", probability))
    return words


def _loader(settings: Settings) -> Callable[[], TimestampedResultsAsrAdapter]:
    def load() -> TimestampedResultsAsrAdapter:
        try:
            import onnx_asr
        except ImportError:
            raise SpaceError(
                "speech_backend = onnx-asr needs an extra: pip install 'medley-search[parakeet]'"
            ) from None
        name = settings.speech_model or DEFAULT_MODEL
        folder = Path(name).expanduser()
        try:
            how = _session(settings)
            model = (
                onnx_asr.load_model(_type_of(folder), folder, **how)
                if folder.is_dir()
                else onnx_asr.load_model(name, settings.models / "onnx-asr" / name.replace("/", "--"), **how)
            )
        except Exception as error:  # noqa: BLE001 - onnx-asr, the hub's client and onnxruntime raise their own
            raise SpaceError(f"the speech model {name!r} (setting speech_model) can't be loaded: {error}") from None
        return model.with_timestamps()

    return load


def _type_of(folder: Path) -> str:
    config: dict[str, Any] = msgspec.json.decode((folder / "config.json").read_bytes())
    return str(config["model_type"])


def _session(settings: Settings) -> dict[str, Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.enable_cpu_mem_arena = False  # every length of sound is a new shape, and the arena would keep them all
    options.log_severity_level = 3
    wanted = settings.device.split(":")[0]
    providers = ["CPUExecutionProvider"]
    if wanted != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        providers.insert(0, "CUDAExecutionProvider")
    return {"sess_options": options, "providers": providers}
