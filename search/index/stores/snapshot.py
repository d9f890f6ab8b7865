"""The file of a partition: a header in JSON, then arrays (little-endian). Written whole or not at all.

A snapshot is a cache: the catalogue can rebuild it. So anything odd about one is a PartitionError, never a
guess. Knows nothing of FAISS or the catalogue.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from search.arrays import FloatArray, Int64Array, UInt8Array
from search.errors import PartitionError

_MAGIC = b"MEDLEY-PARTITION-1\n"
_ABANDONED_SECONDS = 3600.0
_ALIGNMENT_BYTES = 4096  # of the arrays in the file, so that they can be mapped


class Tuning(msgspec.Struct, frozen=True, kw_only=True):
    """How an approximate store is set up, beside its FAISS index in bytes."""

    nprobe: int  # lists that an unfiltered query looks into
    filtered: int  # lists that hold what a query looks for among a tenth of the rows
    candidates: int  # rows scored exactly per result
    trained_rows: int  # held when it was built


class Contents(msgspec.Struct, frozen=True):
    """A partition's arrays: ids `(n,) int64` (-1: an empty slot), rows `(n, d)` float32 or float16."""

    ids: Int64Array
    rows: FloatArray
    tuning: Tuning | None = None
    index: UInt8Array | None = None  # (bytes,)


class SnapshotHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Describes the arrays that follow it. `sequence`: every change up to this number is included."""

    fingerprint: str
    sequence: int
    dimension: int
    count: int
    dtype: Literal["float32", "float16"]
    tuning: Tuning | None
    index_bytes: int
    sha256: str  # over the arrays


def write_snapshot(path: Path, fingerprint: str, sequence: int, contents: Contents) -> None:
    """Replace the file atomically: readers see the old one or the new one, never a part."""
    index = np.empty(0, np.uint8) if contents.index is None else contents.index
    arrays = [np.ascontiguousarray(array) for array in (contents.ids, contents.rows, index)]
    header = SnapshotHeader(
        fingerprint=fingerprint,
        sequence=sequence,
        dimension=contents.rows.shape[1],
        count=len(contents.ids),
        dtype="float32" if contents.rows.dtype == np.float32 else "float16",
        tuning=contents.tuning,
        index_bytes=len(index),
        sha256=_digest(arrays),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    # Its own name for each writer: several processes share the folder, the last rename wins.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(_MAGIC + msgspec.json.encode(header) + b"\n")
            for array in arrays:
                file.seek(_aligned(file.tell()))
                array.tofile(file)
            # A trailing hole is not part of the file until it is written.
            file.truncate(_aligned(file.tell()))
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
        _sweep(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def read_snapshot(path: Path) -> tuple[SnapshotHeader, Contents]:
    """Header and arrays, mapped copy-on-write. Raises PartitionError when damaged or absent."""
    try:
        with path.open("rb") as file:
            header = _read_header(path, file.readline(len(_MAGIC)), file.readline(_ALIGNMENT_BYTES))
            start = _aligned(file.tell())
        arrays = []
        for dtype, shape in (
            (np.int64, (header.count,)),
            (np.dtype(header.dtype).type, (header.count, header.dimension)),
            (np.uint8, (header.index_bytes,)),
        ):
            arrays.append(_mapped(path, dtype, start, shape))
            start = _aligned(start + arrays[-1].nbytes)
        if path.stat().st_size != start:
            raise PartitionError(f"{path} is damaged: {path.stat().st_size} bytes instead of {start}")
    except (OSError, ValueError, OverflowError) as error:
        raise PartitionError(f"{path} can't be read as a partition: {error}") from None
    if _digest(arrays) != header.sha256:
        raise PartitionError(f"{path} is damaged: its checksum differs")
    return header, Contents(arrays[0], arrays[1], header.tuning, arrays[2])


def _sweep(path: Path) -> None:
    """Remove temporary files left by writers that were killed."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        try:
            if time.time() - part.stat().st_mtime > _ABANDONED_SECONDS:
                part.unlink()
        except FileNotFoundError:
            continue  # another process was faster


def _mapped(path: Path, dtype: type, start: int, shape: tuple[int, ...]) -> np.ndarray:
    if 0 in shape:
        return np.empty(shape, dtype)
    # A plain array over the same memory: memmap's own indexing is several times slower.
    return np.asarray(np.memmap(path, dtype, "c", start, shape))


def _digest(arrays: list[np.ndarray]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def snapshot_sequence(path: Path, fingerprint: str) -> int:
    """The sequence number that a snapshot has reached; -1 without a usable one. Reads only the header."""
    try:
        with path.open("rb") as file:
            header = _read_header(path, file.readline(len(_MAGIC)), file.readline(_ALIGNMENT_BYTES))
    except (OSError, PartitionError):
        return -1
    return header.sequence if header.fingerprint == fingerprint else -1


def _read_header(path: Path, magic: bytes, line: bytes) -> SnapshotHeader:
    if magic != _MAGIC:
        raise PartitionError(f"{path} is not a partition of this version")
    try:
        header = msgspec.json.decode(line, type=SnapshotHeader)
    except msgspec.DecodeError as error:
        raise PartitionError(f"{path} is damaged: {error}") from None
    if header.dimension < 1 or header.count < 0 or header.index_bytes < 0:
        raise PartitionError(f"{path} is damaged: {header.count} rows of {header.dimension}")
    return header


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT_BYTES) * _ALIGNMENT_BYTES
