"""Immich's server gets vectors that fit its column, and refusals that it understands.

Its machine-learning client takes any status but 2xx for a server that is ill, and reads its result under the name of
the task; both were read in its source (server/src/repositories/machine-learning.repository.ts).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import httpx
import numpy as np
import pytest
from support.pictures import data_url
from support.service_world import World, running

from api.service import Service
from search.arrays import Float32Array
from search.catalog import spaces
from search.catalog.records import SpaceRecord
from search.signals import Signal
from search.spaces import specification
from search.spaces.space import Space
from search.spaces.specification import StarterSpecification
from search.testing import DIMENSION, WordSpace


class WideSpace(WordSpace):
    """As wide as ViT-B-32."""

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        return dict.fromkeys(Signal, 512)

    def embed_query_text(self, texts: Any) -> dict[Signal, Float32Array]:
        return {
            signal: np.pad(rows, ((0, 0), (0, 512 - DIMENSION)))
            for signal, rows in super().embed_query_text(texts).items()
        }


def asked(kind: str, model: str = "words") -> str:
    return json.dumps({"clip": {kind: {"modelName": model, "options": {"language": "en"}}}})


def test_immich_pings_and_embeds_text_and_pictures_alike(world: World, client: httpx.Client) -> None:
    assert client.get("/ping").text == "pong"
    textual = json.dumps({"clip": {"textual": {"modelName": "words", "options": {"language": "en"}}}})
    visual = json.dumps({"clip": {"visual": {"modelName": "words"}}})
    world.picture("leaf.png", "green")
    text = client.post("/predict", files={"entries": (None, textual), "text": (None, "green")})
    assert text.status_code == 200, text.text
    leaf = (world.media / "leaf.png").read_bytes()
    picture = client.post("/predict", files={"entries": (None, visual), "image": ("blob", leaf)})
    assert picture.status_code == 200, picture.text
    assert set(picture.json()) == {"clip", "imageHeight", "imageWidth"}
    vectors = [np.array(json.loads(answer.json()["clip"])) for answer in (text, picture)]
    assert vectors[0] @ vectors[1] > 0.99


@pytest.mark.parametrize(
    "entries",
    ["", "{", "[]", "{}", '{"clip": {}}', '{"clip": 3}'],
)
def test_immich_is_told_when_it_asks_for_something_else(world: World, client: httpx.Client, entries: str) -> None:
    answer = client.post("/predict", files={"entries": (None, entries), "text": (None, "red")})
    assert answer.status_code == 400


def test_immich_gets_no_vector_of_another_width(client: httpx.Client) -> None:
    answer = client.post(
        "/predict", files={"entries": (None, asked("textual", "ViT-B-32__openai")), "text": (None, "red")}
    )
    assert answer.status_code == 409
    for told in ("512", str(DIMENSION), "medley spaces create"):
        assert told in answer.json()["detail"]
    unknown = client.post("/predict", files={"entries": (None, asked("textual", "new__model")), "text": (None, "red")})
    assert unknown.status_code == 409


def test_immich_gets_the_vectors_of_another_space_where_that_fits(world: World) -> None:
    """The active space has the wrong width, one beside it has the right one."""
    with world.database.write() as connection:
        spaces.create_space(connection, "wide", specification.encode(StarterSpecification()), "wide")

    def open_space(record: SpaceRecord) -> Space:
        return WideSpace() if record.name == "wide" else world.space

    service = Service(world.settings, world.engine, open_space)
    with running(service) as client:
        for model in ("ViT-B-32__openai", "immich-app/ViT-B-32::openai"):
            answer = client.post("/predict", files={"entries": (None, asked("textual", model)), "text": (None, "red")})
            assert answer.status_code == 200, answer.text
            assert len(json.loads(answer.json()["clip"])) == 512


@pytest.mark.parametrize(
    "task",
    [
        {"facial-recognition": {"detection": {"modelName": "buffalo_l"}, "recognition": {"modelName": "buffalo_l"}}},
        {"ocr": {"detection": {"modelName": "PP-OCRv5_mobile"}, "recognition": {"modelName": "PP-OCRv5_mobile"}}},
    ],
)
def test_other_tasks_are_refused_without_making_the_server_ill(client: httpx.Client, task: dict[str, Any]) -> None:
    """A good status keeps the server healthy; the missing result fails the job, so that nothing false is kept."""
    picture = base64.b64decode(data_url("red").partition(",")[2])
    answer = client.post("/predict", files={"entries": (None, json.dumps(task)), "image": ("blob", picture)})
    assert answer.status_code == 200
    assert "switch it off" in answer.json()["error"]
    assert not set(answer.json()) & set(task)
