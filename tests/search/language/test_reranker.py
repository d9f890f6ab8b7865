"""The reranker: a second opinion that is blended in, never one that replaces the first."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from support.language_world import WordModel, embed, pictured, spoken

from search.errors import LanguageModelError, MedleyError
from search.language.picture_captions import PictureReader
from search.language.projector import Projector, ProjectorRecord
from search.language.reranker import MAX_HITS, MAX_LOOKED_AT, Blend, Reranker, RerankerWeights, logit
from search.results import Hit
from search.signals import Signal

EVEN = Blend(retrieval=1.0, gain=2.0, bias=0.0, wins=True)
OFF = Blend(retrieval=1.0, gain=2.0, bias=0.0, wins=False)
WEIGHTS = RerankerWeights(words=EVEN, pictures=OFF, looks=OFF, texts=Blend(retrieval=4.0, gain=1.0, bias=-2.0))


def ones_projector() -> Projector:
    """A picture's vector decides whether its soft tokens are large or nothing."""
    tensors = {
        "widen.weight": np.array([[1.0, 0.0], [0.0, 1.0]]),
        "widen.bias": np.zeros(2),
        "usual": np.zeros(2),
        "narrow": np.array([[0.3] * 8, [0.0] * 8]),
        "typical": np.zeros((0, 2)),
    }
    return Projector(ProjectorRecord(space="s", model="embedded", soft_tokens=1), tensors)


@pytest.fixture
def reranker() -> Reranker:
    model = WordModel()
    return Reranker(model, embed, PictureReader(model, ones_projector()), WEIGHTS)


def test_a_passage_that_speaks_of_the_question_rises(reranker: Reranker) -> None:
    hits = [spoken("The weather is fine.", "a.mp3", 1, 0.6), spoken("The old bridge was opened.", "b.mp3", 2, 0.55)]
    ranked = reranker.rerank("When was the bridge opened?", hits, {})
    assert [hit.asset.path for hit in ranked] == ["b.mp3", "a.mp3"]
    # What a rank is worth stays: whether anything matches was decided by it.
    assert [hit.relevance for hit in ranked] == [0.6, 0.55]
    assert [hit.moments[0].relevance for hit in ranked] == [0.6, 0.55]


def test_a_hit_that_rises_is_no_longer_less_likely(reranker: Reranker) -> None:
    hits = [spoken("The weather is fine.", "a.mp3", 1, 0.6), spoken("The old bridge was opened.", "b.mp3", 2, 0.1)]
    hits[1] = msgspec.structs.replace(hits[1], less_likely=True)
    hits[0] = msgspec.structs.replace(hits[0], relevance=0.15)
    ranked = reranker.rerank("When was the bridge opened?", hits, {})
    assert [(hit.asset.path, hit.less_likely) for hit in ranked] == [("b.mp3", False), ("a.mp3", True)]


def test_pictures_are_judged_by_their_vectors(reranker: Reranker) -> None:
    hits = [pictured("a.jpg", 1, 0.5), pictured("b.jpg", 2, 0.5), pictured("unknown.jpg", 3, 0.5)]
    vectors = {1: np.array([0.0, 1.0], np.float32), 2: np.array([1.0, 0.0], np.float32)}
    ranked = [hit.asset.path for hit in reranker.rerank("a dog", hits, vectors)]
    assert ranked == ["b.jpg", "a.jpg", "unknown.jpg"]  # the last has no vector: it stays where it was


DESCRIBED = "a brown dog runs on a beach"


class Eyes:
    """Finds that what is named like the words fits them."""

    def __init__(self, problem: MedleyError | None = None) -> None:
        self.looked_at: list[str] = []
        self._problem = problem

    def fits(self, words: str, hits: Sequence[Hit]) -> dict[int, float]:
        if self._problem:
            raise self._problem
        self.looked_at = [hit.asset.path for hit in hits]
        names = [hit.asset.path.removesuffix(".jpg") for hit in hits]
        return {place: float(name == words) for place, name in enumerate(names) if name != "gone"}


def looking(eyes: Eyes) -> Reranker:
    model = WordModel()
    return Reranker(model, embed, PictureReader(model, ones_projector()), WEIGHTS, eyes)


def alike(*paths: str) -> tuple[list[Hit], dict[int, np.ndarray]]:
    hits = [pictured(path, number, 0.5) for number, path in enumerate(paths, start=1)]
    return hits, {number: np.array([0.0, 1.0], np.float32) for number in range(1, len(paths) + 1)}


def test_what_a_query_describes_is_looked_at() -> None:
    hits, vectors = alike("cat.jpg", "gone.jpg", "a brown dog runs on a beach.jpg")
    ranked = [hit.asset.path for hit in looking(Eyes()).rerank(DESCRIBED, hits, vectors)]
    # What can't be opened stays where it was.
    assert ranked == ["a brown dog runs on a beach.jpg", "gone.jpg", "cat.jpg"]


def test_what_is_no_description_needs_no_look() -> None:
    eyes = Eyes()
    hits, vectors = alike("a.jpg", "b.jpg")
    for words in ("dog", "brown dog beach"):
        looking(eyes).rerank(words, hits, vectors)
    assert eyes.looked_at == []


def test_only_pictures_are_looked_at_and_not_too_many() -> None:
    eyes = Eyes()
    hits, vectors = alike(*(f"{number}.jpg" for number in range(MAX_LOOKED_AT + 5)))
    heard = msgspec.structs.replace(hits[0].moments[0], signal=Signal.SOUND)
    hits[0] = msgspec.structs.replace(hits[0], moments=(heard,))
    ranked = looking(eyes).rerank(DESCRIBED, hits, vectors)
    assert eyes.looked_at == [f"{number}.jpg" for number in range(1, MAX_LOOKED_AT + 1)]
    assert list(ranked)[-4:] == hits[-4:]


def test_eyes_that_fail_leave_the_rest(caplog: pytest.LogCaptureFixture) -> None:
    hits, vectors = alike("a.jpg", "b.jpg")
    ranked = looking(Eyes(LanguageModelError("the adapter is broken"))).rerank(DESCRIBED, hits, vectors)
    assert [hit.asset.path for hit in ranked] == ["a.jpg", "b.jpg"]
    assert "the adapter is broken" in caplog.text


def test_by_default_only_signals_where_it_wins_are_touched(reranker: Reranker) -> None:
    hits = [pictured("a.jpg", 1, 0.5), pictured("b.jpg", 2, 0.5)]
    vectors = {1: np.array([0.0, 1.0], np.float32), 2: np.array([1.0, 0.0], np.float32)}
    assert reranker.rerank("a dog", hits, vectors, only_wins=True) == tuple(hits)
    assert reranker.rerank("a dog", hits, vectors) != tuple(hits)


def test_what_was_not_looked_at_stays_below_in_its_order(reranker: Reranker) -> None:
    hits = [spoken(f"talk {n}", f"{n}.mp3", n, 0.9 - n / 1000) for n in range(MAX_HITS + 3)]
    ranked = reranker.rerank("bridge", hits, {})
    assert [hit.asset.path for hit in ranked[-3:]] == [f"{n}.mp3" for n in range(MAX_HITS, MAX_HITS + 3)]
    relevance = [hit.relevance for hit in ranked]
    assert relevance == sorted(relevance, reverse=True)


def test_no_hits_and_no_scores_change_nothing(reranker: Reranker) -> None:
    assert reranker.rerank("bridge", [], {}) == ()
    remote = Reranker(WordModel(name="openai:m", scores=False), embed, weights=WEIGHTS)
    hits = (spoken("The bridge.", segment_id=1), spoken("No.", segment_id=2))
    assert remote.rerank("bridge", hits, {}) == hits


def test_plain_texts_are_scored_in_the_order_given(reranker: Reranker) -> None:
    texts = ["Bread needs flour.", "The bridge was opened in May.", ""]
    scores = reranker.score_texts("the bridge", texts)
    assert len(scores) == 3
    assert max(scores) == scores[1]
    assert all(0 <= score <= 1 for score in scores)
    assert reranker.score_texts("the bridge", []) == []


def test_certainty_has_finite_odds() -> None:
    assert np.isfinite(logit(np.array([0.0, 0.5, 1.0]))).all()


def test_the_shipped_weights_are_read() -> None:
    assert len(Reranker(WordModel(), embed).score_texts("bread", ["Bread needs flour.", "No."])) == 2
