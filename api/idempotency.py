"""Writes that may be repeated safely: the same `Idempotency-Key` gives the same answer for a day.

Knows the catalogue's store of answers; each handler says what its request is and how to do it.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Any

import msgspec
from litestar import Request, Response

from api.problems import HttpError
from search.catalog import memory
from search.catalog.database import Database

HEADER = "idempotency-key"
LONGEST_KEY = 128

_in_flight: set[str] = set()
_lock = threading.Lock()


def once(
    database: Database, request: Request[Any, Any, Any], payload: Any, status: int, act: Callable[[], Any]
) -> Response[bytes]:
    """Do it, or give the answer of the first time. Raises HttpError 409 when the key was for something else."""
    key = request.headers.get(HEADER)
    if not key:
        return _json(status, msgspec.json.encode(act()))
    if len(key) > LONGEST_KEY or not key.isprintable():
        raise HttpError(400, "validation", f"{HEADER} must have at most {LONGEST_KEY} printable characters")
    stored_key = hashlib.sha256(f"{request.scope['state']['caller_name']}\n{key}".encode()).hexdigest()
    what = msgspec.json.encode([request.method, request.url.path, payload])
    digest = hashlib.sha256(what).hexdigest()
    with _lock:
        if stored_key in _in_flight:
            raise HttpError(409, "conflict", f"a request with this {HEADER} is being answered right now")
        _in_flight.add(stored_key)
    try:
        return _once(database, stored_key, digest, status, act)
    finally:
        with _lock:
            _in_flight.discard(stored_key)


def _once(database: Database, key: str, digest: str, status: int, act: Callable[[], Any]) -> Response[bytes]:
    with database.read() as connection:
        known = memory.find_response(connection, key)
    if known is not None:
        if known.request_hash != digest:
            raise HttpError(409, "conflict", f"this {HEADER} was used for another request")
        replayed = _json(known.status, known.body)
        replayed.headers["Idempotency-Replayed"] = "true"
        return replayed
    body = msgspec.json.encode(act())
    with database.write() as connection:
        memory.remember_response(connection, key, digest, status, body)
    return _json(status, body)


def _json(status: int, body: bytes) -> Response[bytes]:
    return Response(body, status_code=status, media_type="application/json")
