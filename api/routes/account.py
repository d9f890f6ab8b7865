"""The account of every file: counts and failures."""

from __future__ import annotations

from litestar import get

from api.account import account
from api.auditing import Audit, audit
from api.paging import id_behind, page
from api.params import Cursor, Injected, PageLimit
from api.problems import documented
from api.schemas import FailureView, Page, Status
from api.views import failure_view
from search.catalog import assets


@get("/v1/status", sync_to_thread=True, responses=documented(), tags=["account"])
def status(service: Injected) -> Status:
    """Every known file is counted in exactly one state: indexed, pending, working, quarantined, missing."""
    return account(service.database)


@get("/v1/failures", sync_to_thread=True, responses=documented(), tags=["account"])
def failures(service: Injected, cursor: Cursor = None, limit: PageLimit = 100) -> Page[FailureView]:
    """Every file that could not be made searchable, with its reason."""
    with service.database.read() as connection:
        records = assets.failures(connection, id_behind(cursor), limit + 1)
    return page(records, limit, lambda record: record.id, failure_view)


@get("/v1/audit", sync_to_thread=True, responses=documented(), tags=["account"])
def get_audit(service: Injected) -> Audit:
    """Files, vectors and fingerprints compared, and search with exact search; takes seconds per million vectors."""
    found = audit(service.engine)
    service.metrics.observe_audit(found)
    return found
