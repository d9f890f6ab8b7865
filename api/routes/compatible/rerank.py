"""`/v1/rerank`, `/v2/rerank` and `/rerank`: documents ranked by a query, as Cohere's, Jina's and vLLM's clients ask."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Annotated, Any

import numpy as np
from litestar.params import JSONBody
from msgspec import Meta, Struct

from api.embedding_requests import Fused, Image, Input, Text, cut_places, embed, inputs_of
from api.http.openapi import example
from api.http.problems import HttpError
from api.routes.compatible.models import Usage, model_of, posts, usage_of
from api.routes.dependencies import Injected
from search.arrays import Float32Array
from search.query.parse import check_length
from search.settings import Settings
from search.spaces.space import Space

MOST_DOCUMENTS = 1000
RERANKER = "reranker"
MOST_LOOKS = 100  # documents that the language model reads for one request


class RerankBody(Struct, frozen=True, kw_only=True):
    """Documents to rank, and the query to rank them by; other keys are ignored."""

    query: Annotated[Any, Meta(description='A text, or `{"content": [...]}` with texts and pictures.')]
    documents: Annotated[
        list[Any], Meta(min_length=1, description="Texts, or objects with `text`, `image` or `content`.")
    ]
    model: str | None = None
    top_n: Annotated[int, Meta(ge=1)] | None = None
    return_documents: bool | None = False


class Ranked(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A document and its relevance."""

    index: int
    relevance_score: float
    truncated: bool = False  # the document is longer than the model reads: its beginning was ranked
    document: Any = None


class Reranked(Struct, frozen=True, kw_only=True):
    """The documents, best first."""

    id: str
    model: str
    results: list[Ranked]
    usage: Usage


_DOCUMENTS = {"query": "a dog", "documents": ["a cat sleeps", "a dog barks"], "top_n": 1}
_RANKED = {
    "id": "5f3a9c0d12e4b687", "model": "starter", "results": [{"index": 1, "relevance_score": 0.78}],
    "usage": {"prompt_tokens": 6, "total_tokens": 6},
}  # fmt: skip


def rerank(service: Injected, data: JSONBody[RerankBody]) -> Reranked:
    """Documents by how well they fit a query, as clients of Cohere, Jina and vLLM ask for it.

    With a space as the model, texts are compared as passages and pictures as pictures, and the score is the
    cosine, at least 0; `reranker` lets the language model take a second look at texts.
    """
    (query,) = inputs_of([data.query], 1)
    if isinstance(query, Text):
        check_length(query.text, service.settings.max_query_characters)
    name = data.model or service.engine.active_space.record.name
    if name == RERANKER:
        if not isinstance(query, Text):
            raise HttpError(400, "validation", f"the query is not a text; {RERANKER} takes nothing else")
        return _reranked(data, name, service.engine.score_texts(query.text, _texts(data.documents)), Usage(0, 0))
    space, _ = model_of(service, name)
    inputs = inputs_of(data.documents, MOST_DOCUMENTS)
    cut = cut_places(space, inputs, as_passages=not _shows(query))
    return _reranked(data, name, _cosines(space, query, inputs, service.settings), usage_of(inputs), cut)


def _cosines(space: Space, query: Input, inputs: list[Input], settings: Settings) -> list[float]:
    """How alike each input is to the query, in [0, 1]: words by words, and by pictures where either holds one."""
    scores = [0.0] * len(inputs)
    pictures = _shows(query)
    for as_passages in (True, False):
        places = [index for index, entry in enumerate(inputs) if as_passages == (not pictures and not _shows(entry))]
        if places:
            asked: Float32Array = embed(space, [query], settings, as_passages=as_passages, as_queries=True)[0]
            vectors = embed(space, [inputs[index] for index in places], settings, as_passages=as_passages)
            for index, score in zip(places, np.clip(vectors @ asked, 0, 1), strict=True):
                scores[index] = float(score)
    return scores


def _shows(entry: Input) -> bool:
    return any(isinstance(part, Image) for part in (entry.parts if isinstance(entry, Fused) else (entry,)))


def _texts(documents: list[Any]) -> list[str]:
    """The texts of the inputs. Raises HttpError 400 for anything else: the reranker only takes words."""
    if len(documents) > MOST_LOOKS:
        raise HttpError(400, "validation", f"{RERANKER} takes at most {MOST_LOOKS} documents")
    texts: list[str] = []
    for index, document in enumerate(documents):
        text = document.get("text") if isinstance(document, dict) else document
        if not isinstance(text, str) or not text.strip():
            raise HttpError(400, "validation", f"document {index} is not a text; {RERANKER} takes nothing else")
        texts.append(text)
    return texts


def _reranked(data: RerankBody, name: str, scores: list[float], usage: Usage, cut: Collection[int] = ()) -> Reranked:
    order = sorted(range(len(scores)), key=lambda index: (-scores[index], index))[: data.top_n]
    results = [
        Ranked(
            index=index,
            relevance_score=round(scores[index], 6),
            truncated=index in cut,
            document=_shown(data.documents[index]) if data.return_documents else None,
        )
        for index in order
    ]
    return Reranked(id=secrets.token_hex(8), model=name, results=results, usage=usage)


def _shown(document: object) -> object:
    return {"text": document} if isinstance(document, str) else document


ROUTES = posts(rerank, "/v1/rerank", also=["/v2/rerank", "/rerank"], shown=example(_RANKED, request=_DOCUMENTS))
