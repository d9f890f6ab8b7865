"""`/v1/embeddings` and `/v1/models` in OpenAI's shape, `/v1/rerank` in that of Cohere and Jina."""

from __future__ import annotations

import base64
import secrets
from typing import Annotated, Any

from litestar import get, post
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.encoding import TEXT_SUFFIX, Image, Text, embed, inputs_of
from api.params import Id, Injected
from api.problems import HttpError, documented
from api.service import Service
from search.catalog import spaces
from search.catalog.records import SpaceRecord
from search.results import Signal
from search.spaces.space import Space

MOST_INPUTS = 2048
MOST_DOCUMENTS = 1000
RERANKER = "reranker"
MOST_LOOKS = 100  # documents that the language model reads for one request


class EmbeddingsBody(Struct, frozen=True, kw_only=True):
    """OpenAI's request; what it may hold beyond this is ignored, as there."""

    model: str
    input: Annotated[Any, Meta(description="A text, a data URL of a picture, or a list of them.")]
    encoding_format: Annotated[str, Meta(pattern="^(float|base64)$")] = "float"
    dimensions: int | None = None


class Embedding(Struct, frozen=True, kw_only=True):
    """One vector: numbers, or float32 little-endian in base64."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class Usage(Struct, frozen=True):
    """How much was embedded, in words: Medley bills nobody."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(Struct, frozen=True, kw_only=True):
    """The vectors in the order of the inputs."""

    object: str = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class Model(Struct, frozen=True, kw_only=True):
    """A model that `/v1/embeddings` takes."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "medley"


class Models(Struct, frozen=True, kw_only=True):
    """All models."""

    object: str = "list"
    data: list[Model]


class RerankBody(Struct, frozen=True, kw_only=True):
    """What to rank by what."""

    query: Annotated[str, Meta(min_length=1, max_length=4000)]
    documents: Annotated[list[Any], Meta(min_length=1, description="Texts, or objects with `text` or `image`.")]
    model: str | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool = False


class Ranked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document's place."""

    index: int
    relevance_score: float
    document: Any = None


class Reranked(Struct, frozen=True, kw_only=True):
    """The documents, best first."""

    id: str
    model: str
    results: list[Ranked]
    usage: Usage


@post(
    "/v1/embeddings",
    status_code=200,
    sync_to_thread=True,
    opt={"scope": "read"},
    responses=documented(404, 422),
    tags=["compatible"],
)
def embeddings(service: Injected, data: JSONBody[EmbeddingsBody]) -> Embeddings:
    """Vectors of texts and of pictures (as data URLs), as OpenAI's clients ask for them.

    The model named as a space puts texts and pictures into one space; NAME-text embeds texts as passages.
    """
    space, as_passages = _model(service, data.model)
    inputs = inputs_of(data.input, service.settings, MOST_INPUTS)
    size = space.dimensions.get(Signal.SPEECH if as_passages else Signal.IMAGE)
    if data.dimensions not in (None, size):
        raise HttpError(400, "validation", f"{data.model} has {size} dimensions, not {data.dimensions}")
    vectors = embed(space, inputs, as_passages=as_passages)
    if data.encoding_format == "base64":
        encoded: list[Any] = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    else:
        encoded = vectors.tolist()
    return Embeddings(
        data=[Embedding(index=place, embedding=vector) for place, vector in enumerate(encoded)],
        model=data.model,
        usage=_usage(inputs),
    )


@get("/v1/models", sync_to_thread=True, responses=documented(), tags=["compatible"])
def list_models(service: Injected) -> Models:
    """The models that `/v1/embeddings` and `/v1/rerank` take: two for each space."""
    with service.database.read() as connection:
        records = spaces.list_spaces(connection)
    return Models(data=[model for record in records for model in _models(record)])


@get("/v1/models/{name:str}", sync_to_thread=True, responses=documented(404), tags=["compatible"])
def get_model(service: Injected, name: Id) -> Model:
    """One model."""
    with service.database.read() as connection:
        records = spaces.list_spaces(connection)
    for record in records:
        for model in _models(record):
            if model.id == name:
                return model
    raise HttpError(404, "not-found", f"there is no model {name[:100]!r}; see /v1/models")


@post(
    "/v1/rerank",
    status_code=200,
    sync_to_thread=True,
    opt={"scope": "read"},
    responses=documented(404, 422),
    tags=["compatible"],
)
def rerank(service: Injected, data: JSONBody[RerankBody]) -> Reranked:
    """Documents by how well they fit a query, as clients of Cohere and Jina ask for it.

    With a space as the model, texts are compared as passages and pictures as pictures, and the score is the
    cosine, at least 0; `reranker` lets the language model take a second look at texts.
    """
    name = data.model or service.engine.serving.record.name
    if name == RERANKER:
        texts = _texts(data.documents)
        return _reranked(data, name, service.engine.score_texts(data.query, texts), Usage(0, 0))
    space, _ = _model(service, name)
    inputs = inputs_of(data.documents, service.settings, MOST_DOCUMENTS)
    query = space.embed_query_text([data.query])
    scores = [0.0] * len(inputs)
    for kind, signal in ((Text, Signal.SPEECH), (Image, Signal.IMAGE)):
        places = [place for place, one in enumerate(inputs) if isinstance(one, kind)]
        if places:
            vectors = embed(space, [inputs[place] for place in places], as_passages=kind is Text)
            for place, score in zip(places, vectors @ query[signal][0], strict=True):
                scores[place] = max(0.0, min(1.0, float(score)))
    return _reranked(data, name, scores, _usage(inputs))


def _texts(documents: list[Any]) -> list[str]:
    """Raises HttpError 400: the second look is for words."""
    if len(documents) > MOST_LOOKS:
        raise HttpError(400, "validation", f"{RERANKER} takes at most {MOST_LOOKS} documents")
    texts: list[str] = []
    for place, one in enumerate(documents):
        text = one.get("text") if isinstance(one, dict) else one
        if not isinstance(text, str) or not text.strip():
            raise HttpError(400, "validation", f"document {place} is no text; {RERANKER} takes nothing else")
        texts.append(text)
    return texts


def _reranked(data: RerankBody, name: str, scores: list[float], usage: Usage) -> Reranked:
    order = sorted(range(len(scores)), key=lambda place: (-scores[place], place))[: data.top_n]
    results = [
        Ranked(
            index=place,
            relevance_score=round(scores[place], 6),
            document=_shown(data.documents[place]) if data.return_documents else None,
        )
        for place in order
    ]
    return Reranked(id=secrets.token_hex(8), model=name, results=results, usage=usage)


def _shown(document: object) -> object:
    return {"text": document} if isinstance(document, str) else document


def _usage(inputs: list[Any]) -> Usage:
    words = sum(len(one.text.split()) if isinstance(one, Text) else 1 for one in inputs)
    return Usage(words, words)


def _model(service: Service, name: str) -> tuple[Space, bool]:
    """The space, and whether texts are passages. Raises HttpError 404."""
    with service.database.read() as connection:
        records = {record.name: record for record in spaces.list_spaces(connection)}
    if name in records:
        return service.opened(records[name]), False
    plain = name.removesuffix(TEXT_SUFFIX)
    if plain in records and plain != name:
        return service.opened(records[plain]), True
    known = ", ".join(records)
    raise HttpError(
        404, "not-found", f"there is no model {name[:100]!r}; there are {known}, each also with {TEXT_SUFFIX}"
    )


def _models(record: SpaceRecord) -> list[Model]:
    created = int(record.created_at)
    return [Model(id=record.name, created=created), Model(id=record.name + TEXT_SUFFIX, created=created)]
