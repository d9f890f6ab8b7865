"""One loaded model of sentence-transformers: the only file that calls its encoders.

Knows how to load a model safely and what it takes; knows nothing of signals or spaces. Inputs are always named by
their kind: a bare text that looks like an address would be fetched as a picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
import torch
from PIL import Image

from search.arrays import Float32Array
from search.errors import SpaceError, UsageError
from search.settings import Settings
from search.spaces import torchvision_schemas
from search.spaces.device import choose_device, choose_dtype, in_batches
from search.spaces.encoders.foreign_weights import find_files, missing_extra, why_not
from search.spaces.inputs import SAMPLE_RATE_HZ, Picture, Waveform
from search.spaces.sound import windows
from search.spaces.space import unit_rows
from search.spaces.specification import EncoderSpecification

torchvision_schemas.declare_missing()

TEXT, IMAGE, AUDIO, VIDEO = "text", "image", "audio", "video"
WINDOW_SECONDS = 10  # CLAP-like models draw a random ten seconds of anything longer
_STILL_FRAMES = 8  # what models of videos take at least
_BATCH = 32
# Models that take pictures of any size are given this much: about 600 tokens of a Qwen3-VL.
_FREE_SIDE = 768


class Encoder:
    """The loaded model. Not thread-safe: fast tokenizers keep the settings of the call that they are in."""

    def __init__(self, wanted: EncoderSpecification, settings: Settings) -> None:
        """Raises SpaceError when it can't be loaded, or its files are not those that the space was made with."""
        files = find_files(wanted.model, settings, wanted.revision)
        if wanted.files_sha256 and files.sha256 != wanted.files_sha256:
            raise SpaceError(
                f"the files of {wanted.model} have sha256 {files.sha256}, but the space was made with "
                f"{wanted.files_sha256}: put the old files back, or create a new space"
            )
        self.files = files
        self._wanted = wanted
        self._model = _load(str(files.folder), wanted, settings)
        self.takes = tuple(kind for kind in (TEXT, IMAGE, AUDIO, VIDEO) if self._model.supports(kind))

    def learnt(self) -> EncoderSpecification:
        """The specification with all that only the model can tell. Raises SpaceError."""
        side, fit, resample = _picture_input(self._model) if {IMAGE, VIDEO} & set(self.takes) else (0, "", "")
        learnt = msgspec.structs.replace(
            self._wanted,
            revision=self.files.revision,
            files_sha256=self.files.sha256,
            takes=self.takes,
            side=side,
            fit=fit,
            resample=resample,
            rate_hz=_sampling_rate(self._model) if AUDIO in self.takes else 0,
        )
        return msgspec.structs.replace(learnt, length=self._length(learnt))

    def _probed(self, learnt: EncoderSpecification) -> set[int]:
        """Lengths of the vectors of every kind that the model says it takes. Raises SpaceError where one fails."""
        lengths = set()
        if TEXT in self.takes:
            lengths.add(self.texts(["a"]).shape[1])
        if side := learnt.side:
            lengths.add(self.pictures([np.zeros((side, side, 3), np.uint8)]).shape[1])
        if AUDIO in self.takes:
            lengths.add(self.sounds([np.zeros(SAMPLE_RATE_HZ, np.float32)], learnt.rate_hz).shape[1])
        return lengths

    def texts(self, texts: Sequence[str], *, asked: bool = False) -> Float32Array:
        """Passages, or queries when `asked` -> `(n, d) float32` unit rows."""
        prompt = self._wanted.query_prompt if asked else self._wanted.passage_prompt
        encode = self._model.encode_query if asked else self._model.encode_document
        # Modules without a processor know plain texts alone, and then nothing can be taken for an address.
        named = [{TEXT: text} for text in texts] if len(self.takes) > 1 else list(texts)
        return self._vectors(named, encode, prompt)

    def cuts(self, text: str) -> bool:
        """Whether the model reads only the beginning of a text; prompts are not counted."""
        longest = self._model.max_seq_length
        tokenizer = getattr(self._model.processor, "tokenizer", None) or self._model.processor
        if not longest or not hasattr(tokenizer, "encode"):
            return False
        return len(tokenizer.encode(text, truncation=False)) > int(longest)

    def pictures(self, pictures: Sequence[Picture]) -> Float32Array:
        """`(h, w, 3) uint8` each -> `(n, d) float32` unit rows. For video models each is a still video."""
        images = [Image.fromarray(picture) for picture in pictures]
        named = [{IMAGE: image} if IMAGE in self.takes else {VIDEO: [image] * _STILL_FRAMES} for image in images]
        return self._vectors(named, self._model.encode_document)

    def sounds(self, waveforms: Sequence[Waveform], rate_hz: int) -> Float32Array:
        """Waveforms at 16 kHz, for a model that wants `rate_hz` -> `(n, d) float32` unit rows: means over windows."""
        pieces = [windows(waveform, WINDOW_SECONDS * SAMPLE_RATE_HZ) for waveform in waveforms]
        named = [
            {AUDIO: {"array": resampled(window, rate_hz), "sampling_rate": rate_hz}}
            for group in pieces
            for window in group
        ]
        rows = self._vectors(named, self._model.encode_document)
        ends = np.cumsum([len(group) for group in pieces])
        return unit_rows(np.stack([part.mean(axis=0) for part in np.split(rows, ends[:-1])]))

    def _vectors(
        self, inputs: Sequence[Any], encode: Callable[..., torch.Tensor], prompt: str | None = None
    ) -> Float32Array:
        def encoded(batch: Sequence[Any]) -> torch.Tensor:
            return encode(
                batch,
                prompt=prompt,
                batch_size=_BATCH,
                convert_to_tensor=True,
                show_progress_bar=False,
                truncate_dim=self._wanted.dimension or None,
            )

        try:
            return in_batches(inputs, encoded)
        except (ValueError, TypeError, KeyError, IndexError, RuntimeError) as error:
            raise SpaceError(f"{self._wanted.model} can't encode this: {error}") from error

    def _length(self, learnt: EncoderSpecification) -> int:
        whole = self._model.get_embedding_dimension()
        if whole and self._wanted.dimension > whole:
            raise UsageError(
                f"{self._wanted.model} has vectors of {whole} numbers: {self._wanted.dimension} can't be kept of them"
            )
        try:
            lengths = self._probed(learnt)
        except SpaceError as error:
            raise SpaceError(f"{self._wanted.model} can't be used: {error}") from None
        if len(lengths) != 1:
            raise SpaceError(f"{self._wanted.model} gives vectors of no or of several lengths: {sorted(lengths)}")
        return lengths.pop()


def resampled(waveform: Waveform, rate_hz: int) -> Waveform:
    """A waveform at 16 kHz -> the same at `rate_hz`, band-limited."""
    if rate_hz == SAMPLE_RATE_HZ or not len(waveform):
        return waveform
    count = max(1, round(len(waveform) * rate_hz / SAMPLE_RATE_HZ))
    return np.asarray(np.fft.irfft(np.fft.rfft(waveform), count) * (count / len(waveform)), np.float32)


def _load(folder: str, wanted: EncoderSpecification, settings: Settings) -> Any:
    try:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.sentence_transformer.modules import Pooling
        from transformers.utils.logging import disable_progress_bar
    except ImportError:
        raise SpaceError(missing_extra()) from None
    disable_progress_bar()
    device = choose_device(settings.device)
    dtype = getattr(torch, wanted.dtype) if wanted.dtype else choose_dtype(device)
    try:
        model = SentenceTransformer(
            folder,
            device=str(device),
            local_files_only=True,
            trust_remote_code=False,
            model_kwargs={"use_safetensors": True, "dtype": dtype},
        )
    except Exception as error:
        raise SpaceError(why_not(wanted.model, error)) from error
    if wanted.pooling:
        pooling = next((module for module in model if isinstance(module, Pooling)), None)
        if pooling is None:
            raise UsageError(f"{wanted.model} makes one vector by itself: it has no pooling that could be chosen")
        pooling.pooling_mode = wanted.pooling
        pooling.pooling_output_dimension = pooling.embedding_dimension
    return model.eval()


def _picture_input(model: Any) -> tuple[int, str, str]:
    """Side, fit and resampling (see `ImageInput`) that lose nothing before the model's own processor."""
    processor = getattr(model.processor, "image_processor", None) or model.processor
    size = getattr(processor, "size", None)
    size = dict(size) if size else {}
    resample = "bilinear" if getattr(processor, "resample", None) == Image.Resampling.BILINEAR else "bicubic"
    height, width, shortest = (size.get(key) or 0 for key in ("height", "width", "shortest_edge"))
    if getattr(processor, "do_resize", True) and height and height == width:
        return height, "squash", resample
    if shortest and getattr(processor, "do_center_crop", False):
        # The processor's own crop comes out of the middle of this one.
        return shortest, "crop", resample
    return _FREE_SIDE, "inside", resample


def _sampling_rate(model: Any) -> int:
    processor = getattr(model.processor, "feature_extractor", None) or model.processor
    return int(getattr(processor, "sampling_rate", None) or SAMPLE_RATE_HZ)
