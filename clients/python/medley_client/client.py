"""The client that waits for each answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

import httpx

from medley_client import calls
from medley_client.calls import PIECE_BYTES, TRIES, Call, Result
from medley_client.errors import MedleyError, Problem, raise_for
from medley_client.models import (
    Answer,
    AssetDetails,
    EvaluationReport,
    Filters,
    Hit,
    Job,
    SearchResult,
    Segment,
    Source,
    Status,
    TuningOutcome,
    Upload,
)


class Medley:
    """A library that is served at `url`; `key` is one of `medley keys create`. Thread-safe. Methods raise MedleyError.

    `transport` stands in for the network in tests.
    """

    def __init__(
        self,
        url: str = "http://127.0.0.1:8000",
        key: str | None = None,
        *,
        timeout_seconds: float = 60.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout_seconds, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def search(
        self,
        text: str = "",
        *,
        images: Sequence[str | Path] = (),
        filters: Filters = Filters(),
        limit: int = 20,
        cursor: str | None = None,
        rerank: bool | None = None,
    ) -> SearchResult:
        """One page of a ranking; `images` are files, or references such as `12@3.5-8`."""
        return self._send(calls.search(text, images, filters, limit, cursor, rerank))

    def search_all(
        self, text: str = "", *, images: Sequence[str | Path] = (), filters: Filters = Filters(), page: int = 50
    ) -> Iterator[Hit]:
        """Every hit, best first, page by page as they are taken."""
        result = self.search(text, images=images, filters=filters, limit=page)
        yield from result.hits
        while result.next_cursor:
            result = self.search(text, images=images, filters=filters, limit=page, cursor=result.next_cursor)
            yield from result.hits

    def ask(
        self,
        question: str,
        *,
        filters: Filters = Filters(),
        assets: Sequence[str] | None = None,
        limit: int = 8,
        conversation: str | None = None,
    ) -> Answer:
        """An answer from the library, with citations."""
        return self._send(calls.ask(question, filters, assets, limit, conversation))

    def asset(self, asset_id: str) -> AssetDetails:
        """Everything known of a file."""
        return self._send(calls.asset(asset_id))

    def segments(self, asset_id: str) -> Iterator[Segment]:
        """What of a file can be found: what is said and seen, in order."""
        page = self._send(calls.segments(asset_id, None))
        yield from page.items
        while page.next_cursor:
            page = self._send(calls.segments(asset_id, page.next_cursor))
            yield from page.items

    def sources(self) -> Iterator[Source]:
        """The folders that are kept searchable."""
        page = self._send(calls.sources(None))
        yield from page.items
        while page.next_cursor:
            page = self._send(calls.sources(page.next_cursor))
            yield from page.items

    def add_source(self, root: str) -> Source:
        """Keep a folder of the serving machine searchable."""
        return self._send(calls.add_source(root))

    def scan(self, source_id: str) -> Job:
        """Look now for what has changed in a folder."""
        return self._send(calls.scan(source_id))

    def job(self, job_id: str) -> Job:
        """How far a job is."""
        return self._send(calls.job(job_id))

    def wait_for(self, job_id: str) -> Job:
        """The job, once it has ended; it may have failed or been cancelled."""
        path = f"/v1/jobs/{job_id}/events"
        try:
            with self._http.stream("GET", path) as events:
                if events.is_success:
                    for _ in events.iter_raw():
                        pass
        except httpx.HTTPError as error:
            raise MedleyError(f"{self._http.base_url} can't be reached: {error}") from error
        return self.job(job_id)

    def cancel(self, job_id: str) -> Job:
        """End a job. What it has done so far stays."""
        return self._send(calls.cancel(job_id))

    def judge(self, query: str, asset_id: str, relevant: int = 1) -> None:
        """Say whether a file is a right answer to a query: 1 to 3, or 0 for a wrong one."""
        self._send(calls.judge(query, asset_id, relevant))

    def evaluate(self, space: str, *, others: Sequence[str] = (), depth: int = 10, rerank: bool = False) -> Job:
        """Begin to measure a space on the judgements, and hold others against it."""
        return self._send(calls.evaluate(space, others, depth, rerank))

    def evaluation(self, space: str, job_id: str) -> EvaluationReport:
        """What came of measuring, once its job is done."""
        return self._send(calls.evaluation(space, job_id))

    def tune(self, space: str, *, rerank: bool = False) -> Job:
        """Begin to let a space learn from the judgements; used only if it wins held-out ones."""
        return self._send(calls.tune(space, rerank))

    def tuning_outcome(self, space: str, job_id: str) -> TuningOutcome:
        """What came of learning, once its job is done."""
        return self._send(calls.tuning_outcome(space, job_id))

    def untune(self, space: str) -> None:
        """Take back what a space has learnt."""
        self._send(calls.untune(space))

    def status(self) -> Status:
        """What became of every file."""
        return self._send(calls.status())

    def content(self, asset_id: str) -> bytes:
        """The file itself."""
        return self._send(calls.content(asset_id))

    def thumbnail(self, segment_id: int) -> bytes:
        """A picture of a moment, as WebP."""
        return self._send(calls.thumbnail(segment_id))

    def upload(self, path: Path) -> Upload:
        """Add a file, in pieces, going on by itself where the connection broke."""
        size = path.stat().st_size
        url = self._send(calls.start_upload(path.name, size))
        offset, asset_id = 0, None
        with path.open("rb") as file:
            while asset_id is None:
                file.seek(offset)
                offset, asset_id = self._append(url, offset, file.read(PIECE_BYTES))
        return Upload(asset_id=asset_id, size_bytes=size)

    def _append(self, url: str, offset: int, piece: bytes) -> tuple[int, str | None]:
        for attempt in range(TRIES):
            try:
                return self._send(calls.upload_piece(url, offset, piece))
            except Problem as problem:
                if problem.status not in (409, 423, 503):
                    raise
            except MedleyError:
                if attempt == TRIES - 1:
                    raise
            arrived, asset_id = self._send(calls.upload_progress(url))
            if arrived != offset or asset_id:
                return arrived, asset_id
        raise MedleyError(f"no piece of the upload arrived in {TRIES} tries")

    def _send(self, call: Call[Result]) -> Result:
        try:
            response = self._http.request(
                call.method, call.path, json=call.json, params=call.params, headers=call.headers, content=call.content
            )
        except httpx.HTTPError as error:
            raise MedleyError(f"{self._http.base_url} can't be reached: {error}") from error
        raise_for(response)
        return call.read(response)
