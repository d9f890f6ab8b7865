"""From the setting `llm` to a language model: the one place that knows every backend.

Nothing heavy is imported or loaded before a model is first asked something.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from search.errors import LanguageModelError, SettingsError
from search.language import embedded_model
from search.language.llm import LanguageModel, Likelihood, Limits, Prompt, Request
from search.runtime.lazy import Exclusive
from search.settings import Settings

if TYPE_CHECKING:
    from search.language.causal import CausalModel
    from search.multimodal.adapter import Adapter
    from search.multimodal.model import MultimodalModel

_log = logging.getLogger(__name__)
REMOTE = "openai:"


def open_language_model(settings: Settings) -> LanguageModel:
    """The model that the settings name. Raises SettingsError for a name that can't be one."""
    if settings.llm.startswith(REMOTE):
        # Imported here: the HTTP client takes longer to load than a whole search.
        from search.language.openai_compatible import RemoteModel

        return RemoteModel.open(settings, settings.llm.removeprefix(REMOTE))
    if not settings.llm.strip():
        raise SettingsError(
            "no language model is named: set MEDLEY_LLM to embedded, a transformers name or path, or openai:MODEL"
        )
    return LocalModel(settings)


def needs_preparing(settings: Settings) -> bool:
    """Would the model that the settings name have to be converted first?"""
    return settings.llm == embedded_model.NAME and not embedded_model.is_prepared(settings.models)


def prepare(settings: Settings) -> None:
    """Convert the embedded model if it has not been: some seconds. Never raises.

    Whichever model phrases answers, pages are read with this one. Done while files are indexed or a server starts, so
    that no question has to wait for it.
    """
    try:
        embedded_model.prepare(settings.models)
    except LanguageModelError as error:
        # The next question reports it again, and then it matters.
        _log.warning("The language model can't be prepared: %s", error)


class LocalModel:
    """The embedded model, or any causal or image-text-to-text model of transformers by hub name or folder."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lazy: Exclusive[CausalModel] = Exclusive(lambda: _load(settings), settings.idle_release_seconds)
        self._preparing: threading.Thread | None = None
        self._starting = threading.Lock()
        self._width = embedded_model.WIDTH if settings.llm == embedded_model.NAME else None

    @property
    def name(self) -> str:
        """The setting's value."""
        return self._settings.llm

    @property
    def ready(self) -> bool:
        """Can it be used without being converted first, for many seconds?"""
        return not needs_preparing(self._settings)

    def prepare_soon(self) -> str:
        """See Adaptable.prepare_soon."""
        with self._starting:
            if self._preparing is None or not self._preparing.is_alive():
                work = threading.Thread(target=prepare, args=(self._settings,), name="prepare-when-asked", daemon=True)
                self._preparing = work
                work.start()
        return embedded_model.failure(self._settings.models)

    @property
    def scores(self) -> bool:
        """Local models always can."""
        return True

    @property
    def sees(self) -> bool:
        """An image-text-to-text model does; loads a model that is not the embedded one."""
        if self._settings.llm == embedded_model.NAME or self._settings.llm_pictures == "never":
            return False
        with self._lazy.use() as model:
            return model.sees

    @property
    def width(self) -> int:
        """Length of a soft token; loads a model that is not the embedded one."""
        if self._width is None:
            with self._lazy.use() as model:
                self._width = model.width
        return self._width

    def score(self, prefix: Prompt, requests: Sequence[Request]) -> Sequence[Likelihood]:
        """See LanguageModel.score."""
        if not requests:
            return []
        with self._lazy.use() as model:
            return model.score(prefix, requests)

    def write(self, prompts: Sequence[Prompt], limits: Limits) -> Sequence[str]:
        """See LanguageModel.write."""
        if not prompts:
            return []
        with self._lazy.use() as model:
            return model.write(prompts, limits)

    def stream(self, prompt: Prompt, limits: Limits) -> Iterator[str]:
        """See LanguageModel.stream."""
        with self._lazy.use() as model:
            pieces = model.stream(prompt, limits)
        while True:
            # Held for one piece at a time: the reader of the stream may want to score with the same model meanwhile.
            with self._lazy.use():
                piece = next(pieces, None)
            if piece is None:
                return
            yield piece

    @contextmanager
    def adapted(self, adapter: Adapter) -> Iterator[MultimodalModel]:
        """The model with an adapter, for one user at a time. Raises LanguageModelError."""
        with self._lazy.use() as model:
            yield model.adapted(adapter)

    def release(self) -> None:
        """See LanguageModel.release."""
        self._lazy.release()


def _load(settings: Settings) -> CausalModel:
    # torch and transformers take seconds to import: only calls to a model pay for them.
    import torch

    from search.language.causal import CausalModel
    from search.language.image_text import ImageTextModel
    from search.spaces.device import Lanes, choose_device, choose_dtype
    from search.spaces.torchvision_schemas import declare_missing

    if settings.threads:
        torch.set_num_threads(settings.threads)
    declare_missing()
    device = choose_device(settings.device)
    model, reads = _read(settings, choose_dtype(device))
    lanes = Lanes(settings.threads, "medley-language") if device.type == "cpu" else None
    # A processor holds a tokenizer; a tokenizer holds none.
    return (ImageTextModel if hasattr(reads, "tokenizer") else CausalModel)(model.to(device), reads, lanes)


def _read(settings: Settings, dtype: Any) -> tuple[Any, Any]:
    """The network, and its tokenizer or, where it takes pictures, its processor."""
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoProcessor,
        AutoTokenizer,
    )
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    where = str(embedded_model.prepare(settings.models)) if settings.llm == embedded_model.NAME else settings.llm
    try:
        with embedded_model.quiet():
            if AutoConfig.from_pretrained(where).model_type in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
                seeing = AutoModelForImageTextToText.from_pretrained(where, dtype=dtype)
                return seeing, AutoProcessor.from_pretrained(where)
            return AutoModelForCausalLM.from_pretrained(where, dtype=dtype), AutoTokenizer.from_pretrained(where)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise LanguageModelError(
            f"the language model {where!r} can't be loaded (setting MEDLEY_LLM): {first}"
        ) from None
