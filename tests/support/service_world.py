"""A small service for tests: the real catalogue, partitions, ranking and HTTP, with a space that only counts words.

`WordSpace` implements the protocol of a space with no model: a picture's mean colour stands for the words
red, green and blue, so that text finds pictures, exactly and at once.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import msgspec
import numpy as np
import uvicorn
from PIL import Image, ImageDraw

from api.app import create_app
from api.batching import BatchingSpace
from api.http.connections import PatientProtocol
from api.service import Service
from search.catalog import assets, queue, sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.engine import SearchEngine
from search.settings import Settings
from search.signals import Signal
from search.spaces import specification
from search.spaces.specification import StarterSpecification
from search.testing import COLOURS, WordSpace, vector_of
from support.catalog_world import claims_held
from support.documents import lines, pdf
from support.waiting import until


class World:
    """A library under test: its folder of media, its settings, its engine."""

    def __init__(
        self, settings: Settings, database_url: str, media: Path, engine_class: type[SearchEngine] = SearchEngine
    ) -> None:
        self.settings = settings
        self.media = media
        self.space = WordSpace()
        self.database = Database.open(database_url)
        self.database.migrate()
        media.mkdir(exist_ok=True)
        with self.database.write() as connection:
            self.source = sources.add_source(connection, str(media))
            if spaces.find_space(connection, "words") is None:
                encoded = specification.encode(StarterSpecification())
                spaces.create_space(connection, "words", encoded, self.space.fingerprint.digest)
                spaces.activate_space(connection, "words")
        self.engine = engine_class.open(
            settings, database=self.database, open_space=lambda record: BatchingSpace(self.space)
        )
        self.engine.watch()
        self.service = Service(settings, self.engine, lambda record: self.space)

    def picture(
        self,
        name: str,
        colour: str,
        words: str | None = None,
        taken: datetime | None = None,
        at: tuple[float, float] | None = None,
    ) -> int:
        """A picture in the library, indexed, taken at a latitude and longitude; returns the asset's id."""
        path = self.media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = tuple(200 if colour == shown else 20 for shown in COLOURS)
        image = Image.new("RGB", (64, 48), shade)
        mark = hashlib.sha256(name.encode()).digest()
        image.putpixel((mark[0] % 64, mark[1] % 48), (mark[2], mark[3], mark[4]))  # no two are copies of each other
        image.save(path, lossless=True)
        if taken:
            os.utime(path, (taken.timestamp(), taken.timestamp()))
        texts = [(Signal.TEXT, words, None, None)] if words else []
        latitude, longitude = at or (None, None)
        facts = AssetFacts(width=64, height=48, latitude=latitude, longitude=longitude)
        return self._index(path, "image", [(Signal.IMAGE, colour, None, None), *texts], facts)

    def copy(self, path: Path, colour: str) -> int:
        """The same bytes once more, beside the first; returns the asset's id."""
        copied = path.with_stem(path.stem + " copy")
        shutil.copy(path, copied)
        return self._index(copied, "image", [(Signal.IMAGE, colour, None, None)])

    def recording(self, path: Path, passages: Sequence[tuple[float, float, str]]) -> int:
        """A recording that exists already, indexed with these passages; returns the asset's id."""
        return self._index(path, "audio", [(Signal.SPEECH, words, start, end) for start, end, words in passages])

    def video(self, path: Path, frames: Sequence[tuple[float, float, str]], passages: Sequence[str] = ()) -> int:
        """A video that exists already, indexed with frames that stand for stretches; returns the asset's id.

        `passages` are said one after the other, a second each.
        """
        said = [(Signal.SPEECH, words, float(at), at + 1.0) for at, words in enumerate(passages)]
        return self._index(
            path, "video", [*((Signal.FRAME, colour, start, end) for start, end, colour in frames), *said]
        )

    def finish_pending(self, kind: str, parts: Sequence[tuple[Signal, str, float | None, float | None]]) -> list[int]:
        """Whatever is pending, indexed with these parts; returns the assets' ids."""
        with self.database.write() as connection:
            claimed = queue.claim(connection, "test", 100, 60)
        results = [
            IndexedAsset(
                asset_id=record.id,
                content_hash=f"{record.id:064x}",
                kind=kind,
                facts=AssetFacts(duration_seconds=10.0),
                segments=[
                    NewSegment(signal=signal, start_seconds=start, end_seconds=end, vectors=self._vector(words))
                    for signal, words, start, end in parts
                ],
            )
            for record in claimed
        ]
        with self.database.write() as connection:
            queue.finish(connection, claims_held(connection, "test"), results)
        self.engine.active_space.follower.catch_up()
        return [record.id for record in claimed]

    def screenshot(self, name: str, words: Sequence[str], size: tuple[int, int] = (300, 600)) -> int:
        """A picture with these lines, each 0.1 of its height below the one before; returns the asset's id."""
        path = self.media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = Image.new("RGB", size, "white")
        pen = ImageDraw.Draw(image)
        boxes = [(0.1, 0.1 * row + 0.05, 0.7, 0.1 * row + 0.1) for row in range(len(words))]
        for text, (left, top, _, _) in zip(words, boxes, strict=True):
            pen.text((left * size[0], top * size[1]), text, fill="black", font_size=0.04 * size[1])
        image.save(path)
        details = msgspec.json.encode(
            {"lines": [{"text": text, "box": box} for text, box in zip(words, boxes, strict=True)]}
        )
        parts = [
            NewSegment(signal=Signal.IMAGE, vectors=self._vector("paper")),
            NewSegment(
                signal=Signal.TEXT, text="\n".join(words), details=details, vectors=self._vector(" ".join(words))
            ),
        ]
        return self._finish(path, "image", parts, AssetFacts(width=size[0], height=size[1]))

    def document(self, name: str, pages: Sequence[Sequence[str]]) -> int:
        """A PDF with these lines on its pages, indexed, each page a picture and a passage; returns the asset's id."""
        path = self.media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(pdf([lines(*words) for words in pages]))
        parts = []
        for number, words in enumerate(pages, start=1):
            places = [{"text": text, "box": (0.1, 0.1 * row, 0.9, 0.1 * row + 0.05)} for row, text in enumerate(words)]
            details = msgspec.json.encode({"lines": places})
            parts += [
                NewSegment(signal=Signal.PAGE, page=number, vectors=self._vector("paper")),
                NewSegment(
                    signal=Signal.TEXT,
                    text="\n".join(words),
                    page=number,
                    details=details,
                    vectors=self._vector(" ".join(words)),
                ),
            ]
        return self._finish(path, "document", parts, AssetFacts(pages=len(pages)))

    def text_file(self, name: str, first: int, words: Sequence[str]) -> int:
        """A text file, indexed with one passage that begins in the line `first`; returns the asset's id."""
        path = self.media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n" * (first - 1) + "\n".join(words), "utf-8")
        vectors = self._vector(" ".join(words))
        return self._finish(
            path, "document", [NewSegment(signal=Signal.TEXT, text="\n".join(words), line=first, vectors=vectors)]
        )

    def _vector(self, words: str) -> dict[int, np.ndarray]:
        return {self.engine.active_space.record.id: vector_of(words)}

    def _index(
        self,
        path: Path,
        kind: str,
        parts: Sequence[tuple[Signal, str, float | None, float | None]],
        facts: AssetFacts | None = None,
    ) -> int:
        segments = [
            NewSegment(
                signal=signal,
                start_seconds=start,
                end_seconds=end,
                text=None if signal in (Signal.IMAGE, Signal.FRAME) else words,
                vectors=self._vector(words),
            )
            for signal, words, start, end in parts
        ]
        return self._finish(path, kind, segments, facts)

    def _finish(self, path: Path, kind: str, segments: Sequence[NewSegment], facts: AssetFacts | None = None) -> int:
        state = path.stat()
        file = FoundFile(
            path=str(path), path_bytes=bytes(path), size_bytes=state.st_size, modified_ns=state.st_mtime_ns
        )
        with self.database.write() as connection:
            (asset_id,) = assets.sync_assets(connection, self.source.id, [file]).ids
        with self.database.write() as connection:
            queue.claim(connection, "test", 100, 60)
        with self.database.write() as connection:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
            result = IndexedAsset(
                asset_id=asset_id,
                content_hash=digest,
                kind=kind,
                facts=facts or _FACTS.get(kind, AssetFacts()),
                segments=segments,
            )
            assert queue.finish(connection, claims_held(connection, "test"), [result]) == {asset_id}
        self.engine.active_space.follower.catch_up()
        return asset_id


_FACTS = {
    "image": AssetFacts(width=64, height=48),
    "video": AssetFacts(duration_seconds=10.0),
    "audio": AssetFacts(duration_seconds=10.0),
}


@contextmanager
def running(service: Service, trusted_proxies: Sequence[str] = ()) -> Iterator[httpx.Client]:
    """The service on a free port of loopback, for real, and a client to it."""
    config = uvicorn.Config(
        create_app(service),
        port=0,
        http=PatientProtocol,
        log_config=None,
        access_log=False,
        proxy_headers=bool(trusted_proxies),
        forwarded_allow_ips=",".join(trusted_proxies),
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until(lambda: server.started or not thread.is_alive())
    assert thread.is_alive(), "the service did not start"
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        service.stopping.set()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the service did not stop"
