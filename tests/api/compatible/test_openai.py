"""OpenAI's client works as it is, and so do those that speak its shape: LangChain and mteb."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
import tiktoken
from langchain_openai import OpenAIEmbeddings
from pydantic import SecretStr
from support.pictures import data_url
from support.service_world import World

from api.openai_tokens import text_of, vocabulary
from search.testing import DIMENSION


@pytest.fixture
def openai_client(client: httpx.Client) -> Any:
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_openai_lists_the_models(world: World, openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == ["words", "words-text"]
    assert openai_client.models.retrieve("words").owned_by == "medley"


def test_openai_embeds_a_text_and_a_picture_into_one_space(world: World, openai_client: openai.OpenAI) -> None:
    given = ["red", "green", data_url("green")]
    answer = openai_client.embeddings.create(model="words", input=given, encoding_format="float")
    red, green, picture = (np.array(item.embedding) for item in answer.data)
    assert len(red) == DIMENSION
    assert green @ picture > 0.99
    assert red @ picture < 0.5


def test_openai_gets_the_same_vectors_in_base64(world: World, openai_client: openai.OpenAI) -> None:
    plain = openai_client.embeddings.create(model="words", input="red", encoding_format="float")
    packed = openai_client.embeddings.create(model="words", input="red")  # the client's own default is base64
    assert np.allclose(plain.data[0].embedding, packed.data[0].embedding, atol=1e-6)
    raw = openai_client.embeddings.create(model="words", input="red", encoding_format="base64")
    encoded: Any = raw.data[0].embedding  # the client's types say numbers
    assert np.allclose(np.frombuffer(base64.b64decode(encoded), "<f4"), plain.data[0].embedding)


def test_openai_is_told_of_which_texts_only_the_beginning_was_read(
    world: World, openai_client: openai.OpenAI, client: httpx.Client
) -> None:
    world.space.longest = 3
    texts = ["red", "red " * 9, "green blue"]
    answer = openai_client.embeddings.create(model="words-text", input=texts, encoding_format="float")
    assert [entry.model_extra for entry in answer.data] == [{"truncated": cut} for cut in (False, True, False)]
    ranked = client.post("/v1/rerank", json={"model": "words", "query": "red", "documents": texts}).json()["results"]
    assert {entry["index"] for entry in ranked if entry.get("truncated")} == {1}
    cohere = client.post("/v1/embed", json={"model": "words-text", "texts": texts}).json()
    assert [warning.startswith("input 1 is longer") for warning in cohere["meta"]["warnings"]] == [True]


def test_openai_is_told_what_is_wrong(world: World, openai_client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="words"):
        openai_client.embeddings.create(model="gpt-9", input="red")
    unreadable: list[Any] = [[], "", ["red", " "], [[100_300]], [[-1]], [[1.5]], [[]], [True]]
    for nothing in unreadable:
        with pytest.raises(openai.BadRequestError):
            openai_client.embeddings.create(model="words", input=nothing)
    with pytest.raises(openai.BadRequestError, match="dimensions"):
        openai_client.embeddings.create(model="words", input="red", dimensions=7)


@pytest.fixture
def langchain_embeddings(client: httpx.Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> OpenAIEmbeddings:
    """With all defaults. What tiktoken would load from the network lies where it keeps what it has loaded."""
    words = vocabulary()
    lines = b"".join(base64.b64encode(word) + b" %d\n" % rank for rank, word in enumerate(words))
    address = "https://openaipublic.blob.core.windows.net/encodings/cl100k_base.tiktoken"
    (tmp_path / hashlib.sha1(address.encode()).hexdigest()).write_bytes(lines)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    return OpenAIEmbeddings(base_url=f"{client.base_url}/v1", api_key=SecretStr("unused"), model="words")


def test_langchain_embeds_with_its_defaults(world: World, langchain_embeddings: OpenAIEmbeddings) -> None:
    """They cut by tokens, and send the tokens."""
    red, sea, emoji = langchain_embeddings.embed_documents(["a red rose", "le bleu de la mer\n", "🌹 роза 红玫瑰"])
    assert np.allclose(red, langchain_embeddings.embed_query("a red rose"), atol=1e-6)
    assert np.dot(red, sea) < 0.5
    assert len(emoji) == DIMENSION


def test_langchain_embeds_texts_longer_than_it_sends_at_once(
    world: World, langchain_embeddings: OpenAIEmbeddings
) -> None:
    long = "the red rose grows beside the wall " * 2000  # about 14,000 tokens, sent in two pieces
    assert len(langchain_embeddings.embed_documents([long])[0]) == DIMENSION


def test_tokens_are_those_of_tiktoken(langchain_embeddings: OpenAIEmbeddings) -> None:
    """tiktoken checks the vocabulary against the checksum that it knows, and refuses another."""
    encoding = tiktoken.get_encoding("cl100k_base")
    for text in ("a red rose", "  spaces\n\ttabs", "Ünïcödé 👩‍👩‍👧 ٠١٢ 日本語", "<|endoftext|>"):
        assert text_of(encoding.encode_ordinary(text)) == text


def test_a_conversation_is_one_input(world: World, client: httpx.Client) -> None:
    said = [{"role": "system", "content": "embed"}, {"role": "user", "content": "red"}]
    one = client.post("/v1/embeddings", json={"model": "words", "messages": said}).json()["data"]
    plain = client.post("/v1/embeddings", json={"model": "words", "input": "red"}).json()["data"]
    assert np.allclose(one[0]["embedding"], plain[0]["embedding"])
    wrongs: list[dict[str, Any]] = [
        {},
        {"messages": []},
        {"messages": said, "input": "red"},
        {"messages": [[]]},
        {"messages": "red"},
    ]
    for wrong in wrongs:
        assert client.post("/v1/embeddings", json={"model": "words"} | wrong).status_code == 400, wrong


def test_urls_are_not_fetched(world: World, client: httpx.Client) -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}
    answer = client.post("/v1/embeddings", json={"model": "words", "input": [part]})
    assert answer.status_code == 400
    assert "data URL" in answer.json()["detail"]


def test_mteb_is_answered(world: World, client: httpx.Client) -> None:
    """What the API wrappers of mteb 2.26.24 sent to such a service, recorded: installed it takes 290 MB.

    A text with a picture, pictures, texts as conversations, texts as input, and pairs to rank.
    """
    answers = []
    for request in json.loads((Path(__file__).parent / "mteb_conversation.json").read_text()):
        answer = client.request(request["method"], request["path"], json=request["json"])
        assert answer.status_code == 200, answer.text
        answers.append(answer.json())
    embedded = [answer["data"] for answer in answers if answer.get("object") == "list" and "models" not in answer]
    assert [len(data) for data in embedded] == [2, 2, 2, 2]
    (green, rose), (leaf, _) = ([np.array(item["embedding"]) for item in data] for data in embedded[:2])
    assert green @ leaf > 0.9 > 0.5 > rose @ leaf
    fits, other = (answer["results"][0]["relevance_score"] for answer in answers if "results" in answer)
    assert fits > 0.9 > other
