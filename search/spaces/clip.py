"""The two towers of an open_clip model: the only file that calls open_clip.

Knows how to find, check, load and run a model fast; knows nothing of signals or spaces.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from search.errors import SpaceError
from search.settings import Settings
from search.spaces import torchvision_schemas
from search.spaces.device import choose_device, choose_dtype
from search.spaces.inputs import Picture
from search.spaces.space import unit_rows
from search.spaces.specification import ClipSpecification
from search.spaces.weights import file_sha256

torchvision_schemas.declare_missing()
import open_clip  # noqa: E402  after the schemas are declared

MAX_BATCH = 256
# open_clip's names for how a picture becomes a square -> ours (search.spaces.inputs)
_FITS = {"shortest": "crop", "squash": "squash", "longest": "pad"}


def inspect_model(wanted: ClipSpecification, settings: Settings) -> ClipSpecification:
    """Load the model once (downloading it if need be) and note all that identifies the space.

    Raises SpaceError when it can't be had.
    """
    checkpoint = _find_checkpoint(wanted, settings)
    model = _create(wanted, checkpoint, settings)
    preprocess = open_clip.transform.PreprocessCfg(**model.visual.preprocess_cfg)
    side = preprocess.size if isinstance(preprocess.size, int) else preprocess.size[0]
    with torch.inference_mode():
        dimension = model.encode_text(_tokenizer(wanted, settings)(["a"])).shape[1]
    return msgspec.structs.replace(
        wanted,
        weights_sha256=file_sha256(checkpoint),
        dimension=dimension,
        side=side,
        fit=_FITS[preprocess.resize_mode],
        resample=preprocess.interpolation if preprocess.interpolation != "random" else "bicubic",
        mean=tuple(preprocess.mean),
        std=tuple(preprocess.std),
    )


class Towers:
    """The loaded model. Encoding is thread-safe; batches are halved when memory runs out."""

    def __init__(self, model: ClipSpecification, settings: Settings) -> None:
        checkpoint = _find_checkpoint(model, settings)
        if (found := file_sha256(checkpoint)) != model.weights_sha256:
            raise SpaceError(
                f"{checkpoint} has sha256 {found}, but the space was made with {model.weights_sha256}: "
                "put the old file back, or create a new space"
            )
        device = self._device = choose_device(settings.device)
        dtype = self._dtype = choose_dtype(device)
        self._net = _create(model, checkpoint, settings).to(device=device, dtype=dtype).eval()
        self._net.visual.to(memory_format=torch.channels_last)
        self._encode_image = torch.compile(self._net.encode_image) if model.compile else self._net.encode_image
        self._tokenizer = _tokenizer(model, settings)
        self._mean = torch.tensor(model.mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(model.std, device=device).view(1, 3, 1, 1) * 255
        self._phrases: dict[tuple[str, ...], np.ndarray] = {}

    def pictures(self, pictures: Sequence[Picture]) -> np.ndarray:
        """`(side, side, 3) uint8` each -> `(n, d) float32` unit rows."""

        def encode(batch: Sequence[Picture]) -> torch.Tensor:
            # uint8 travels to the device (a quarter of the bytes) and becomes numbers there.
            pixels = torch.from_numpy(np.stack(batch)).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
            pixels = ((pixels.float() - self._mean) / self._std).to(self._dtype, memory_format=torch.channels_last)
            return self._encode_image(pixels)

        return _in_batches(pictures, encode)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Words that fit the context -> `(n, d) float32` unit rows; what does not fit is cut."""
        return _in_batches(texts, lambda batch: self._net.encode_text(self._tokenizer(list(batch)).to(self._device)))

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        """Texts of any length: pieces that fit the context, averaged."""
        pieces = [_pieces(text, self._tokens_in, self._tokenizer.context_length) for text in texts]
        vectors = self.texts([piece for group in pieces for piece in group])
        ends = np.cumsum([len(group) for group in pieces])
        return unit_rows(np.stack([part.mean(axis=0) for part in np.split(vectors, ends[:-1])]))

    def phrases(self, phrases: tuple[str, ...]) -> np.ndarray:
        """As `texts`, remembered."""
        if phrases not in self._phrases:
            self._phrases[phrases] = self.texts(phrases)
        return self._phrases[phrases]

    def _tokens_in(self, text: str) -> int:
        return int(np.count_nonzero(self._tokenizer([text]).numpy()))


def _pieces(text: str, count_tokens: Callable[[str], int], context: int) -> list[str]:
    """Cut a text at words into pieces that fit the context, by halving those that don't."""
    words = text.split()
    if len(words) < 2 or (len(words) + 2 < context and count_tokens(text) < context):
        return [text]
    middle = len(words) // 2
    halves = (" ".join(words[:middle]), " ".join(words[middle:]))
    return [piece for half in halves for piece in _pieces(half, count_tokens, context)]


def _in_batches(items: Sequence[Any], encode: Callable[[Sequence[Any]], torch.Tensor]) -> np.ndarray:
    """Encode in the largest batches that memory allows; `(n, d) float32` unit rows."""
    rows: list[np.ndarray] = []
    start, size = 0, MAX_BATCH
    while start < len(items):
        try:
            with torch.inference_mode():
                vectors = encode(items[start : start + size]).float().cpu().numpy()
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            if size == 1:
                raise SpaceError(
                    "the device has no memory for even one item: free it, or set MEDLEY_DEVICE=cpu"
                ) from None
            size = max(1, min(size, len(items) - start) // 2)
            continue
        rows.append(unit_rows(vectors))
        start += len(vectors)
    return np.concatenate(rows)


def _find_checkpoint(model: ClipSpecification, settings: Settings) -> Path:
    """The weight file: a local path, a folder's, or fetched from the hub into the model cache."""
    cache = str(settings.models / "open_clip")
    try:
        schema, name = open_clip.factory.parse_model_name(model.model)
        if schema == "local-dir":
            found = open_clip.factory._find_checkpoint_in_dir(Path(name))
        elif schema == "hf-hub":
            found = open_clip.pretrained.download_pretrained_from_hf(name, cache_dir=cache)
        elif Path(model.pretrained).is_file():
            found = model.pretrained
        else:
            known = open_clip.get_pretrained_cfg(model.model, model.pretrained)
            found = known and open_clip.download_pretrained(known, cache_dir=cache)
    except Exception as error:  # the hub client raises its own, requests' and OS errors
        raise SpaceError(f"the weights of {model.model} {model.pretrained} can't be fetched: {error}") from None
    if not found:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model.model)) or "none"
        raise SpaceError(
            f"there are no weights {model.pretrained!r} for {model.model!r}: give a checkpoint's path or one of: {tags}"
        )
    return Path(found)


def _create(model: ClipSpecification, checkpoint: Path, settings: Settings) -> Any:
    schema, _ = open_clip.factory.parse_model_name(model.model)
    tag = None if schema else (str(checkpoint) if Path(model.pretrained).is_file() else model.pretrained)
    try:
        return open_clip.create_model(
            model.model,
            pretrained=tag,
            weights_only=True,
            pretrained_text=False,
            require_pretrained=True,
            cache_dir=str(settings.models / "open_clip"),
        )
    except Exception as error:
        raise SpaceError(f"open_clip can't load {model.model} from {checkpoint}: {error}") from None


def _tokenizer(model: ClipSpecification, settings: Settings) -> Any:
    try:
        return open_clip.get_tokenizer(model.model, cache_dir=str(settings.models / "open_clip"))
    except Exception as error:
        raise SpaceError(f"the tokenizer of {model.model} can't be had: {error}") from None
