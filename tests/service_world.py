"""A small service for tests: the real catalogue, partitions, ranking and HTTP, with a space that only counts words.

`WordSpace` implements the protocol of a space with no model: a picture's mean colour stands for the words
red, green and blue, so that text finds pictures, exactly and at once.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import uvicorn
from PIL import Image
from word_space import COLOURS, WordSpace, vector_of

from api.app import create_app
from api.batching import BatchingSpace
from api.service import Service
from search.catalog import assets, queue, sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.engine import SearchEngine
from search.results import Signal
from search.settings import Settings
from search.spaces import specification
from search.spaces.specification import StarterSpecification


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

    def picture(self, name: str, colour: str, words: str | None = None) -> int:
        """A picture in the library, indexed; returns the asset's id."""
        path = self.media / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shade = tuple(200 if colour == one else 20 for one in COLOURS)
        Image.new("RGB", (64, 48), shade).save(path)
        texts = [(Signal.TEXT, words, None, None)] if words else []
        return self._index(path, "image", [(Signal.IMAGE, colour, None, None), *texts])

    def recording(self, path: Path, passages: Sequence[tuple[float, float, str]]) -> int:
        """A recording that exists already, indexed with these passages; returns the asset's id."""
        return self._index(path, "audio", [(Signal.SPEECH, words, start, end) for start, end, words in passages])

    def video(self, path: Path, frames: Sequence[tuple[float, float, str]]) -> int:
        """A video that exists already, indexed with frames that stand for stretches; returns the asset's id."""
        return self._index(path, "video", [(Signal.FRAME, colour, start, end) for start, end, colour in frames])

    def _index(self, path: Path, kind: str, parts: Sequence[tuple[Signal, str, float | None, float | None]]) -> int:
        facts = path.stat()
        found = FoundFile(
            path=str(path), path_bytes=bytes(path), size_bytes=facts.st_size, modified_ns=facts.st_mtime_ns
        )
        space_id = self.engine.serving.record.id
        segments = [
            NewSegment(
                signal=signal,
                start_seconds=start,
                end_seconds=end,
                text=None if signal in (Signal.IMAGE, Signal.FRAME) else words,
                vectors={space_id: vector_of(words)},
            )
            for signal, words, start, end in parts
        ]
        with self.database.write() as connection:
            (asset_id,) = assets.sync_assets(connection, self.source.id, [found]).ids
        with self.database.write() as connection:
            queue.claim(connection, "test", 100, 60)
        with self.database.write() as connection:
            digest = hashlib.blake2b(path.read_bytes(), digest_size=32).hexdigest()
            result = IndexedAsset(
                asset_id=asset_id,
                content_hash=digest,
                kind=kind,
                facts=AssetFacts(width=64, height=48) if kind == "image" else AssetFacts(duration_seconds=10.0),
                segments=segments,
            )
            assert queue.finish(connection, "test", [result]) == {asset_id}
        self.engine.serving.follower.catch_up()
        return asset_id


@contextmanager
def running(service: Service) -> Iterator[httpx.Client]:
    """The service on a free port of loopback, for real, and a client to it."""
    config = uvicorn.Config(create_app(service), port=0, log_config=None, access_log=False, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the service did not start"
        time.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            yield client
    finally:
        service.stopping.set()
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive(), "the service did not stop"
