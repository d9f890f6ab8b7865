"""Embeddings: vectors of segments in spaces, written with numbers and read in their order.

Stored as float16, little-endian. Knows bytes and numbers; knows no FAISS and no model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sqlalchemy import Connection, and_, bindparam, func, select

from search.catalog.models import asset, deletion, embedding, segment, space
from search.catalog.records import EmbeddingCount, SegmentRecord
from search.catalog.segments import lock_assets, segments_by_signal, with_asset
from search.catalog.sequence import horizon, identity, latest_sequence, settle, when_numbered
from search.catalog.sql.bulk import in_chunks, insert_rows
from search.catalog.states import AssetStatus
from search.errors import CatalogError
from search.signals import Signal

__all__ = [
    "add_embeddings",
    "deletions_after",
    "embedding_counts",
    "embeddings_after",
    "horizon",
    "identity",
    "insert_embeddings",
    "latest_sequence",
    "lock_spaces",
    "missing_embeddings",
    "vectors_of",
]

STORED = np.dtype("<f2")
_LARGEST = float(np.finfo(STORED).max)
_EXPONENT = 0x7C00  # of a half: all ones in what is infinite or no number
_CHUNK = 5000
_COLUMNS = ("space_id", "segment_id", "signal", "sequence", "vector")

_AFTER = (
    select(embedding.c.segment_id, embedding.c.sequence, embedding.c.vector)
    .where(
        embedding.c.space_id == bindparam("in_space"),
        embedding.c.signal == bindparam("of_signal"),
        embedding.c.sequence > bindparam("after"),
    )
    .order_by(embedding.c.sequence)
    .limit(bindparam("most"))
)


def embeddings_after(
    connection: Connection, space_id: int, signal: Signal | str, sequence: int, limit: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The next vectors of a partition: ids `(n,) int64`, their numbers `(n,) int64`, `(n, d) float16`.

    In the order of the numbers, all above `sequence`. Hidden ones (number 0) never appear.
    """
    settle(connection)
    values = {"in_space": space_id, "of_signal": str(signal), "after": max(0, sequence), "most": limit}
    rows = connection.execute(_AFTER, values).all()
    if not rows:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, 0), np.float16)
    ids, numbers, vectors = zip(*rows, strict=True)
    return np.array(ids, np.int64), np.array(numbers, np.int64), _matrix(vectors)


def _matrix(vectors: Sequence[bytes]) -> np.ndarray:
    length = len(vectors[0])
    if any(len(vector) != length for vector in vectors):
        raise CatalogError("vectors of one space and signal have different lengths in the catalogue")
    return np.frombuffer(b"".join(vectors), STORED).reshape(len(vectors), -1).astype(np.float16, copy=False)


def deletions_after(connection: Connection, sequence: int, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """The next deletions: their numbers `(n,) int64` in order, and the segments' ids `(n,) int64`.

    A follower applies embeddings and deletions in the order of their numbers: a segment that was hidden
    and came back has a number above its deletion's.
    """
    settle(connection)
    statement = select(deletion.c.sequence, deletion.c.segment_id).where(deletion.c.sequence > sequence)
    rows = connection.execute(statement.order_by(deletion.c.sequence).limit(limit)).all()
    table = np.array([tuple(row) for row in rows], np.int64).reshape(-1, 2)
    return table[:, 0].copy(), table[:, 1].copy()


def vectors_of(connection: Connection, space_id: int, segment_ids: Iterable[int]) -> tuple[np.ndarray, np.ndarray]:
    """Stored vectors by segment: ids `(n,) int64` of those that have one, and `(n, d) float16`."""
    settle(connection)
    rows: list[tuple[int, bytes]] = []
    for chunk in in_chunks([int(segment_id) for segment_id in segment_ids], _CHUNK):
        statement = select(embedding.c.segment_id, embedding.c.vector)
        statement = statement.where(embedding.c.space_id == space_id, embedding.c.segment_id.in_(chunk))
        rows.extend((segment_id, vector) for segment_id, vector in connection.execute(statement))
    if not rows:
        return np.empty(0, np.int64), np.empty((0, 0), np.float16)
    ids, vectors = zip(*rows, strict=True)
    return np.array(ids, np.int64), _matrix(vectors)


def missing_embeddings(
    connection: Connection, space_id: int, signals: Iterable[Signal | str], cursor: int | None = None, limit: int = 32
) -> list[SegmentRecord]:
    """Segments of indexed assets, with the asset, that have no vector in the space yet.

    All those of the next `limit` assets after `cursor` (the last asset id seen), by asset and id, so
    that a filler decodes each asset once.
    """
    settle(connection)
    held = select(embedding.c.segment_id).where(
        embedding.c.space_id == space_id, embedding.c.segment_id == segment.c.id
    )
    lacking = and_(
        segment.c.signal.in_([str(signal) for signal in signals]), asset.c.status == AssetStatus.INDEXED, ~held.exists()
    )
    joined = segment.join(asset, asset.c.id == segment.c.asset_id)
    next_assets = select(asset.c.id).select_from(joined).where(lacking, asset.c.id > (cursor or 0)).distinct()
    ids = connection.scalars(next_assets.order_by(asset.c.id).limit(limit)).all()
    statement = select(segment, asset).select_from(joined).where(lacking, asset.c.id.in_(ids))
    rows = connection.execute(statement.order_by(segment.c.asset_id, segment.c.id))
    return [with_asset(row) for row in rows]


def add_embeddings(connection: Connection, space_id: int, rows: Sequence[tuple[int, np.ndarray]]) -> int:
    """Fill a space: `(segment id, (d,) float32)` pairs; returns how many were written.

    Left out are segments that are gone, hidden, or have a vector in this space already.
    """
    settle(connection)
    if space_id not in lock_spaces(connection):
        return 0
    vectors = {int(segment_id): vector for segment_id, vector in rows}
    signals: dict[int, str] = {}
    for chunk in in_chunks(sorted(vectors), _CHUNK):
        # Writers of segments lock the asset first, so none can hide, delete or fill these until our commit.
        lock_assets(connection, asset.c.id.in_(select(segment.c.asset_id).where(segment.c.id.in_(chunk))))
        statement = select(segment.c.id, segment.c.signal).join(asset, asset.c.id == segment.c.asset_id)
        statement = statement.where(segment.c.id.in_(chunk), asset.c.status == AssetStatus.INDEXED)
        signals |= {row.id: row.signal for row in connection.execute(statement)}
        held = select(embedding.c.segment_id).where(embedding.c.space_id == space_id, embedding.c.segment_id.in_(chunk))
        for segment_id in connection.scalars(held):
            signals.pop(segment_id, None)
    insert_embeddings(connection, [(space_id, key, signal, vectors[key]) for key, signal in signals.items()])
    return len(signals)


def lock_spaces(connection: Connection) -> set[int]:
    """Which of these spaces exist; they are locked until commit."""
    return set(connection.scalars(select(space.c.id).order_by(space.c.id).with_for_update(read=True, key_share=True)))


def insert_embeddings(connection: Connection, rows: Sequence[tuple[int, int, str, np.ndarray]]) -> None:
    """Write `(space id, segment id, signal, (d,) vector)`, numbered, at the end of the transaction."""
    if not rows:
        return
    stored = _stored([vector for *_, vector in rows])
    keys = [(space_id, segment_id, str(signal)) for space_id, segment_id, signal, _ in rows]

    def write(numbers: range) -> None:
        made = [(*key, number, data) for key, number, data in zip(keys, numbers, stored, strict=True)]
        insert_rows(connection, embedding, _COLUMNS, made, references_hold=True)

    when_numbered(connection, len(rows), write, shows=True)


def _stored(vectors: Sequence[np.ndarray]) -> list[bytes]:
    """Each vector as bytes. Vectors of one length are converted together: one by one takes four times as long."""
    if any(vector.ndim != 1 or vector.size == 0 for vector in vectors):
        raise CatalogError("a vector must be one row of numbers")
    places: dict[int, list[int]] = {}
    for position, vector in enumerate(vectors):
        places.setdefault(vector.size, []).append(position)
    stored = [b""] * len(vectors)
    for length, of_length in places.items():
        joined = np.concatenate([vectors[position] for position in of_length])
        if not is_storable(joined):
            raise CatalogError("a vector must be finite numbers that half precision holds")
        data, width = joined.astype(STORED).tobytes(), length * STORED.itemsize
        for row, position in enumerate(of_length):
            stored[position] = data[row * width : (row + 1) * width]
    return stored


def is_storable(numbers: np.ndarray) -> bool:
    """Whether numbers `(n,)` of any type are all finite in half precision."""
    if numbers.dtype == STORED:  # by their bits: comparing halves takes ten times as long
        return not bool(((numbers.view("<u2") & _EXPONENT) == _EXPONENT).any())
    return bool(-_LARGEST <= numbers.min() <= numbers.max() <= _LARGEST)  # so written, NaN is refused as well


def embedding_counts(connection: Connection, space_id: int) -> list[EmbeddingCount]:
    """Per signal, the searchable segments and how many of them the space holds; hidden ones count in neither."""
    settle(connection)
    shown = (
        select(embedding.c.signal, func.count().label("number"))
        .where(embedding.c.space_id == space_id, embedding.c.sequence > 0)
        .group_by(embedding.c.signal)
    )
    held = {row.signal: row.number for row in connection.execute(shown)}
    return [
        EmbeddingCount(signal=signal, segments=number, embedded=held.get(signal, 0))
        for signal, number in segments_by_signal(connection).items()
    ]
