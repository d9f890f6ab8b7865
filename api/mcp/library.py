"""What the tools of agents tell of a library: little at a time, because an agent reads and pays for every word.

Knows the service; knows nothing of the protocol. Whatever the library holds, an answer has at most MOST_CHARACTERS
characters: texts and paths are cut, lists are short, and a cursor leads on.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from api.queries import query_of
from api.schemas import SearchBody
from api.service import Service
from search.alerts.saved_query import SavedQuery
from search.catalog import assets, segments, sources, timeline
from search.catalog.alerts import saved_searches
from search.catalog.records import AssetRecord, SegmentRecord
from search.errors import NotFoundError, QueryError
from search.query.parse import condition_of
from search.ranking.hits import lines_of
from search.results import Citation, Filters, Hit, Kind
from search.signals import Signal
from search.times import iso, maybe_iso

MOST_CHARACTERS = 24_000  # of one answer, some 6,000 tokens
MOST_HITS = 15
MOMENTS = 3  # of one hit
CLOSEST = 3  # hits named where there is no answer
_TEXT = 200  # characters of one moment's words
_NOTED = 100  # of a hit's place and caption
_PATH = 200
_LONG_TEXT = 8000  # of the words of a moment that is looked at
_TRANSCRIPT = 12_000  # of one page of a transcript
_VALUES = 12  # of one thing that the library can be filtered by
_SOURCES = 20
_MONTHS = 60
_CITATIONS = 12
_NEIGHBOURS = 8  # on each side
_SAVED = 40


class Library:
    """The answers of every tool. Thread-safe; methods raise MedleyError."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def search(self, query: str, filters: Filters, limit: int, cursor: str | None) -> dict[str, Any]:
        """A page of a ranking."""
        body = SearchBody(text=query, filters=filters, limit=limit, cursor=cursor)
        wanted = self._service.engine.active_space.space.image_input
        result = self._service.engine.search(query_of(body, self._service.settings, wanted))
        told = {"matched": result.matched, "confident": result.confident, "hits": [_hit(hit) for hit in result.hits]}
        return told | _next(result.next_cursor)

    def ask(self, question: str, filters: Filters, references: Sequence[str] | None) -> dict[str, Any]:
        """An answer with citations, or what comes closest; from the assets referred to alone, unless None."""
        answer = self._service.engine.ask(question, filters, 8, None, references)
        told: dict[str, Any] = {
            "answer": _cut(answer.answer, _LONG_TEXT),
            "found": answer.found,
            "citations": [_citation(citation) for citation in answer.citations[:_CITATIONS]],
        }
        if not answer.found:
            told["closest_lines"] = [_citation(line) for line in answer.closest]
            told["closest"] = [
                {"asset_id": hit.asset.id, "path": _path(hit.asset.path)} for hit in answer.hits[:CLOSEST]
            ]
        return told

    def describe(self) -> dict[str, Any]:
        """The sources, and what the library holds and can be filtered by."""
        with self._service.database.read() as connection:
            roots = sources.list_sources(connection)
            counted = [(root, assets.counts(connection, root.id)) for root in roots[:_SOURCES]]
            counts = assets.counts(connection)
            facets = timeline.facets(connection)
            months = timeline.months(connection, None)
        return {
            "files": {"searchable": counts.indexed, "waiting": counts.pending + counts.working},
            "sources": [
                {
                    "source_id": str(root.id),
                    "root": _path(root.root),
                    "state": root.state,
                    "searchable": count.indexed,
                    "scanned_at": maybe_iso(root.scanned_at),
                }
                for root, count in counted
            ],
            "more_sources": max(0, len(roots) - _SOURCES),
            "kinds": _counts(facets.kinds),
            "moments": dict(counts.segments),
            "from": months[-1].month if months else None,
            "to": months[0].month if months else None,
            "months": {month.month: month.count for month in months[:_MONTHS]},
            "places": [
                {"latitude": place.latitude, "longitude": place.longitude, "count": place.count, "name": place.name}
                for place in facets.places[:_VALUES]
            ],
            "cameras": _counts(facets.cameras),
            "languages": _counts(facets.languages),
            "folders": _counts(facets.folders),
            "filters": "kind:video after:2024-07 before:2024-08 path:*.jpg camera:canon place:paris near:55.7,12.6,5km",
        }

    def browse(self, filters: Filters, limit: int, cursor: str | None) -> dict[str, Any]:
        """What passes the filters, newest first, and how many of each month."""
        with self._service.database.read() as connection:
            months = timeline.months(connection, condition_of(filters))
        body = SearchBody(filters=filters, limit=limit, cursor=cursor)
        result = self._service.engine.search(
            query_of(body, self._service.settings, self._service.engine.active_space.space.image_input)
        )
        told: dict[str, Any] = {"count": sum(month.count for month in months)}
        if cursor is None:
            told["months"] = {month.month: month.count for month in months[:_MONTHS]}
        return told | {"assets": [_hit(hit) for hit in result.hits]} | _next(result.next_cursor)

    def look(self, segment_id: int) -> tuple[dict[str, Any], Path | None]:
        """One moment, and the file of its picture where it has one."""
        segment, asset = self._moment(segment_id)
        told = {"segment": _segment(segment, _LONG_TEXT), "asset": _asset(asset)}
        if asset.kind is None or not (asset.kind in (Kind.IMAGE, Kind.VIDEO) or segment.page):
            return told, None
        picture = self._service.previews.thumbnail(
            self._service.original(asset), Kind(asset.kind), segment.start_seconds, page=segment.page
        )
        return told, picture

    def neighbours(self, segment_id: int, count: int) -> dict[str, Any]:
        """What comes before and after a moment in its file; for a photo, what was taken before and after it."""
        count = min(count, _NEIGHBOURS)
        segment, asset = self._moment(segment_id)
        told: dict[str, Any] = {"moment": _segment(segment, _TEXT), "asset": _asset(asset)}
        with self._service.database.read() as connection:
            if segment.start_seconds is not None or segment.page is not None or segment.line is not None:
                before, after = segments.around(connection, segment, count)
                return told | {
                    "before": [_segment(entry, _TEXT) for entry in before],
                    "after": [_segment(entry, _TEXT) for entry in after],
                }
            earlier, later = timeline.around(connection, asset, count)
            shown = timeline.first_segments(connection, [entry.asset.id for entry in (*earlier, *later)], None)
        return told | {"before": _dated(earlier, shown), "after": _dated(later, shown)}

    def transcript(
        self, asset_id: str, start_seconds: float, end_seconds: float | None, seen: bool, cursor: str | None
    ) -> dict[str, Any]:
        """What is said in a stretch of a file, with `seen` or of a document also what is written there, in order."""
        last = _place(cursor)
        with self._service.database.read() as connection:
            asset = assets.get_asset(connection, _number(asset_id))
            is_written = seen or asset.kind == Kind.DOCUMENT
            wanted = [Signal.SPEECH, Signal.TEXT] if is_written else [Signal.SPEECH]
            words = segments.words_between(connection, asset.id, wanted, (start_seconds, end_seconds), last)
        lines: list[dict[str, Any]] = []
        room = _TRANSCRIPT
        for segment in words:
            line = _segment(segment, _LONG_TEXT)
            room -= len(line["text"] or "") + 120
            if room < 0 and lines:
                before = lines[-1]
                return _told(asset, lines) | {"next_cursor": f"{before['start_seconds'] or 0},{before['segment_id']}"}
            lines.append(line)
        return _told(asset, lines)

    def saved(self, cursor: int) -> dict[str, Any]:
        """A page of the searches that are kept."""
        with self._service.database.read() as connection:
            records = saved_searches.list_saved_searches(connection, cursor or None, _SAVED + 1)
            counts = saved_searches.event_counts(connection, [record.id for record in records])
        shown = records[:_SAVED]
        told: dict[str, Any] = {
            "saved_searches": [
                {
                    "saved_search_id": str(record.id),
                    "name": _cut(record.name, _TEXT),
                    "matches": counts.get(record.id, 0),
                    "created_at": iso(record.created_at),
                }
                for record in shown
            ]
        }
        return told | ({"next_cursor": shown[-1].id} if len(records) > _SAVED else {})

    def save(self, name: str, query: str, filters: Filters) -> dict[str, Any]:
        """Keep a search. Raises UsageError for a name that is taken."""
        saved = self._service.engine.saved_searches
        record = saved.create(name, SavedQuery(text=query, filters=filters))
        reach = saved.reach(record)
        told = {"saved_search_id": str(record.id), "name": record.name}
        return told | {"relevance_needed": reach.needed, "best_relevance_now": reach.best}

    def _moment(self, segment_id: int) -> tuple[SegmentRecord, AssetRecord]:
        with self._service.database.read() as connection:
            segment = segments.get_segment(connection, segment_id)
            if segment is None:
                raise NotFoundError(f"there is no segment {segment_id}")
            return segment, assets.get_asset(connection, segment.asset_id)


def _told(asset: AssetRecord, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {"path": _path(asset.path), "duration_seconds": asset.duration_seconds, "lines": lines}


def _hit(hit: Hit) -> dict[str, Any]:
    told = {
        "asset_id": hit.asset.id,
        "path": _path(hit.asset.path),
        "kind": hit.asset.kind,
        "relevance": round(hit.relevance, 2),
        "dated_at": hit.asset.dated_at,
        "place": _cut(hit.asset.place, _NOTED),
        "caption": _cut(hit.asset.caption, _NOTED),
        "moments": [
            {
                "segment_id": moment.segment_id,
                "signal": moment.signal,
                "start_seconds": moment.start_seconds,
                "end_seconds": moment.end_seconds,
                "text": _cut(moment.text, _TEXT),
            }
            | _place_in_document(moment.page, moment.lines)
            for moment in hit.moments[:MOMENTS]
        ],
    }
    return told | ({"less_likely": True} if hit.less_likely else {})


def _segment(segment: SegmentRecord, characters: int) -> dict[str, Any]:
    return {
        "segment_id": segment.id,
        "signal": segment.signal,
        "start_seconds": segment.start_seconds,
        "end_seconds": segment.end_seconds,
        "text": _cut(segment.text, characters),
    } | _place_in_document(segment.page, lines_of(segment.line, segment.text))


def _citation(citation: Citation) -> dict[str, Any]:
    return {
        "number": citation.number,
        "asset_id": citation.asset_id,
        "path": _path(citation.path),
        "segment_id": citation.segment_id,
        "signal": citation.signal,
        "start_seconds": citation.start_seconds,
        "end_seconds": citation.end_seconds,
        "quote": _cut(citation.quote, 2 * _TEXT),
        "support": round(citation.support, 2),
    } | _place_in_document(citation.page, citation.lines)


def _place_in_document(page: int | None, lines: tuple[int, int] | None) -> dict[str, Any]:
    return ({"page": page} if page is not None else {}) | ({"lines": lines} if lines is not None else {})


def _asset(asset: AssetRecord) -> dict[str, Any]:
    return {
        "asset_id": str(asset.id),
        "path": _path(asset.path),
        "kind": asset.kind,
        "captured_at": maybe_iso(asset.captured_at, asset.captured_offset),
        "duration_seconds": asset.duration_seconds,
        "width": asset.width,
        "height": asset.height,
        "latitude": asset.latitude,
        "longitude": asset.longitude,
        "place": asset.place,
        "camera": _cut(asset.camera, _TEXT),
        "title": _cut(asset.title, _TEXT),
        "caption": _cut(asset.caption or None, _TEXT),
    }


def _dated(dated: Sequence[timeline.Dated], shown: dict[int, SegmentRecord]) -> list[dict[str, Any]]:
    return [
        {
            "asset_id": str(entry.asset.id),
            "path": _path(entry.asset.path),
            "kind": entry.asset.kind,
            "dated_at": iso(entry.time),
            "segment_id": shown[entry.asset.id].id if entry.asset.id in shown else None,
        }
        for entry in dated
    ]


def _counts(values: Iterable[timeline.ValueCount]) -> dict[str, int]:
    return {_path(value.value): value.count for value in list(values)[:_VALUES]}


def _next(cursor: str | None) -> dict[str, Any]:
    return {} if cursor is None else {"next_cursor": cursor}


def _cut(text: str | None, characters: int) -> str | None:
    return text if text is None or len(text) <= characters else text[: characters - 1] + "…"


def _path(path: str) -> str:
    """The end of a long path tells more than its beginning."""
    return path if len(path) <= _PATH else "…" + path[1 - _PATH :]


def _place(cursor: str | None) -> tuple[float, int] | None:
    """Where the last page of a transcript ended. Raises QueryError."""
    if cursor is None:
        return None
    seconds, _, segment_id = cursor.partition(",")
    try:
        return float(seconds), int(segment_id)
    except ValueError:
        raise QueryError("the cursor can't be read; take it from next_cursor as it is") from None


def _number(asset_id: str) -> int:
    if not asset_id.isdecimal() or len(asset_id) > 18:
        raise NotFoundError(f"there is no asset {asset_id[:40]!r}")
    return int(asset_id)
