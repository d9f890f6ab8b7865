"""The encoders that `medley spaces create` names, and what is chosen of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from search.errors import UsageError
from search.signals import Sense
from search.spaces import registry
from search.spaces.registry import DTYPES, POOLINGS, Choice
from search.spaces.specification import Specification

SENSES = {"images": Sense.SEEN, "text": Sense.SAID, "sounds": Sense.HEARD}


class NamedModels(NamedTuple):
    """As they stand on the command line."""

    model: str | None = None
    pretrained: str = ""
    images: str | None = None
    text: str | None = None
    sounds: str | None = None


def describe_space(named: NamedModels, chosen: Mapping[str, Sequence[str]]) -> Specification:
    """The specification that options mean; `chosen` holds the values of each. Raises UsageError."""
    by_sense = {sense: model for part, sense in SENSES.items() if (model := getattr(named, part))}
    if named.model and by_sense:
        raise UsageError("name either one model with --model, or one for each with --images, --text and --sounds")
    if any(chosen.values()) and not (named.model or by_sense):
        raise UsageError("dimension, prompts, pooling and dtype are of an encoder: name one with --model or --text")
    if by_sense:
        parts = {sense: part for part, sense in SENSES.items() if sense in by_sense}
        choices = {sense: _choice(chosen, part, list(parts.values())) for sense, part in parts.items()}
        return registry.describe_parts(by_sense, choices)
    return registry.describe(named.model, named.pretrained, _choice(chosen, "", ()))


def _choice(chosen: Mapping[str, Sequence[str]], part: str, parts: Sequence[str]) -> Choice:
    values = {option: _value(option, given, part, parts) for option, given in chosen.items()}
    dimension, pooling, dtype = values.get("dimension"), values.get("pooling"), values.get("dtype")
    if dimension is not None and not (dimension.isdecimal() and int(dimension)):
        raise UsageError(f"--dimension is a number above 0, not {dimension!r}")
    for option, value, known in (("pooling", pooling, POOLINGS), ("dtype", dtype, DTYPES)):
        if value and value not in known:
            raise UsageError(f"--{option} is one of {', '.join(known)}, not {value!r}")
    return Choice(
        dimension=int(dimension or 0),
        query_prompt=values.get("query_prompt"),
        passage_prompt=values.get("passage_prompt"),
        pooling=pooling or "",
        dtype=dtype or "",
    )


def _value(option: str, given: Sequence[str], part: str, parts: Sequence[str]) -> str | None:
    """The last value that was given for the part by name, else the last for all."""
    for_all, for_part = None, None
    for value in given:
        name, equals, rest = value.partition("=")
        if not (equals and name in SENSES):
            for_all = value
        elif name not in parts:
            raise UsageError(f"--{option.replace('_', '-')} {value}: there is no --{name} that it could be for")
        elif name == part:
            for_part = rest
    return for_all if for_part is None else for_part
