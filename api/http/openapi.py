"""The OpenAPI document: what Litestar derives, plus what it can't see.

Examples stand at the handlers, in their `opt` (`example`); a test holds each against its schema.
Some routes read their body themselves (multipart, or JSON and multipart on one path); their request
bodies are declared here. Served as JSON and YAML; no viewer is shipped, because viewers load scripts
from third parties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag
from litestar.routes import BaseRoute, HTTPRoute
from litestar.types import Method
from litestar.types.internal_types import PathParameterDefinition
from litestar.utils.sync import AsyncCallable

from api.schemas import SearchBody

#: the key of a handler's `opt` that holds its `Example`
_EXAMPLE = "openapi_example"
_FILE = {"type": "string", "format": "binary"}
_REF = "#/components/schemas/{name}"

TAGS = [
    Tag("search", "Find and ask."),
    Tag("library", "Sources, assets and their segments."),
    Tag("account", "What became of every file, and what is being done."),
    Tag("spaces", "Embedding spaces: fill, compare, switch."),
    Tag("compatible", "The shapes of other services: OpenAI, Cohere and Jina, Immich."),
    Tag("operations", "Health, metrics, the session of the web page."),
]


@dataclass(frozen=True)
class Example:
    """JSON to send to a handler, and what it answers when all is well; None where there is nothing to show."""

    answer: Any = None
    request: Any = None


def example(answer: Any = None, *, request: Any = None) -> dict[str, Any]:
    """An entry for a handler's `opt`: the example that the OpenAPI document shows."""
    return {_EXAMPLE: Example(answer, request)}


def page_example(item: dict[str, Any]) -> dict[str, Any]:
    """A page that holds one item and is the last."""
    return {"items": [item], "next_cursor": None}


def config(version: str) -> OpenAPIConfig:
    """Litestar's configuration."""
    bearer = SecurityScheme(type="http", scheme="bearer", description="A key of `medley keys create`.")
    return OpenAPIConfig(
        title="Medley",
        version=version,
        description="Find photos, sounds, spoken words and moments in videos by meaning; ask questions of a library. "
        "Errors are RFC 9457 problem documents whose `type` is stable.",
        path="/schema",
        tags=TAGS,
        use_handler_docstrings=True,
        components=Components(security_schemes={"key": bearer}),
        security=[{"key": []}, {}],  # without a key: loopback, as long as none is configured
        render_plugins=[_CompletedJson(path=["/openapi.json", "/"])],
        create_examples=False,
        operation_id_creator=_operation_id,
    )


def _operation_id(handler: HTTPRouteHandler, method: Method, _path: list[str | PathParameterDefinition]) -> str:
    """The handler's name: Litestar would append the name of its wrapper, "Asynccallable"."""
    function: Callable[..., Any] = handler.fn
    while isinstance(function, AsyncCallable):  # twice, where a route has two methods
        function = function.func
    name: str = function.__name__
    return f"{method.lower()}_{name}" if len(handler.http_methods) > 1 and method != "GET" else name


class _CompletedJson(JsonRenderPlugin):
    # Litestar's signature: it passes the request by position.
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        complete(openapi_schema, request.app.routes)
        return msgspec.json.encode(openapi_schema)


def complete(document: dict[str, Any], routes: Iterable[BaseRoute]) -> None:
    """Add the bodies that handlers read by themselves, and examples; doing it twice changes nothing."""
    (search,), components = msgspec.json.schema_components([SearchBody], ref_template=_REF)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in components.items():
        schemas.setdefault(name, schema)
    bodies: dict[str, dict[str, Any]] = {
        "/v1/search": {
            "application/json": {"schema": search, "examples": _SEARCHES},
            "multipart/form-data": _SEARCH_FORM,
        },
        "/v1/assets": {"multipart/form-data": _UPLOAD_FORM},
        "/predict": {"multipart/form-data": _PREDICT_FORM},
    }
    for path, content in bodies.items():
        operation = document["paths"].get(path, {}).get("post")
        if operation is not None:
            operation["requestBody"] = {"required": True, "content": content}
            if len(content) > 1:  # openapi-python-client forgets an import where nothing but the body is optional
                operation["parameters"] = [_REQUEST_ID]
    _without_ellipsis(document)
    for path, method, handler in _handlers(routes):
        shown = handler.opt.get(_EXAMPLE)
        if shown is not None:
            _illustrate(document["paths"][path][method], shown)


def _handlers(routes: Iterable[BaseRoute]) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """Every handler with its path and method as the document spells them."""
    for route in routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                for method in handler.http_methods:
                    yield route.path_format, method.lower(), handler


def _without_ellipsis(node: Any) -> None:
    """Litestar takes the dots of `tuple[X, ...]` for a type of their own: an item is then X or anything."""
    if isinstance(node, list):
        for entry in node:
            _without_ellipsis(entry)
    elif isinstance(node, dict):
        choices = node.get("oneOf")
        if isinstance(choices, list) and len(choices) == 2 and choices[1] == {}:
            del node["oneOf"]
            node.update(choices[0])
        for entry in node.values():
            _without_ellipsis(entry)


def _illustrate(operation: dict[str, Any], shown: Example) -> None:
    if shown.request is not None:
        _show(operation["requestBody"], shown.request)
    if shown.answer is not None:
        for status, response in operation["responses"].items():
            if status.startswith("2"):
                _show(response, shown.answer)


def _show(body: dict[str, Any], value: Any) -> None:
    if "application/json" in body.get("content", {}):
        body["content"]["application/json"]["example"] = value


_REQUEST_ID = {
    "name": "X-Request-ID",
    "in": "header",
    "required": False,
    "description": "Names this request in the log and in the answer.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{8,64}$"},
}
_SEARCHES = {
    "words": {"value": {"text": "a dog on the beach at sunset", "limit": 5}},
    "filters": {"value": {"text": "bridge", "filters": {"kind": ["video"], "after": "2024-01-01"}}},
    "like a moment, but not at night": {"value": {"text": "-night", "images": ["12@3.5-8"], "explain": True}},
}
_SEARCH_FORM = {
    "schema": {
        "type": "object",
        "description": "The JSON body as the field `query`, and files to search by.",
        "properties": {"query": {"type": "string"}, "image": _FILE, "audio": _FILE, "video": _FILE},
    }
}
_UPLOAD_FORM = {
    "schema": {"type": "object", "required": ["file"], "properties": {"file": _FILE}},
}
_PREDICT_FORM = {
    "schema": {
        "type": "object",
        "required": ["entries"],
        "properties": {"entries": {"type": "string"}, "text": {"type": "string"}, "image": _FILE},
    },
    "example": {"entries": '{"clip": {"textual": {"modelName": "starter"}}}', "text": "a dog"},
}
