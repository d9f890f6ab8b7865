"""Cohere's client, both versions of its interface, and what else asks for a ranking work as they are."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import cohere
import httpx
import numpy as np
import pytest
from support.pictures import data_url
from support.service_world import World

from search.testing import DIMENSION

DOCUMENTS = ["the blue sea", "a rose so red", "grass"]


@pytest.fixture
def cohere_client(client: httpx.Client) -> Iterator[cohere.ClientV2]:
    with httpx.Client() as connection:
        yield cohere.ClientV2("unused", base_url=str(client.base_url).rstrip("/"), httpx_client=connection)


@pytest.fixture
def older_client(client: httpx.Client) -> Iterator[cohere.Client]:
    with httpx.Client() as connection:
        yield cohere.Client("unused", base_url=str(client.base_url).rstrip("/"), httpx_client=connection)


def test_cohere_ranks(cohere_client: cohere.ClientV2) -> None:
    answer = cohere_client.rerank(model="words", query="a red rose", documents=DOCUMENTS, top_n=2)
    assert answer.results[0].index == 1
    assert len(answer.results) == 2
    assert answer.results[0].relevance_score > answer.results[1].relevance_score


def test_the_older_cohere_ranks_and_gets_the_documents_back(older_client: cohere.Client) -> None:
    answer = older_client.rerank(model="words", query="a red rose", documents=DOCUMENTS, return_documents=True)
    assert answer.results[0].document is not None
    assert answer.results[0].document.text == DOCUMENTS[1]


def test_cohere_lists_the_models(cohere_client: cohere.ClientV2) -> None:
    assert [model.name for model in cohere_client.models.list().models] == ["words", "words-text"]
    assert cohere_client.models.get("words").endpoints == ["embed", "rerank"]


def test_cohere_embeds_texts_pictures_and_both_together(cohere_client: cohere.ClientV2) -> None:
    def embedded(**sent: object) -> np.ndarray:
        answer = cohere_client.embed(
            model="words",
            input_type="search_query",
            embedding_types=["float"],
            **sent,  # type: ignore[arg-type]
        )
        return np.array(answer.embeddings.float_)

    (green,) = embedded(texts=["green"])
    (leaf,) = embedded(images=[data_url("green")])
    parts = [{"type": "text", "text": "green"}, {"type": "image_url", "image_url": {"url": data_url("red")}}]
    (both,) = embedded(inputs=[{"content": parts}])
    assert green @ leaf > 0.99
    assert green @ both == pytest.approx(np.sqrt(0.5), abs=0.01)


def test_cohere_gets_every_kind_of_number(cohere_client: cohere.ClientV2) -> None:
    kinds = ["float", "int8", "uint8", "binary", "ubinary", "base64"]
    answer = cohere_client.embed(
        model="words-text", input_type="search_document", texts=["red", "blue"], embedding_types=kinds
    ).embeddings
    exact = np.array(answer.float_)
    assert np.abs(np.array(answer.int8) / 127 - exact).max() < 0.01
    assert (np.array(answer.uint8) - 128).tolist() == np.array(answer.int8).tolist()
    bits = np.unpackbits(np.array(answer.ubinary, np.uint8), axis=1)
    assert (bits == (exact > 0)).all()
    assert (np.array(answer.binary) + 128).tolist() == np.array(answer.ubinary).tolist()
    assert np.allclose(np.frombuffer(base64.b64decode((answer.base64 or [""])[0]), "<f4"), exact[0])


def test_the_older_cohere_embeds_many_texts_in_batches(older_client: cohere.Client) -> None:
    answer = older_client.embed(model="words-text", texts=[f"number {n}" for n in range(100)])
    assert isinstance(answer, cohere.EmbeddingsFloatsEmbedResponse)
    assert np.array(answer.embeddings).shape == (100, DIMENSION)


def test_cohere_is_told_what_is_wrong(cohere_client: cohere.ClientV2) -> None:
    with pytest.raises(cohere.NotFoundError, match="there is no model"):
        cohere_client.rerank(model="rerank-v3.5", query="red", documents=DOCUMENTS)
    with pytest.raises(cohere.BadRequestError, match="dimensions"):
        cohere_client.embed(model="words", input_type="search_query", texts=["red"], output_dimension=7)
    with pytest.raises(cohere.BadRequestError, match="one of texts, images and inputs"):
        cohere_client.embed(model="words", input_type="search_query", texts=[])


def test_every_path_of_ranking_answers_alike(client: httpx.Client) -> None:
    body = {"query": "a red rose", "documents": DOCUMENTS}
    answers = [client.post(path, json=body).json()["results"] for path in ("/v1/rerank", "/v2/rerank", "/rerank")]
    assert answers[0] == answers[1] == answers[2]


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
    body = {"query": "green", "documents": [{"image": data_url("red")}, {"image": data_url("green")}]}
    answer = client.post("/v1/rerank", json=body).json()
    assert answer["results"][0]["index"] == 1


def test_rerank_compares_with_a_picture(client: httpx.Client) -> None:
    query = {"content": [{"type": "image_url", "image_url": {"url": data_url("green")}}]}
    body = {"query": query, "documents": ["red", "green", {"image": data_url("green")}]}
    answer = client.post("/v1/rerank", json=body).json()
    assert {result["index"] for result in answer["results"][:2]} == {1, 2}
    assert client.post("/v1/rerank", json=body | {"model": "reranker"}).status_code == 400


def test_the_reranker_reads_texts_only(client: httpx.Client) -> None:
    body = {"model": "reranker", "query": "red", "documents": [{"image": "x"}]}
    assert client.post("/v1/rerank", json=body).status_code == 400
    assert client.post("/v1/rerank", json=body | {"documents": ["x"] * 101}).status_code == 400
