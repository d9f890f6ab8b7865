"""What operators rely on: metrics, logs without personal content, batching, and a stop that loses nothing."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import brotli
import httpx
import msgspec
import numpy as np
import pytest
from support.service_world import World, running

from api.batching import BatchingSpace
from api.monitoring import logs
from api.monitoring.worker_metrics import WorkerMetrics, shown
from indexer.ingest.recorder import Tally
from indexer.ingest.task import StageSeconds
from indexer.ingest.worker import Progress
from search.catalog.records import Counts
from search.settings import Settings
from search.signals import Signal
from search.testing import WordSpace


def samples(client: httpx.Client) -> dict[str, float]:
    lines = client.get("/metrics").text.splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_the_meters_show_requests_searches_and_the_state_of_the_library(world: World, client: httpx.Client) -> None:
    world.picture("a.png", "red")
    client.post("/v1/search", json={"text": "red"})
    client.get("/v1/assets/99")
    client.get("/nothing/here")
    meters = samples(client)
    assert meters['medley_http_requests_total{method="POST",route="/v1/search",status="200"}'] == 1
    assert meters['medley_http_requests_total{method="GET",route="/v1/assets/{asset_id}",status="404"}'] == 1
    assert meters['medley_http_requests_total{method="GET",route="(no route)",status="404"}'] == 1
    assert meters["medley_search_seconds_count"] == 1
    assert meters['medley_assets{state="indexed"}'] == 1
    assert meters['medley_partition_vectors{signal="image",space="words"}'] == 1
    assert meters["medley_resident_bytes"] > 10_000_000
    assert meters["medley_follower_sequence"] == meters["medley_catalogue_sequence"]


def test_no_line_of_the_log_holds_what_people_search_or_own(
    world: World, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    formatter = logs.JsonFormatter()
    world.picture("private-name.png", "red")
    with caplog.at_level(logging.INFO):
        client.post("/v1/search", json={"text": "very private words"}, headers={"x-request-id": "abc-12345"})
        client.get("/v1/assets", params={"path": "*private-name*"})
    lines = [formatter.format(record) for record in caplog.records if record.name.startswith("medley")]
    assert lines
    assert not [line for line in lines if "private" in line]
    entry = json.loads(next(line for line in lines if "/v1/search" in line))
    assert (entry["method"], entry["status"], entry["caller"]) == ("POST", 200, "loopback")


def test_a_log_line_is_one_json_object_whatever_it_says() -> None:
    record = logging.LogRecord("medley.test", logging.ERROR, "", 0, 'line\nbreak "quoted" %s', ("\x1b[31m",), None)
    line = logs.JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["message"] == 'line\nbreak "quoted" \x1b[31m'


def test_long_answers_travel_compressed_and_media_do_not(world: World, client: httpx.Client) -> None:
    for number in range(20):
        world.picture(f"{number}.png", "red")
    for encoding, opened in (("br", brotli.decompress), ("gzip", gzip.decompress)):
        with client.stream("GET", "/v1/assets", headers={"accept-encoding": encoding}) as answer:
            assert answer.headers["content-encoding"] == encoding
            assert len(json.loads(opened(b"".join(answer.iter_raw())))["items"]) == 20
    asset = client.get("/v1/assets").json()["items"][0]["id"]
    content = client.get(f"/v1/assets/{asset}/content", headers={"accept-encoding": "br, gzip"})
    assert "content-encoding" not in content.headers


def test_queries_at_the_same_time_share_calls_of_the_encoder_and_each_gets_its_own_answer() -> None:
    space = WordSpace()
    space.delay_seconds = 0.02
    batching = BatchingSpace(space)
    words = [f"word{number}" for number in range(40)]
    start = threading.Barrier(len(words))

    def ask(word: str) -> np.ndarray:
        start.wait()
        return np.asarray(batching.embed_query_text([word])[Signal.SPEECH][0])

    with ThreadPoolExecutor(len(words)) as threads:
        found = list(threads.map(ask, words))
    assert sum(space.calls) == len(words)
    assert len(space.calls) < len(words) / 4
    space.delay_seconds = 0.0
    for word, vector in zip(words, found, strict=True):
        assert np.array_equal(vector, space.embed_query_text([word])[Signal.SPEECH][0])


def test_a_single_query_waits_for_nobody() -> None:
    space = WordSpace()
    BatchingSpace(space).embed_query_text(["one", "two"])
    assert space.calls == [2]


def test_an_encoder_that_breaks_breaks_every_query_of_its_batch_and_no_later_one() -> None:
    space = WordSpace()
    space.delay_seconds = 0.02
    space.broken = "out of memory"
    batching = BatchingSpace(space)

    def ask(word: str) -> str:
        try:
            batching.embed_query_text([word])
        except RuntimeError as error:
            return str(error)
        return "fine"

    with ThreadPoolExecutor(8) as threads:
        assert set(threads.map(ask, "abcdefgh")) == {"out of memory"}
    space.broken = None
    assert ask("later") == "fine"


def test_another_site_may_use_the_service_only_if_the_settings_name_it(
    settings: Settings, sqlite_url: str, tmp_path: Path
) -> None:
    world = World(msgspec.structs.replace(settings, cors_origins=("https://ours.example",)), sqlite_url, tmp_path / "m")
    with running(world.service) as client:
        asked = {"Origin": "https://ours.example", "Access-Control-Request-Method": "POST"}
        allowed = client.options("/v1/search", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://ours.example"
        ours = client.post("/v1/search", json={"text": "red"}, headers={"Origin": "https://ours.example"})
        assert ours.status_code == 200
        assert ours.headers["access-control-allow-origin"] == "https://ours.example"
        theirs = client.post("/v1/search", json={"text": "red"}, headers={"Origin": "https://evil.example"})
        assert theirs.status_code == 403
        assert (
            "access-control-allow-origin"
            not in client.get("/v1/status", headers={"Origin": "https://evil.example"}).headers
        )


def test_a_worker_tells_prometheus_what_became_of_its_files() -> None:
    metrics = WorkerMetrics()
    tally = Tally(indexed=7, quarantined=2, segments=20)
    metrics(Progress(Counts(), tally, StageSeconds(decode=1.5, encode=4.0), in_flight=3, seconds=5.0))
    with shown(metrics, "127.0.0.1", 0) as port:
        text = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    assert 'medley_worker_files{outcome="indexed"} 7.0' in text
    assert 'medley_worker_files{outcome="quarantined"} 2.0' in text
    assert 'medley_worker_stage_seconds{stage="encode"} 4.0' in text
    assert "medley_worker_in_flight 3.0" in text
