"""Errors as RFC 9457 problem documents with stable types.

Knows the exception tree of `search.errors` and Litestar's HTTP exceptions; knows no route. People get
a plain sentence, programs get `type`, and a stack trace is never sent.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.openapi.datastructures import ResponseSpec

from search.errors import (
    AccessError,
    CatalogError,
    MediaError,
    MedleyError,
    NotFoundError,
    PartitionError,
    QueryError,
    TransientMediaError,
    UnavailableError,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:medley:problem:"

_OPENAI_PATHS = ("/v1/embed", "/v2/embed", "/v1/models", "/v1/rerank", "/v2/rerank", "/rerank")

log = logging.getLogger("medley.http")


class OpenAiError(msgspec.Struct, frozen=True, kw_only=True):
    """The same for OpenAI's clients, which look here for the sentence to show."""

    message: str
    type: str
    code: str


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What went wrong (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    instance: str | None = None  # the request id, also found in the log
    position: int | None = None  # where in the query text
    errors: tuple[str, ...] = ()  # what is wrong with which part of the request
    error: OpenAiError | None = None  # on the routes in OpenAI's shape


class HttpError(MedleyError):
    """An error that only exists over HTTP: a status, a slug, and perhaps headers."""

    def __init__(self, status: int, slug: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.slug = slug
        self.headers = headers or {}


# The first class that fits decides; subclasses stand before their bases.
_STATUS: tuple[tuple[type[MedleyError], int], ...] = (
    (UsageError, 400),
    (NotFoundError, 404),
    (AccessError, 403),
    (TransientMediaError, 503),
    (MediaError, 422),
    (UnavailableError, 503),
    (MedleyError, 503),
)

_INTERNAL: tuple[tuple[type[MedleyError], str], ...] = (
    (CatalogError, "the catalogue can't be read or written right now"),
    (PartitionError, "the vectors can't be searched right now"),
)

_SLUGS = {
    400: "validation",
    401: "unauthorized",
    403: "access",
    404: "not-found",
    405: "method-not-allowed",
    406: "not-acceptable",
    409: "conflict",
    412: "precondition",
    413: "too-large",
    415: "unsupported-media-type",
    416: "range",
    422: "media",
    423: "locked",
    429: "rate-limited",
    500: "internal",
    503: "unavailable",
}

_MEANING = {
    400: "The request makes no sense; `detail` says where.",
    401: "A key is needed, or the one given is not valid.",
    403: "The key or the address may not do this.",
    404: "It does not exist.",
    409: "It contradicts an earlier request or the present state.",
    412: "Another version of the protocol is spoken here.",
    413: "The request is larger than the settings allow.",
    415: "This content can't be taken here.",
    416: "The range lies outside the file.",
    422: "The media can't be read.",
    423: "Another request is at it.",
    429: "Too many requests; `Retry-After` says when to come back.",
    503: "A part of the service is not ready; trying again helps.",
}


def documented(*statuses: int) -> dict[int, ResponseSpec]:
    """OpenAPI entries for the problems that a route may answer with, beside those that every route has."""
    every = {400, 401, 403, 413, 429, 503}
    return {
        status: ResponseSpec(
            data_container=Problem, description=_MEANING[status], media_type=MEDIA_TYPE, generate_examples=False
        )
        for status in sorted(every | set(statuses))
    }


def documented_body(body: Any, description: str) -> ResponseSpec:
    """The OpenAPI entry of an answer whose handler encodes it by itself."""
    return ResponseSpec(data_container=body, description=description, generate_examples=False)


def documented_file(description: str, media_type: str = "*/*") -> ResponseSpec:
    """The OpenAPI entry of bytes."""
    return ResponseSpec(data_container=bytes, description=description, media_type=media_type, generate_examples=False)


def documented_stream(description: str) -> ResponseSpec:
    """The OpenAPI entry of a stream of server-sent events."""
    return ResponseSpec(
        data_container=str, description=description, media_type="text/event-stream", generate_examples=False
    )


def status_of(error: MedleyError) -> int:
    """The HTTP status that fits an error."""
    if isinstance(error, HttpError):
        return error.status
    return next(status for kind, status in _STATUS if isinstance(error, kind))


def problem_of(error: Exception, request_id: str | None = None) -> tuple[Problem, dict[str, str]]:
    """The problem document of any exception, and the headers that go with it."""
    if isinstance(error, MedleyError):
        return _of_ours(error, request_id)
    if isinstance(error, HTTPException):
        return _of_litestar(error, request_id)
    return _problem(500, "internal", f"Something went wrong here; the log has it under {request_id}.", request_id), {}


def _of_ours(error: MedleyError, request_id: str | None) -> tuple[Problem, dict[str, str]]:
    position = error.position if isinstance(error, QueryError) else None
    status = status_of(error)
    headers = dict(error.headers) if isinstance(error, HttpError) else {}
    if status == 503:
        headers.setdefault("Retry-After", "2")
    return _problem(status, error.slug, told_of(error), request_id, position=position), headers


def told_of(error: MedleyError) -> str:
    """What callers are told of an error; some name addresses and paths, which the log alone has to know."""
    return next((words for kind, words in _INTERNAL if isinstance(error, kind)), None) or str(error)


def _of_litestar(error: HTTPException, request_id: str | None) -> tuple[Problem, dict[str, str]]:
    status = error.status_code
    extra = error.extra if isinstance(error, ValidationException) else None
    errors = tuple(_readable(entry) for entry in extra) if isinstance(extra, list) else ()
    detail = "; ".join(errors) or error.detail or HTTPStatus(status).phrase
    problem = _problem(status, _SLUGS.get(status, "error"), detail, request_id, errors=errors)
    return problem, dict(error.headers or {})


def _readable(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    key, message = entry.get("key"), entry.get("message", "")
    return f"{key}: {message}" if key else str(message)


def _problem(status: int, slug: str, detail: str, request_id: str | None, **more: Any) -> Problem:
    return Problem(
        type=TYPE_PREFIX + slug,
        title=HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        instance=f"urn:medley:request:{request_id}" if request_id else None,
        **more,
    )


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler: every error leaves as a problem document."""
    request_id = request.scope.get("state", {}).get("request_id")
    problem, headers = problem_of(error, request_id)
    if request.url.path.startswith(_OPENAI_PATHS):
        kind = "invalid_request_error" if problem.status < 500 else "server_error"
        code = problem.type.removeprefix(TYPE_PREFIX)
        problem = msgspec.structs.replace(problem, error=OpenAiError(message=problem.detail, type=kind, code=code))
    if problem.status >= 500:
        # Ours are understood and one line says all; anything else is a bug and needs its trace in the log.
        log.error("%s", error, exc_info=None if isinstance(error, MedleyError) else error)
    return Response(
        msgspec.json.encode(problem),
        status_code=problem.status,
        media_type=MEDIA_TYPE if problem.status != 204 else MediaType.TEXT,
        headers=headers,
    )
