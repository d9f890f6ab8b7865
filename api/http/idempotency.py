"""Writes that may be repeated safely: the same `Idempotency-Key` gives the same answer for a day.

Knows the catalogue's store of answers; each handler says what its request is and how to do it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Response

from api.http.problems import HttpError
from search.catalog import idempotency
from search.catalog.database import Database
from search.catalog.records import ResponseRecord

HEADER = "idempotency-key"
LONGEST_KEY = 128


def once(
    database: Database,
    request: Request[Any, Any, Any],
    payload: Any,
    status: int,
    act: Callable[[], Any],
    *,
    secret: bool = False,
) -> Response[bytes]:
    """Handle the request, or repeat the first answer; in whichever process of whichever replica that was given.

    With `secret`, the answer is not stored: a repetition is told that it was given. Raises HttpError 409 then, when
    the key belongs to another request, and while the first one is being answered.
    """
    key = request.headers.get(HEADER)
    if not key:
        return _json(status, msgspec.json.encode(act()))
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise HttpError(400, "validation", f"{HEADER} must have at most {LONGEST_KEY} printable characters")
    caller = request.scope["state"]["caller"]  # by id: two keys may have one name
    stored_key = hashlib.sha256(f"{caller.key_id}\n{key}".encode()).hexdigest()
    what = msgspec.json.encode([request.method, request.url.path, payload])
    digest = hashlib.sha256(what).hexdigest()
    with database.write() as connection:
        known = idempotency.reserve(connection, stored_key, digest)
    if known is not None:
        return _repeated(known, digest)
    try:
        body = msgspec.json.encode(act())
    except BaseException:
        with database.write() as connection:  # nothing was done, so it may be tried again
            idempotency.forget(connection, stored_key)
        raise
    with database.write() as connection:
        idempotency.complete(connection, stored_key, status, b"" if secret else body)
    return _json(status, body)


def _repeated(known: ResponseRecord, digest: str) -> Response[bytes]:
    if known.request_hash != digest:
        raise HttpError(409, "conflict", f"this {HEADER} was used for another request")
    if known.status == idempotency.RESERVED:
        raise HttpError(409, "conflict", f"a request with this {HEADER} is being answered right now")
    if not known.body:
        raise HttpError(409, "conflict", "this was done already; its answer holds a secret that is shown only once")
    replayed = _json(known.status, known.body)
    replayed.headers["Idempotency-Replayed"] = "true"
    return replayed


def _json(status: int, body: bytes) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")
