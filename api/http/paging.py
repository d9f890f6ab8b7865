"""Cursors of lists: opaque to callers, the last id seen to the catalogue."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import TypeVar

from api.http.problems import HttpError
from api.schemas import Page

Record = TypeVar("Record")
View = TypeVar("View")

LARGEST_ID = 2**63 - 1


def cursor_of(last_id: int) -> str:
    """The cursor for the page after this id."""
    return base64.urlsafe_b64encode(f"id:{last_id}".encode()).decode().rstrip("=")


def id_behind(cursor: str | None) -> int | None:
    """The last id seen, from a cursor. Raises HttpError 400."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        text = ""
    digits = text.removeprefix("id:")
    if not text.startswith("id:") or not digits.isdecimal() or len(digits) > 19 or int(digits) > LARGEST_ID:
        raise HttpError(400, "validation", "this cursor was not made here; leave it out to start again")
    return int(digits)


def page(
    records: Sequence[Record], limit: int, id_of: Callable[[Record], int], view: Callable[[Record], View]
) -> Page[View]:
    """A page from up to `limit + 1` records; the surplus one says that there are more."""
    shown = records[:limit]
    more = len(records) > limit
    return Page(items=[view(record) for record in shown], next_cursor=cursor_of(id_of(shown[-1])) if more else None)


def id_of(text: str, what: str) -> int:
    """A numeric id from a path or query. Raises HttpError 404, because anything else names nothing."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 19 or int(text) > LARGEST_ID:
        raise HttpError(404, "not-found", f"there is no {what} {text[:40]!r}")
    return int(text)
