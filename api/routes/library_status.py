"""The state of every file: counts, failures, what was left out, and the audit."""

from __future__ import annotations

from litestar import get

from api.audit import Audit, audit
from api.http.openapi import example, page_example
from api.http.paging import id_behind, page
from api.http.problems import documented
from api.library_status import account
from api.routes.dependencies import Cursor, Injected, PageLimit
from api.routes.sources import SOURCE_EXAMPLE
from api.schemas import FailureView, NoteView, Page, Status
from api.serializers import failure_view, note_view
from search.catalog import assets

_STATUS = {
    "assets": {"total": 1202, "pending": 900, "working": 32, "indexed": 268, "quarantined": 2, "missing": 0},
    "unread": 12, "noted": 3, "noted_by_kind": {"length": 2, "tracks": 1},
    "skipped": {"pdf files": 3}, "left_out": ["3 PDF files"], "kinds": {"image": 1100, "video": 102},
    "segments": {"image": 250, "frame": 180},
    "sources": [SOURCE_EXAMPLE], "space": "starter", "space_notes": [], "database": "postgresql", "version": "0.1.0",
}  # fmt: skip
_FAILURE = {
    "asset_id": "9", "path": "/media/2024/broken.jpg", "status": "quarantined", "reason": "is an empty file",
    "attempts": 1,
}  # fmt: skip
_NOTE = {
    "asset_id": "7", "path": "/media/2024/talk.mp4", "about": ["length"],
    "left_out": "it lasts 57.9 seconds, although its header says 59.9",
}  # fmt: skip


@get("/v1/status", sync_to_thread=True, opt=example(_STATUS), responses=documented(), tags=["account"])
def status(service: Injected) -> Status:
    """Every known file is counted in exactly one state: indexed, pending, working, quarantined, missing."""
    return account(service.database)


@get("/v1/failures", sync_to_thread=True, opt=example(page_example(_FAILURE)), responses=documented(), tags=["account"])
def failures(service: Injected, cursor: Cursor = None, limit: PageLimit = 100) -> Page[FailureView]:
    """Every file that could not be made searchable, with its reason."""
    with service.database.read() as connection:
        records = assets.failures(connection, id_behind(cursor), limit + 1)
    return page(records, limit, lambda record: record.id, failure_view)


@get("/v1/notes", sync_to_thread=True, opt=example(page_example(_NOTE)), responses=documented(), tags=["account"])
def notes(service: Injected, cursor: Cursor = None, limit: PageLimit = 100) -> Page[NoteView]:
    """Every searchable file of which something was left out, and what: tracks, pages, words that are missing."""
    with service.database.read() as connection:
        records = assets.noted(connection, id_behind(cursor), limit + 1)
    return page(records, limit, lambda record: record.id, note_view)


@get("/v1/audit", sync_to_thread=True, responses=documented(), tags=["account"])
def get_audit(service: Injected) -> Audit:
    """Files, vectors and fingerprints compared, and search with exact search; takes seconds per million vectors."""
    report = audit(service.engine)
    service.metrics.observe_audit(report)
    return report


ROUTES = (status, failures, notes, get_audit)
