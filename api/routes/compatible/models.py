"""What the shapes of other services share: which model a name means, how much was read, and routes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from litestar import post
from litestar.handlers import HTTPRouteHandler
from msgspec import Struct

from api.embedding_requests import TEXT_SUFFIX, Fused, Image, Input, Text
from api.http.problems import HttpError, documented
from api.http.requests import PICTURES_BYTES
from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.records import SpaceRecord
from search.settings import Settings
from search.spaces.space import Space


class SpaceHost(Protocol):
    """What opens spaces: the whole service, or one of encoders alone."""

    settings: Settings
    database: Database

    def opened(self, record: SpaceRecord) -> Space:
        """Any space of the catalogue, opened once and kept. Raises NotFoundError, SpaceError."""


class Usage(Struct, frozen=True):
    """How much was read, in words; nothing is billed."""

    prompt_tokens: int
    total_tokens: int


def usage_of(inputs: Sequence[Input]) -> Usage:
    """Words of texts, and one for each picture."""
    words = sum(_words(part) for entry in inputs for part in (entry.parts if isinstance(entry, Fused) else (entry,)))
    return Usage(words, words)


def _words(part: Text | Image) -> int:
    return len(part.text.split()) if isinstance(part, Text) else 1


def model_of(host: SpaceHost, name: str) -> tuple[Space, bool]:
    """The space, and whether texts are passages. Raises HttpError 404."""
    with host.database.read() as connection:
        records = {record.name: record for record in spaces.list_spaces(connection)}
    if name in records:
        return host.opened(records[name]), False
    plain = name.removesuffix(TEXT_SUFFIX)
    if plain in records and plain != name:
        return host.opened(records[plain]), True
    known = ", ".join(records)
    raise HttpError(
        404, "not-found", f"there is no model {name[:100]!r}; there are {known}, each also with {TEXT_SUFFIX}"
    )


def posts(
    answer: Callable[..., Any], path: str, *, also: Sequence[str], shown: dict[str, Any]
) -> tuple[HTTPRouteHandler, HTTPRouteHandler]:
    """Routes that read, at `path` and, without documentation of their own, at other paths; `shown` is the example."""
    route = partial(post, status_code=200, sync_to_thread=True, request_max_body_size=PICTURES_BYTES)
    scope = {"scope": "read"}
    return (
        route(path, opt=scope | shown, responses=documented(404, 422), tags=["compatible"])(answer),
        route(list(also), opt=scope, include_in_schema=False)(answer),
    )
