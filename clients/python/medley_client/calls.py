"""Each request and what its answer means, without sending it: the sync and the async client share these."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from medley_client.errors import MedleyError
from medley_client.models import (
    Answer,
    AssetDetails,
    EvaluationReport,
    Filters,
    Job,
    Page,
    SearchResult,
    Segment,
    Source,
    Status,
    TuningOutcome,
)

Result = TypeVar("Result")
PIECE_BYTES = 4 * 1024**2
TRIES = 5  # of one piece of an upload, over connections that break
TUS = {"tus-resumable": "1.0.0"}


@dataclass(frozen=True)
class Call(Generic[Result]):
    """A request, and how to read its answer."""

    method: str
    path: str
    read: Callable[[httpx.Response], Result]
    json: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


def _as(kind: type[Result]) -> Callable[[httpx.Response], Result]:
    def read(response: httpx.Response) -> Result:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except msgspec.DecodeError as error:
            raise MedleyError(f"{response.url} does not answer as Medley does: {error}") from None

    return read


def _nothing(_response: httpx.Response) -> None:
    """An answer that says no more than that it was done."""


def _quoted(name: str) -> str:
    return quote(name, safe="")


def search(
    text: str, images: Sequence[str | Path], filters: Filters, limit: int, cursor: str | None, rerank: bool | None
) -> Call[SearchResult]:
    """`images` are files of this machine, or references such as `12@3.5-8`."""
    pictures = [data_url(image) if isinstance(image, Path) else image for image in images]
    body = {"text": text, "images": pictures, "filters": filters, "limit": limit, "cursor": cursor, "rerank": rerank}
    return Call("POST", "/v1/search", _as(SearchResult), msgspec.to_builtins(body))


def ask(
    question: str, filters: Filters, assets: Sequence[str] | None, limit: int, conversation: str | None
) -> Call[Answer]:
    """A question, and its whole answer."""
    body = {"question": question, "filters": filters, "limit": limit, "conversation": conversation, "assets": assets}
    return Call("POST", "/v1/answers", _as(Answer), msgspec.to_builtins(body))


def asset(asset_id: str) -> Call[AssetDetails]:
    """Everything known of a file."""
    return Call("GET", f"/v1/assets/{asset_id}", _as(AssetDetails))


def segments(asset_id: str, cursor: str | None) -> Call[Page[Segment]]:
    """A page of what can be found of a file."""
    return Call("GET", f"/v1/assets/{asset_id}/segments", _as(Page[Segment]), params=_cursor(cursor))


def sources(cursor: str | None) -> Call[Page[Source]]:
    """A page of the folders that are kept searchable."""
    return Call("GET", "/v1/sources", _as(Page[Source]), params=_cursor(cursor))


def add_source(root: str) -> Call[Source]:
    """A folder of the serving machine."""
    return Call("POST", "/v1/sources", _as(Source), {"root": root})


def scan(source_id: str) -> Call[Job]:
    """Look for what has changed."""
    return Call("POST", f"/v1/sources/{source_id}/scan", _as(Job))


def job(job_id: str) -> Call[Job]:
    """How far a job is."""
    return Call("GET", f"/v1/jobs/{job_id}", _as(Job))


def cancel(job_id: str) -> Call[Job]:
    """End a job."""
    return Call("POST", f"/v1/jobs/{job_id}/cancel", _as(Job))


def judge(query: str, asset_id: str, relevant: int) -> Call[None]:
    """Whether a file is a right answer to a query."""
    body = {"query": query, "asset": asset_id, "relevant": relevant}
    return Call("POST", "/v1/judgements", _nothing, body)


def evaluate(space: str, others: Sequence[str], depth: int, rerank: bool) -> Call[Job]:
    """Measure a space on the judgements, and hold others against it."""
    body = {"others": list(others), "depth": depth, "rerank": rerank}
    return Call("POST", f"/v1/spaces/{_quoted(space)}/evaluations", _as(Job), body)


def evaluation(space: str, job_id: str) -> Call[EvaluationReport]:
    """What came of it."""
    return Call("GET", f"/v1/spaces/{_quoted(space)}/evaluations/{job_id}", _as(EvaluationReport))


def tune(space: str, rerank: bool) -> Call[Job]:
    """Let a space learn from the judgements."""
    return Call("POST", f"/v1/spaces/{_quoted(space)}/tunings", _as(Job), {"rerank": rerank})


def tuning_outcome(space: str, job_id: str) -> Call[TuningOutcome]:
    """What came of it."""
    return Call("GET", f"/v1/spaces/{_quoted(space)}/tunings/{job_id}", _as(TuningOutcome))


def untune(space: str) -> Call[None]:
    """Take back what a space has learnt."""
    return Call("DELETE", f"/v1/spaces/{_quoted(space)}/tuning", _nothing)


def status() -> Call[Status]:
    """What became of every file."""
    return Call("GET", "/v1/status", _as(Status))


def content(asset_id: str) -> Call[bytes]:
    """The bytes of a file."""
    return Call("GET", f"/v1/assets/{asset_id}/content", lambda response: response.content)


def thumbnail(segment_id: int) -> Call[bytes]:
    """A picture of a moment."""
    return Call("GET", f"/v1/segments/{segment_id}/thumbnail", lambda response: response.content)


def start_upload(name: str, size_bytes: int) -> Call[str]:
    """The address to send the bytes to."""
    metadata = "filename " + base64.b64encode(name.encode()).decode()
    headers = TUS | {"upload-length": str(size_bytes), "upload-metadata": metadata}
    return Call("POST", "/v1/uploads", lambda response: str(response.headers["location"]), headers=headers)


def upload_progress(url: str) -> Call[tuple[int, str | None]]:
    """How many bytes have arrived, and the asset that they became."""
    return Call("HEAD", url, _progress, headers=TUS)


def upload_piece(url: str, offset: int, piece: bytes) -> Call[tuple[int, str | None]]:
    """Go on with an upload; answers as `upload_progress`."""
    headers = TUS | {"upload-offset": str(offset), "content-type": "application/offset+octet-stream"}
    return Call("PATCH", url, _progress, headers=headers, content=piece)


def _progress(response: httpx.Response) -> tuple[int, str | None]:
    return int(response.headers["upload-offset"]), response.headers.get("medley-asset")


def _cursor(cursor: str | None) -> dict[str, Any]:
    return {} if cursor is None else {"cursor": cursor}


def data_url(path: Path) -> str:
    """A picture as a data URL; what it is is found out by its bytes."""
    return "data:application/octet-stream;base64," + base64.b64encode(path.read_bytes()).decode()
