"""`medley encode` as a process of its own, and a server that uses it and loads no model."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image
from skimage import data as skimage_data
from sqlalchemy import create_engine, text
from support.processes import environment, medley, running_encoders, running_service
from support.waiting import until

MODEL_LIBRARIES = ("torch", "onnxruntime", "ctranslate2")


def loaded_libraries(process: subprocess.Popen[bytes]) -> set[str]:
    """The libraries of models that a process has mapped."""
    maps = Path(f"/proc/{process.pid}/maps").read_text()
    return {name for name in MODEL_LIBRARIES if re.search(rf"/{name}/|/lib{name}", maps)}


def resident_megabytes(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+)", status)
    assert match
    return int(match[1]) / 1024


@pytest.mark.models
@pytest.mark.slow
def test_a_server_with_encoders_elsewhere_stays_small_and_finds_the_same(home: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("chelsea", "coffee", "rocket"):
        Image.fromarray(getattr(skimage_data, name)()).save(photos / f"{name}.jpg")
    alone = environment(home, speech="false", sound="false", ocr="false")
    assert medley(["index", str(photos)], alone).returncode == 0
    here = json.loads(medley(["search", "a cat", "--json"], alone).stdout)["hits"]
    key = re.findall(
        r"\bmk_\w+|\b[\w-]{40,}\b", medley(["keys", "create", "encoders", "--scope", "read"], alone).stdout
    )[0]
    with running_encoders(alone, tmp_path / "encode.log") as (encoders, encoding):
        url = str(encoders.base_url).rstrip("/")
        assert encoders.get("/v1/models").status_code == 401
        until(lambda: encoders.get("/health/ready").json()["status"] == "ready", 60)
        remote = environment(
            home, speech="false", sound="false", ocr="false", encoder_url=url, encoder_api_key=key,
            encoder_timeout_seconds="20",
        )  # fmt: skip
        with running_service(remote, tmp_path / "serve.log") as (client, serving):
            client.headers["Authorization"] = f"Bearer {key}"

            def found(**query: object) -> list[tuple[str, float]]:
                answer = client.post("/v1/search", json=query)
                assert answer.status_code == 200, answer.text
                return [(hit["asset"]["path"], hit["relevance"]) for hit in answer.json()["hits"]]

            there = found(text="a cat")
            assert [path for path, _ in there] == [hit["asset"]["path"] for hit in here]
            assert np.allclose([score for _, score in there], [hit["relevance"] for hit in here], atol=0.01)
            picture = client.post("/v1/search", files={"image": ("rocket.jpg", (photos / "rocket.jpg").read_bytes())})
            assert picture.json()["hits"][0]["asset"]["path"].endswith("rocket.jpg")
            assert client.get("/health/ready").json()["status"] == "ready"
            assert loaded_libraries(serving) == set()
            assert resident_megabytes(serving) < 450
            assert "torch" in loaded_libraries(encoding)
            print(f"server {resident_megabytes(serving):.0f} MB, encoders {resident_megabytes(encoding):.0f} MB")

            encoding.terminate()
            encoding.wait(30)
            failed = client.post("/v1/search", json={"text": "a dog in the snow"})
            assert failed.status_code == 503
            assert "encoder_url" in failed.json()["detail"]
            assert found(text="a cat") == there, "frequent queries are remembered"
            until(lambda: client.get("/health/ready").status_code == 503, 30)
            with running_encoders(alone, tmp_path / "again.log", port=httpx.URL(url).port or 0):
                until(lambda: client.get("/health/ready").status_code == 200, 60)
                assert found(text="a dog in the snow")


@pytest.mark.models
@pytest.mark.slow
def test_what_another_space_encodes_is_refused_at_start(home: Path, tmp_path: Path) -> None:
    """The catalogue was made by other weights than the encoders have."""
    photo = tmp_path / "cat.jpg"
    Image.fromarray(skimage_data.chelsea()).save(photo)
    mine = environment(home, speech="false", sound="false", ocr="false")
    assert medley(["index", str(photo)], mine).returncode == 0
    engine = create_engine(f"sqlite:///{home / 'medley.sqlite'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE space SET fingerprint = :other"), {"other": "f" * 64})
    engine.dispose()
    with running_encoders(environment(tmp_path / "others"), tmp_path / "encode.log") as (encoders, _):
        until(lambda: encoders.get("/health/ready").json()["status"] == "ready", 60)
        outcome = medley(["search", "a cat"], mine | {"MEDLEY_ENCODER_URL": str(encoders.base_url).rstrip("/")})
        assert outcome.returncode == 1
        assert "was made with other weights or preprocessing" in outcome.stderr
        assert "Traceback" not in outcome.stderr
