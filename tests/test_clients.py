"""Other services' clients work against Medley as they are."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from service_world import World
from word_space import DIMENSION


@pytest.fixture
def openai_client(client: httpx.Client) -> Any:
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def data_url(world: World, colour: str) -> str:
    world.picture("picture.png", colour)
    return "data:image/png;base64," + base64.b64encode((world.media / "picture.png").read_bytes()).decode()


def test_openai_lists_the_models(world: World, openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == ["words", "words-text"]
    assert openai_client.models.retrieve("words").owned_by == "medley"


def test_openai_embeds_a_text_and_a_picture_into_one_space(world: World, openai_client: openai.OpenAI) -> None:
    given = ["red", "green", data_url(world, "green")]
    answer = openai_client.embeddings.create(model="words", input=given, encoding_format="float")
    red, green, picture = (np.array(one.embedding) for one in answer.data)
    assert len(red) == DIMENSION
    assert green @ picture > 0.99
    assert red @ picture < 0.5


def test_openai_gets_the_same_vectors_in_base64(world: World, openai_client: openai.OpenAI) -> None:
    plain = openai_client.embeddings.create(model="words", input="red", encoding_format="float")
    packed = openai_client.embeddings.create(model="words", input="red")  # the client's own default is base64
    assert np.allclose(plain.data[0].embedding, packed.data[0].embedding, atol=1e-6)
    raw = openai_client.embeddings.create(model="words", input="red", encoding_format="base64")
    assert np.allclose(np.frombuffer(base64.b64decode(raw.data[0].embedding), "<f4"), plain.data[0].embedding)


def test_openai_is_told_what_is_wrong(world: World, openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="words"):
        openai_client.embeddings.create(model="gpt-9", input="red")
    for nothing in ([], "", ["red", " "], [[1, 2, 3]]):
        with pytest.raises(openai.BadRequestError):
            openai_client.embeddings.create(model="words", input=nothing)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        openai_client.embeddings.create(model="words", input="red", dimensions=7)


def test_rerank_puts_what_fits_first(world: World, client: httpx.Client) -> None:
    body = {
        "query": "a red rose",
        "documents": ["the blue sea", {"text": "rose red"}, "grass"],
        "top_n": 2,
        "return_documents": True,
    }
    answer = client.post("/v1/rerank", json=body).json()
    assert answer["results"][0]["index"] == 1
    assert len(answer["results"]) == 2
    assert answer["results"][0]["document"] == {"text": "rose red"}
    assert 1 >= answer["results"][0]["relevance_score"] > answer["results"][1]["relevance_score"] >= 0


def test_rerank_takes_pictures_too(world: World, client: httpx.Client) -> None:
    body = {"query": "green", "documents": [{"image": data_url(world, "red")}, {"image": data_url(world, "green")}]}
    answer = client.post("/v1/rerank", json=body).json()
    assert answer["results"][0]["index"] == 1


def test_immich_pings_and_embeds_text_and_pictures_alike(world: World, client: httpx.Client) -> None:
    assert client.get("/ping").text == "pong"
    textual = json.dumps({"clip": {"textual": {"modelName": "ViT-B-32__openai", "options": {"language": "en"}}}})
    visual = json.dumps({"clip": {"visual": {"modelName": "ViT-B-32__openai"}}})
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
    ["", "{", "[]", "{}", '{"clip": {}}', '{"facial-recognition": {"detection": {"modelName": "x"}}}', '{"clip": 3}'],
)
def test_immich_is_told_when_it_asks_for_something_else(world: World, client: httpx.Client, entries: str) -> None:
    answer = client.post("/predict", files={"entries": (None, entries), "text": (None, "red")})
    assert answer.status_code == 400


def test_the_reranker_reads_texts_only(client: httpx.Client) -> None:
    body = {"model": "reranker", "query": "red", "documents": [{"image": "x"}]}
    assert client.post("/v1/rerank", json=body).status_code == 400
    assert client.post("/v1/rerank", json=body | {"documents": ["x"] * 101}).status_code == 400
