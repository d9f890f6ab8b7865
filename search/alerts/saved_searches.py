"""Keeping searches: what every entry point does with them, so that all of them do the same.

Knows the catalogue and the active space; sends nothing and compares nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from msgspec import UNSET, Struct, UnsetType

from search.active_space import ActiveSpace
from search.alerts.destinations import MOST_URL_CHARACTERS, checked_url
from search.alerts.matcher import resolved_of
from search.alerts.saved_query import Reach, SavedQuery, decode, pack
from search.alerts.webhooks import new_secret
from search.catalog.alerts import saved_searches
from search.catalog.database import Database
from search.catalog.records import SavedSearchRecord
from search.errors import UsageError
from search.results import Filters, Query, SearchResult
from search.settings import Settings

MOST_NAME_CHARACTERS = 200

__all__ = ["MOST_URL_CHARACTERS", "Change", "SavedSearches"]


class Change(Struct, frozen=True, kw_only=True):
    """What is to become different in a saved search; what is left out stays."""

    name: str | UnsetType = UNSET
    text: str | UnsetType = UNSET
    filters: Filters | UnsetType = UNSET
    relevance: float | UnsetType | None = UNSET
    notify: bool | UnsetType = UNSET
    webhook_url: str | UnsetType | None = UNSET


class SavedSearches:
    """The saved searches of one library. Thread-safe."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        active: Callable[[], ActiveSpace],
        search: Callable[[Query], SearchResult],
    ) -> None:
        self._settings = settings
        self._database = database
        self._active = active
        self._search = search

    def create(
        self,
        name: str,
        query: SavedQuery,
        *,
        relevance: float | None = None,
        notify: bool = True,
        webhook_url: str | None = None,
    ) -> SavedSearchRecord:
        """Save a search under a name. Raises UsageError, QueryError, NotFoundError, SpaceError.

        `relevance`: from which a new file raises an event; None: as the space's calibration says.
        """
        self._check(name, relevance, webhook_url)
        active = self._active()
        self._query(query)
        with self._database.write() as connection:
            record = saved_searches.create_saved_search(
                connection,
                active.record.id,
                name.strip(),
                query.encode(),
                least=relevance,
                notify=notify,
                webhook_url=webhook_url,
                webhook_secret=new_secret() if webhook_url else None,
            )
        self._embed(active, record)
        return record

    def change(self, saved_id: int, change: Change) -> SavedSearchRecord:
        """Change what `change` names. A new webhook gets a new secret. Raises as `create` does."""
        with self._database.read() as connection:
            before = saved_searches.get_saved_search(connection, saved_id)
        query = decode(before.query)
        values: dict[str, object] = {}
        if change.name is not UNSET:
            values["name"] = change.name.strip()
        if change.text is not UNSET or change.filters is not UNSET:
            query = SavedQuery(
                text=query.text if change.text is UNSET else change.text,
                filters=query.filters if change.filters is UNSET else change.filters,
            )
            values |= {"query": query.encode(), "resolved": None, "fingerprint": None}
        if change.relevance is not UNSET:
            values["least"] = change.relevance
        if change.notify is not UNSET:
            values["notify"] = change.notify
        if change.webhook_url is not UNSET:
            values["webhook_url"] = change.webhook_url
            if change.webhook_url != before.webhook_url:
                values["webhook_secret"] = new_secret() if change.webhook_url else None
        self._check(
            str(values.get("name", before.name)),
            None if change.relevance is UNSET else change.relevance,
            None if change.webhook_url is UNSET else change.webhook_url,
        )
        self._query(query)
        with self._database.write() as connection:
            return saved_searches.change_saved_search(connection, saved_id, **values)

    def query(self, record: SavedSearchRecord) -> Query:
        """What it searches for now. Raises QueryError."""
        return self._query(decode(record.query))

    def reach(self, record: SavedSearchRecord) -> Reach:
        """How likely its best file of now is, and how likely a new one must be. Raises as a search does."""
        hits = self._search(msgspec.structs.replace(self.query(record), limit=1)).hits
        needed = self._active().calibration.threshold if record.least is None else record.least
        return Reach.of(needed, hits[0].relevance if hits else None)

    def _query(self, query: SavedQuery) -> Query:
        asked = query.query(self._settings.max_query_characters, self._settings.max_query_parts)
        if any(part.image is not None or part.sound is not None for part in asked.parts):
            raise UsageError("pictures and sounds that are sent along can't be saved; name an asset: asset:42")
        return asked

    def _check(self, name: str, relevance: float | None, webhook_url: str | None) -> None:
        if not name.strip() or len(name) > MOST_NAME_CHARACTERS:
            raise UsageError(f"a saved search needs a name of at most {MOST_NAME_CHARACTERS} characters")
        if relevance is not None and not 0 < relevance < 1:
            raise UsageError(f"the relevance is {relevance:g}; it must lie between 0 and 1")
        if webhook_url is not None:
            checked_url(webhook_url, self._settings.allow_private_webhooks)

    def _embed(self, active: ActiveSpace, record: SavedSearchRecord) -> None:
        """Now, while the encoder is warm, rather than by the matcher in every process that starts."""
        resolved = resolved_of(active, record, self._settings)
        with self._database.write() as connection:
            saved_searches.keep_resolved(connection, active.record.fingerprint, [(record.id, pack(resolved.vectors))])
