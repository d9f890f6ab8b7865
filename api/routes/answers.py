"""`POST /v1/answers`: an answer with citations, whole or as a stream of events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

from anyio import to_thread
from litestar import Request, Response, post
from litestar.params import JSONBody
from litestar.response import ServerSentEventMessage

from api.http import server_sent_events
from api.http.openapi import example
from api.http.problems import Problem, documented, documented_body, problem_of
from api.routes.dependencies import Injected
from api.routes.search import HIT_EXAMPLE
from api.schemas import AnswerBody
from api.service import Service
from search.errors import MedleyError
from search.language.answerer import AnswerEvent, Event, SourcesEvent, TextEvent
from search.results import Answer

log = logging.getLogger("medley.http")

_QUESTION = {"question": "When do we leave the harbour?", "filters": {"kind": ["video"]}}
_ANSWER = {
    "question": "When do we leave the harbour?", "answer": "We leave at noon. [1]", "found": True,
    "citations": [{
        "number": 1, "asset_id": "12", "path": "/media/2024/harbour.mp4", "segment_id": 312, "signal": "speech",
        "start_seconds": 3.1, "end_seconds": 7.9, "quote": "We leave the harbour at noon.", "support": 0.93,
    }],
    "hits": [HIT_EXAMPLE], "space": "starter", "model": "smollm2", "took_seconds": 1.2, "conversation": None,
}  # fmt: skip


@post(
    "/v1/answers",
    status_code=200,
    opt={"scope": "read", "uncompressed": True} | example(_ANSWER, request=_QUESTION),
    responses={
        **documented(404),
        200: documented_body(
            Answer, "The answer; `found` is false without a sure one, `closest` then quotes lines that may answer."
        ),
    },
    tags=["search"],
)
async def answer(request: Request[Any, Any, Any], service: Injected, data: JSONBody[AnswerBody]) -> Response[Any]:
    """Answer a question from the library, with citations that support every sentence.

    With `Accept: text/event-stream` the events are `started`, `sources` (what was read), `text` (each
    sentence as soon as it is checked), and `answer` (the whole, as without streaming), or `problem`.
    """
    if server_sent_events.MEDIA_TYPE in request.headers.get("accept", ""):
        # What makes no sense is refused before the stream begins.
        steps = service.engine.ask_stream(data.question, data.filters, data.limit, data.conversation, data.assets)
        return server_sent_events.stream(_events(service, data, steps, request.scope["state"]["request_id"]))
    return Response(await to_thread.run_sync(_ask, service, data))


def _ask(service: Service, data: AnswerBody) -> Answer:
    answer = service.engine.ask(data.question, data.filters, data.limit, data.conversation, data.assets)
    service.metrics.answer_seconds.observe(answer.took_seconds)
    return answer


async def _events(
    service: Service, data: AnswerBody, steps: Iterator[Event], request_id: str
) -> AsyncIterator[ServerSentEventMessage]:
    """Each event is made by a thread, step by step; comments keep the connection while the model thinks."""
    yield server_sent_events.event("started", {"question": data.question})
    while True:
        step = asyncio.ensure_future(to_thread.run_sync(_next, steps, request_id))
        while not (await asyncio.wait({step}, timeout=server_sent_events.KEEPALIVE_SECONDS))[0]:
            yield server_sent_events.keepalive()
        told = step.result()
        if told is None:
            return
        match told:
            case Problem():
                yield server_sent_events.event("problem", told)
                return
            case SourcesEvent():
                yield server_sent_events.event("sources", told)
            case TextEvent():
                yield server_sent_events.event("text", told)
            case AnswerEvent():
                service.metrics.answer_seconds.observe(told.answer.took_seconds)
                yield server_sent_events.event("answer", told.answer)


def _next(steps: Iterator[Event], request_id: str) -> Event | Problem | None:
    try:
        return next(steps, None)
    except Exception as error:  # the answer has begun, so it can only be told as an event
        if not isinstance(error, MedleyError):
            log.exception("an answer failed")
        return problem_of(error, request_id)[0]


ROUTES = (answer,)
