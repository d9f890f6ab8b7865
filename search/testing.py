"""For tests of what is built on the engine: a space without a model, an engine over it, and assets without files.

Text finds text that shares words with it; the words red, green and blue find pictures of that colour. No model is
loaded and no file is read, so results are exact, fast, and the same everywhere. Medley's own tests use it too.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from search.arrays import Float32Array
from search.catalog import assets, queue, sources, spaces
from search.catalog.database import Database
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.catalog.states import SpaceState
from search.engine import SearchEngine
from search.settings import Settings
from search.signals import ENCODED, Signal
from search.spaces.inputs import ImageInput, Picture, Waveform
from search.spaces.space import Fingerprint, unit_rows

DIMENSION = 256
COLOURS = ("red", "green", "blue")
UNKNOWN = "ꙮ"  # a sign that means nothing to a WordSpace
#: signal, words, first and last second (both None for a whole picture)
Passage = tuple[Signal | str, str, float | None, float | None]


class WordSpace:
    """Vectors of words by hashing: (256,) float32, unit length. A picture is its mean colour, a sound is "sound"."""

    def __init__(self) -> None:
        self.calls: list[int] = []  # texts per call of the encoder
        self.delay_seconds = 0.0  # of each such call
        self.longest = 1_000_000  # words of a text that is not called cut
        self.broken: str | None = None  # what such a call fails with

    @property
    def fingerprint(self) -> Fingerprint:
        """Always the same."""
        dimensions = tuple((str(signal), DIMENSION) for signal in ENCODED)
        return Fingerprint(space="words", models=(), preprocessing="1", dtype="float32", dimensions=dimensions)

    @property
    def dimensions(self) -> Mapping[Signal, int]:
        """The same for every signal."""
        return dict.fromkeys(ENCODED, DIMENSION)

    @property
    def image_input(self) -> ImageInput:
        """Small pictures, squashed."""
        return ImageInput(side=32, fit="squash")

    def embed(self, signal: Signal, items: Sequence[Any]) -> Float32Array:
        """See SegmentSpace."""
        if signal in (Signal.IMAGE, Signal.FRAME):
            return np.stack([_of_picture(item) for item in items])
        if signal is Signal.SOUND:
            return np.stack([vector_of("sound") for _ in items])
        return np.stack([vector_of(item) for item in items])

    def cuts(self, signal: Signal, texts: Sequence[str]) -> list[bool]:  # noqa: ARG002 - the same for all signals
        """Whether a text has more than `longest` words; it reads them all the same."""
        return [len(text.split()) > self.longest for text in texts]

    def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, Float32Array]:
        """See Space. The same vectors for every signal."""
        self.calls.append(len(texts))
        if self.delay_seconds:
            time.sleep(self.delay_seconds)
        if self.broken:
            raise RuntimeError(self.broken)
        return dict.fromkeys(ENCODED, np.stack([vector_of(text) for text in texts]))

    def embed_query_image(self, pictures: Sequence[Picture]) -> Mapping[Signal, Float32Array]:
        """See Space. The same vectors for every signal."""
        return dict.fromkeys(ENCODED, np.stack([_of_picture(picture) for picture in pictures]))

    def embed_query_sound(self, waveforms: Sequence[Waveform]) -> Mapping[Signal, Float32Array]:
        """See Space. The same vectors for every signal."""
        return dict.fromkeys(ENCODED, np.stack([vector_of("sound") for _ in waveforms]))

    def release(self) -> None:
        """Holds nothing."""


def vector_of(text: str) -> Float32Array:
    """The vector of a text: `(256,) float32`, unit length, or zeros for a text of UNKNOWN alone."""
    if set(text) <= {UNKNOWN, " "}:
        return np.zeros(DIMENSION, np.float32)
    vector = np.full(DIMENSION, 1e-3, np.float32)
    for word in text.lower().split():
        vector[zlib.crc32(word.encode()) % DIMENSION] += 1
    return np.asarray(unit_rows(vector[None])[0])


def _of_picture(picture: Picture) -> Float32Array:
    brightest = int(np.argmax(picture.reshape(-1, 3).mean(axis=0)))
    return vector_of(COLOURS[brightest])


def open_word_engine(settings: Settings) -> SearchEngine:
    """An engine over a new or earlier library in `settings.home` whose active space is a `WordSpace`."""
    settings.make_home()
    database = Database.open(settings)
    database.migrate()
    with database.write() as connection:
        if not spaces.list_spaces(connection):
            digest = WordSpace().fingerprint.digest
            spaces.create_space(connection, "words", "{}", digest, state=SpaceState.ACTIVE)
            sources.add_source(connection, "/media")
    return SearchEngine.open(settings, database, open_space=lambda _: WordSpace())


def add_asset(engine: SearchEngine, path: str, kind: str, passages: Sequence[Passage], **facts: Any) -> int:
    """Index an asset of words, without a file; its id. `facts` are fields of `AssetFacts`, such as `captured_at`.

    Found by the engine's next search.
    """
    file = FoundFile(path=path, path_bytes=path.encode(), size_bytes=1, modified_ns=1)
    space, of_space = engine.space, engine.active_space.record.id
    segments = [
        NewSegment(
            signal=Signal(signal),
            start_seconds=start,
            end_seconds=end,
            text=words if Signal(signal).holds_words else None,
            vectors={of_space: space.embed(Signal.TEXT, [words])[0]},
        )
        for signal, words, start, end in passages
    ]
    with engine.database.write() as connection:
        (source, *_) = sources.list_sources(connection)
        (asset_id,) = assets.sync_assets(connection, source.id, [file]).ids
        claims = queue.claims_of(queue.claim(connection, "testing", 1000, 60))
        done = IndexedAsset(
            asset_id=asset_id, kind=kind, content_hash=path, facts=AssetFacts(**facts), segments=segments
        )
        queue.finish(connection, claims, [done])
    engine.catch_up()
    return asset_id
