"""What a language model sees in pictures and hears in sounds: encoder, adapter and model of a pair, put together.

Loads at its first use and lets go when idle. Knows pictures and waveforms; knows no library.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

from msgspec import Struct

from search.arrays import Float32Array, FloatArray
from search.errors import LanguageModelError, SpaceError
from search.multimodal.adapter import STARTER, WEIGHTS, Adapter, find_adapter, find_sounds, records
from search.runtime.lazy import Lazy
from search.settings import Settings
from search.spaces.inputs import ImageInput, Picture, Waveform

if TYPE_CHECKING:
    from search.multimodal.map_encoder import MapEncoder
    from search.multimodal.model import Impression, MultimodalModel
    from search.multimodal.sound_encoder import SoundMaps

Content = TypeVar("Content")
_log = logging.getLogger(__name__)


@runtime_checkable
class Adaptable(Protocol):
    """A local language model."""

    @property
    def name(self) -> str:
        """The setting's value."""

    @property
    def ready(self) -> bool:
        """Can it be used without being converted first?"""

    def prepare_soon(self) -> str:
        """Start its conversion where none runs, and return at once: why the last one failed, "" where none did."""

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

    @cached_property
    def identity(self) -> str:
        """That of the adapter, by which what was measured of it is known."""
        return self._adapter.identity

    def prepare_soon(self) -> str:
        """See Adaptable.prepare_soon."""
        return self._model.prepare_soon()

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

    def fits(self, caption: str, contents: Sequence[Content]) -> Float32Array:
        """`(len(contents),)`: nats a token that each adds to a caption over what all do. Raises as `captions`."""
        maps = self._maps(contents)
        with self._model.adapted(self._adapter) as model:
            return model.fits(caption, model.soft_tokens(maps))

    def release(self) -> None:
        """Release the encoder; the language model is its owner's."""
        self._encoder.release()

    def _maps(self, contents: Sequence[Content]) -> FloatArray:
        with self._encoder.use() as encoder:
            if encoder.identity != self._adapter.record.encoder:
                raise SpaceError(
                    f"{self._adapter.path}: was trained for the encoder {self._adapter.record.encoder}, and "
                    f"{self._adapter.record.encoder_name!r} is {encoder.identity} here: get the weights it was trained "
                    f"with, or train another one with {self._recipe}"
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


def fitting_adapter(settings: Settings) -> Path | None:
    """The file with which the language model of the settings looks at pictures; None: it looks at none.

    None without `vision`, and where there is no adapter for the starter's encoder, which nobody asked for. Raises
    LanguageModelError where there is none for another one, for a broken file, and where two files fit.
    """
    if not settings.vision:
        return None
    path = find_adapter(settings.vision_encoder, settings.llm, _folders(settings))
    if path is None and settings.vision_encoder != STARTER:
        raise LanguageModelError(_nothing_fits(settings))
    return path


def senses_if_any(model: object, settings: Settings) -> Senses | None:
    """As `open_senses`; what that raises becomes a warning: a library is whole without captions and looks."""
    try:
        return open_senses(model, settings)
    except LanguageModelError as error:
        _log.warning("Pictures get no captions, and no question is answered by looking at them: %s", error)
        return None


def open_senses(model: object, settings: Settings) -> Senses | None:
    """The senses of the settings' language model, by the adapters there are for it and the encoder.

    None where `fitting_adapter` finds none, and for a model that is not local. Raises as that does.
    """
    path = fitting_adapter(settings)
    if path is None or not isinstance(model, Adaptable):
        return None
    adapter = Adapter.load(path)
    idle = settings.idle_release_seconds
    vision = Vision(model, adapter, Lazy(lambda: _open_map_encoder(settings), idle))
    if not settings.sound:
        return Senses(vision, None)
    heard = find_sounds(adapter, _folders(settings))
    if heard is None:
        _log.warning(
            "Nothing was trained to hear with %s: sounds get no captions. python -m training.multimodal_sounds "
            "--base %s --output %s trains it",
            *(path, path, settings.adapters / "sounds.safetensors"),
        )
        return Senses(vision, None)
    return Senses(vision, Hearing(model, heard, Lazy(lambda: _open_sound_encoder(settings), idle)))


def _folders(settings: Settings) -> tuple[Path, ...]:
    return settings.adapters, WEIGHTS


def _nothing_fits(settings: Settings) -> str:
    there = [
        f"{path.name} is for {record.encoder_name} and {record.model}"
        for path, record in records(settings.adapters).items()
        if not record.over
    ]
    return (
        f"{settings.adapters}: no multimodal adapter for the encoder {settings.vision_encoder!r} (setting "
        f"MEDLEY_VISION_ENCODER) and the language model {settings.llm!r} (MEDLEY_LLM, a local one)"
        f"{''.join(f'; {line}' for line in there)}. Train one with python -m training.multimodal --encoder "
        f"{settings.vision_encoder} --model {settings.llm} --output {settings.adapters / 'NAME.safetensors'}, or set "
        f"MEDLEY_VISION_ENCODER={STARTER}"
    )


def _open_map_encoder(settings: Settings) -> MapEncoder:
    # torch takes seconds to import, and most processes never look at a picture this way.
    from search.multimodal.map_encoder import open_map_encoder

    return open_map_encoder(settings.vision_encoder, settings)


def _open_sound_encoder(settings: Settings) -> SoundMaps:
    # As above.
    from search.multimodal.sound_encoder import SoundMaps

    return SoundMaps.load(settings)
