"""The composition root of the engine: opens everything, searches, asks, closes.

Doors (`api`) and tests come in here; tests hand in spaces and databases of their own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Self

import msgspec
import numpy as np

from search.asking import Asker
from search.candidates import ScoredAsset, ScoredMoment
from search.catalog import segments, text
from search.catalog.database import Database
from search.catalog.records import AssetRecord
from search.errors import QueryError
from search.fusion import Fusion
from search.language.answerer import Event
from search.paging import Cursor, digest
from search.paging import decode as decode_cursor
from search.paging import encode as encode_cursor
from search.recent import RecentQueries
from search.results import Answer, Filters, Hit, Moment, Part, Query, SearchResult
from search.retriever import Resolved
from search.serving import OpenSpace, Serving, Switch, opener
from search.settings import Settings
from search.spaces.space import Space
from search.views import asset_view, thumbnail_of

# A first look brings this many candidates a list for each hit wanted, because several may be of one asset.
CANDIDATES_PER_HIT = 5
MIN_DEPTH = 50


class SearchEngine:
    """Search and answers over one library. Thread-safe."""

    def __init__(self, settings: Settings, database: Database, switch: Switch) -> None:
        self.settings = settings
        self.database = database
        self._switch = switch
        self._asker = Asker(settings, database)
        self._recent = RecentQueries(database, settings.remember_queries)

    @classmethod
    def open(
        cls,
        settings: Settings,
        database: Database | None = None,
        open_space: OpenSpace | None = None,
    ) -> Self:
        """Bring the tables up to date and open the active space, up to date. Raises MedleyError.

        `open_space` opens spaces in another way than the registry does: wrapped, or a fake.
        """
        settings.home.mkdir(parents=True, exist_ok=True)
        database = database or Database.open(settings)
        database.migrate()
        return cls(settings, database, Switch(settings, database, open_space or opener(settings)))

    @property
    def serving(self) -> Serving:
        """The space at work now."""
        return self._switch.current

    @property
    def space(self) -> Space:
        """The space that serves."""
        return self.serving.space

    def watch(self) -> None:
        """Keep following the active space and the partitions from threads (for processes that live on)."""
        self._switch.watch()

    def search(self, query: Query) -> SearchResult:
        """One ranked page. Raises QueryError, NotFoundError, SpaceError, CatalogError."""
        started = time.perf_counter()
        if not query.parts:
            raise QueryError("the query says only which assets to look at; say also what to find")
        serving = self.serving
        resolved = serving.retriever.resolve(query)
        identity = _identity(query, serving)
        cursor = decode_cursor(query.cursor, identity) if query.cursor else None
        shown = set(cursor.shown) if cursor else set()
        fusion = self._fusion(serving, resolved, query.limit + 1, cursor, shown)
        ranked = [one for one in fusion.ranking if one[0] not in shown]
        page = ranked[: query.limit]
        hits = self._hits(fusion, [asset_id for asset_id, _ in page], resolved.words, cursor)
        if resolved.text and (self.settings.rerank if query.rerank is None else query.rerank):
            # Within the page only, so that cursors go on where the ranking left off.
            hits = self._asker.rerank(serving, resolved.text, hits, only_wins=query.rerank is None)
        self._recent.note(query)
        return SearchResult(
            query=_as_understood(query, resolved),
            hits=hits,
            matched=fusion.matched,
            confident=fusion.confident,
            next_cursor=self._next(identity, cursor, page) if len(ranked) > len(page) else None,
            space=serving.record.name,
            took_seconds=round(time.perf_counter() - started, 6),
        )

    def ask(
        self, question: str, filters: Filters = Filters(), limit: int = 8, conversation: str | None = None
    ) -> Answer:
        """An answer with citations, or `found=False`. Raises as `search` does, and LanguageModelError."""
        return self._asker.answer(self.serving, self.search, question, filters, limit, conversation)

    def ask_stream(
        self, question: str, filters: Filters = Filters(), limit: int = 8, conversation: str | None = None
    ) -> Iterator[Event]:
        """The same as it comes: sources, checked sentences, the whole answer."""
        return self._asker.stream(self.serving, self.search, question, filters, limit, conversation)

    def score_texts(self, query: str, texts: Sequence[str]) -> list[float]:
        """How relevant each text is for the query, in [0, 1], by the language model's second look."""
        return self._asker.score_texts(self.serving, query, texts)

    def _fusion(
        self, serving: Serving, resolved: Resolved, wanted: int, cursor: Cursor | None, shown: set[int]
    ) -> Fusion:
        """At least `wanted` assets not shown where so many exist: looks deeper until they are there."""
        together = [aspect.sense for aspect in resolved.aspects]
        depth = max(MIN_DEPTH, CANDIDATES_PER_HIT * (wanted + len(shown)))
        while True:
            lists = serving.retriever.retrieve(resolved, depth, cursor.newest_segment if cursor else None)
            fusion = Fusion(lists, serving.calibration, self.settings.max_moments, together)
            fresh = sum(asset_id not in shown for asset_id, _ in fusion.ranking)
            if fresh >= wanted or all(one.complete for one in lists):
                return fusion
            depth *= 4

    def _hits(self, fusion: Fusion, asset_ids: Sequence[int], words: str, cursor: Cursor | None) -> tuple[Hit, ...]:
        # An asset found by deeper evidence must not stand above what an earlier page has shown.
        ceiling = cursor.relevance if cursor else 1.0
        by_words = fusion.found_by_words(asset_ids)
        with self.database.read() as connection:
            highlights = text.highlights(connection, by_words, words) if by_words else {}
            scored = fusion.assets(asset_ids, highlights)
            best = segments.hydrate(connection, [one.moments[0].segment_id for one in scored])
        found = {record.asset_id: record.asset for record in best if record.asset is not None}
        return tuple(_hit(one, found[one.asset_id], ceiling) for one in scored if one.asset_id in found)

    def _next(self, identity: str, cursor: Cursor | None, page: Sequence[tuple[int, float]]) -> str:
        if cursor is None:
            with self.database.read() as connection:
                newest = segments.newest_segment(connection)
            cursor = Cursor(query=identity, newest_segment=newest, relevance=1.0, shown=())
        return encode_cursor(cursor.after([asset_id for asset_id, _ in page], page[-1][1]))

    def close(self) -> None:
        """Stop following and let go of models and connections."""
        self._recent.flush()
        self._switch.close()
        self._asker.release()
        self.database.close()


def _identity(query: Query, serving: Serving) -> str:
    """Everything that decides the ranking: a cursor of another query or space is refused."""
    media = [
        np.ascontiguousarray(one).tobytes()
        for part in query.parts
        for one in (part.image, part.sound)
        if one is not None
    ]
    parts = [msgspec.structs.replace(part, image=None, sound=None) for part in query.parts]
    said = msgspec.json.encode(
        (parts, query.phrases, query.unwanted_phrases, query.filters, serving.record.fingerprint)
    )
    return digest(said, *media)


def _hit(scored: ScoredAsset, record: AssetRecord, ceiling: float) -> Hit:
    return Hit(
        asset=asset_view(record),
        relevance=_rounded(min(scored.relevance, ceiling)),
        moments=tuple(_moment(moment) for moment in scored.moments),
    )


def _moment(moment: ScoredMoment) -> Moment:
    return Moment(
        segment_id=moment.segment_id,
        signal=moment.signal,
        start_seconds=moment.start_seconds,
        end_seconds=moment.end_seconds,
        text=moment.text,
        score=_rounded(moment.score),
        relevance=_rounded(moment.relevance),
        thumbnail=thumbnail_of(moment.segment_id),
        why=moment.why,
    )


def _rounded(value: float) -> float:
    return round(value, 6)


def _as_understood(query: Query, resolved: Resolved) -> dict[str, Any]:
    """The query as JSON shows it: pictures and sounds are named, not repeated."""
    return {
        "text": query.text,
        "parts": [_part(part) for part in query.parts],
        "aspects": [msgspec.to_builtins(aspect) for aspect in resolved.aspects],
        "phrases": list(query.phrases),
        "unwanted_phrases": list(query.unwanted_phrases),
        "filters": msgspec.to_builtins(query.filters),
        "limit": query.limit,
    }


def _part(part: Part) -> dict[str, Any]:
    if part.image is not None:
        return {"weight": part.weight, "image": "uploaded"}
    if part.sound is not None:
        return {"weight": part.weight, "sound": "uploaded"}
    return {"weight": part.weight} | ({"text": part.text} if part.text is not None else {"reference": part.reference})
