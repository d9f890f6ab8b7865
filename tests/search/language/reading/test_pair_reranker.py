"""Cross-encoders as the second look: small random ones of the architectures that people use."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import tiny_models

from search.errors import LanguageModelError, NotFoundError
from search.language.reading.pair_reranker import PairReranker, load
from search.results import AssetView, Hit, Kind, Moment
from search.settings import Settings
from search.signals import Signal

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.models]


def hit(number: int, relevance: float, text: str | None) -> Hit:
    signal = Signal.SPEECH if text else Signal.IMAGE
    moment = Moment(
        segment_id=number, signal=signal, start_seconds=None, end_seconds=None, text=text, score=0.3,
        relevance=relevance, thumbnail="",
    )  # fmt: skip
    kind = Kind.AUDIO if text else Kind.IMAGE
    return Hit(
        asset=AssetView(id=str(number), path=f"{number}", kind=kind),
        relevance=relevance,
        moments=(moment,),
        copies=("9",),
    )


def picture(asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
    if asset_id == 3:
        raise NotFoundError("away")
    data = io.BytesIO()
    noise = np.random.default_rng(asset_id).integers(0, 256, (40, 60, 3), np.uint8)
    Image.fromarray(noise).save(data, "PNG")
    return data.getvalue()


@pytest.fixture(scope="module")
def words_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_models.save_cross_encoder(tmp_path_factory.mktemp("cross-encoder"))


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As Qwen3-VL-Reranker: how likely the next word is yes."""
    folder = tmp_path_factory.mktemp("qwen")
    return tiny_models.save_seeing_reranker(tiny_models.save_qwen_vl(folder / "base", generates=True), folder / "made")


def opened(folder: Path, home: Path) -> tuple[PairReranker, Settings]:
    settings = Settings.load({}, home=home, device="cpu", reranker=str(folder))
    return PairReranker(settings, picture), settings


def test_hits_are_ordered_by_both_and_probabilities_dealt_out_anew(words_only: Path, home: Path) -> None:
    reranker, settings = opened(words_only, home)
    hits = [
        hit(1, 0.9, "a red cat"),
        hit(2, 0.89, "the beach"),
        hit(3, 0.88, "a blue dog on the beach"),
        hit(4, 0.1, None),
    ]
    reranked = reranker.rerank("a dog", hits)
    assert sorted(one.relevance for one in reranked) == sorted(one.relevance for one in hits)
    assert [one.relevance for one in reranked] == sorted((one.relevance for one in reranked), reverse=True)
    assert reranked[-1].asset.id == "4", "a picture stays where it was: the model reads words alone"
    assert all(one.copies == ("9",) for one in reranked)
    scores = load(settings).predict([("a dog", one.moments[0].text) for one in hits[:3]])
    best_read = hits[int(np.argmax(scores))]
    places = [one.asset.id for one in reranked]
    assert places.index(best_read.asset.id) <= [one.asset.id for one in hits].index(best_read.asset.id)
    assert reranker.rerank("a dog", hits[:1]) == tuple(hits[:1])


def test_texts_get_probabilities_in_their_order(words_only: Path, home: Path) -> None:
    reranker, _ = opened(words_only, home)
    texts = ["a dog", "https://example.org/x.png", "the beach"]
    scores = reranker.score_texts("a dog", texts)
    assert len(scores) == 3
    assert all(0 < one < 1 for one in scores)
    assert reranker.score_texts("a dog", texts[::-1]) == pytest.approx(scores[::-1], abs=1e-4)
    assert reranker.score_texts("a dog", []) == []


def test_a_model_that_sees_reads_pictures_and_words_and_fetches_nothing(seeing: Path, home: Path) -> None:
    reranker, settings = opened(seeing, home)
    assert load(settings).supports("image")
    hits = [hit(1, 0.9, None), hit(2, 0.8, None), hit(3, 0.7, None), hit(4, 0.6, "https://example.org/x.png")]
    reranked = reranker.rerank("https://example.org/query.jpg", hits)
    assert {one.asset.id for one in reranked} == {"1", "2", "3", "4"}
    third = next(one for one in reranked if one.asset.id == "3")
    assert third.relevance == 0.7, "a file that is away keeps its place"
    assert len(reranker.score_texts("a dog", ["a dog", "/etc/passwd.png"])) == 2
    reranker.release()


def test_what_is_no_reranker_is_named(home: Path, tmp_path: Path) -> None:
    for folder in (tmp_path, Path("/nowhere/at/all")):
        reranker, _ = opened(folder, home)
        with pytest.raises(LanguageModelError):
            reranker.score_texts("a", ["b"])
