"""`/v1/embeddings` in OpenAI's shape (with vLLM's `messages`), and `/v1/models` in that of OpenAI and Cohere."""

from __future__ import annotations

import base64
from typing import Annotated, Any

from litestar import get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.embedding_requests import TEXT_SUFFIX, conversations_of, cut_places, embed, inputs_of
from api.http.openapi import example
from api.http.problems import HttpError, documented
from api.http.requests import PICTURES_BYTES
from api.routes.compatible.models import SpaceHost, Usage, model_of, usage_of
from api.routes.dependencies import Id, Injected
from search.catalog import spaces
from search.catalog.records import SpaceRecord
from search.signals import Signal

MOST_INPUTS = 2048


class EmbeddingsBody(Struct, frozen=True, kw_only=True):
    """OpenAI's request; other keys are ignored."""

    model: str
    input: Annotated[
        Any, Meta(description="A text, its tokens (cl100k_base), a data URL of a picture, or a list of them.")
    ] = None
    messages: Annotated[
        Any, Meta(description="Instead of `input`: a conversation, or a list of them, with texts and pictures.")
    ] = None
    encoding_format: Annotated[str, Meta(pattern="^(float|base64)$")] = "float"
    dimensions: int | None = None


class Embedding(Struct, frozen=True, kw_only=True):
    """One vector: numbers, or float32 little-endian in base64."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str
    truncated: bool = False  # the input is longer than the model reads: the vector is of its beginning


class Embeddings(Struct, frozen=True, kw_only=True):
    """The vectors in the order of the inputs."""

    object: str = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(Struct, frozen=True, kw_only=True):
    """A model that embeds and ranks. OpenAI's clients call it `id`, Cohere's `name`."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "medley"
    name: str
    endpoints: tuple[str, ...] = ("embed", "rerank")


class Models(Struct, frozen=True, kw_only=True):
    """All models, for OpenAI's clients in `data`, for Cohere's in `models`."""

    object: str = "list"
    data: list[Model]
    models: list[Model]


_MODEL = {
    "id": "starter", "object": "model", "created": 1721073480, "owned_by": "medley", "name": "starter",
    "endpoints": ["embed", "rerank"],
}  # fmt: skip
_INPUTS = {"model": "starter", "input": ["a dog", "data:image/png;base64,iVBORw0KGgo="]}
_VECTORS = {
    "object": "list", "model": "starter",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.12, -0.03], "truncated": False}],
    "usage": {"prompt_tokens": 2, "total_tokens": 2},
}  # fmt: skip


@post(
    "/v1/embeddings",
    status_code=200,
    sync_to_thread=True,
    opt={"scope": "read"} | example(_VECTORS, request=_INPUTS),
    request_max_body_size=PICTURES_BYTES,
    responses=documented(404, 422),
    tags=["compatible"],
)
def embeddings(service: Injected, data: JSONBody[EmbeddingsBody]) -> Embeddings:
    """Vectors of texts and of pictures (as data URLs), as OpenAI's clients ask for them.

    The model named as a space puts texts and pictures into one space; NAME-text embeds texts as passages.
    """
    return embedded(service, data)


def embedded(host: SpaceHost, data: EmbeddingsBody) -> Embeddings:
    """The answer to a request for embeddings. Raises HttpError, MediaError, NotFoundError, SpaceError."""
    space, as_passages = model_of(host, data.model)
    if (data.input is None) == (data.messages is None):
        raise HttpError(400, "validation", "send either input or messages")
    given = data.messages if data.input is None else data.input
    inputs = (conversations_of if data.input is None else inputs_of)(given, MOST_INPUTS)
    size = space.dimensions.get(Signal.SPEECH if as_passages else Signal.IMAGE)
    if data.dimensions not in (None, size):
        raise HttpError(400, "validation", f"{data.model} has {size} dimensions, not {data.dimensions}")
    vectors = embed(space, inputs, host.settings, as_passages=as_passages)
    if data.encoding_format == "base64":
        encoded: list[Any] = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    else:
        encoded = vectors.tolist()
    cut = cut_places(space, inputs, as_passages=as_passages)
    return Embeddings(
        data=[Embedding(index=n, embedding=vector, truncated=n in cut) for n, vector in enumerate(encoded)],
        model=data.model,
        usage=usage_of(inputs),
    )


@get(
    "/v1/models",
    sync_to_thread=True,
    opt=example({"object": "list", "data": [_MODEL], "models": [_MODEL]}),
    responses=documented(),
    tags=["compatible"],
)
def list_models(service: Injected) -> Models:
    """The models that `/v1/embeddings` and `/v1/rerank` take: two for each space."""
    return models_of(service)


def models_of(host: SpaceHost) -> Models:
    """Two for each space."""
    with host.database.read() as connection:
        records = spaces.list_spaces(connection)
    models = [model for record in records for model in _models(record)]
    return Models(data=models, models=models)


@get("/v1/models/{name:str}", sync_to_thread=True, opt=example(_MODEL), responses=documented(404), tags=["compatible"])
def get_model(service: Injected, name: Id) -> Model:
    """One model."""
    with service.database.read() as connection:
        records = spaces.list_spaces(connection)
    for record in records:
        for model in _models(record):
            if model.id == name:
                return model
    raise HttpError(404, "not-found", f"there is no model {name[:100]!r}; see /v1/models")


def _models(record: SpaceRecord) -> list[Model]:
    names = (record.name, record.name + TEXT_SUFFIX)
    return [Model(id=name, name=name, created=int(record.created_at)) for name in names]


ROUTES = (embeddings, list_models, get_model)
