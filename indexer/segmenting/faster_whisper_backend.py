"""Speech to words with faster-whisper (CTranslate2), many stretches at a time.

The library's own batched pipeline detects one language for a whole recording and never tries again;
here each stretch has its own language, and what comes out garbled is tried again at a higher
temperature. Knows faster-whisper; knows nothing of segments or files.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.segmenting.transcriber import Utterance, Word
from search.errors import SpaceError
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.spaces.inputs import Waveform
from search.spaces.whisper_weights import unpacked_whisper

if TYPE_CHECKING:
    from ctranslate2 import StorageView
    from faster_whisper import WhisperModel
    from faster_whisper.tokenizer import Tokenizer

BEAM_SIZE = 5
_BATCH = 8  # stretches decoded together; more gains nothing on a CPU
# Whisper's own marks of garbled output (arXiv 2212.04356, section 4.5), and where it tries again.
GARBLED_COMPRESSION = 2.4
GARBLED_LOG_PROBABILITY = -1.0
SILENT_PROBABILITY = 0.6
RETRY_TEMPERATURES = (0.2, 0.6, 1.0)
RETRY_SAMPLES = 5
_TELLING_FRAMES = 500  # of 20 ms: ten seconds tell the language as surely as thirty, for a fifth of the cost
_MEDIAN_FILTER_WIDTH = 7  # tokens; of the alignment, as whisper has it
_SECONDS_PER_TOKEN = 0.02  # of the alignment


class FasterWhisperTranscriber:
    """faster-whisper as a Transcriber; loads at first use and is released when idle."""

    def __init__(self, settings: Settings) -> None:
        self._model = Lazy(_loader(settings), settings.idle_release_seconds)

    def transcribe(self, stretches: Sequence[Waveform], language: str) -> list[Utterance]:
        """See `Transcriber.transcribe`."""
        with self._model.use() as model:
            # Long and short together would all be as slow as the long ones.
            order = sorted(range(len(stretches)), key=lambda number: -len(stretches[number]))
            utterances: dict[int, Utterance] = {}
            for start in range(0, len(order), _BATCH):
                batch = order[start : start + _BATCH]
                heard = _Batch(model, [stretches[number] for number in batch], language).utterances()
                utterances |= dict(zip(batch, heard, strict=True))
            return [utterances[number] for number in range(len(stretches))]

    def release(self) -> None:
        """See `Transcriber.release`."""
        self._model.release()


def _loader(settings: Settings) -> Callable[[], WhisperModel]:
    def load() -> WhisperModel:
        from faster_whisper import WhisperModel

        name = settings.speech_model or str(unpacked_whisper(settings.models))
        device = settings.device.split(":")
        on_gpu = device[0] == "cuda" or (device[0] == "auto" and _has_cuda())
        try:
            return WhisperModel(
                name,
                device="cuda" if on_gpu else "cpu",
                device_index=int(device[1]) if len(device) > 1 else 0,
                compute_type="float16" if on_gpu else "int8",
                cpu_threads=settings.threads or os.cpu_count() or 1,
                download_root=str(settings.models),
                local_files_only=Path(name).is_dir(),
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise SpaceError(f"the speech model {name!r} (setting speech_model) can't be loaded: {error}") from None

    return load


def _has_cuda() -> bool:
    import ctranslate2

    return bool(ctranslate2.get_cuda_device_count())


def garbled(text: str, mean_log_probability: float, no_speech_probability: float) -> bool:
    """Whether the model repeats itself or guesses. Silence is not a reason to try again."""
    if no_speech_probability > SILENT_PROBABILITY:
        return False
    return compression_ratio(text) > GARBLED_COMPRESSION or mean_log_probability < GARBLED_LOG_PROBABILITY


def compression_ratio(text: str) -> float:
    """How many times zlib shortens the text; above 2.4 it repeats itself."""
    data = text.encode()
    return len(data) / len(zlib.compress(data)) if data else 0.0


class _Batch:
    """Stretches that go through the model together."""

    def __init__(self, model: WhisperModel, stretches: Sequence[Waveform], language: str) -> None:
        self._model = model
        self._stretches = stretches
        self._encoded = _encoded(model, [_features(model, stretch) for stretch in stretches])
        self._languages = [language] * len(stretches) if language else self._detect()
        self._tokenizers = [_tokenizer(model, spoken) for spoken in self._languages]

    def utterances(self) -> list[Utterance]:
        results = self._generate(self._encoded, self._tokenizers, beam_size=BEAM_SIZE, sampling_temperature=0)
        for number, tokenizer in enumerate(self._tokenizers):
            if _is_garbled(results[number], tokenizer):
                results[number] = self._again(number, tokenizer)
        words = self._align([result.sequences_ids[0] for result in results])
        return [
            Utterance(tuple(timed), language, _log_probability(result), result.no_speech_prob)
            for timed, language, result in zip(words, self._languages, results, strict=True)
        ]

    def _detect(self) -> list[str]:
        if not self._model.model.is_multilingual:
            return ["en"] * len(self._stretches)
        beginnings = self._encoded
        if beginnings.device == "cpu":
            beginnings = _view(np.asarray(beginnings)[:, :_TELLING_FRAMES])
        return [ranked[0][0].strip("<|>") for ranked in self._model.model.detect_language(beginnings)]

    def _generate(self, encoded: Any, tokenizers: Sequence[Tokenizer], **how: Any) -> list[Any]:
        from faster_whisper.transcribe import get_suppressed_tokens

        prompts = [[*tokenizer.sot_sequence, tokenizer.no_timestamps] for tokenizer in tokenizers]
        return list(
            self._model.model.generate(
                encoded,
                prompts,
                max_length=self._model.max_length,
                suppress_blank=True,
                suppress_tokens=list(get_suppressed_tokens(tokenizers[0], [-1])),
                return_scores=True,
                return_no_speech_prob=True,
                **how,
            )
        )

    def _again(self, number: int, tokenizer: Tokenizer) -> Any:
        """Sampling leaves a loop that beam search is caught in."""
        encoded = _encoded(self._model, [_features(self._model, self._stretches[number])])
        result = None
        for temperature in RETRY_TEMPERATURES:
            how = {"beam_size": 1, "num_hypotheses": RETRY_SAMPLES, "sampling_topk": 0}
            (result,) = self._generate(encoded, [tokenizer], sampling_temperature=temperature, **how)
            if not _is_garbled(result, tokenizer):
                break
        return result

    def _align(self, sequences: Sequence[Sequence[int]]) -> list[list[Word]]:
        """Word times from the cross-attention, all stretches at once."""
        texts = [[t for t in ids if t < tok.eot] for ids, tok in zip(sequences, self._tokenizers, strict=True)]
        alignments = self._model.model.align(
            self._encoded,
            self._tokenizers[0].sot_sequence,
            texts,
            [min(3000, len(stretch) // 160) for stretch in self._stretches],  # in frames of 10 ms
            median_filter_width=_MEDIAN_FILTER_WIDTH,
        )
        return [
            _words(text, alignment, tokenizer, len(stretch) / 16_000)
            for text, alignment, tokenizer, stretch in zip(
                texts, alignments, self._tokenizers, self._stretches, strict=True
            )
        ]


def _encoded(model: WhisperModel, features: Sequence[np.ndarray]) -> StorageView:
    """The encoder's output for the windows, `(n, 1500, d)`."""
    if model.model.device != "cpu":
        return model.encode(np.stack(features))
    # One at a time: a window's activations stay in the cache, which makes each a fifth faster than eight together.
    return _view(np.concatenate([np.asarray(model.encode(window[None])) for window in features]))


def _view(array: np.ndarray) -> StorageView:
    from ctranslate2 import StorageView

    return StorageView.from_array(np.ascontiguousarray(array))


def _features(model: WhisperModel, stretch: Waveform) -> np.ndarray:
    from faster_whisper.audio import pad_or_trim

    return np.asarray(pad_or_trim(model.feature_extractor(stretch)[..., :-1]))


def _tokenizer(model: WhisperModel, language: str) -> Tokenizer:
    from faster_whisper.tokenizer import Tokenizer

    return Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language=language)


def _log_probability(result: Any) -> float:
    length = len(result.sequences_ids[0])
    return float(result.scores[0] * length / (length + 1))


def _is_garbled(result: Any, tokenizer: Tokenizer) -> bool:
    text = tokenizer.decode(result.sequences_ids[0])
    return garbled(text, _log_probability(result), result.no_speech_prob)


def _words(tokens: list[int], alignment: Any, tokenizer: Tokenizer, duration: float) -> list[Word]:
    """Tokens and their times -> words; punctuation joins the word that it belongs to."""
    texts, groups = tokenizer.split_to_word_tokens([*tokens, tokenizer.eot])
    texts, groups = texts[:-1], groups[:-1]
    if not groups:
        return []
    token_places, frames = np.array(alignment.alignments).T
    starts_at = frames[np.diff(token_places, prepend=-1) > 0] * _SECONDS_PER_TOKEN
    bounds = np.cumsum([0, *(len(group) for group in groups)])
    words: list[Word] = []
    for number, text in enumerate(texts):
        first, last = bounds[number], bounds[number + 1]
        start = float(starts_at[min(first, len(starts_at) - 1)])
        end = float(starts_at[last]) if last < len(starts_at) else duration
        probability = float(np.mean(alignment.text_token_probs[first:last] or [0.0]))
        word = Word(min(start, duration), min(max(start, end), duration), text, probability)
        if words and not any(c.isalnum() for c in text) and not text.startswith(" "):
            words[-1] = Word(
                words[-1].start_seconds, words[-1].end_seconds, words[-1].text + text, words[-1].probability
            )
        else:
            words.append(word)
    return words
