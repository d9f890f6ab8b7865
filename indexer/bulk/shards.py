"""Shards: outcomes of indexing as Parquet files, for a catalogue that is elsewhere.

One row a segment, with what is known of its asset repeated, which Parquet keeps once; an asset without segments has one
row. Names are relative to the root, so that shards can be imported where the media are mounted elsewhere. Vectors are
half precision, little-endian, as in the catalogue, in one column a space. Knows records; knows no catalogue.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from msgspec import Struct

from indexer.bulk.messages import VECTOR
from indexer.bulk.shard_places import SUFFIX, ShardPlace
from search.catalog.embeddings import is_storable
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment, ReadAsset, SpaceRecord
from search.catalog.states import NoteKind
from search.errors import CatalogError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

FORMAT = "medley-shard-1"
_METADATA = b"medley"
_FILE = ("name", "path", "size_bytes", "modified_ns", "changed_ns", "side_car", "etag")
_RESULT = ("outcome", "kind", "content_hash", "note", "error", "unread", "note_kinds")
_FACTS = tuple(AssetFacts.__struct_fields__)
_SEGMENT = tuple(name for name in NewSegment.__struct_fields__ if name != "vectors")
_MOST_ROWS = 2_000_000  # of one shard, at import: far more than any that is written


class ShardSpace(Struct, frozen=True, kw_only=True):
    """A space whose vectors a shard holds, and the column that holds them."""

    column: str
    name: str
    specification: str
    fingerprint: str


class Head(Struct, frozen=True, kw_only=True):
    """What is true of a whole shard."""

    format: str
    root: str
    recursive: bool
    spaces: list[ShardSpace]


@dataclass(frozen=True)
class Entry:
    """One outcome in a shard: an `IndexedAsset`, a `ReadAsset`, or the reason for quarantine. Asset ids are 0."""

    file: FoundFile  # its paths are relative to the root
    result: IndexedAsset | ReadAsset | str


class ShardWriter:
    """Writes shards into a place; each appears whole or not at all. Used by one thread."""

    def __init__(self, place: ShardPlace, root: str, recursive: bool, spaces: Sequence[SpaceRecord]) -> None:
        _arrow()
        place.staging.mkdir(parents=True, exist_ok=True)
        self._place = place
        self._columns = {record.id: f"vector_{number}" for number, record in enumerate(spaces)}
        named = [
            ShardSpace(
                column=self._columns[record.id],
                name=record.name,
                specification=record.specification,
                fingerprint=record.fingerprint,
            )
            for record in spaces
        ]
        self._head = Head(format=FORMAT, root=root, recursive=recursive, spaces=named)
        # In the order of their making, also over several runs, and never the same twice.
        self._run = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"
        self._number = 0

    def write(self, entries: Sequence[Entry]) -> None:
        """One shard of these entries. Raises CatalogError when the disk refuses, StoreError when a store does."""
        pa, pq = _arrow()
        self._number += 1
        path = self._place.staging / f"shard-{self._run}-{self._number:06d}{SUFFIX}"
        beside = path.with_suffix(".part")
        try:
            pq.write_table(
                self._table(pa, entries),
                beside,
                compression={name: "zstd" for name in self._schema(pa).names if not name.startswith("vector_")},
                use_dictionary=[*_FILE, *_RESULT, *_FACTS, "signal"],
                write_statistics=False,
            )
            beside.replace(path)
        except OSError as error:
            raise CatalogError(f"{path}: can't be written: {os.strerror(error.errno or 0) or error}") from None
        self._place.put(path)

    def _schema(self, pa: Any) -> pa.Schema:
        integers = {"size_bytes", "modified_ns", "changed_ns"}
        small = {"width", "height", "captured_offset", "pages", "page", "line"}
        floats = {"duration_seconds", "captured_at", "latitude", "longitude", "start_seconds", "end_seconds"}
        blobs = {"name", "details", "perceptual_hash", *self._columns.values()}

        def kind(name: str) -> pa.DataType:
            if name in integers:
                return pa.int64()
            if name in small:
                return pa.int32()
            if name in floats:
                return pa.float64()
            if name in blobs:
                return pa.binary()
            return pa.bool_() if name == "unread" else pa.string()

        names = (*_FILE, *_RESULT, *_FACTS, *_SEGMENT, *self._columns.values())
        fields = [pa.field("asset", pa.int32()), *(pa.field(name, kind(name)) for name in names)]
        return pa.schema(fields, metadata={_METADATA: msgspec.json.encode(self._head)})

    def _table(self, pa: Any, entries: Sequence[Entry]) -> pa.Table:
        schema = self._schema(pa)
        assets = [_asset_row(entry) for entry in entries]
        rows: list[int] = []  # the asset of each row
        segments: list[NewSegment | None] = []
        for number, entry in enumerate(entries):
            made: Sequence[NewSegment | None] = () if isinstance(entry.result, str) else entry.result.segments
            made = made or [None]
            rows += [number] * len(made)
            segments += made
        places = pa.array(rows, pa.int32())
        columns: dict[str, Any] = {"asset": places}
        for column, name in enumerate((*_FILE, *_RESULT, *_FACTS)):
            values = pa.array([row[column] for row in assets], schema.field(name).type)
            columns[name] = values.take(places)
        for name in _SEGMENT:
            values = [None if segment is None else getattr(segment, name) for segment in segments]
            columns[name] = pa.array(values, schema.field(name).type)
        for space_id, name in self._columns.items():
            vectors = [None if segment is None else segment.vectors.get(space_id) for segment in segments]
            stored = [None if vector is None else vector.astype(VECTOR).tobytes() for vector in vectors]
            columns[name] = pa.array(stored, pa.binary())
        return pa.table(columns, schema=schema)


def read_head(path: Path) -> Head:
    """What is true of the whole shard. Raises CatalogError when it is not one of ours."""
    _, pq = _arrow()
    try:
        metadata = pq.read_schema(path).metadata or {}
        head = msgspec.json.decode(metadata[_METADATA], type=Head)
    except (OSError, ValueError, KeyError, msgspec.MsgspecError):
        raise CatalogError(f"{path}: is not a Medley shard, or is damaged") from None
    if head.format != FORMAT:
        raise CatalogError(f"{path}: has the format {head.format!r}; this version reads {FORMAT!r}")
    return head


def read_entries(path: Path, space_ids: dict[str, int]) -> list[Entry]:
    """Everything in a shard; of the vectors, those of the columns named, as those of that space's id.

    Raises CatalogError when it is damaged.
    """
    wanted = ["asset", *_FILE, *_RESULT, *_FACTS, *_SEGMENT, *space_ids]
    try:
        table = _read(path, wanted)
        return list(_entries(table, space_ids))
    except (OSError, ValueError, KeyError, TypeError, StopIteration, IndexError, msgspec.MsgspecError) as error:
        raise CatalogError(f"{path}: is damaged: {' '.join(str(error).split())[:200]}") from None


def read_files(path: Path) -> list[tuple[FoundFile, str]]:
    """Which files a shard knows, in which state, and with which outcome; reads nothing else of it.

    Raises CatalogError.
    """
    try:
        table = _read(path, ["asset", *_FILE, "outcome", "unread"])
        assets = _assets(table, [*_FILE, "outcome", "unread"])
        return [
            (_file(row), "unread" if row["outcome"] == "indexed" and row["unread"] else row["outcome"])
            for row in assets
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CatalogError(f"{path}: is damaged: {' '.join(str(error).split())[:200]}") from None


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    _, pq = _arrow()
    with pq.ParquetFile(path) as file:
        if file.metadata.num_rows > _MOST_ROWS:
            raise ValueError(f"it has {file.metadata.num_rows:,} rows")
        missing = set(columns) - set(file.schema_arrow.names)
        if missing:
            raise ValueError(f"it lacks {', '.join(sorted(missing))}")
        return file.read(columns=list(columns), use_threads=False)


def _starts(table: pa.Table) -> np.ndarray:
    """The first row of each asset."""
    numbers = table.column("asset").to_numpy()
    return np.flatnonzero(np.diff(numbers, prepend=-1)) if len(numbers) else np.empty(0, np.int64)


def _assets(table: pa.Table, names: Sequence[str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.select(list(names)).take(_starts(table)).to_pylist()
    return rows


def _entries(table: pa.Table, space_ids: dict[str, int]) -> Iterator[Entry]:
    starts = _starts(table)
    ends = [*starts[1:].tolist(), table.num_rows]
    columns = [table.column(name).to_pylist() for name in _SEGMENT]
    vectors = {space_ids[name]: table.column(name).to_pylist() for name in space_ids}
    for of_space in vectors.values():
        if not is_storable(np.frombuffer(b"".join(filter(None, of_space)), VECTOR)):
            raise ValueError("a vector holds what is no finite number")
    assets = _assets(table, (*_FILE, *_RESULT, *_FACTS))
    for row, start, end in zip(assets, starts.tolist(), ends, strict=True):
        file = _file(row)
        if row["outcome"] == "quarantined":
            yield Entry(file, row["error"] or "failed")
            continue
        segments = [
            NewSegment(
                **dict(zip(_SEGMENT, values, strict=True)),
                vectors={
                    space: np.frombuffer(data, VECTOR)
                    for space, of_space in vectors.items()
                    if (data := of_space[number]) is not None
                },
            )
            for number, values in enumerate(zip(*(column[start:end] for column in columns), strict=True), start=start)
            if values[0] is not None  # a file without segments has one row all the same
        ]
        if row["outcome"] == "read":
            yield Entry(file, ReadAsset(asset_id=0, segments=segments, note=row["note"]))
        else:
            facts = AssetFacts(**{name: row[name] for name in _FACTS})
            yield Entry(
                file,
                IndexedAsset(
                    asset_id=0,
                    kind=row["kind"],
                    content_hash=row["content_hash"],
                    facts=facts,
                    segments=segments,
                    note=row["note"],
                    note_kinds=tuple(map(NoteKind, row["note_kinds"].split(","))) if row["note_kinds"] else (),
                    unread=bool(row["unread"]),
                ),
            )


def _file(row: dict[str, Any]) -> FoundFile:
    return FoundFile(
        path=row["path"],
        path_bytes=row["name"],
        size_bytes=row["size_bytes"],
        modified_ns=row["modified_ns"],
        changed_ns=row["changed_ns"],
        side_car=row["side_car"] or "",
        etag=row["etag"] or "",
    )


def _asset_row(entry: Entry) -> tuple[Any, ...]:
    file, result = entry.file, entry.result
    row: tuple[Any, ...] = (
        file.path_bytes,
        file.path,
        file.size_bytes,
        file.modified_ns,
        file.changed_ns,
        file.side_car,
        file.etag,
    )
    if isinstance(result, IndexedAsset):
        row += ("indexed", result.kind, result.content_hash, result.note, None, result.unread)
        row += (",".join(result.note_kinds) or None,)
        return row + tuple(getattr(result.facts, name) for name in _FACTS)
    if isinstance(result, ReadAsset):
        row += ("read", None, None, result.note, None, False, None)
    else:
        row += ("quarantined", None, None, None, result, False, None)
    return row + (None,) * len(_FACTS)


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UsageError("shards need the extra `ray`: pip install 'medley-search[ray]'") from None
    return pa, pq
