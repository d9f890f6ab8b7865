"""From templates to what a source says and what is asked about it, before anything is drawn or spoken.

Knows documents.toml, statements.toml and what adds to them; knows no layout, no model and no library.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from training.reading.vocabulary import FOLDER, LANGUAGES, Vocabulary

ENGLISH = "en"
_FOREIGN = ("de|", "fr|", "es|")
_SMALL_TALK = 0.5  # share of the sentences that have one before them


class Asked(Struct, frozen=True):
    """A question about one row or statement of a source."""

    text: str
    answer: str  # words that the answering line must hold
    row: int
    language: str = ENGLISH
    anywhere: bool = False  # it makes sense about sources of other kinds, too
    label: str = ""  # beside the answer
    slots: frozenset[str] = frozenset()  # whose values it names


class Document(Struct, frozen=True):
    """What a page holds: a title, and rows of one (a line), two (label and value) or more cells (a table's)."""

    template: str
    style: str
    title: str
    rows: tuple[tuple[str, ...], ...]
    head: tuple[str, ...]  # of a table
    asked: tuple[Asked, ...]
    about: tuple[str, ...] = ()  # what people call that which it is about, in English
    slots: Mapping[str, str] = {}  # what stands for its {slots}


class Spoken(Struct, frozen=True):
    """What somebody says or writes: sentences, and questions whose row is the sentence that answers."""

    templates: tuple[str, ...]
    sentences: tuple[str, ...]
    prompts: tuple[str, ...]  # in a chat, what the other one wrote before each sentence; "" for nothing
    subjects: tuple[str, ...]  # what each sentence is about, in its own words; "" for small talk
    asked: tuple[Asked, ...]


def read_templates(*files: Path) -> dict[str, dict[str, Any]]:
    """Templates by name."""
    return {name: held for file in files for name, held in tomllib.loads(file.read_text("utf-8")).items()}


def documents_file() -> Path:
    """The pages that the reader may learn from, and that libraries to measure with are drawn from as well."""
    return FOLDER / "documents.toml"


def more_files() -> tuple[Path, Path]:
    """Further pages and sentences, for training alone: libraries to measure with keep their share of unseen kinds."""
    return FOLDER / "more_documents.toml", FOLDER / "more_statements.toml"


def own_words_files() -> tuple[Path, Path]:
    """Pages and sentences with questions in people's own words, for training alone."""
    return FOLDER / "own_words.toml", FOLDER / "own_words_said.toml"


def statements_file() -> Path:
    """The sentences that the reader may learn from; as `documents_file`."""
    return FOLDER / "statements.toml"


def make_document(name: str, template: Mapping[str, Any], words: Vocabulary) -> Document:
    """A page of the template, with fresh values, asked about in names that it holds."""
    slots: dict[str, str] = {}
    title = words.fill(words.choose(_title(template)), slots)
    rows, asked = (_table if "columns" in template else _pairs)(template, words, slots)
    head = tuple(template.get("head", ()))
    told = f"{title} {' '.join(' '.join(row) for row in rows)}".lower()
    held = {
        slot: value for slot, value in slots.items() if re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", told)
    }
    # Nothing is drawn for these: what is called by words that were not drawn is not on the page.
    known = [form for form in template.get("about", ()) if slots_of(form) <= set(held)]
    about = tuple(words.fill(form, slots) for form in known)
    told_of = tuple(question for question in asked if question.slots <= set(held))
    return Document(name, template.get("style", "screen"), title, rows, head, told_of, about, held)


def _title(template: Mapping[str, Any]) -> str:
    """Its titles; where questions name what no row does, those that name most of it."""
    rows = template.get("rows", ())
    asked = [*template.get("absent", ()), *(question for row in rows for question in row[2:])]
    named = [text.split("|") for row in rows for text in row[:2]]
    shown = set().union(*(set.intersection(*map(slots_of, forms)) for forms in named))
    lacking = set().union(*map(slots_of, asked)) - shown
    titles = template["title"].split("|")
    most = max(len(lacking & slots_of(title)) for title in titles)
    return "|".join(title for title in titles if len(lacking & slots_of(title)) == most)


def slots_of(text: str) -> set[str]:
    """Names of the {slots} in it; those in other languages ("animal_de") by the English ones."""
    return {slot[:-3] if slot.endswith(LANGUAGES) else slot for slot in re.findall(r"\{(\w+)\}", text)} - {"about"}


def _pairs(
    template: Mapping[str, Any], words: Vocabulary, slots: dict[str, str]
) -> tuple[tuple[tuple[str, ...], ...], list[Asked]]:
    rows: list[tuple[str, ...]] = []
    asked: list[Asked] = []
    for label, value, *questions in template["rows"]:
        shown, held = (words.fill(words.choose(text), slots) for text in (label, value))
        for question in questions:
            about = words.choose("|".join(template.get("about", ("",))))
            asked.append(_asked(question.replace("{about}", about), words, slots, held, len(rows), label=shown))
        rows.append((shown, held) if shown else (held,))
    return tuple(rows), asked


def _table(
    template: Mapping[str, Any], words: Vocabulary, slots: dict[str, str]
) -> tuple[tuple[tuple[str, ...], ...], list[Asked]]:
    rows: list[tuple[str, ...]] = []
    asked: list[Asked] = []
    while len(rows) < template["keys"]:
        cells = tuple(words.fill(column, slots) for column in template["columns"])
        if any(cells[0] == row[0] for row in rows):
            continue
        for cell, questions in zip(cells, template["ask"], strict=True):
            for question in questions:
                key = template["columns"][0].strip("<>")
                if "{about}" in question:
                    question = question.replace("{about}", words.choose("|".join(template["about"])))
                asked.append(_asked(question, words, {**slots, "key": cells[0], key: cells[0]}, cell, len(rows), key))
        rows.append(cells)
    return tuple(rows), asked


def _asked(
    question: str, words: Vocabulary, slots: dict[str, str], answer: str, row: int, key: str = "", label: str = ""
) -> Asked:
    text, language, anywhere = unmarked(question)
    if key:
        text = text.replace("{key_", f"{{{key}_")
    named = frozenset(slots_of(text) - ({"key", key} if key else set()))
    return Asked(words.fill(text, slots), answer, row, language, anywhere, label, named)


def unmarked(question: str) -> tuple[str, str, bool]:
    """A template's question without its marks, its language ("de|"), and whether it makes sense anywhere ("*")."""
    text = question.replace("*", "", 1) if (anywhere := "*" in question[: len("de|*")]) else question
    return (text[3:], text[:2], anywhere) if text.startswith(_FOREIGN) else (text, ENGLISH, anywhere)


def make_spoken(
    names: Sequence[str], templates: Mapping[str, Mapping[str, Any]], words: Vocabulary, random: np.random.Generator
) -> Spoken:
    """Sentences of the templates named, with small talk between them. Each has slots of its own."""
    sentences: list[str] = []
    prompts: list[str] = []
    subjects: list[str] = []
    asked: list[Asked] = []

    def say(sentence: str, prompt: str = "", subject: str = "") -> None:
        sentences.append(sentence)
        prompts.append(prompt)
        subjects.append(subject)

    for name in names:
        template = templates[name]
        if random.random() < _SMALL_TALK:
            say(words.value("filler"))
        slots: dict[str, str] = {}
        said, answer = _said(str(random.choice(template["say"])), words, slots, template.get("answer", ""))
        asked += [_asked(question, words, slots, answer, len(sentences)) for question in template["ask"]]
        before = words.fill(str(random.choice(template.get("before", [""]))), slots)
        say(said, before, max((value for value in slots.values() if value in said), key=len, default=""))
    if random.random() < _SMALL_TALK:
        say(words.value("filler"))
    return Spoken(tuple(names), tuple(sentences), tuple(prompts), tuple(subjects), tuple(asked))


def _said(form: str, words: Vocabulary, slots: dict[str, str], wanted: str) -> tuple[str, str]:
    """The sentence, and what in it answers: the value of the first <slot>, or of the one wanted; all of it without."""
    values: dict[str, str] = {}

    def draw(match: re.Match[str]) -> str:
        values[match[1]] = words.value(match[1])
        return values[match[1]]

    said = words.fill(re.sub(r"<(\w+)>", draw, form), slots)
    said = said[:1].upper() + said[1:]
    if not values:
        return said, said
    answer = values[wanted or next(iter(values))]
    return said, answer if answer in said else answer[:1].upper() + answer[1:]  # it begins the sentence
