"""Measures engines on judged queries, and one against another.

The whole way of a query is measured, as people see its results: vectors, words, calibration, fusion, a second look.
Knows engines only by their `search`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec
import numpy as np
from msgspec import Struct

from search.errors import UsageError
from search.evaluation.judgements import JudgedQuery
from search.evaluation.metrics import (
    Difference,
    Estimate,
    difference,
    estimate,
    estimate_calibration,
    ndcg,
    recall,
)
from search.query.parse import parse_query
from search.results import Query, SearchResult

DEPTH = 10
FEWEST_QUERIES = 2
FEWEST_WRONG = 20  # hits judged wrong: people who say only what is right leave nothing to hold relevances against


class Searches(Protocol):
    """What is measured."""

    def search(self, query: Query, /) -> SearchResult:
        """One ranked page."""


class Evaluation(Struct, frozen=True, kw_only=True):
    """How one ranking does, over all judged queries that have a right answer."""

    name: str
    queries: int
    recall: Estimate  # at `depth`
    ndcg: Estimate
    calibration_error: Estimate | None  # of the judged hits' relevances; lower is better; None: too few judged wrong
    right: int = 0  # judged hits, among the first `depth` of all queries
    wrong: int = 0
    depth: int = DEPTH


class Contrast(Struct, frozen=True, kw_only=True):
    """How much better the second ranking is than the first, query by query."""

    first: str
    second: str
    recall: Difference
    ndcg: Difference


class Measured(Struct, frozen=True):
    """An evaluation, and the values of each query that contrasts need."""

    evaluation: Evaluation
    recalls: tuple[float, ...]
    ndcgs: tuple[float, ...]


def measure(
    name: str,
    engine: Searches,
    judged: Sequence[JudgedQuery],
    depth: int = DEPTH,
    listener: Callable[[int, int], None] = lambda _done, _all: None,
) -> Measured:
    """Ask every judged query that has a right answer. Raises UsageError for fewer than two."""
    queries = answerable(judged)
    recalls, ndcgs, hits = [], [], []
    for number, judgement in enumerate(queries):
        answers = engine.search(_query(judgement.text, depth)).hits
        ranked = [int(hit.asset.id) for hit in answers]
        recalls.append(recall(ranked, judgement.relevant, depth))
        ndcgs.append(ndcg(ranked, judgement.relevant, depth))
        known = [hit for hit in answers if int(hit.asset.id) in judgement.relevant]
        hits.append(
            (
                np.array([hit.relevance for hit in known]),
                np.array([float(judgement.relevant[int(hit.asset.id)] > 0) for hit in known]),
            )
        )
        listener(number + 1, len(queries))
    right = sum(int(rights.sum()) for _, rights in hits)
    wrong = sum(len(rights) for _, rights in hits) - right
    evaluation = Evaluation(
        name=name,
        queries=len(queries),
        recall=estimate(recalls),
        ndcg=estimate(ndcgs),
        calibration_error=estimate_calibration(hits) if wrong >= FEWEST_WRONG else None,
        right=right,
        wrong=wrong,
        depth=depth,
    )
    return Measured(evaluation, tuple(recalls), tuple(ndcgs))


def contrast(first: Measured, second: Measured) -> Contrast:
    """Two measurements on the same judgements."""
    return Contrast(
        first=first.evaluation.name,
        second=second.evaluation.name,
        recall=difference(first.recalls, second.recalls),
        ndcg=difference(first.ndcgs, second.ndcgs),
    )


def answerable(judged: Sequence[JudgedQuery]) -> list[JudgedQuery]:
    """Those that have a right answer. Raises UsageError for fewer than two."""
    queries = [query for query in judged if query.can_be_found]
    if len(queries) < FEWEST_QUERIES:
        raise UsageError(
            f"{len(queries)} judged queries have a right answer, and at least {FEWEST_QUERIES} are needed: say with "
            "the thumbs on the page which hits are right, or name a CSV file of queries and paths (--judgements)"
        )
    return queries


def _query(text: str, depth: int) -> Query:
    # Copies count one by one, because judgements are of files.
    return msgspec.structs.replace(parse_query(text), limit=depth, fold_copies=False)
