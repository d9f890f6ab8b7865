"""Forms of many kinds: pages of rows whose values are alike, and questions about rows that were left out.

Knows attributes.toml; knows no layout, no model and no library.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

import numpy as np
from msgspec import Struct

from training.reading.templates import Asked, Document
from training.reading.vocabulary import FOLDER, Vocabulary

_ALIKE = (3, 8)  # rows of the one list that a form has most rows of
_OTHERS = (1, 5)
_STYLES = ("screen", "screen", "screen", "receipt")


class Form(Struct, frozen=True):
    """A page, and questions about rows that it could have."""

    document: Document
    lacking: tuple[str, ...]  # most of them have rows with values alike beside them


def read_attributes() -> dict[str, Any]:
    """Lists of rows by name, and under `about` titles with what people call the thing."""
    return tomllib.loads((FOLDER / "attributes.toml").read_text("utf-8"))


def make_form(attributes: Mapping[str, Any], words: Vocabulary, random: np.random.Generator) -> Form:
    """A form with fresh values."""
    slots: dict[str, str] = {}
    titles, *called = attributes["about"][random.integers(len(attributes["about"]))]
    about = tuple(words.fill(form, slots) for form in called)
    names = [str(name) for name in random.permutation([name for name in attributes if name != "about"])]
    alike = _drawn(attributes[names[0]], words, random)
    others = [row for name in names[1:] for row in _drawn(attributes[name], words, random)[:1]]
    many, more = int(random.integers(*_ALIKE)), int(random.integers(*_OTHERS))
    kept = [*alike[:many], *others[:more]]
    kept = [kept[i] for i in random.permutation(len(kept))]
    asked = [
        Asked(question.replace("{about}", str(random.choice(about))), value, row)
        for row, (_, value, questions) in enumerate(kept)
        for question in questions
    ]
    lacking = [*alike[many:], *others[more : more + 2]]
    document = Document(
        "form",
        str(random.choice(_STYLES)),
        words.fill(words.choose(titles), slots),
        tuple((label, value) for label, value, _ in kept),
        (),
        tuple(asked),
        about,
    )
    texts = [str(random.choice(questions)).replace("{about}", str(random.choice(about))) for _, _, questions in lacking]
    return Form(document, tuple(texts))


def _drawn(
    listed: Mapping[str, Any], words: Vocabulary, random: np.random.Generator
) -> list[tuple[str, str, list[str]]]:
    """The list's rows in any order: label, value, questions."""
    rows = [listed["rows"][i] for i in random.permutation(len(listed["rows"]))]
    return [
        (words.choose(labels), words.fill(str(random.choice(listed["values"])), {}), questions)
        for labels, *questions in rows
    ]
