"""`POST /v1/answers`: an answer with citations, whole or as a stream of events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from anyio import to_thread
from litestar import Request, Response, post
from litestar.params import JSONBody

from api import events
from api.params import Injected
from api.problems import Problem, documented, documented_body, problem_of
from api.schemas import AnswerBody
from api.service import Service
from search.errors import MedleyError
from search.language.answerer import AnswerEvent, Event, SourcesEvent, TextEvent
from search.results import Answer

log = logging.getLogger("medley.http")


@post(
    "/v1/answers",
    status_code=200,
    opt={"scope": "read", "uncompressed": True},
    responses={
        **documented(404),
        200: documented_body(Answer, "The answer; `found` is false when the library does not hold it."),
    },
    tags=["search"],
)
async def answer(request: Request[Any, Any, Any], service: Injected, data: JSONBody[AnswerBody]) -> Response[Any]:
    """Answer a question from the library, with citations that support every sentence.

    With `Accept: text/event-stream` the events are `started`, `sources` (what was read), `text` (each
    sentence as soon as it is checked), and `answer` (the whole, as without streaming), or `problem`.
    """
    if events.MEDIA_TYPE in request.headers.get("accept", ""):
        return events.stream(_events(service, data, request.scope["state"]["request_id"]))
    return Response(await to_thread.run_sync(_ask, service, data))


def _ask(service: Service, data: AnswerBody) -> Answer:
    found = service.engine.ask(data.question, data.filters, data.limit, data.conversation)
    service.metrics.answer_seconds.observe(found.took_seconds)
    return found


async def _events(service: Service, data: AnswerBody, request_id: str) -> AsyncIterator[bytes]:
    """Each event is made by a thread, step by step; comments keep the connection while the model thinks."""
    yield events.event("started", {"question": data.question})
    steps = service.engine.ask_stream(data.question, data.filters, data.limit, data.conversation)
    while True:
        step = asyncio.ensure_future(to_thread.run_sync(_next, steps, request_id))
        while not (await asyncio.wait({step}, timeout=events.KEEPALIVE_SECONDS))[0]:
            yield b": still thinking\n\n"
        told = step.result()
        if told is None:
            return
        match told:
            case Problem():
                yield events.event("problem", told)
                return
            case SourcesEvent():
                yield events.event("sources", told)
            case TextEvent():
                yield events.event("text", told)
            case AnswerEvent():
                service.metrics.answer_seconds.observe(told.answer.took_seconds)
                yield events.event("answer", told.answer)


def _next(steps: Iterator[Event], request_id: str) -> Event | Problem | None:
    try:
        return next(steps, None)
    except Exception as error:  # the answer has begun, so it can only be told as an event
        if not isinstance(error, MedleyError):
            log.exception("an answer failed")
        return problem_of(error, request_id)[0]
