"""Questions that a page or memo nearly answers: about another key of its table, another subject, another fact.

Texts alone: whether anything else answers them is for those who ask to know. Knows templates and lists of words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from training.reading.templates import ENGLISH, Asked, Document, Spoken, unmarked

Lists = Mapping[str, Sequence[str]]


def absent(document: Document, template: Mapping[str, Any], random: np.random.Generator) -> list[str]:
    """What pages of this kind never tell, asked of what this one is about."""
    called = str(random.choice(document.about)) if document.about else ""
    texts = []
    for question in template.get("absent", ()):
        text = unmarked(question)[0].replace("{about}", called)
        for slot, value in document.slots.items():
            text = text.replace(f"{{{slot}}}", value)
        if "{" not in text:  # else it asks of something that this one does not name
            texts.append(text)
    return texts


def other_keys(document: Document, lists: Lists, random: np.random.Generator) -> Iterator[str]:
    """Of a table: questions about rows that a table of this kind could have and this one has not."""
    keys = [row[0] for row in document.rows if document.head]
    for asked in document.asked if keys else ():
        yield from _of_another(asked, keys[asked.row], keys, lists, random)


def other_subjects(spoken: Spoken, lists: Lists, random: np.random.Generator) -> Iterator[str]:
    """What is told, asked of subjects that it is not told of."""
    for asked in spoken.asked:
        yield from _of_another(asked, spoken.subjects[asked.row], spoken.subjects, lists, random)


def swapped_subjects(spoken: Spoken, lists: Lists) -> Iterator[str]:
    """What is told of one, asked of another that something else is told of: both are there, the answer is not."""
    for asked in spoken.asked:
        subject = spoken.subjects[asked.row]
        words = next((words for words in lists.values() if subject in words), ())
        others = [other for other in dict.fromkeys(spoken.subjects) if other in words and other != subject]
        if asked.language == ENGLISH and subject and subject in asked.text:
            yield from (asked.text.replace(subject, other) for other in others)


def other_facts(spoken: Spoken, templates: Mapping[str, Mapping[str, Any]], lists: Lists) -> Iterator[str]:
    """What sentences of other templates tell, asked of these subjects. `also` names templates that tell as much."""
    told = {*spoken.templates, *(other for name in spoken.templates for other in templates[name].get("also", ()))}
    others = [template for name, template in templates.items() if name not in told]
    marked = [unmarked(text) for template in others for text in template["ask"]]
    asked = [text for text, language, anywhere in marked if language == ENGLISH and not anywhere]
    for subject in filter(None, dict.fromkeys(spoken.subjects)):
        slots = [[name] for name, words in lists.items() if subject in words]
        yield from (re.sub(r"\{\w+\}", subject, text) for text in asked if re.findall(r"\{(\w+)\}", text) in slots)


def _of_another(
    asked: Asked, subject: str, known: Sequence[str], lists: Lists, random: np.random.Generator
) -> Iterator[str]:
    """The question about another word of the subject's list, where the question names the subject."""
    words = next((words for words in lists.values() if subject in words), [])
    others = [word for word in words if word not in known]
    if asked.language == ENGLISH and subject in asked.text and others:
        yield asked.text.replace(subject, str(random.choice(others)))
