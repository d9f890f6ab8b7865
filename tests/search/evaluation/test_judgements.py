"""Judgements: kept, replaced, read from files, and forgotten with what was learnt from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from search.catalog import assets
from search.catalog.feedback import judgements, tunings
from search.engine import SearchEngine
from search.errors import NotFoundError, UsageError
from search.evaluation.judgements import read_csv, resolve, stored
from search.settings import Settings
from search.testing import add_asset, open_word_engine


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[SearchEngine]:
    opened = open_word_engine(Settings.load({}, home=tmp_path))
    add_asset(opened, "/media/a/one.jpg", "image", [("text", "one", None, None)])
    add_asset(opened, "/media/b/one.jpg", "image", [("text", "another", None, None)])
    add_asset(opened, "/media/b/two.jpg", "image", [("text", "two", None, None)])
    yield opened
    opened.close()


def test_the_latest_word_counts_and_goes_with_its_asset(engine: SearchEngine) -> None:
    with engine.database.write() as connection:
        judgements.judge(connection, " a dog ", 1, 1)
        made = judgements.judge(connection, "a dog", 1, 0)
        judgements.judge(connection, "a dog", 2, 2)
    with engine.database.read() as connection:
        (query,) = stored(connection)
        assert (query.text, dict(query.relevant)) == ("a dog", {1: 0, 2: 2})
        assert made.path == "/media/a/one.jpg"
        assert [one.asset_id for one in judgements.list_judgements(connection, query="a dog")] == [1, 2]
        assert judgements.list_judgements(connection, query="a cat") == []
    with engine.database.write() as connection:
        assets.delete_asset(connection, 2)
        assert judgements.count_judgements(connection) == 1
        judgements.forget_judgement(connection, made.id)
        with pytest.raises(NotFoundError):
            judgements.forget_judgement(connection, made.id)
        with pytest.raises(NotFoundError):
            judgements.judge(connection, "a dog", 99, 1)


def test_a_file_names_assets_by_their_path_or_its_end(engine: SearchEngine, tmp_path: Path) -> None:
    file = tmp_path / "judged.csv"
    lines = [
        "Query,Path,relevance",
        "dog,/media/a/one.jpg,2",
        "dog,two.jpg,0",
        "cat,b/one.jpg,",
        "x,one.jpg,",
        "y,no.jpg,",
    ]
    file.write_text("\n".join(lines), "utf-8-sig")
    with engine.database.read() as connection:
        resolved, unknown = resolve(connection, read_csv(file))
    assert resolved == [("dog", 1, 2), ("dog", 3, 0), ("cat", 2, 1)]
    assert [(row.path, row.line) for row in unknown] == [("one.jpg", 5), ("no.jpg", 6)], "one means two, one none"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        ("a,b\n1,2\n", "query and path"),
        ("", "query and path"),
        ("query,path\ndog,\n", "line 2"),
        ("query,path,relevance\ndog,x.jpg,maybe\n", "relevance"),
        ("query,path,relevance\ndog,x.jpg,9\n", "relevance"),
    ],
)
def test_a_file_that_says_something_else_is_refused_by_name(content: str, what: str, tmp_path: Path) -> None:
    file = tmp_path / "judged.csv"
    file.write_text(content)
    with pytest.raises(UsageError, match=what) as refused:
        read_csv(file)
    assert "judged.csv" in str(refused.value)


def test_a_tuning_is_replaced_and_forgotten(engine: SearchEngine) -> None:
    space = engine.active_space.record.id
    with engine.database.write() as connection:
        tunings.store_tuning(connection, space, b"1", "{}", now=1.0)
        tunings.store_tuning(connection, space, b"2", "{}", now=2.0)
        tuning = tunings.find_tuning(connection, space)
        assert tuning
        assert (tuning.weights, tunings.tuned_at(connection, space)) == (b"2", 2.0)
        assert tunings.forget_tuning(connection, space)
        assert not tunings.forget_tuning(connection, space)
        assert tunings.tuned_at(connection, space) is None
