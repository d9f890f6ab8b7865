"""`/v1/embed` and `/v2/embed` in Cohere's shape. What its clients also ask for, models and ranking, lies beside."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated, Any, Literal

import numpy as np
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.embedding_requests import Input, cut_places, embed, inputs_of
from api.http.openapi import example
from api.http.problems import HttpError
from api.routes.compatible.models import model_of, posts, usage_of
from api.routes.dependencies import Injected
from api.service import Service
from search.arrays import Float32Array
from search.signals import Signal

MOST_INPUTS = 2048

NumberType = Literal["float", "int8", "uint8", "binary", "ubinary", "base64"]


class EmbedBody(Struct, frozen=True, kw_only=True):
    """Cohere's request; other keys are ignored."""

    model: str | None = None
    input_type: (
        Annotated[str, Meta(description="`search_query` embeds texts as what passages are searched for with.")] | None
    ) = None
    texts: list[str] | None = None
    images: Annotated[list[str], Meta(description="Data URLs.")] | None = None
    inputs: Annotated[list[Any], Meta(description='`{"content": [...]}` with texts and pictures.')] | None = None
    output_dimension: int | None = None
    embedding_types: list[NumberType] | None = None


class BilledUnits(Struct, frozen=True):
    """How many words and pictures were read; nothing is billed."""

    input_tokens: int


class RequestMeta(Struct, frozen=True):
    """What Cohere tells about a request."""

    billed_units: BilledUnits
    warnings: list[str] = []


class EmbedAnswer(Struct, frozen=True, kw_only=True):
    """The vectors in the order of the inputs: a list, or one for each kind of number that was asked for."""

    id: str
    response_type: str
    embeddings: Any
    texts: list[str]
    meta: RequestMeta


_ASKED = {"model": "starter", "input_type": "search_query", "texts": ["a dog"], "embedding_types": ["float"]}
_ANSWER = {
    "id": "5f3a9c0d12e4b687", "response_type": "embeddings_by_type", "embeddings": {"float": [[0.12, -0.03]]},
    "texts": ["a dog"], "meta": {"billed_units": {"input_tokens": 2}},
}  # fmt: skip


def embed_inputs(service: Injected, data: JSONBody[EmbedBody]) -> EmbedAnswer:
    """Vectors of texts and of pictures, as Cohere's clients ask for them."""
    name = data.model or service.engine.active_space.record.name
    inputs = _inputs(data)
    vectors = _vectors(service, name, inputs, data)
    if data.embedding_types is None:
        kind, embeddings = "embeddings_floats", vectors.tolist()
    else:
        kind, embeddings = (
            "embeddings_by_type",
            {embedding_type: _numbers(vectors, embedding_type) for embedding_type in data.embedding_types},
        )
    words = usage_of(inputs).total_tokens
    return EmbedAnswer(
        id=secrets.token_hex(8),
        response_type=kind,
        embeddings=embeddings,
        texts=data.texts or [],
        meta=RequestMeta(BilledUnits(words), warnings=_warnings(service, name, inputs)),
    )


def _warnings(service: Service, name: str, inputs: list[Input]) -> list[str]:
    space, as_passages = model_of(service, name)
    cut = sorted(cut_places(space, inputs, as_passages=as_passages))
    return [f"input {index} is longer than the model reads: its vector is of its beginning" for index in cut]


def _inputs(data: EmbedBody) -> list[Input]:
    given = [sent for sent in (data.texts, data.images, data.inputs) if sent]
    if len(given) != 1:
        raise HttpError(400, "validation", "send one of texts, images and inputs, and not an empty one")
    if data.images:
        return inputs_of([{"image": url} for url in data.images], MOST_INPUTS)
    return inputs_of(given[0], MOST_INPUTS)


def _vectors(service: Service, name: str, inputs: list[Input], data: EmbedBody) -> Float32Array:
    space, as_passages = model_of(service, name)
    size = space.dimensions.get(Signal.SPEECH if as_passages else Signal.IMAGE)
    if data.output_dimension not in (None, size):
        raise HttpError(400, "validation", f"{name} has {size} dimensions, not {data.output_dimension}")
    as_queries = data.input_type == "search_query"
    return embed(space, inputs, service.settings, as_passages=as_passages, as_queries=as_queries)


def _numbers(vectors: Float32Array, kind: NumberType) -> list[Any]:
    """The vectors as this kind of number: bytes cover [-1, 1], bits are signs, eight to a byte."""
    match kind:
        case "float":
            return list(vectors.tolist())
        case "base64":
            return [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
        case "int8":
            return list(np.rint(vectors * 127).astype(int).tolist())
        case "uint8":
            return list((np.rint(vectors * 127).astype(int) + 128).tolist())
        case "ubinary":
            return list(np.packbits(vectors > 0, axis=1).tolist())
        case "binary":
            return list((np.packbits(vectors > 0, axis=1).astype(int) - 128).tolist())


ROUTES = posts(embed_inputs, "/v2/embed", also=["/v1/embed"], shown=example(_ANSWER, request=_ASKED))
