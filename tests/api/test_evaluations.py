"""Spaces are measured and tuned over HTTP, by jobs beside searches, as the command line does it."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import pytest
from medley_client import Medley, Problem
from support.service_world import World, running
from support.waiting import until

from api.keys import new_key
from search.arrays import Float32Array
from search.catalog import keys
from search.signals import Signal

# What these people call their things, and what the pictures show.
OWN_WORDS = {"nan": "red", "plot": "green", "boat": "blue"}
DETAILS = [f"n{number}" for number in range(8)]
QUERIES = len(OWN_WORDS) * len(DETAILS)


@pytest.fixture
def judged(world: World, client: httpx.Client) -> httpx.Client:
    """A client of a library of pictures, each judged to be right for a query in its people's own words."""
    for own, colour in OWN_WORDS.items():
        for detail in DETAILS:
            asset = str(world.picture(f"{colour}-{detail}.png", f"{colour} {detail}"))
            client.post("/v1/judgements", json={"query": f"{own} {detail}", "asset": asset}).raise_for_status()
    return client


class Gate:
    """Lets the world's space encode some queries, then none until it is opened."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch, passing: int) -> None:
        self._encode = world.space.embed_query_text
        self._left = passing
        self._reached, self._open = threading.Event(), threading.Event()
        monkeypatch.setattr(world.space, "embed_query_text", self)

    def __call__(self, texts: Sequence[str]) -> Mapping[Signal, Float32Array]:
        self._left -= 1
        if self._left < 0:
            self._reached.set()
            assert self._open.wait(60)
        return self._encode(texts)

    def wait_until_reached(self) -> None:
        assert self._reached.wait(60)

    def open(self) -> None:
        self._open.set()


def key(world: World, scopes: str) -> str:
    made, digest = new_key()
    with world.database.write() as connection:
        keys.create_key(connection, scopes, digest, scopes)
    return made


def begin(client: httpx.Client, path: str, **body: Any) -> dict[str, Any]:
    answer = client.post(path, json=body)
    assert answer.status_code == 202, answer.text
    return dict(answer.json())


def ended(client: httpx.Client, job: Mapping[str, Any]) -> dict[str, Any]:
    def state() -> str:
        return str(client.get(f"/v1/jobs/{job['id']}").json()["state"])

    until(lambda: state() not in ("running", "paused"))
    return dict(client.get(f"/v1/jobs/{job['id']}").json())


def test_a_space_is_measured_by_the_librarys_judgements(judged: httpx.Client) -> None:
    job = begin(judged, "/v1/spaces/words/evaluations", depth=5)
    done = ended(judged, job)
    assert (done["kind"], done["state"], done["done"], done["total"]) == ("evaluate", "done", QUERIES, QUERIES)
    report = judged.get(f"/v1/spaces/words/evaluations/{job['id']}").json()
    (evaluation,) = report["evaluations"]
    assert (evaluation["name"], evaluation["queries"], evaluation["depth"]) == ("words", QUERIES, 5)
    assert evaluation["recall"]["mean"] == 1, "every detail has three pictures"
    assert 0 < evaluation["ndcg"]["low"] <= evaluation["ndcg"]["mean"] < 1
    assert evaluation["calibration_error"] is None, "nothing was judged wrong"
    assert (evaluation["right"] > 0, evaluation["wrong"]) == (True, 0)
    assert report["contrasts"] == []


def test_what_wins_is_used_at_once_and_taken_back_at_once(judged: httpx.Client) -> None:
    """Spaces are measured against one another; here a space against itself, before and after it has learnt."""

    def measured() -> dict[str, Any]:
        job = begin(judged, "/v1/spaces/words/evaluations", others=["words"])
        ended(judged, job)
        return dict(judged.get(f"/v1/spaces/words/evaluations/{job['id']}").json())

    def ndcg() -> float:
        return float(measured()["evaluations"][0]["ndcg"]["mean"])

    before = measured()
    assert before["contrasts"][0]["ndcg"]["mean"] == 0, "a space is as good as itself"
    assert judged.get("/v1/spaces/words/tuning").status_code == 404
    assert judged.delete("/v1/spaces/words/tuning").status_code == 404
    job = begin(judged, "/v1/spaces/words/tunings")
    assert ended(judged, job)["state"] == "done"
    outcome = judged.get(f"/v1/spaces/words/tunings/{job['id']}").json()
    assert outcome["used"], outcome
    assert outcome["gain"]["ndcg"]["low"] > 0
    assert judged.get("/v1/spaces/words/tuning").json() == outcome
    assert ndcg() > before["evaluations"][0]["ndcg"]["mean"] + 0.1
    assert judged.delete("/v1/spaces/words/tuning").status_code == 204
    assert judged.get("/v1/spaces/words/tuning").status_code == 404
    assert ndcg() == before["evaluations"][0]["ndcg"]["mean"]
    assert judged.get(f"/v1/spaces/words/tunings/{job['id']}").json() == outcome, "what came of it is still known"


@pytest.mark.parametrize("way", ["evaluations", "tunings"])
def test_a_job_tells_how_far_it_is_and_is_cancelled(
    world: World, judged: httpx.Client, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    gate = Gate(world, monkeypatch, passing=3)
    job = begin(judged, f"/v1/spaces/words/{way}")
    gate.wait_until_reached()
    running_job = judged.get(f"/v1/jobs/{job['id']}").json()
    assert (running_job["state"], running_job["done"]) == ("running", 3)
    assert running_job["total"] >= QUERIES
    assert judged.post("/v1/search", json={"text": "kind:image"}).json()["hits"], "searches go on meanwhile"
    early = judged.get(f"/v1/spaces/words/{way}/{job['id']}")
    assert early.status_code == 404
    assert "it is running" in early.json()["detail"]
    with Medley(str(judged.base_url)) as medley:
        assert medley.cancel(job["id"]).state == "cancelled"
    gate.open()
    world.service.job_runner.close()
    assert judged.get(f"/v1/jobs/{job['id']}").json()["done"] < QUERIES
    assert "it is cancelled" in judged.get(f"/v1/spaces/words/{way}/{job['id']}").json()["detail"]
    assert judged.get("/v1/spaces/words/tuning").status_code == 404


def test_a_service_that_stops_ends_its_measurements(
    world: World, judged: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(world, monkeypatch, passing=3)
    job = begin(judged, "/v1/spaces/words/evaluations")
    gate.wait_until_reached()
    world.service.stopping.set()
    gate.open()
    world.service.job_runner.close()
    stopped = judged.get(f"/v1/jobs/{job['id']}").json()
    assert stopped["state"] == "cancelled"
    assert "stopped" in stopped["error"]


def test_nothing_is_begun_without_judgements_or_for_spaces_that_are_not_there(
    world: World, client: httpx.Client
) -> None:
    for way in ("evaluations", "tunings"):
        nothing = client.post(f"/v1/spaces/words/{way}", json={})
        assert nothing.status_code == 400
        assert "judged queries have a right answer" in nothing.json()["detail"]
        assert client.post(f"/v1/spaces/nowhere/{way}", json={}).status_code == 404
        assert client.get(f"/v1/spaces/words/{way}/999").status_code == 404
    assert client.post("/v1/spaces/words/evaluations", json={"others": ["nowhere"]}).status_code == 404
    assert client.post("/v1/spaces/words/evaluations", json={"depth": 0}).status_code == 400
    assert client.get("/v1/jobs").json()["items"] == []


def test_results_are_told_only_by_their_own_address(judged: httpx.Client) -> None:
    job = begin(judged, "/v1/spaces/words/evaluations")
    ended(judged, job)
    assert judged.get(f"/v1/spaces/words/tunings/{job['id']}").status_code == 404


def test_learning_needs_an_administrator_and_measuring_a_key_that_may_write(world: World) -> None:
    reads, writes = key(world, "read"), key(world, "read write")
    with running(world.service) as client:

        def status(with_key: str, method: str, path: str) -> int:
            body: dict[str, str] | None = {} if method == "POST" else None
            return client.request(method, path, json=body, headers={"authorization": f"Bearer {with_key}"}).status_code

        assert status(reads, "POST", "/v1/spaces/words/evaluations") == 403
        assert status(writes, "POST", "/v1/spaces/words/evaluations") == 400, "allowed, but nothing was judged"
        assert status(writes, "POST", "/v1/spaces/words/tunings") == 403
        assert status(writes, "DELETE", "/v1/spaces/words/tuning") == 403
        assert status(reads, "GET", "/v1/spaces/words/tuning") == 404


def test_the_client_measures_tunes_and_takes_back(judged: httpx.Client) -> None:
    with Medley(str(judged.base_url)) as medley:
        job = medley.wait_for(medley.evaluate("words", others=["words"], depth=5).id)
        assert job.state == "done"
        report = medley.evaluation("words", job.id)
        assert [evaluation.name for evaluation in report.evaluations] == ["words", "words"]
        assert report.contrasts[0].ndcg.mean == 0
        learnt = medley.wait_for(medley.tune("words").id)
        outcome = medley.tuning_outcome("words", learnt.id)
        assert outcome.used
        assert outcome.gain is not None
        assert outcome.gain.ndcg.low > 0
        medley.untune("words")
        with pytest.raises(Problem, match="as it was made"):
            medley.untune("words")
        asset_id = medley.search("red n1").hits[0].asset.id
        medley.judge("my rose", asset_id, 3)
        assert judged.get("/v1/judgements", params={"query": "my rose"}).json()["items"][0]["relevant"] == 3
