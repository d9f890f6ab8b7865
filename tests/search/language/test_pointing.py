"""The pointer reads the likeliest passages again, and answers are still found where it can't be opened."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import msgspec
import numpy as np
import pytest
from support.language_world import WordPointer, WordReader, embed, spoken

from search.errors import LanguageModelError
from search.language.evidence import Span, spoken_spans
from search.language.span_scoring import FEATURES, MAX_POINTED, SpanScorer

QUESTION = "Who repaired the boat?"
POINTER = FEATURES.index("pointer")
READER = FEATURES.index("reader")


class Pointing:
    """Points at the statements that hold a word; keeps what it was given."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.given: list[tuple[list[list[str]], list[set[int]]]] = []

    def read(
        self, question: str, pages: Sequence[Sequence[str]], wanted: Sequence[Collection[int]]
    ) -> list[np.ndarray]:
        self.given.append(([list(page) for page in pages], [set(rows) for rows in wanted]))
        return [np.array([9.0 if self.word in text else -9.0 for text in page], np.float32) for page in pages]


class Missing(WordPointer):
    """Can't be opened."""

    def read(
        self, question: str, pages: Sequence[Sequence[str]], wanted: Sequence[Collection[int]]
    ) -> list[np.ndarray]:
        raise LanguageModelError("no room to convert the model")


def spans(count: int) -> list[Span]:
    hits = [
        spoken(f"Someone repaired the boat number {number}. Walter did all {number} alone.", f"memo{number}.mp3")
        for number in range(count)
    ]
    numbered = [
        msgspec.structs.replace(
            hit, moments=tuple(msgspec.structs.replace(moment, segment_id=number) for moment in hit.moments)
        )
        for number, hit in enumerate(hits)
    ]
    return spoken_spans(QUESTION, numbered, {})


def test_what_the_pointer_prefers_wins_over_what_shares_words() -> None:
    scorer = SpanScorer(WordReader(), Pointing("Walter"), embed)
    best = scorer.weigh(QUESTION, spans(1))[0]
    assert "Walter" in best.span.words
    assert "boat" in SpanScorer(WordReader(), Pointing("boat"), embed).weigh(QUESTION, spans(1))[0].span.words


def test_only_the_likeliest_passages_are_read_again_and_their_rows_are_named() -> None:
    pointer = Pointing("boat")
    chosen, features = SpanScorer(WordReader(), pointer, embed).candidates(QUESTION, spans(MAX_POINTED + 2))
    ((pages, wanted),) = pointer.given
    assert len(pages) == len(wanted) == MAX_POINTED
    assert all(rows and max(rows) < len(page) for page, rows in zip(pages, wanted, strict=True))
    read = {text for page in pages for text in page}
    for span, row in zip(chosen, features, strict=True):
        if span.words not in read:
            assert row[POINTER] == -8.0
        else:
            assert row[POINTER] == (9.0 if "boat" in span.words else -9.0)


def test_without_the_pointer_the_reader_counts_for_both(caplog: pytest.LogCaptureFixture) -> None:
    scorer = SpanScorer(WordReader(), Missing(), embed)
    for _ in range(2):
        chosen, features = scorer.candidates(QUESTION, spans(3))
        assert len(chosen)
        assert (features[:, POINTER] == features[:, READER]).all()
    assert caplog.text.count("no room to convert the model") == 1
