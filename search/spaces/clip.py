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

from search.arrays import FloatArray
from search.errors import SpaceError
from search.settings import Settings
from search.spaces import torchvision_schemas
from search.spaces.device import choose_device, choose_dtype, in_batches
from search.spaces.inputs import Picture
from search.spaces.space import unit_rows
from search.spaces.specification import ClipSpecification, newest_starter
from search.spaces.weights import file_sha256

torchvision_schemas.declare_missing()
try:
    import open_clip  # after the schemas are declared
except ModuleNotFoundError as missing:
    told = f"spaces of open_clip need {missing.name}, which is not installed: pip install 'medley-search[clip]'"
    raise SpaceError(told) from None

_PATCH_BATCH = 16
# open_clip's names for how a picture becomes a square -> ours (search.spaces.inputs)
_FITS = {"shortest": "crop", "squash": "squash", "longest": "pad"}


def inspect_model(wanted: ClipSpecification, settings: Settings) -> ClipSpecification:
    """Load the model once (downloading it if need be) and note all that identifies the space.

    Raises SpaceError when it can't be loaded.
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
        companion=newest_starter(),
    )


class Towers:
    """The loaded model. Encoding is thread-safe; batches are halved when memory runs out."""

    def __init__(self, model: ClipSpecification, settings: Settings) -> None:
        """Load the weights. Raises SpaceError."""
        checkpoint = _find_checkpoint(model, settings)
        if (sha256 := file_sha256(checkpoint)) != model.weights_sha256:
            raise SpaceError(
                f"{checkpoint} has sha256 {sha256}, but the space was made with {model.weights_sha256}: "
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
        return in_batches(pictures, lambda batch: self._encode_image(self._pixels(batch)))

    @torch.inference_mode()
    def patches(self, pictures: Sequence[Picture]) -> FloatArray:
        """`(side, side, 3) uint8` each -> `(n, patches, channels) float16`: of the last layer, normed."""
        parts = []
        for start in range(0, len(pictures), _PATCH_BATCH):
            pixels = self._pixels(pictures[start : start + _PATCH_BATCH])
            inside = self._net.visual.forward_intermediates(
                pixels, indices=1, normalize_intermediates=True, intermediates_only=True, output_fmt="NCHW"
            )
            parts.append(inside["image_intermediates"][-1].flatten(2).transpose(1, 2).half().cpu().numpy())
        return np.concatenate(parts) if parts else np.empty((0, 0, 0), np.float16)

    def _pixels(self, batch: Sequence[Picture]) -> torch.Tensor:
        # uint8 travels to the device (a quarter of the bytes) and becomes numbers there.
        pixels = torch.from_numpy(np.stack(batch)).to(self._device, non_blocking=True).permute(0, 3, 1, 2)
        return ((pixels.float() - self._mean) / self._std).to(self._dtype, memory_format=torch.channels_last)

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        """Words that fit the context -> `(n, d) float32` unit rows; what does not fit is cut."""
        return in_batches(texts, lambda batch: self._net.encode_text(self._tokenizer(list(batch)).to(self._device)))

    def cuts(self, text: str) -> bool:
        """Whether a text fills the context to its end."""
        return bool(self._tokens_in(text) >= self._tokenizer.context_length)

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        """As `texts`, of any length: pieces that fit the context, averaged."""
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


def _find_checkpoint(model: ClipSpecification, settings: Settings) -> Path:
    """The weight file: a local path, a folder's, or fetched from the hub into the model cache."""
    cache = str(settings.models / "open_clip")
    try:
        schema, name = open_clip.factory.parse_model_name(model.model)
        if schema == "local-dir":
            checkpoint = open_clip.factory._find_checkpoint_in_dir(Path(name))  # noqa: SLF001 - nothing public finds it
        elif schema == "hf-hub":
            checkpoint = open_clip.pretrained.download_pretrained_from_hf(name, cache_dir=cache)
        elif Path(model.pretrained).is_file():
            checkpoint = model.pretrained
        else:
            known = open_clip.get_pretrained_cfg(model.model, model.pretrained)
            checkpoint = known and open_clip.download_pretrained(known, cache_dir=cache)
    except Exception as error:  # noqa: BLE001 - the hub client raises its own, requests' and OS errors
        raise SpaceError(f"the weights of {model.model} {model.pretrained} can't be fetched: {error}") from None
    if not checkpoint:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model.model)) or "none"
        raise SpaceError(
            f"there are no weights {model.pretrained!r} for {model.model!r}: give a checkpoint's path or one of: {tags}"
        )
    return Path(checkpoint)


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
    except Exception as error:  # noqa: BLE001 - open_clip raises what torch and the files do
        raise SpaceError(f"open_clip can't load {model.model} from {checkpoint}: {error}") from None


def _tokenizer(model: ClipSpecification, settings: Settings) -> Any:
    try:
        return open_clip.get_tokenizer(model.model, cache_dir=str(settings.models / "open_clip"))
    except Exception as error:  # noqa: BLE001 - the same
        raise SpaceError(f"the tokenizer of {model.model} can't be loaded: {error}") from None
