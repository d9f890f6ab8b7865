"""One ranked page for one query: retrieve, calibrate, fuse, page, and take a second look.

Knows the active space only as what it is handed; opens and closes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec
import numpy as np
from msgspec import Struct

from search.active_space import ActiveSpace
from search.browsing import browse
from search.catalog import segments
from search.catalog.database import Database
from search.catalog.hashes import hashes_of
from search.catalog.segment_positions import line_boxes
from search.catalog.sql import full_text
from search.query.spelling import Suggestion
from search.query_log import QueryLog
from search.ranking.copies import Hashes, Standing, fold
from search.ranking.cursor import Cursor, digest
from search.ranking.cursor import decode as decode_cursor
from search.ranking.cursor import encode as encode_cursor
from search.ranking.fusion import Fusion
from search.ranking.hits import box_of, hit_of
from search.ranking.retriever import Resolved
from search.ranking.vocabulary import Vocabulary
from search.results import Hit, Part, Query, SearchResult
from search.runtime import tracing
from search.settings import Settings

# A first look brings this many candidates a list for each hit wanted, because several may be of one asset.
CANDIDATES_PER_HIT = 5
MIN_DEPTH = 50


class SecondLook(Protocol):
    """Something that may reorder a page after it was ranked."""

    def rerank(self, active: ActiveSpace, question: str, hits: Sequence[Hit], *, only_wins: bool) -> tuple[Hit, ...]:
        """The hits in a better order. `only_wins` moves only hits of signals for which that was measured to help."""


class Searcher:
    """Ranks assets in the space it is handed. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        query_log: QueryLog,
        second_look: SecondLook,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        self._settings = settings
        self._database = database
        self._query_log = query_log
        self._second_look = second_look
        self._vocabulary = vocabulary or Vocabulary(database)

    def for_measuring(self, *, rerank: bool) -> Searcher:
        """The same searches, of which the query log remembers none; with a second look or without, as in settings."""
        settings = msgspec.structs.replace(self._settings, rerank=rerank)
        log = QueryLog(self._database, enabled=False)
        return Searcher(settings, self._database, log, self._second_look, self._vocabulary)

    def search(self, active: ActiveSpace, query: Query) -> SearchResult:
        """One ranked page. Raises QueryError, NotFoundError, SpaceError, CatalogError."""
        started = time.perf_counter()
        if not query.parts:
            return browse(self._database, query, active.record.name, _as_understood(query))
        meant, suggested = self._vocabulary.suggest(query)
        with tracing.span("encode query", parts=len(query.parts)):
            resolved = active.retriever.resolve(meant)
        identity = _identity(query, active)
        cursor = decode_cursor(query.cursor, identity) if query.cursor else None
        fusion, ranked = self._ranked(active, resolved, query, cursor)
        page = ranked.standing[: query.limit]
        hits = self._hits(fusion, page, resolved.words, cursor, query.explain)
        wanted = self._looks_again(active) if query.rerank is None else query.rerank
        if resolved.text and wanted:
            # Within the page only, so that cursors go on where the ranking left off.
            with tracing.span("second look", hits=len(hits)):
                hits = self._second_look.rerank(active, resolved.text, hits, only_wins=query.rerank is None)
        self._query_log.note(query)
        return SearchResult(
            query=_as_understood(meant, resolved, suggested),
            hits=hits,
            matched=fusion.matched,
            confident=fusion.confident,
            matching=sum(standing.relevance >= fusion.ends_at for standing in ranked.standing) + ranked.matching_before,
            next_cursor=self._next(identity, cursor, page, ranked.seen_before)
            if len(ranked.standing) > len(page)
            else None,
            space=active.record.name,
            took_seconds=round(time.perf_counter() - started, 6),
        )

    def _looks_again(self, active: ActiveSpace) -> bool:
        """Set to, or measured on this library's own judgements to be worth it."""
        return self._settings.rerank or active.reranker == second_look_name(self._settings)

    def _ranked(
        self, active: ActiveSpace, resolved: Resolved, query: Query, cursor: Cursor | None
    ) -> tuple[Fusion, _Ranked]:
        """At least one hit more than the page holds, where that many exist: looks deeper until they are there."""
        together = [aspect.sense for aspect in resolved.aspects]
        shown = cursor.shown if cursor else ()
        depth = max(MIN_DEPTH, CANDIDATES_PER_HIT * (query.limit + 1 + len(shown)))
        while True:
            lists = active.retriever.retrieve(resolved, depth, cursor.newest_segment if cursor else None)
            with tracing.span("fuse", lists=len(lists), candidates=sum(len(proposed.candidates) for proposed in lists)):
                fusion = Fusion(lists, active.calibration, self._settings.max_moments, together)
            ranked = self._folded(fusion, shown, query.fold_copies)
            if len(ranked.standing) > query.limit or all(candidates.complete for candidates in lists):
                return fusion, ranked
            depth *= 4

    def _folded(self, fusion: Fusion, shown: Sequence[int], fold_copies: bool) -> _Ranked:
        """What was not shown yet, each with its copies."""
        before = set(shown)
        fresh = [(asset_id, relevance) for asset_id, relevance in fusion.ranking if asset_id not in before]
        matching = sum(asset_id in before and relevance >= fusion.ends_at for asset_id, relevance in fusion.ranking)
        if not fold_copies:
            return _Ranked([Standing(asset_id, relevance, ()) for asset_id, relevance in fresh], [], matching)
        with self._database.read() as connection:
            hashes = hashes_of(connection, [*shown, *(asset_id for asset_id, _ in fresh)])
        standing, seen_before = fold(fresh, {hashed_id: Hashes(*stored) for hashed_id, stored in hashes.items()}, shown)
        return _Ranked(standing, seen_before, matching)

    def _hits(
        self, fusion: Fusion, page: Sequence[Standing], words: str, cursor: Cursor | None, explain: bool
    ) -> tuple[Hit, ...]:
        # An asset found by deeper evidence must not stand above what an earlier page has shown.
        ceiling = cursor.relevance if cursor else 1.0
        asset_ids = [standing.asset_id for standing in page]
        copies = {standing.asset_id: standing.copies for standing in page}
        by_words = fusion.found_by_words(asset_ids)
        with self._database.read() as connection:
            highlights = full_text.highlights(connection, by_words, words) if by_words else {}
            scored = fusion.assets(asset_ids, highlights)
            best = segments.hydrate(connection, [asset.moments[0].segment_id for asset in scored])
            lines = line_boxes(
                connection, [moment.words_id for asset in scored for moment in asset.moments if moment.words_id]
            )
        texts = {moment.words_id: moment.text or "" for asset in scored for moment in asset.moments}
        boxes = {
            segment_id: box
            for segment_id, held in lines.items()
            if (box := box_of(texts[segment_id], held, highlights.get(segment_id, ())))
        }
        records = {record.asset_id: record.asset for record in best if record.asset is not None}
        return tuple(
            hit_of(
                asset, records[asset.asset_id], ceiling, copies[asset.asset_id], fusion.ends_at, boxes, explain=explain
            )
            for asset in scored
            if asset.asset_id in records
        )

    def _next(self, identity: str, cursor: Cursor | None, page: Sequence[Standing], seen_before: Sequence[int]) -> str:
        if cursor is None:
            with self._database.read() as connection:
                newest = segments.newest_segment(connection)
            cursor = Cursor(query=identity, newest_segment=newest, relevance=1.0, shown=())
        shown = [asset_id for standing in page for asset_id in (standing.asset_id, *standing.copies)]
        return encode_cursor(cursor.after([*shown, *seen_before], page[-1].relevance))


class _Ranked(Struct, frozen=True):
    """What is left to show of a ranking."""

    standing: list[Standing]  # best first
    seen_before: list[int]  # copies of what earlier pages have shown
    matching_before: int  # assets of earlier pages that are not less likely


def _identity(query: Query, active: ActiveSpace) -> str:
    """Everything that determines the ranking, so that a cursor of another query or space can be refused."""
    media = [
        np.ascontiguousarray(example).tobytes()
        for part in query.parts
        for example in (part.image, part.sound)
        if example is not None
    ]
    parts = [msgspec.structs.replace(part, image=None, sound=None) for part in query.parts]
    asked = (parts, query.phrases, query.unwanted_phrases, query.filters, query.fold_copies, query.correct)
    said = msgspec.json.encode((*asked, active.record.fingerprint, active.tuned_at))
    return digest(said, *media)


def _as_understood(
    query: Query, resolved: Resolved | None = None, suggested: Sequence[Suggestion] = ()
) -> dict[str, Any]:
    """The query as JSON shows it: pictures and sounds are named, not repeated."""
    return {
        "text": query.text,
        "parts": [_part(part) for part in query.parts],
        "aspects": [msgspec.to_builtins(aspect) for aspect in resolved.aspects] if resolved else [],
        "unknown": list(resolved.unknown) if resolved else [],
        "unwanted": list(resolved.unwanted) if resolved else [],
        "phrases": list(query.phrases),
        "unwanted_phrases": list(query.unwanted_phrases),
        "suggestions": [msgspec.to_builtins(suggestion) for suggestion in suggested],
        "filters": msgspec.to_builtins(query.filters),
        "times": [msgspec.to_builtins(time) for time in query.times],
        "limit": query.limit,
    }


def _part(part: Part) -> dict[str, Any]:
    if part.image is not None:
        return {"weight": part.weight, "image": "uploaded"}
    if part.sound is not None:
        return {"weight": part.weight, "sound": "uploaded"}
    return {"weight": part.weight} | ({"text": part.text} if part.text is not None else {"reference": part.reference})


def second_look_name(settings: Settings) -> str:
    """What takes a second look where it is wanted: a cross-encoder, or the language model."""
    return settings.reranker or settings.llm
