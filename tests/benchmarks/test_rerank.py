"""What reranking is fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.rerank import Ranked, _queries, chosen, compared, fitted
from training.photos import Photo


def photo(name: str, *sentences: str) -> Photo:
    return Photo(Path(name), "set", "test", name, None, sentences)


def test_queries_of_a_photo_are_right_for_those_that_are_told_the_same() -> None:
    queries = _queries(
        [
            photo("a.jpg", "A dog runs after a red ball.", "A brown dog runs on the beach."),
            photo("b.jpg", "A cat sleeps on an old green sofa.", "A brown dog that runs is seen."),
            photo("c.jpg", "A bird.", "A bird sings in a tree."),
        ]
    )
    assert queries["captions"] == [
        ("A dog runs after a red ball.", frozenset({"a.jpg"})),
        ("A cat sleeps on an old green sofa.", frozenset({"b.jpg"})),
    ]
    assert queries["three words"][0] == ("brown dog runs", frozenset({"a.jpg", "b.jpg"}))
    assert queries["three words"][2] == ("bird sings tree", frozenset({"c.jpg"}))


def test_a_gain_that_tells_right_from_wrong_gets_a_weight() -> None:
    random = np.random.default_rng(0)
    right = np.arange(20) < 4
    queries = [
        Ranked(retrieval=random.normal(size=20), gains=right * 2.0 + random.normal(size=20), right=right)
        for _ in range(30)
    ]
    for blend in (fitted(queries), chosen(queries)):
        told = compared(queries, blend)
        assert blend.gain > 1
        assert told["ndcg10_after"] > told["ndcg10_before"] + 0.2
