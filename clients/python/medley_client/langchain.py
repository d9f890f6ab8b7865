"""A retriever for LangChain: moments as documents, with where they stand in their metadata."""

from __future__ import annotations

from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict, Field, SecretStr

from medley_client.asynchronous import AsyncMedley
from medley_client.client import Medley
from medley_client.models import Filters, SearchResult
from medley_client.passages import passages


class MedleyRetriever(BaseRetriever):
    """Finds moments of a library by meaning. `retriever.invoke("...", k=3)` takes another number for once."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    url: str = "http://127.0.0.1:8000"
    key: SecretStr | None = None
    k: int = Field(default=8, ge=1, description="Moments at most.")
    filters: Filters = Filters()
    only_matches: bool = Field(default=False, description="Nothing rather than what only comes closest.")

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun, k: int | None = None, **_: Any
    ) -> list[Document]:
        with Medley(self.url, self._key) as medley:
            return self._documents(medley.search(query, filters=self.filters, limit=k or self.k), k or self.k)

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun, k: int | None = None, **_: Any
    ) -> list[Document]:
        async with AsyncMedley(self.url, self._key) as medley:
            return self._documents(await medley.search(query, filters=self.filters, limit=k or self.k), k or self.k)

    @property
    def _key(self) -> str | None:
        return self.key.get_secret_value() if self.key else None

    def _documents(self, result: SearchResult, k: int) -> list[Document]:
        if self.only_matches and not result.matched:
            return []
        return [
            Document(id=str(metadata["segment_id"]), page_content=words, metadata=metadata)
            for words, metadata, _ in passages(result, k)
        ]
