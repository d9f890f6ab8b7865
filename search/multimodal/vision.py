"""What a language model sees in pictures and hears in sounds: encoder, adapter and model of a pair, put together.

Loads at its first use and lets go when idle. Knows pictures and waveforms; knows no library.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from msgspec import Struct

from search.arrays import Float32Array, FloatArray
from search.errors import SpaceError
from search.multimodal.adapter import Adapter, adapter_path, sounds_path
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.spaces.inputs import ImageInput, Picture, Waveform

if TYPE_CHECKING:
    from search.multimodal.map_encoder import MapEncoder
    from search.multimodal.model import Impression, MultimodalModel
    from search.multimodal.sound_encoder import SoundMaps

Content = TypeVar("Content")
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


class _Perception(Generic[Content]):
    """Captions of pictures or sounds and answers about them. Thread-safe."""

    def __init__(self, model: Adaptable, adapter: Adapter, encoder: Lazy[Any], recipe: str) -> None:
        """`encoder` has an `identity` and makes `maps`; `recipe` trains an adapter for it."""
        self._model = model
        self._adapter = adapter
        self._encoder = encoder
        self._recipe = recipe

    @property
    def ready(self) -> bool:
        """Is the language model converted? The first use waits for it otherwise."""
        return self._model.ready

    def captions(self, contents: Sequence[Content]) -> list[list[str]]:
        """Sentences that are likely for each, as people caption such things, the one to trust unseen first.

        Which of them fits a picture best is for a space to say. Raises LanguageModelError, SpaceError.
        """
        if not contents:
            return []
        maps = self._maps(contents)
        with self._model.adapted(self._adapter) as model:
            return [[said.words for said in likely] for likely in model.captions(model.soft_tokens(maps))]

    def answers(self, question: str, contents: Sequence[Content]) -> list[Impression]:
        """A few words about each, and how sure the model is of them. Raises as `captions`."""
        if not contents:
            return []
        maps = self._maps(contents)
        with self._model.adapted(self._adapter) as model:
            return model.answers(question, model.soft_tokens(maps))

    def likelihoods(self, question: str, answers: Sequence[str], contents: Sequence[Content]) -> Float32Array:
        """`(len(contents), len(answers))` log-probabilities of short answers. Raises as `captions`."""
        maps = self._maps(contents)
        with self._model.adapted(self._adapter) as model:
            return model.likelihoods(question, answers, model.soft_tokens(maps))

    def release(self) -> None:
        """Release the encoder; the language model is its owner's."""
        self._encoder.release()

    def _maps(self, contents: Sequence[Content]) -> FloatArray:
        with self._encoder.use() as encoder:
            if encoder.identity != self._adapter.record.encoder:
                raise SpaceError(
                    f"the multimodal adapter was trained for the encoder {self._adapter.record.encoder}, "
                    f"and this is {encoder.identity}: train one with {self._recipe}"
                )
            maps: FloatArray = encoder.maps(contents)
            return maps


class Vision(_Perception[Picture]):
    """What a language model sees in pictures."""

    def __init__(self, model: Adaptable, adapter: Adapter, encoder: Lazy[MapEncoder]) -> None:
        super().__init__(model, adapter, encoder, "training/multimodal.py")

    @property
    def image_input(self) -> ImageInput:
        """How pictures should be prepared; loads the encoder."""
        with self._encoder.use() as encoder:
            wanted: ImageInput = encoder.image_input
            return wanted


class Hearing(_Perception[Waveform]):
    """What it hears in sounds: in the middle 5 s of each."""

    def __init__(self, model: Adaptable, adapter: Adapter, encoder: Lazy[SoundMaps]) -> None:
        super().__init__(model, adapter, encoder, "training/multimodal_sounds.py")


class Senses(Struct, frozen=True):
    """What a language model perceives with."""

    vision: Vision
    hearing: Hearing | None  # None: nothing was trained for its sounds

    def release(self) -> None:
        """Release the encoders."""
        self.vision.release()
        if self.hearing:
            self.hearing.release()


def sees(settings: Settings) -> bool:
    """Whether the language model looks at pictures by itself: there is an adapter, and it is wanted."""
    return settings.vision and adapter_path(STARTER, settings.llm).is_file()


def open_senses(model: object, settings: Settings) -> Senses | None:
    """The senses of a language model; None for one without an adapter.

    Raises LanguageModelError for a broken file, and for files that don't fit together.
    """
    if not hasattr(model, "adapted") or not hasattr(model, "name") or not hasattr(model, "ready"):
        return None
    path = adapter_path(STARTER, model.name)
    if not path.is_file():
        return None
    adapter = Adapter.load(path)
    idle = settings.idle_release_seconds
    vision = Vision(model, adapter, Lazy(lambda: _open_map_encoder(settings), idle))
    sounds = sounds_path(model.name)
    if not settings.sound or not sounds.is_file():
        return Senses(vision, None)
    heard = Adapter.load(sounds, adapter)
    return Senses(vision, Hearing(model, heard, Lazy(lambda: _open_sound_encoder(settings), idle)))


def _open_map_encoder(settings: Settings) -> MapEncoder:
    # torch takes seconds to import, and most processes never look at a picture this way.
    from search.multimodal.map_encoder import open_map_encoder

    return open_map_encoder(STARTER, settings)


def _open_sound_encoder(settings: Settings) -> SoundMaps:
    # As above.
    from search.multimodal.sound_encoder import SoundMaps

    return SoundMaps.load(settings)
