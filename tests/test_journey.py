"""From a file to an answer, with the real starter and real processes."""

from __future__ import annotations

import json
import os
import signal
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from skimage import data as skimage_data
from support.paths import DEMO_MEDIA as DEMO
from support.processes import environment, medley, running_service, started
from support.waiting import until

#: in which a search must see what another process has indexed
SEEN_SECONDS = 2.0


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("chelsea", "coffee", "rocket"):
        Image.fromarray(getattr(skimage_data, name)()).save(folder / f"{name}.jpg")
    return folder


@pytest.mark.models
@pytest.mark.slow
def test_a_file_that_one_process_indexes_is_found_by_another(home: Path, photos: Path, tmp_path: Path) -> None:
    silent = environment(home, speech="false", sound="false", ocr="false")
    with running_service(silent, tmp_path / "serve.log") as (client, _):

        def found(text: str) -> list[str]:
            hits = client.post("/v1/search", json={"text": text, "limit": 1}).json()["hits"]
            return [Path(hit["asset"]["path"]).name for hit in hits]

        assert found("a cat") == []
        done = medley(["index", str(photos)], silent)
        indexed_at = time.monotonic()
        assert done.returncode == 0, done.stderr
        assert "3 files are searchable" in done.stdout
        until(lambda: found("a cat"), 30)
        # The machine of a test may be busy with others; the promise is for one that is not.
        assert time.monotonic() - indexed_at < SEEN_SECONDS * 5
        assert found("a cat") == ["chelsea.jpg"]
        assert found("a cup of coffee") == ["coffee.jpg"]
        picture = client.post(
            "/v1/search",
            files={"image": ("rocket.jpg", (photos / "rocket.jpg").read_bytes())},
            data={"query": '{"limit": 1}'},
        )
        assert picture.json()["hits"][0]["asset"]["path"].endswith("rocket.jpg")
        assert client.get("/health/ready").json()["status"] == "ready"
    searched = medley(["search", "a rocket", "--json", "--limit", "1"], silent)
    assert json.loads(searched.stdout)["hits"][0]["asset"]["path"].endswith("rocket.jpg")
    again = medley(["index", str(photos)], silent)
    assert "0 new, 0 changed" in again.stdout


@pytest.mark.models
@pytest.mark.slow
def test_the_service_with_its_worker_follows_a_source_and_both_end_well(
    home: Path, photos: Path, tmp_path: Path
) -> None:
    silent = environment(
        home, speech="false", sound="false", ocr="false", allowed_roots=str(photos), settle_seconds="0"
    )
    log = tmp_path / "serve.log"
    with running_service(silent, log, worker=True) as (client, process):

        def counts() -> dict[str, int]:
            return dict(client.get("/v1/status").json()["assets"])

        assert client.post("/v1/sources", json={"root": str(photos)}).status_code == 201
        until(lambda: counts()["indexed"] == 3, 120, log.read_text)
        (photos / "coffee.jpg").rename(photos / "breakfast.jpg")

        def best() -> list[str]:
            return [hit["asset"]["path"] for hit in _hits(client, "a cup of coffee", 1)]

        # A file that is being moved is in no search for a moment.
        until(lambda: best() == [str(photos / "breakfast.jpg")], 120, lambda: (best(), counts(), log.read_text()))
        assert counts()["total"] == 3, "a renamed file is the same asset"
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    assert "Fatal" not in log.read_text()
    assert "Traceback" not in log.read_text()


@pytest.mark.models
@pytest.mark.slow
def test_spoken_words_are_found_at_their_time(home: Path, tmp_path: Path) -> None:
    folder = tmp_path / "spoken"
    folder.mkdir()
    os.link(DEMO / "pancake_recipe.ogg", folder / "pancake_recipe.ogg")
    spoken = environment(home, ocr="false", sound="false")
    assert medley(["index", str(folder)], spoken).returncode == 0
    searched = json.loads(medley(["search", "how to make pancakes", "--signal", "speech", "--json"], spoken).stdout)
    moment = searched["hits"][0]["moments"][0]
    assert moment["signal"] == "speech"
    assert moment["text"]
    assert (
        0 <= moment["start_seconds"] < moment["end_seconds"] <= searched["hits"][0]["asset"]["duration_seconds"] + 0.5
    )


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.postgres
def test_two_services_and_three_workers_share_one_catalogue_while_one_of_them_is_killed(
    tmp_path: Path, postgresql_url: str
) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(60):
        Image.effect_noise((96, 96), 20 + number).convert("RGB").save(folder / f"{number}.png")
    Image.fromarray(skimage_data.chelsea()).save(folder / "chelsea.jpg")
    quick = {"speech": "false", "sound": "false", "ocr": "false", "lease_seconds": "3", "batch_assets": "4"}

    def of(name: str) -> dict[str, str]:
        (tmp_path / name).mkdir()
        return environment(
            tmp_path / name, database_url=postgresql_url, allowed_roots=str(folder), settle_seconds="0", **quick
        )

    with ExitStack() as stack:
        first, _ = stack.enter_context(running_service(of("api1"), tmp_path / "api1.log"))
        second, other = stack.enter_context(running_service(of("api2"), tmp_path / "api2.log"))
        workers = [
            stack.enter_context(started(["worker", "--concurrency", "1"], of(f"w{n}"), tmp_path / f"w{n}.log"))
            for n in range(3)
        ]
        made = first.post("/v1/sources", json={"root": str(folder)})
        assert made.status_code == 201, made.text

        def counts() -> dict[str, int]:
            return dict(second.get("/v1/status").json()["assets"])

        until(lambda: counts()["working"] + counts()["indexed"] > 3, 120, counts)
        workers[0].send_signal(signal.SIGKILL)
        until(lambda: counts()["indexed"] == 61, 180, counts)
        assert counts() == {
            "total": 61, "indexed": 61, "pending": 0, "working": 0, "quarantined": 0, "missing": 0,
        }  # fmt: skip
        for client in (first, second):
            # Each has its own partitions, and no file is there twice.
            until(partial(_has_hits, client, "noise", 61), 30)
            assert _hits(client, "a cat", 1)[0]["asset"]["path"].endswith("chelsea.jpg")
        other.send_signal(signal.SIGTERM)
        assert other.wait(30) == 0
        assert _hits(first, "a cat", 1), "the other service goes on"


def _hits(client: httpx.Client, text: str, limit: int) -> list[dict[str, Any]]:
    return list(client.post("/v1/search", json={"text": text, "limit": limit}).json()["hits"])


def _has_hits(client: httpx.Client, text: str, count: int) -> bool:
    return len(_hits(client, text, count + 1)) == count
