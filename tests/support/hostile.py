"""Requests that are larger than they look, or no requests at all. Each must be refused with 4xx, at once."""

from __future__ import annotations

import base64
import json
import zlib
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class Hostile:
    """A request to refuse."""

    path: str
    body: bytes
    content_type: str = "application/json"
    host: str = "localhost"


HOSTILE_FILTERS: dict[str, dict[str, Any]] = {
    "filters of 40 kB": {"where": "kind:image " * 4000},
    "filters of 5 MB": {"where": "a" * 5_000_000},
    "many choices": {"where": " OR ".join(["kind:image"] * 4000)},
    "many words": {"where": "a:b " * 4500},
    "words in parentheses": {"where": "(a)" * 20_000},
    "deep parentheses": {"where": "(" * 19_000},
    "deep negations": {"where": "NOT " * 4000 + "kind:image"},
    "quotes": {"where": '"' * 19_999},
    "100,000 globs": {"path": [f"*{number}*.jpg" for number in range(100_000)]},
    "one long glob": {"path": ["*a" * 50_000]},
    "100,000 kinds": {"kind": ["image"] * 100_000},
    "many sources": {"source": [str(number) for number in range(50_000)]},
    "a long date": {"after": "2" * 40_000},
}
NESTED = b"[" * 100_000 + b"]" * 100_000


def _packed(plain: bytes) -> str:
    return base64.urlsafe_b64encode(zlib.compress(plain, 9)).decode()


def _json(path: str, body: dict[str, Any], **more: str) -> Hostile:
    return Hostile(path, json.dumps(body).encode(), **more)


def _field(charset: str, value: bytes) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="query"\r\nContent-Type: text/plain; charset={charset}\r\n\r\n'
    return head.encode() + value + b"\r\n--b--\r\n"


def _named(name: str) -> bytes:
    head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
    return head.encode() + b"text\r\n--b--\r\n"


@cache
def requests() -> dict[str, Hostile]:
    """By name: what each is."""
    found = {
        f"{name}, {route}": _json(route, {**asked, "filters": filters})
        for route, asked in (("/v1/search", {"text": "red"}), ("/v1/answers", {"question": "what?"}))
        for name, filters in HOSTILE_FILTERS.items()
    }
    unpacks = _packed(bytes(40_000_000))
    found |= {
        "a cursor that unpacks to 40 MB": _json("/v1/search", {"text": "red", "cursor": unpacks}),
        "a cursor of 800 kB": _json("/v1/search", {"text": "red", "cursor": "eJ" * 400_000}),
        "a query of 1 MB": _json("/v1/search", {"text": "a " * 500_000}),
        "a question of 500 kB": _json("/v1/answers", {"question": "a " * 250_000}),
        "40 pictures in a query": _json("/v1/search", {"images": ["data:image/png;base64,eA=="] * 40}),
        "5,000 texts to embed": _json("/v1/embeddings", {"model": "starter", "input": ["a"] * 5000}),
        "1.2 MB of text to embed": _json("/v1/embeddings", {"model": "starter", "input": ["a" * 30_000] * 40}),
        "5,000 documents to rank": _json("/v1/rerank", {"query": "x", "documents": ["a"] * 5000}),
        "a folder of 40 kB": _json("/v1/sources", {"root": "/" + "a" * 40_000}),
        "2 MB where pictures are not taken": _json("/v1/keys", {"name": "a" * 2_000_000, "scopes": ["read"]}),
        "an upload with a name of 60 kB": Hostile(
            "/v1/assets", _named("日" * 20_000), "multipart/form-data; boundary=b"
        ),
        "an upload that is cut": Hostile("/v1/assets", _named("a.png")[:90], "multipart/form-data; boundary=b"),
    }
    for route in ("/v1/search", "/v1/answers", "/v1/embeddings", "/v1/rerank", "/v1/sources", "/v1/saved-searches"):
        found[f"JSON 100,000 deep, {route}"] = Hostile(route, b'{"question":' + NESTED + b"}")
        found[f"JSON that is not UTF-8, {route}"] = Hostile(route, b'{"text":"\xff\xfe"}')
        found[f"a number of 100,000 digits, {route}"] = Hostile(route, b'{"limit":' + b"9" * 100_000 + b"}")
    for charset in ("nope", "hex", "idna", "utf-16"):
        body = _field(charset, b"\xff" + b"a" * 60_000)
        found[f"a field in {charset!r}"] = Hostile("/v1/search", body, "multipart/form-data; boundary=b")
    for host in ("::1", "[::1", "a" * 5000, "exa mple", "[]", ":"):
        found[f"the host {host[:8]!r}"] = Hostile("/v1/search", b"{}", host=host)
    return found
