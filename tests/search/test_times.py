"""Times are written in one form, whichever way they leave Medley."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.word_library import WordLibrary

from api.serializers import asset_details
from search.catalog import assets
from search.catalog.database import Database
from search.ranking.hits import asset_view
from search.signals import Signal
from search.times import iso, maybe_iso


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(0, "1970-01-01T00:00:00Z"), (1720949400.75, "2024-07-14T09:30:00Z")],
)
def test_a_time_is_utc_in_whole_seconds(seconds: float, written: str) -> None:
    assert iso(seconds) == maybe_iso(seconds) == written


def test_a_time_that_no_calendar_holds_is_none_or_the_epoch() -> None:
    assert maybe_iso(1e300) is None
    assert iso(1e300) == "1970-01-01T00:00:00Z"


def test_a_hit_and_an_assets_details_name_the_same_time(tmp_path: Path) -> None:
    database = Database.open(f"sqlite:///{tmp_path / 'library.sqlite'}")
    database.migrate()
    passages = [(Signal.IMAGE, "red beach", None, None)]
    asset_id = WordLibrary(database).add("/media/beach.jpg", "image", passages, captured_at=1720949400.75)
    with database.read() as connection:
        record = assets.get_asset(connection, asset_id)
    database.close()
    assert record is not None
    assert record.captured_at is not None
    assert asset_view(record).captured_at == asset_details(record).captured_at == iso(record.captured_at)
