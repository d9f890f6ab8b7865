"""From what people name to a specification, and from that to a space: the one place that knows every implementation.

Implementations are imported when they are opened, because torch and the libraries of models take seconds.
"""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct, structs

from search.errors import SpaceError, UsageError
from search.settings import Settings
from search.signals import Sense
from search.spaces.space import Space
from search.spaces.specification import (
    ClipSpecification,
    ComposedSpecification,
    EncoderSpecification,
    Specification,
    StarterSpecification,
    newest_starter,
)

STARTER = "starter"
DTYPES = ("float32", "bfloat16", "float16")
POOLINGS = ("cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken")
_OF_OPEN_CLIP = ("hf-hub:", "local-dir:")


class Choice(Struct, frozen=True, kw_only=True):
    """The options of an encoder, besides its name. By default they are as in the model's own configuration."""

    dimension: int = 0
    query_prompt: str | None = None
    passage_prompt: str | None = None
    pooling: str = ""
    dtype: str = ""


def open_space(specification: Specification, settings: Settings) -> Space:
    """The space that a specification describes; models load at their first use. Raises SpaceError."""
    match specification:
        case StarterSpecification():
            from search.spaces.sound import sound_part
            from search.spaces.starter import StarterSpace

            return StarterSpace(settings, sound_part(settings), specification)
        case ClipSpecification():
            from search.spaces.clip_space import ClipSpace

            companion = specification.companion
            return ClipSpace(specification, settings, open_space(companion, settings) if companion else None)
        case EncoderSpecification():
            from search.spaces.encoders.encoder_space import EncoderSpace

            return EncoderSpace(specification, settings)
        case ComposedSpecification():
            from search.spaces.encoders.composed_space import ComposedSpace

            named = _parts(specification)
            opened = {part: open_space(part, settings) for part in dict.fromkeys(named.values())}
            return ComposedSpace({sense: opened[part] for sense, part in named.items()})


def describe(model: str | None, pretrained: str = "", choice: Choice | None = None) -> Specification:
    """What a person names -> the specification of a space; without a model, the starter."""
    if not model:
        return newest_starter()
    return ClipSpecification(model=model, pretrained=pretrained) if pretrained else _named(model, choice or Choice())


def describe_parts(named: dict[Sense, str], choices: dict[Sense, Choice]) -> Specification:
    """A model for each sense that one is named for; the starter for the others. Raises UsageError."""
    starter = newest_starter()
    parts = {
        sense: _named(named[sense], choices.get(sense, Choice())) if sense in named else starter for sense in Sense
    }
    seen, said, heard = (parts[sense] for sense in (Sense.SEEN, Sense.SAID, Sense.HEARD))
    if isinstance(said, ClipSpecification) or isinstance(heard, ClipSpecification):
        raise UsageError("a model of open_clip can be the part that sees alone: --images")
    if all(part == starter for part in parts.values()):
        return starter
    assert not any(isinstance(part, ComposedSpecification) for part in parts.values())
    return ComposedSpecification(seen=seen, said=said, heard=heard)  # type: ignore[arg-type]


def names_local_files(model: str) -> bool:
    """Does the name mean files of this machine?"""
    from search.spaces.encoders.foreign_weights import is_folder

    name, _, pretrained = model.partition("@")
    return name.startswith(("local-dir:", "/", ".", "~")) or "/" in pretrained or is_folder(model)


def complete(specification: Specification, settings: Settings) -> Specification:
    """Fill in what only the weights can tell; loads them once. Raises SpaceError, UsageError."""
    match specification:
        case StarterSpecification():
            return specification
        case ClipSpecification():
            from search.spaces.clip import inspect_model

            return inspect_model(specification, settings)
        case EncoderSpecification():
            return _wherever_it_can(_learnt(specification, settings))
        case ComposedSpecification():
            learnt = {part: _complete_part(part, settings) for part in dict.fromkeys(_parts(specification).values())}
            parts = {sense: learnt[part] for sense, part in _parts(specification).items()}
            for sense, part in parts.items():
                if isinstance(part, EncoderSpecification) and not _serves(part, sense):
                    raise SpaceError(
                        f"{part.model} can't embed what is {sense.value}: it takes {', '.join(part.takes)}"
                    )
            return ComposedSpecification(**{sense.value: part for sense, part in parts.items()})  # type: ignore[arg-type]


def _parts(specification: ComposedSpecification) -> dict[Sense, Specification]:
    return {Sense.SEEN: specification.seen, Sense.SAID: specification.said, Sense.HEARD: specification.heard}


def _named(name: str, choice: Choice) -> Specification:
    """open_clip's: hf-hub:, local-dir:, a tag after @, or no slash in the name. sentence-transformers': the rest."""
    from search.spaces.encoders.foreign_weights import is_folder

    if name == STARTER:
        return newest_starter()
    model, _, pretrained = name.partition("@")
    of_open_clip = name.startswith(_OF_OPEN_CLIP) or (not is_folder(name) and (bool(pretrained) or "/" not in name))
    if not of_open_clip:
        lies_at = str(Path(name).expanduser().absolute()) if is_folder(name) else name
        return EncoderSpecification(model=lies_at, **structs.asdict(choice))
    if choice != Choice():
        raise UsageError(f"{name} is a model of open_clip: its dimension, prompts, pooling and dtype are fixed")
    if name.startswith(_OF_OPEN_CLIP):
        return ClipSpecification(model=name)
    return ClipSpecification(model=model, pretrained=pretrained)


def _learnt(specification: EncoderSpecification, settings: Settings) -> EncoderSpecification:
    from search.spaces.encoders.encoder import Encoder

    try:
        return Encoder(specification, settings).learnt()
    except SpaceError:
        if specification.dtype:
            raise
        # Some parts of some models can't be computed in half precision.
        return Encoder(structs.replace(specification, dtype="float32"), settings).learnt()


def _complete_part(part: Specification, settings: Settings) -> Specification:
    if isinstance(part, EncoderSpecification):
        return _learnt(part, settings)
    completed = complete(part, settings)
    return structs.replace(completed, companion=None) if isinstance(completed, ClipSpecification) else completed


def _serves(part: EncoderSpecification, sense: Sense) -> bool:
    from search.spaces.encoders.encoder_space import can_take

    return all(can_take(part.takes, signal.input) for signal in sense.signals)


def _wherever_it_can(encoder: EncoderSpecification) -> ComposedSpecification:
    """The starter does what the model can't."""
    starter = newest_starter()
    parts = {sense.value: encoder if _serves(encoder, sense) else starter for sense in Sense}
    if starter in parts.values() and encoder not in parts.values():
        raise SpaceError(f"{encoder.model} takes neither words nor pictures nor sounds")
    return ComposedSpecification(**parts)
