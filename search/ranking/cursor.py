"""Cursors: where a ranking continues, whatever happens to the library in between.

A cursor carries the newest segment that existed when the ranking began, and which assets were shown.
What came later is left out and what was shown is not shown again, so that no asset comes twice and
none is skipped, even where later pages look deeper or words become rarer. Opaque to clients, bound to
its query and space. Knows no database.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from search.errors import QueryError

_VERSION = 1
# Assets that one ranking may show page by page. A number takes a byte or more and becomes forty in memory, so the
# limit holds for what a cursor becomes, not only for the text that arrives.
MOST_SHOWN = 250_000
_MOST_BYTES = 2 * MOST_SHOWN
_MOST_CHARACTERS = 3 * MOST_SHOWN  # what packs so badly that it is longer was not made here


class Cursor(Struct, frozen=True, kw_only=True, array_like=True):
    """The state of a ranking after a page."""

    version: int = _VERSION
    query: str  # digest of the query and the space
    newest_segment: int  # segments above are younger than the ranking
    relevance: float  # of the last hit shown: later ones are never above it
    shown: tuple[int, ...]  # asset ids, rising

    def after(self, asset_ids: Sequence[int], relevance: float) -> Cursor:
        """The cursor after one more page."""
        return msgspec.structs.replace(
            self, shown=tuple(sorted({*self.shown, *asset_ids})), relevance=min(self.relevance, relevance)
        )


def encode(cursor: Cursor) -> str:
    """As text for clients; about two characters per asset shown."""
    # Differences between ids are small and pack well.
    steps = tuple(asset_id - before for asset_id, before in zip(cursor.shown, (0, *cursor.shown), strict=False))
    packed = zlib.compress(msgspec.msgpack.encode(msgspec.structs.replace(cursor, shown=steps)), 9)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(text: str, query: str) -> Cursor:
    """What `encode` gave for this query's digest. Raises QueryError."""
    if len(text) > _MOST_CHARACTERS:
        raise QueryError(f"the cursor has {len(text):,} characters; none from here has more than {_MOST_CHARACTERS:,}")
    try:
        packed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        unpacker = zlib.decompressobj()
        plain = unpacker.decompress(packed, _MOST_BYTES)
        if unpacker.unconsumed_tail:
            raise QueryError(f"the cursor is longer than one after {MOST_SHOWN:,} hits: narrow the query with filters")
        cursor = msgspec.msgpack.decode(plain, type=Cursor)
    except (ValueError, binascii.Error, zlib.error, msgspec.MsgspecError):
        raise QueryError("the cursor can't be read; take it from next_cursor as it is") from None
    if cursor.version != _VERSION or cursor.query != query:
        raise QueryError("the cursor belongs to another query or space; ask again without a cursor")
    shown, last = [], 0
    for step in cursor.shown:
        last += step
        shown.append(last)
    return msgspec.structs.replace(cursor, shown=tuple(shown))


def digest(*parts: bytes) -> str:
    """Identity of a query: changes when anything that decides the ranking does."""
    joined = hashlib.blake2b(digest_size=12)
    for part in parts:
        joined.update(len(part).to_bytes(8, "big") + part)
    return joined.hexdigest()
