"""The library in time, and what it can be filtered by."""

from __future__ import annotations

from typing import Annotated

from litestar import get
from litestar.params import QueryParameter

from api.http.openapi import example, page_example
from api.http.problems import documented
from api.routes.dependencies import Injected
from api.schemas import Page
from search.catalog import timeline
from search.catalog.timeline import Facets, MonthCount
from search.query.parse import condition_of
from search.results import Filters

Where = Annotated[
    str | None, QueryParameter(description="Filters of the query language, such as kind:image.", required=False)
]

_MONTH = {"month": "2022-12", "count": 112}
_FACETS = {
    "kinds": [{"value": "image", "count": 1100}], "cameras": [{"value": "Canon EOS 90D", "count": 800}],
    "languages": [{"value": "en", "count": 40}], "folders": [{"value": "/media/2024", "count": 320}],
    "places": [{"latitude": 55.6761, "longitude": 12.5683, "count": 112, "name": "Copenhagen, Denmark"}],
}  # fmt: skip


@get("/v1/timeline", sync_to_thread=True, opt=example(page_example(_MONTH)), responses=documented(), tags=["library"])
def months(service: Injected, where: Where = None) -> Page[MonthCount]:
    """How many assets pass the filters of each month that has any, newest first."""
    condition = condition_of(Filters(where=where or None))
    with service.database.read() as connection:
        return Page(items=timeline.months(connection, condition))


@get("/v1/facets", sync_to_thread=True, opt=example(_FACETS), responses=documented(), tags=["library"])
def facets(service: Injected) -> Facets:
    """The kinds, cameras, languages, folders and places of the library, the most frequent first."""
    with service.database.read() as connection:
        return timeline.facets(connection)


ROUTES = (months, facets)
