"""Immich's machine-learning protocol for its `clip` entries, so that an Immich server can use Medley's encoders.

Immich's server sends no key: where keys are configured, the setting `keyless_networks` admits its address.

It keeps vectors in a column as wide as those of the model that it names, so only a space of that width answers. And it
takes any status but 2xx for a server that is ill, and asks that server last from then on: so its other tasks (faces,
text) are answered by 200 and a refusal, in which it misses its result. The job of that one file fails, as it must.
"""

from __future__ import annotations

import logging
from typing import Any

import msgspec
from anyio import to_thread
from litestar import MediaType, Request, Response, get, post
from msgspec import Struct

from api.embedding_requests import LONGEST_TEXT
from api.http.openapi import example
from api.http.problems import HttpError, documented, documented_body
from api.http.uploads import Form, receive
from api.routes.dependencies import Injected
from api.service import Service
from indexer.query_media import load_query_image
from search.arrays import Float32Array
from search.catalog import spaces
from search.signals import Signal
from search.spaces.inputs import Picture
from search.spaces.space import Space

_KEYLESS = {"scope": "read", "keyless_networks": True}


# Facts of Immich's server: the models that it knows, by the width of their vectors.
_MODELS = {
    512: """RN101__openai RN101__yfcc15m ViT-B-16__laion400m_e31 ViT-B-16__laion400m_e32 ViT-B-16__openai
        ViT-B-32__laion2b-s34b-b79k ViT-B-32__laion2b_e16 ViT-B-32__laion400m_e31 ViT-B-32__laion400m_e32
        ViT-B-32__openai XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k XLM-Roberta-Large-Vit-B-32""",
    640: """RN50x4__openai ViT-B-16-plus-240__laion400m_e31 ViT-B-16-plus-240__laion400m_e32
        XLM-Roberta-Large-Vit-B-16Plus""",
    768: """LABSE-Vit-L-14 RN50x16__openai ViT-B-16-SigLIP-256__webli ViT-B-16-SigLIP-384__webli
        ViT-B-16-SigLIP-512__webli ViT-B-16-SigLIP-i18n-256__webli ViT-B-16-SigLIP__webli ViT-L-14-336__openai
        ViT-L-14-quickgelu__dfn2b ViT-L-14__laion2b-s32b-b82k ViT-L-14__laion400m_e31 ViT-L-14__laion400m_e32
        ViT-L-14__openai XLM-Roberta-Large-Vit-L-14 nllb-clip-base-siglip__mrl nllb-clip-base-siglip__v1
        ViT-B-16-SigLIP2__webli ViT-B-32-SigLIP2-256__webli""",
    1024: """RN50__cc12m RN50__openai RN50__yfcc15m RN50x64__openai ViT-H-14-378-quickgelu__dfn5b
        ViT-H-14-quickgelu__dfn5b ViT-H-14__laion2b-s32b-b79k ViT-L-16-SigLIP-256__webli ViT-L-16-SigLIP-384__webli
        ViT-g-14__laion2b-s12b-b42k XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k ViT-L-16-SigLIP2-256__webli
        ViT-L-16-SigLIP2-384__webli ViT-L-16-SigLIP2-512__webli""",
    1152: """ViT-SO400M-14-SigLIP-384__webli nllb-clip-large-siglip__mrl nllb-clip-large-siglip__v1
        ViT-SO400M-14-SigLIP2__webli ViT-SO400M-14-SigLIP2-378__webli ViT-SO400M-16-SigLIP2-256__webli
        ViT-SO400M-16-SigLIP2-384__webli ViT-SO400M-16-SigLIP2-512__webli""",
    1536: "ViT-gopt-16-SigLIP2-256__webli ViT-gopt-16-SigLIP2-384__webli",
}
WIDTHS = {name: width for width, names in _MODELS.items() for name in names.split()}

log = logging.getLogger("medley.immich")


class Entry(Struct, frozen=True, rename="camel"):
    """One model that Immich wants to run: its name says how wide the vector must be."""

    model_name: str
    options: dict[str, Any] = {}


class Prediction(Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """The vector as Immich reads it: a JSON list inside a string."""

    clip: str
    image_height: int | None = None
    image_width: int | None = None


class Refused(Struct, frozen=True):
    """Instead of a result: why there is none."""

    error: str


_PREDICTION = {"clip": "[0.12, -0.03]", "imageHeight": 480, "imageWidth": 640}


@get(
    "/ping", sync_to_thread=False, media_type=MediaType.TEXT, opt=_KEYLESS, responses=documented(), tags=["compatible"]
)
def ping() -> str:
    """Answer Immich's health check."""
    return "pong"


@post(
    "/predict",
    status_code=200,
    opt=_KEYLESS | example(_PREDICTION),
    responses={**documented(409, 415, 422), 200: documented_body(Prediction, "The vector.")},
    request_max_body_size=None,  # api.http.uploads has the limit
    tags=["compatible"],
)
async def predict(request: Request[Any, Any, Any], service: Injected) -> Response[Any]:
    """Embed a text (`clip.textual`) or a picture (`clip.visual`) with a space of the width that the model asks for."""
    form = await receive(request, service.settings)
    return Response(await to_thread.run_sync(_predict, service, form))


def _predict(service: Service, form: Form) -> Prediction | Refused:
    with form.consumed():
        tasks = _tasks(form.fields.get("entries", ""))
        if "clip" not in tasks:
            told = f"Medley serves clip alone, not {', '.join(sorted(tasks))}; switch it off in Immich's settings"
            log.warning("refused a task of Immich", extra={"fields": {"tasks": sorted(tasks)}})
            return Refused(told)
        kind, entry = _wanted(tasks)
        space = _space_for(service, entry.model_name)
        if kind == "textual":
            (vector,) = space.embed_query_text([_textual(form)])[Signal.IMAGE]
            return Prediction(clip=_as_text(vector))
        picture = _visual(service, form)
        (vector,) = space.embed(Signal.IMAGE, [picture])
        height, width = picture.shape[:2]
        return Prediction(clip=_as_text(vector), image_height=height, image_width=width)


def _space_for(service: Service, model_name: str) -> Space:
    """The active space if its vectors are as wide as the model's, else the first that fits. Raises HttpError 409."""
    name = model_name.rpartition("/")[2].replace("::", "__")
    with service.database.read() as connection:
        records = spaces.list_spaces(connection)
    chosen = [record for record in records if record.name == name]  # Immich names no such model, but people try it
    width = None if chosen else WIDTHS.get(name)
    if width is None and not chosen:
        raise HttpError(409, "conflict", f"the width of {name[:100]!r} is not known here; name a CLIP model of Immich")
    active = service.engine.active_space.record.id
    for record in chosen or sorted(records, key=lambda record: record.id != active):
        space = service.opened(record)
        if width in (None, space.dimensions.get(Signal.IMAGE)):
            return space
    has = service.engine.space.dimensions.get(Signal.IMAGE)
    raise HttpError(
        409,
        "conflict",
        f"{name} has vectors of {width} numbers, and no space here has: the active one has {has}. Choose a model "
        "of that width in Immich, or make such a space: medley spaces create NAME --model ... (docs/spaces.md)",
    )


def _as_text(vector: Float32Array) -> str:
    """Immich takes the vector as JSON within JSON."""
    return msgspec.json.encode(vector.tolist()).decode()


def _tasks(entries: str) -> dict[str, dict[str, Entry]]:
    """What is to be done. Raises HttpError 400."""
    try:
        tasks = msgspec.json.decode(entries, type=dict[str, dict[str, Entry]])
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise HttpError(400, "validation", f"entries is not understood: {error}") from None
    if not tasks:
        raise HttpError(400, "validation", "entries is empty")
    return tasks


def _wanted(tasks: dict[str, dict[str, Entry]]) -> tuple[str, Entry]:
    """`visual` or `textual`, and the model. Raises HttpError 400."""
    if set(tasks) != {"clip"} or len(tasks["clip"]) != 1 or not set(tasks["clip"]) <= {"visual", "textual"}:
        raise HttpError(400, "validation", "clip takes either visual or textual, one in a request")
    ((kind, entry),) = tasks["clip"].items()
    return kind, entry


def _textual(form: Form) -> str:
    text = form.fields.get("text", "")
    if not text.strip() or len(text) > LONGEST_TEXT:
        raise HttpError(400, "validation", f"text must have 1 to {LONGEST_TEXT} characters")
    return text


def _visual(service: Service, form: Form) -> Picture:
    if len(form.files) != 1:
        raise HttpError(400, "validation", "send one picture as the field image")
    return load_query_image(form.files[0].path, service.settings)


ROUTES = (ping, predict)
