"""What the reader and the pointer learn from and are examined in: the same templates, words and captions.

Knows the files; knows no model.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import numpy as np

from training.reading import templates
from training.reading.captions import read_captions
from training.reading.forms import read_attributes
from training.reading.lessons import Lesson, Teacher
from training.reading.vocabulary import FOLDER, Vocabulary, read_words, taught_words

CAPTIONS = 60_000
EXAMINED = 400  # lessons of each sort
HELD_OUT = ("validation_documents.toml", "validation_statements.toml", "validation_own_words.toml")
TeacherT = TypeVar("TeacherT", bound=Teacher)


def open_curriculum(
    kind: type[TeacherT], data: Path, random: np.random.Generator
) -> tuple[TeacherT, dict[str, list[Lesson]]]:
    """A teacher of all that may be taught, and lessons about kinds that are not, by what they show."""
    captions = read_captions(data / "text" / "captions.txt.gz", CAPTIONS, random)
    more_documents, more_statements = templates.more_files()
    own_words, own_words_said = templates.own_words_files()
    statements = templates.read_templates(templates.statements_file(), more_statements, own_words_said)
    vocabulary = Vocabulary(taught_words(), random)
    teacher = kind(
        templates.read_templates(templates.documents_file(), more_documents),
        statements,
        vocabulary,
        captions,
        random,
        read_attributes(),
        templates.read_templates(own_words),
    )
    unseen, unseen_said, unseen_own = (templates.read_templates(FOLDER / name) for name in HELD_OUT)
    examiner = np.random.default_rng(1)
    words = Vocabulary(read_words(FOLDER / "words.toml", FOLDER / "validation_words.toml"), examiner)
    return teacher, {
        "unseen kinds": kind(unseen, unseen_said, words, captions, examiner).lessons(EXAMINED),
        "in own words": kind(unseen_own, statements, vocabulary, captions, examiner).of_pages(EXAMINED),
    }
