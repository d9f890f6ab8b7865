"""Judgements over HTTP and on the command line: said, shown, measured by, learnt from, taken back."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from support.service_world import World

from api.cli import run
from search.catalog.database import Database
from search.catalog.feedback import tunings
from search.engine import SearchEngine
from search.settings import Settings
from search.spaces import query_maps
from search.spaces.query_maps import Tuning
from search.testing import WordSpace, add_asset, open_word_engine


def test_hits_are_judged_and_judgements_taken_back(world: World, client: httpx.Client) -> None:
    rose = str(world.picture("rose.png", "red"))
    leaf = str(world.picture("leaf.png", "green"))
    said = client.post("/v1/judgements", json={"query": "my flower", "asset": rose})
    assert said.status_code == 200, said.text
    assert said.json()["path"].endswith("rose.png")
    assert said.json()["relevant"] == 1
    client.post("/v1/judgements", json={"query": "my flower", "asset": leaf, "relevant": 0})
    client.post("/v1/judgements", json={"query": "else", "asset": leaf})
    again = client.post("/v1/judgements", json={"query": "my flower", "asset": rose, "relevant": 2}).json()
    answer = client.get("/v1/judgements", params={"query": "my flower"}).json()["items"]
    assert {(item["asset_id"], item["relevant"]) for item in answer} == {(rose, 2), (leaf, 0)}
    assert client.delete(f"/v1/judgements/{again['id']}").status_code == 204
    assert client.delete(f"/v1/judgements/{again['id']}").status_code == 404
    first = client.get("/v1/judgements", params={"limit": 1}).json()
    assert len(first["items"]) == 1
    assert len(client.get("/v1/judgements", params={"cursor": first["next_cursor"]}).json()["items"]) == 1
    assert client.delete("/v1/judgements/all").status_code == 204
    assert client.get("/v1/judgements").json()["items"] == []


def test_a_judgement_names_what_is_wrong_with_it(world: World, client: httpx.Client) -> None:
    assert client.post("/v1/judgements", json={"query": "x", "asset": "999"}).status_code == 404
    rose = str(world.picture("rose.png", "red"))
    for wrong in ({"query": "", "asset": rose}, {"query": "x", "asset": rose, "relevant": 7}, {"query": "x"}):
        assert client.post("/v1/judgements", json=wrong).status_code == 400
    assert client.post("/v1/judgements", json={"query": "x" * 5000, "asset": rose}).status_code == 400


def test_forgetting_all_forgets_what_was_learnt_from_them(world: World, client: httpx.Client) -> None:
    space = world.engine.active_space.record.id
    with world.database.write() as connection:
        tunings.store_tuning(connection, space, query_maps.encode(Tuning(reranker="x")), "{}")
    client.delete("/v1/judgements/all")
    with world.database.read() as connection:
        assert tunings.find_tuning(connection, space) is None


@pytest.fixture
def library(home: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Pictures that the words red, green and blue find, in the home of the command line."""
    monkeypatch.setenv("MEDLEY_HOME", str(home))
    # The command line opens spaces by the registry: here they are all of words.
    monkeypatch.setattr("search.active_space.registry.open_space", lambda *_: WordSpace())
    monkeypatch.setattr("search.active_space.specification.decode", lambda stored: stored)
    engine: SearchEngine = open_word_engine(Settings.load({}, home=home))
    for colour in ("red", "green", "blue"):
        for number in range(8):
            add_asset(engine, f"/media/{colour}-{number}.jpg", "image", [("image", f"{colour} n{number}", None, None)])
    engine.close()
    return Database.open(Settings.load({}, home=home))


def judged_file(folder: Path) -> Path:
    own = {"nan": "red", "plot": "green", "boat": "blue"}
    lines = [f"{word} n{number},{colour}-{number}.jpg" for number in range(8) for word, colour in own.items()]
    file = folder / "judged.csv"
    file.write_text("\n".join(["query,path", *lines, "gone,nowhere.jpg"]))
    return file


def test_spaces_are_measured_tuned_and_untuned_from_the_command_line(
    library: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(judged_file(tmp_path))
    assert run(["eval"]) == 2
    assert "thumbs" in capsys.readouterr().err
    assert run(["eval", "--judgements", file]) == 0
    shown = capsys.readouterr()
    assert "nDCG@10" in shown.out
    assert "24 queries" in shown.out
    assert "nowhere.jpg" in shown.err
    assert run(["judgements", "import", file]) == 0
    assert run(["judgements", "list", "--json"]) == 0
    text = capsys.readouterr().out
    assert len(json.loads(text[text.index("{") :])["items"]) == 24
    assert run(["spaces", "tune", "words", "--json"]) == 0
    outcome = json.loads(capsys.readouterr().out)
    assert outcome["used"], outcome
    assert run(["eval", "words", "words", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["evaluations"][0]["ndcg"]["mean"] > outcome["before"]["ndcg"]["mean"]
    assert report["contrasts"][0]["ndcg"]["mean"] == 0
    assert run(["spaces", "untune", "words"]) == 0
    assert run(["spaces", "untune", "words"]) == 0
    assert "was not tuned" in capsys.readouterr().out
    assert run(["spaces", "tune", "words"]) == 0
    assert "Used: it wins" in capsys.readouterr().out
    assert run(["judgements", "clear"]) == 0
    assert "learnt from them" in capsys.readouterr().out
    with library.read() as connection:
        assert tunings.find_tuning(connection, 1) is None
