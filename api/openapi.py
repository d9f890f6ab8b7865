"""The OpenAPI document: what Litestar derives, completed by what it can't see.

Some routes read their body themselves (multipart, or JSON and multipart on one path); their request
bodies are declared here. Served as JSON and YAML; no viewer is shipped, because viewers load scripts
from third parties.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import Request
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme, Tag

from api import examples
from api.schemas import SearchBody

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
    )


class _CompletedJson(JsonRenderPlugin):
    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        complete(openapi_schema)
        return msgspec.json.encode(openapi_schema)


def complete(document: dict[str, Any]) -> None:
    """Add the bodies that handlers read by themselves; doing it twice changes nothing."""
    (search,), components = msgspec.json.schema_components([SearchBody], ref_template=_REF)
    schemas = document.setdefault("components", {}).setdefault("schemas", {})
    for name, schema in components.items():
        schemas.setdefault(name, schema)
    bodies = {
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
    _without_ellipsis(document)
    for (method, path), example in examples.REQUESTS.items():
        body = document["paths"].get(path, {}).get(method, {}).get("requestBody", {})
        _illustrate(body.get("content", {}), example)
    for (method, path), example in examples.ANSWERS.items():
        for status, answer in document["paths"].get(path, {}).get(method, {}).get("responses", {}).items():
            if status.startswith("2"):
                _illustrate(answer.get("content", {}), example)


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


def _illustrate(content: dict[str, Any], example: Any) -> None:
    if "application/json" in content:
        content["application/json"]["example"] = example


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
