"""`medley saved`: kept, listed, shown, checked and forgotten."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from api.cli import run
from search.settings import Settings
from search.testing import WordSpace, add_asset, open_word_engine


@pytest.fixture
def settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a library of words in the home of the command line."""
    monkeypatch.setenv("MEDLEY_HOME", str(home))
    monkeypatch.setattr("search.active_space.registry.open_space", lambda *_: WordSpace())
    monkeypatch.setattr("search.active_space.specification.decode", lambda stored: stored)
    return Settings.load({}, home=home)


def add(settings: Settings, *names: str) -> None:
    engine = open_word_engine(settings)
    for name in names:
        add_asset(engine, f"/media/{name}.jpg", "image", [("image", name.replace("-", " "), None, None)])
    engine.close()


def test_a_search_is_kept_checked_told_of_and_forgotten(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    add(settings, "red-boat", "blue-boat", *(f"green-{number}" for number in range(6)))
    assert run(["saved", "add", "Reds", "red", "--relevance", "0.98"]) == 0
    said = capsys.readouterr().out
    assert "from a relevance of 0.98 on, and the best file of now has 0." in said
    assert "--relevance" in said
    assert run(["saved", "add", "Boats", "boat", "--relevance", "0.01"]) == 0
    assert capsys.readouterr().out == "Kept as 'Boats'.\n"
    assert run(["saved", "deliveries", "Boats"]) == 0
    assert "no webhook" in capsys.readouterr().out
    assert run(["saved", "show", "Boats", "--limit", "1"]) == 0
    assert "boat" in capsys.readouterr().out
    add(settings, "old-boat")
    assert run(["saved", "check"]) == 0
    assert "1 new file matches" in capsys.readouterr().out
    assert run(["saved", "events", "Boats"]) == 0
    assert "old-boat.jpg" in capsys.readouterr().out
    assert run(["saved", "change", "Reds", "--relevance", "0.2", "--name", "Rots", "--quiet"]) == 0
    capsys.readouterr()
    assert run(["saved", "list", "--json"]) == 0
    items = json.loads(capsys.readouterr().out)["items"]
    assert [(item["name"], item["text"], item["events"]) for item in items] == [
        ("Rots", "red", 0),
        ("Boats", "boat", 1),
    ]
    assert (items[0]["relevance"], items[0]["notify"]) == (0.2, False)
    assert run(["saved", "remove", "Boats"]) == 0
    assert run(["saved", "show", "Boats"]) == 1
