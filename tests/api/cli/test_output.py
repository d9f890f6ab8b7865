"""What commands print for a person."""

from __future__ import annotations

import pytest
from msgspec import UNSET, UnsetType

from api.cli.output import print_result
from search.results import AssetView, Hit, Kind, Moment, SearchResult, Why
from search.signals import Signal

WHY = (
    Why(signal="speech", score=0.41, relevance=0.8, rank=2),
    Why(signal="words", score=3.5, relevance=0.6, rank=1),
)


def _result(why: tuple[Why, ...] | UnsetType) -> SearchResult:
    asset = AssetView(id="1", path="/media/talk.mp3", kind=Kind.AUDIO)
    moment = Moment(
        segment_id=1,
        signal=Signal.SPEECH,
        start_seconds=3.0,
        end_seconds=8.0,
        text="dog snow car",
        score=0.41,
        relevance=0.8,
        thumbnail="/v1/segments/1/thumbnail",
        why=why,
    )
    hit = Hit(asset=asset, relevance=0.8, moments=(moment,))
    return SearchResult(
        query={},
        hits=(hit,),
        matched=True,
        matching=1,
        confident=True,
        next_cursor=None,
        space="starter",
        took_seconds=0.01,
    )


def test_a_result_that_is_explained_says_how_each_signal_spoke(capsys: pytest.CaptureFixture[str]) -> None:
    print_result(_result(WHY))
    explained = capsys.readouterr().out
    assert "speech 80% (score 0.410, number 2 of its list), words 60% (score 3.500, number 1 of its list)" in explained
    print_result(_result(UNSET))
    assert "because" not in capsys.readouterr().out
