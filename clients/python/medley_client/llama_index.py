"""A retriever for LlamaIndex: moments as nodes with scores, with where they stand in their metadata."""

from __future__ import annotations

from typing import Any

from llama_index.core.retrievers import BaseRetriever
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from medley_client.asynchronous import AsyncMedley
from medley_client.client import Medley
from medley_client.models import Filters, SearchResult
from medley_client.passages import passages

_FOR_PROGRAMS = [
    "source",
    "asset_id",
    "segment_id",
    "path",
    "thumbnail",
    "relevance",
    "matched",
    "start_seconds",
    "end_seconds",
    "page",
    "lines",
    "box",
]


class MedleyRetriever(BaseRetriever):
    """Finds moments of a library by meaning; a node's score is the probability that it is relevant."""

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        similarity_top_k: int = 8,
        filters: Filters = Filters(),
        only_matches: bool = False,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self._url = url
        self._key = key
        self._filters = filters
        self._only_matches = only_matches
        self.similarity_top_k = similarity_top_k

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        with Medley(self._url, self._key) as medley:
            found = medley.search(query_bundle.query_str, filters=self._filters, limit=self.similarity_top_k)
        return self._nodes(found)

    async def _aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        async with AsyncMedley(self._url, self._key) as medley:
            found = await medley.search(query_bundle.query_str, filters=self._filters, limit=self.similarity_top_k)
        return self._nodes(found)

    def _nodes(self, result: SearchResult) -> list[NodeWithScore]:
        if self._only_matches and not result.matched:
            return []
        return [
            NodeWithScore(
                node=TextNode(
                    id_=str(metadata["segment_id"]),
                    text=words,
                    metadata=metadata,
                    # A model reads the citation, the kind, and what is known of date and place.
                    excluded_llm_metadata_keys=[
                        key for key, value in metadata.items() if key in _FOR_PROGRAMS or value is None
                    ],
                    excluded_embed_metadata_keys=list(metadata),
                ),
                score=score,
            )
            for words, metadata, score in passages(result, self.similarity_top_k)
        ]
