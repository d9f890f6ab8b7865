"""What a language model sees in pictures: the encoder, the adapter and the model of a pair, put together.

Loads at its first use and lets go when idle. Knows pictures; knows no library.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from search.arrays import FloatArray
from search.errors import SpaceError
from search.multimodal.adapter import Adapter, adapter_path
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.spaces.inputs import ImageInput, Picture

if TYPE_CHECKING:
    from search.multimodal.map_encoder import MapEncoder
    from search.multimodal.model import Impression, MultimodalModel

_log = logging.getLogger(__name__)
STARTER = "starter"  # the encoder that adapters are shipped for


class Adaptable(Protocol):
    """A local language model."""

    @property
    def name(self) -> str:
        """The setting's value."""

    @property
    def ready(self) -> bool:
        """Can it be used without being converted first?"""

    def adapted(self, adapter: Adapter) -> AbstractContextManager[MultimodalModel]:
        """The model with an adapter, for one user at a time."""


class Vision:
    """Captions of pictures and answers about them. Thread-safe."""

    def __init__(self, model: Adaptable, adapter: Adapter, encoder: Lazy[MapEncoder]) -> None:
        self._model = model
        self._adapter = adapter
        self._encoder = encoder

    @property
    def ready(self) -> bool:
        """Is the language model converted? The first use waits for it otherwise."""
        return self._model.ready

    @property
    def image_input(self) -> ImageInput:
        """How pictures should be prepared; loads the encoder."""
        with self._encoder.use() as encoder:
            return encoder.image_input

    def captions(self, pictures: Sequence[Picture]) -> list[list[str]]:
        """Sentences that are likely for each, as people caption photographs, the one to trust unseen first.

        Which of them fits the picture best is for a space to say. Raises LanguageModelError, SpaceError.
        """
        if not pictures:
            return []
        maps = self._maps(pictures)
        with self._model.adapted(self._adapter) as model:
            return [[said.words for said in likely] for likely in model.captions(model.soft_tokens(maps))]

    def answers(self, question: str, pictures: Sequence[Picture]) -> list[Impression]:
        """A few words about each, and how sure the model is of them. Raises as `captions`."""
        if not pictures:
            return []
        maps = self._maps(pictures)
        with self._model.adapted(self._adapter) as model:
            return model.answers(question, model.soft_tokens(maps))

    def release(self) -> None:
        """Release the encoder; the language model is its owner's."""
        self._encoder.release()

    def _maps(self, pictures: Sequence[Picture]) -> FloatArray:
        with self._encoder.use() as encoder:
            if encoder.identity != self._adapter.record.encoder:
                raise SpaceError(
                    f"the multimodal adapter was trained for the image encoder {self._adapter.record.encoder}, "
                    f"and this is {encoder.identity}: train one with training/multimodal.py"
                )
            return encoder.maps(pictures)


def open_vision(model: object, settings: Settings) -> Vision | None:
    """What sees for a language model; None for one without an adapter. Raises LanguageModelError for a broken file."""
    if not hasattr(model, "adapted") or not hasattr(model, "name") or not hasattr(model, "ready"):
        return None
    path = adapter_path(STARTER, model.name)
    if not path.is_file():
        return None
    return Vision(model, Adapter.load(path), Lazy(lambda: _open_encoder(settings), settings.idle_release_seconds))


def _open_encoder(settings: Settings) -> MapEncoder:
    # torch takes seconds to import, and most processes never look at a picture this way.
    from search.multimodal.map_encoder import open_map_encoder

    return open_map_encoder(STARTER, settings)
