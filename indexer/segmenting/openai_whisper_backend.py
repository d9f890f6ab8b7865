"""Speech to words with openai-whisper, the original; an extra (`pip install 'medley-search[whisper]'`).

Fed from a checkpoint of its own, or from the embedded weights through conversion. Slower than
faster-whisper on a CPU; there for people who run their own fine-tuned checkpoints. Knows
openai-whisper and torch; knows nothing of segments or files.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.segmenting.faster_whisper_backend import BEAM_SIZE, RETRY_SAMPLES, RETRY_TEMPERATURES, garbled
from indexer.segmenting.transcriber import Utterance, Word
from indexer.segmenting.whisper_conversion import read_ctranslate2, to_openai
from search.errors import SpaceError
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.mel import HOP_SAMPLES
from search.spaces.whisper_weights import MODEL_FILE, unpacked_whisper

if TYPE_CHECKING:
    import whisper

_WINDOW_SAMPLES = 30 * SAMPLE_RATE_HZ


class OpenAIWhisperTranscriber:
    """openai-whisper as a Transcriber; loads at first use and is released when idle."""

    def __init__(self, settings: Settings) -> None:
        self._model = Lazy(_loader(settings), settings.idle_release_seconds)

    def transcribe(self, stretches: Sequence[Waveform], language: str) -> list[Utterance]:
        """See `Transcriber.transcribe`."""
        with self._model.use() as model:
            # One at a time: openai-whisper's beam search fails on batches.
            return [_transcribe(model, stretch, language) for stretch in stretches]

    def release(self) -> None:
        """See `Transcriber.release`."""
        self._model.release()


def _loader(settings: Settings) -> Callable[[], whisper.Whisper]:
    def load() -> whisper.Whisper:
        try:
            import whisper
        except ImportError:
            raise SpaceError(
                "speech_backend = openai-whisper needs an extra: pip install 'medley-search[whisper]', or "
                "without triton pip install --no-deps openai-whisper tiktoken more-itertools"
            ) from None
        import torch

        device = settings.device if settings.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        try:
            if settings.speech_model:  # a checkpoint file, or a name that openai-whisper downloads
                return whisper.load_model(settings.speech_model, device, download_root=str(settings.models))
            return _embedded(unpacked_whisper(settings.models)).to(device)
        except (RuntimeError, OSError) as error:
            raise SpaceError(f"the speech model {settings.speech_model!r} can't be loaded: {error}") from None

    return load


def _embedded(folder: Path) -> whisper.Whisper:
    import torch
    import whisper

    tensors = to_openai(read_ctranslate2(folder / MODEL_FILE))
    vocabulary, width = tensors["decoder.token_embedding.weight"].shape
    layers = {
        side: len({n.split(".")[2] for n in tensors if n.startswith(f"{side}.blocks.")})
        for side in ("encoder", "decoder")
    }
    dimensions = whisper.model.ModelDimensions(
        n_mels=tensors["encoder.conv1.weight"].shape[1],
        n_audio_ctx=len(tensors["encoder.positional_embedding"]),
        n_audio_state=width,
        n_audio_head=width // 64,  # every whisper has heads of 64
        n_audio_layer=layers["encoder"],
        n_vocab=vocabulary,
        n_text_ctx=len(tensors["decoder.positional_embedding"]),
        n_text_state=width,
        n_text_head=width // 64,
        n_text_layer=layers["decoder"],
    )
    model = whisper.Whisper(dimensions)
    model.load_state_dict({name: torch.from_numpy(value) for name, value in tensors.items()})
    heads = torch.zeros(dimensions.n_text_layer, dimensions.n_text_head, dtype=torch.bool)
    for layer, head in json.loads((folder / "config.json").read_text("utf-8"))["alignment_heads"]:
        heads[layer, head] = True
    model.register_buffer("alignment_heads", heads.to_sparse(), persistent=False)
    return model.eval()


def _transcribe(model: whisper.Whisper, stretch: Waveform, language: str) -> Utterance:
    import torch
    import whisper

    padded = whisper.pad_or_trim(torch.from_numpy(np.ascontiguousarray(stretch)))
    mel = whisper.log_mel_spectrogram(padded, model.dims.n_mels).to(model.device)
    result = _decode(model, mel, language, beam_size=BEAM_SIZE, temperature=0.0)
    for temperature in RETRY_TEMPERATURES:
        if not garbled(result.text, result.avg_logprob, result.no_speech_prob):
            break
        result = _decode(model, mel, language, best_of=RETRY_SAMPLES, temperature=temperature)
    words = tuple(_words(model, mel, result, len(stretch)))
    return Utterance(words, result.language, float(result.avg_logprob), float(result.no_speech_prob))


def _decode(model: whisper.Whisper, mel: Any, language: str, **how: Any) -> Any:
    import whisper

    # Half precision on a GPU only: CPUs have no fast half-precision matrix product.
    fp16 = model.device.type == "cuda"
    options = whisper.DecodingOptions(language=language or None, without_timestamps=True, fp16=fp16, **how)
    return whisper.decode(model, mel, options)


def _words(model: whisper.Whisper, mel: Any, result: Any, samples: int) -> list[Word]:
    """Word times from the cross-attention; punctuation joins the word that it belongs to."""
    from whisper.timing import find_alignment, merge_punctuations
    from whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(
        model.is_multilingual, num_languages=model.num_languages, language=result.language, task="transcribe"
    )
    tokens = [token for token in result.tokens if token < tokenizer.eot]
    frames = min(samples, _WINDOW_SAMPLES) // HOP_SAMPLES
    timings = find_alignment(model, tokenizer, tokens, mel, frames)
    merge_punctuations(timings, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
    return [
        Word(float(entry.start), float(entry.end), entry.word, float(entry.probability))
        for entry in timings
        if entry.word
    ]
