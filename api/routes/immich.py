"""Immich's machine-learning protocol for its `clip` entries, so that an Immich server can use Medley's encoders.

Immich's server sends no key: where keys are configured, the setting `keyless_networks` lets its address in.
"""

from __future__ import annotations

from typing import Any

import msgspec
from anyio import to_thread
from litestar import MediaType, Request, Response, get, post
from msgspec import Struct

from api.encoding import LONGEST_TEXT, Image, Input, Text, embed
from api.params import Injected
from api.problems import HttpError, documented, documented_body
from api.service import Service
from api.uploads import Form, receive
from indexer.query_media import load_query_image
from search.results import Signal

_KEYLESS = {"scope": "read", "keyless_networks": True}


class Entry(Struct, frozen=True, rename="camel"):
    """One model that Immich wants to run. Its name is Immich's affair: the active space answers."""

    model_name: str
    options: dict[str, Any] = {}


class Prediction(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The vector as Immich reads it: a JSON list inside a string."""

    clip: str
    image_height: int | None = None
    image_width: int | None = None


@get(
    "/ping", sync_to_thread=False, media_type=MediaType.TEXT, opt=_KEYLESS, responses=documented(), tags=["compatible"]
)
def ping() -> str:
    """Immich's sign of life."""
    return "pong"


@post(
    "/predict",
    status_code=200,
    opt=_KEYLESS,
    responses={**documented(415, 422), 200: documented_body(Prediction, "The vector.")},
    request_max_body_size=None,  # api.uploads has the limit
    tags=["compatible"],
)
async def predict(request: Request[Any, Any, Any], service: Injected) -> Response[Prediction]:
    """Embed a text (`clip.textual`) or a picture (`clip.visual`) by the active space."""
    form = await receive(request, service.settings)
    return Response(await to_thread.run_sync(_predict, service, form))


def _predict(service: Service, form: Form) -> Prediction:
    with form.consumed():
        kind = _wanted(form.fields.get("entries", ""))
        given = _visual(service, form) if kind == "visual" else _textual(form)
        space = service.engine.serving.space
        (vector,) = embed(space, [given], as_passages=False)
        clip = msgspec.json.encode(vector.tolist()).decode()
        if isinstance(given, Image):
            height, width = given.picture.shape[:2]
            return Prediction(clip=clip, image_height=height, image_width=width)
        return Prediction(clip=clip)


def _wanted(entries: str) -> str:
    """`visual` or `textual`. Raises HttpError."""
    try:
        tasks = msgspec.json.decode(entries, type=dict[str, dict[str, Entry]])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise HttpError(400, "validation", f"entries is not understood: {error}") from None
    if set(tasks) != {"clip"} or len(tasks["clip"]) != 1 or not set(tasks["clip"]) <= {"visual", "textual"}:
        raise HttpError(400, "validation", f"only clip with visual or textual is served here, not {sorted(tasks)}")
    return next(iter(tasks["clip"]))


def _textual(form: Form) -> Input:
    text = form.fields.get("text", "")
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise HttpError(400, "validation", f"text must have 1 to {LONGEST_TEXT} characters")
    return Text(text)


def _visual(service: Service, form: Form) -> Input:
    if len(form.files) != 1 or Signal.IMAGE not in service.engine.serving.space.dimensions:
        raise HttpError(400, "validation", "send one picture as the field image")
    return Image(load_query_image(form.files[0].path, service.settings))
