"""A catalogue of described media and a space that only counts their words, for tests of the engine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from search.catalog import assets, queue, sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.engine import SearchEngine
from search.settings import Settings
from search.signals import Signal
from search.spaces import self_test, specification
from search.spaces.specification import StarterSpecification
from search.testing import WordSpace
from support.catalog_world import claims_held

Passage = tuple[Signal, str, float | None, float | None]


class WordLibrary:
    """A catalogue with two ready spaces; `first` is active."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.space = WordSpace()
        encoded = specification.encode(StarterSpecification())
        with database.write() as connection:
            self.source = sources.add_source(connection, "/media")
            digest = self.space.fingerprint.digest
            self.first = spaces.create_space(connection, "first", encoded, digest, probe=self_test.take(self.space))
            self.second = spaces.create_space(connection, "second", encoded, digest)
            spaces.activate_space(connection, "first")

    def add(
        self,
        path: str,
        kind: str,
        passages: Sequence[Passage],
        in_spaces: Sequence[int] = (),
        content_hash: str = "",
        **facts: Any,
    ) -> int:
        """Index one asset; returns its id. Without a hash its contents are like no other's."""
        file = FoundFile(path=path, path_bytes=path.encode(), size_bytes=1, modified_ns=1)
        segments = [
            NewSegment(
                signal=signal,
                start_seconds=start,
                end_seconds=end,
                text=words if signal in (Signal.SPEECH, Signal.TEXT) else None,
                vectors=dict.fromkeys(in_spaces or (self.first.id,), self.space.embed(Signal.TEXT, [words])[0]),
            )
            for signal, words, start, end in passages
        ]
        with self.database.write() as connection:
            (asset_id,) = assets.sync_assets(connection, self.source.id, [file]).ids
            queue.claim(connection, "test", 100, 60)
            done = IndexedAsset(
                asset_id=asset_id,
                kind=kind,
                content_hash=content_hash or path,
                facts=AssetFacts(**facts),
                segments=segments,
            )
            queue.finish(connection, claims_held(connection, "test"), [done])
        return asset_id

    def photo(self, name: str, words: str) -> int:
        return self.add(f"/media/{name}", "image", [(Signal.IMAGE, words, None, None)])


@contextmanager
def opened(library: WordLibrary, settings: Settings) -> Iterator[SearchEngine]:
    """An engine over the library."""
    engine = SearchEngine.open(settings, library.database, lambda record: library.space)
    yield engine
    engine.close()
