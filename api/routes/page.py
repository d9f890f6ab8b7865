"""The web page: a few static files, read once, served with validators. No template, no build step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec import Struct

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
}


class WebFile(Struct, frozen=True):
    """One file of the page."""

    body: bytes
    media_type: str
    etag: str


def load() -> dict[str, WebFile]:
    """All files of `api/web` by their path below it."""
    files: dict[str, WebFile] = {}
    _collect(resources.files("api") / "web", "", files)
    return files


def _collect(folder: Any, prefix: str, files: dict[str, WebFile]) -> None:
    for entry in folder.iterdir():
        if entry.is_dir():
            _collect(entry, f"{prefix}{entry.name}/", files)
            continue
        media_type = _TYPES.get("." + entry.name.rpartition(".")[2])
        if media_type is not None:
            body = entry.read_bytes()
            files[prefix + entry.name] = WebFile(body, media_type, f'"{hashlib.sha256(body).hexdigest()[:32]}"')


def handlers(files: Mapping[str, WebFile]) -> list[HTTPRouteHandler]:
    """The handlers of `/` and `/web/...`; public, because the page must load to ask for a key. They hold no data."""

    @get("/", sync_to_thread=False, opt={"scope": "public"}, include_in_schema=False)
    def index(request: Request[Any, Any, Any]) -> Response[bytes]:
        return _answer(request, files.get("index.html"))

    @get("/web/{name:path}", sync_to_thread=False, opt={"scope": "public"}, include_in_schema=False)
    def file(request: Request[Any, Any, Any], name: FromPath[str]) -> Response[bytes]:
        return _answer(request, files.get(name.lstrip("/")))

    return [index, file]


def _answer(request: Request[Any, Any, Any], file: WebFile | None) -> Response[bytes]:
    if file is None:
        return Response(b"This file does not exist.", status_code=404, media_type="text/plain")
    headers = {"ETag": file.etag, "Cache-Control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(b"", status_code=304, headers=headers, media_type=file.media_type)
    return Response(file.body, headers=headers, media_type=file.media_type)
