"""Partitions kept by Milvus: one collection each, in a local file (Milvus Lite) or on a cluster.

For libraries whose vectors outgrow one machine's memory; see docs/indexes.md. How far a collection has come
is kept beside it, in the same Milvus, so that any process can go on from there. Only this file calls pymilvus.
"""

from __future__ import annotations

import logging
import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from search.arrays import Float32Array, FloatArray, Int64Array
from search.errors import PartitionError, SettingsError
from search.index.checks import as_ids, as_rows, last_of_each, padded, require_direction, require_unit
from search.index.exact import best_rows, keep_best
from search.settings import Settings

if TYPE_CHECKING:
    from pymilvus import MilvusClient

# A server refuses more results than this, and longer messages than 64 MiB.
MOST_RESULTS = 16_384
_IDS_AT_ONCE = 8192
_ROWS_AT_ONCE = 2048
_LIVE_QUERIES = 256
_STATE = "medley_state"
# pymilvus repeats a call that finds no server for minutes unless it is told when to give up.
CALL_SECONDS = 20.0
_LOAD_SECONDS = 600.0  # a large collection is read from object storage
_CHECK_SECONDS = 3.0


# What decides what is written is read as it was written, whatever the collection's own level.
_STRONGLY: dict[str, Any] = {"consistency_level": "Strong"}
_MOST_ON_GPU = 1024  # results that Milvus's GPU indexes give
# What the kinds of index are built with, after Milvus's own recommendations for a million vectors and more.
_BUILT_WITH: dict[str, dict[str, int]] = {
    "AUTOINDEX": {},
    "FLAT": {},
    "HNSW": {"M": 32, "efConstruction": 200},
    "IVF_SQ8": {"nlist": 4096},
    "DISKANN": {},
    "GPU_CAGRA": {"intermediate_graph_degree": 64, "graph_degree": 32},
    "GPU_IVF_FLAT": {"nlist": 4096},
    "GPU_BRUTE_FORCE": {},
}


class Milvus:
    """A connection. `uri` is a file's path (Milvus Lite: one process at a time) or a server's address.

    `kind` and `consistency` are those of new collections on a server; see the settings milvus_index and
    milvus_consistency. The local file scans exactly.
    """

    def __init__(self, uri: str, kind: str = "AUTOINDEX", consistency: str = "Strong") -> None:
        """Connects. Raises SettingsError."""
        try:
            from pymilvus import MilvusClient
        except ImportError:
            raise SettingsError("index = milvus needs pymilvus: pip install 'medley-search[milvus]'") from None
        # It logs every failed call with its stack; here each becomes an error that says what it means.
        logging.getLogger("pymilvus").setLevel(logging.CRITICAL)
        self._local = "://" not in uri
        self._kind = "FLAT" if self._local else kind
        self._consistency = consistency
        with translated():
            self.client: MilvusClient = MilvusClient(uri, timeout=_CHECK_SECONDS)
            if not self.client.has_collection(_STATE, timeout=_CHECK_SECONDS):
                self._create(_STATE, "VARCHAR", 2, {"owner": "VARCHAR", "sequence": "INT64"})
            self.client.load_collection(_STATE, timeout=_LOAD_SECONDS)  # a server that was restarted may not have it so

    @classmethod
    def open(cls, settings: Settings) -> Milvus:
        """As the settings say. Raises PartitionError or SettingsError."""
        settings.make_home()
        uri = settings.milvus_uri or str(settings.home / "milvus.db")
        return cls(uri, settings.milvus_index, settings.milvus_consistency)

    def check(self) -> None:
        """Raise PartitionError unless the server answers."""
        with translated():
            self.client.has_collection(_STATE, timeout=_CHECK_SECONDS)

    def partition(self, name: str, dimension: int) -> MilvusPartition:
        """The partition of this name, made when there is none."""
        collection = _collection(name)
        with translated():
            if not self.client.has_collection(collection, timeout=CALL_SECONDS):
                self._create(collection, "INT64", dimension, {})
            self.client.load_collection(collection, timeout=_LOAD_SECONDS)
        return MilvusPartition(self.client, collection, dimension, self._kind)

    def existing(self, name: str) -> MilvusPartition | None:
        """The partition of this name, if there is one."""
        collection = _collection(name)
        with translated():
            if not self.client.has_collection(collection, timeout=CALL_SECONDS):
                return None
            fields = self.client.describe_collection(collection, timeout=CALL_SECONDS)["fields"]
            self.client.load_collection(collection, timeout=_LOAD_SECONDS)
            # It may have been made under another setting.
            index = self.client.describe_index(collection, "vector", timeout=CALL_SECONDS) or {}
        dimension = next(field["params"]["dim"] for field in fields if field["name"] == "vector")
        return MilvusPartition(self.client, collection, int(dimension), index.get("index_type", self._kind))

    def drop(self, partition: MilvusPartition) -> None:
        """Delete a partition, and the record of how far it had come."""
        with translated():
            self.client.drop_collection(partition.collection, timeout=CALL_SECONDS)
            self.client.delete(_STATE, ids=[partition.collection], timeout=CALL_SECONDS)

    def sequence(self, partition: MilvusPartition, owner: str) -> int | None:
        """The sequence number reached in the catalogue that `owner` names; None if it belongs to another."""
        with translated():
            rows = self.client.get(_STATE, ids=[partition.collection], timeout=CALL_SECONDS, **_STRONGLY)
        return int(rows[0]["sequence"]) if rows and rows[0]["owner"] == owner else None

    def save(self, partition: MilvusPartition, owner: str, sequence: int) -> None:
        """Record the sequence number that it has reached."""
        row = {"id": partition.collection, "vector": [1.0, 0.0], "owner": owner, "sequence": sequence}
        with translated():
            self.client.upsert(_STATE, [row], timeout=CALL_SECONDS)

    def close(self) -> None:
        """Close the connection."""
        self.client.close()

    def _create(self, name: str, key: str, dimension: int, fields: dict[str, str]) -> None:
        from pymilvus import DataType

        lengths = {"VARCHAR": {"max_length": 512}}
        schema = self.client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType[key], is_primary=True, **lengths.get(key, {}))
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=dimension)
        for field, kind in fields.items():
            schema.add_field(field, DataType[kind], **lengths.get(kind, {}))
        index = self.client.prepare_index_params()
        # Two numbers are no reason for a graph, and how far a collection has come must be read as it was written.
        is_state = name == _STATE
        kind = "FLAT" if is_state else self._kind
        index.add_index("vector", index_type=kind, metric_type="IP", params=_BUILT_WITH[kind])
        self.client.create_collection(
            name,
            schema=schema,
            index_params=index,
            consistency_level="Strong" if is_state else self._consistency,
            timeout=_LOAD_SECONDS,
        )


class MilvusPartition:
    """One collection; see VectorIndex."""

    def __init__(self, client: MilvusClient, collection: str, dimension: int, kind: str) -> None:
        self.collection = collection
        self._client = client
        self._dimension = dimension
        self._kind = kind
        self._approximate = kind not in ("FLAT", "GPU_BRUTE_FORCE")
        # "How many of these ids are held?" and the change that follows must not mix with another's.
        self._writer = threading.Lock()
        self._live: deque[Float32Array] = deque(maxlen=_LIVE_QUERIES)

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    @property
    def size_bytes(self) -> int:
        """Always 0: the vectors are elsewhere."""
        return 0

    @property
    def approximate(self) -> bool:
        """Whether searches may miss; the local file's never do."""
        return self._approximate

    def __len__(self) -> int:
        with translated():
            rows = self._client.query(
                self.collection, filter="", output_fields=["count(*)"], timeout=CALL_SECONDS, **_STRONGLY
            )
        return int(rows[0]["count(*)"])

    def add(self, ids: Int64Array, vectors: FloatArray) -> None:
        """See VectorIndex."""
        ids = as_ids(ids)
        unit = as_rows(vectors, self._dimension, (np.float16, np.float32), len(ids))
        require_unit(unit)
        ids, unit = last_of_each(ids, unit)
        with self._writer, translated():
            for part in _parts(len(ids), _ROWS_AT_ONCE):
                rows = [{"id": key, "vector": row} for key, row in zip(ids[part].tolist(), unit[part], strict=True)]
                self._client.upsert(self.collection, rows, timeout=CALL_SECONDS)

    def remove(self, ids: Int64Array) -> int:
        """See VectorIndex."""
        ids = np.unique(as_ids(ids))
        with self._writer:
            held = self._held(ids)
            with translated():
                for part in _parts(len(held), _IDS_AT_ONCE):
                    self._client.delete(self.collection, ids=held[part].tolist(), timeout=CALL_SECONDS)
        return len(held)

    def search(
        self,
        queries: Float32Array,
        k: int,
        allowed: Int64Array | None = None,
        exact: bool = False,
        remember: bool = True,
    ) -> tuple[Float32Array, Int64Array]:
        """See VectorIndex. A long filter travels in several requests."""
        queries = as_rows(queries, self._dimension, (np.float32,))
        require_direction(queries)
        if not 1 <= k <= MOST_RESULTS:
            raise PartitionError(f"Milvus returns between 1 and {MOST_RESULTS} results, not {k}")
        if remember:
            self._live.extend(queries[:_LIVE_QUERIES].copy())
        if (exact and self._approximate) or (self._kind.startswith("GPU") and k > _MOST_ON_GPU):
            return self._search_exactly(queries, k, allowed)
        scores, best_ids = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for condition in _conditions(allowed):
            more_scores, more = self._ask(queries, k, condition)
            scores, best_ids = np.concatenate([scores, more_scores], axis=1), np.concatenate([best_ids, more], axis=1)
            scores, best_ids = keep_best(scores, best_ids, k)
        return padded(scores, best_ids, k)

    def score(self, query: Float32Array, ids: Int64Array) -> Float32Array:
        """See VectorIndex."""
        query = as_rows(np.asarray(query)[None], self._dimension, (np.float32,))[0]
        rows = self.vectors(ids)
        return np.where(rows.any(axis=1), rows @ query, np.float32(-np.inf))

    def vectors(self, ids: Int64Array) -> Float32Array:
        """See VectorIndex."""
        ids = as_ids(ids)
        by_id: dict[int, Sequence[float]] = {}
        with translated():
            for part in _parts(len(ids), _ROWS_AT_ONCE):
                rows = self._client.get(
                    self.collection, ids=ids[part].tolist(), output_fields=["vector"], timeout=CALL_SECONDS, **_STRONGLY
                )
                by_id |= {row["id"]: row["vector"] for row in rows}
        out = np.zeros((len(ids), self._dimension), np.float32)
        for row_number, key in enumerate(ids.tolist()):
            if key in by_id:
                out[row_number] = by_id[key]
        return out

    def ids(self) -> Int64Array:
        """See VectorIndex."""
        pages, last = [np.empty(0, np.int64)], -1
        while True:
            with translated():
                # Not with Milvus's iterator, which warns on servers that keep no timestamps for it.
                rows = self._client.query(
                    self.collection,
                    filter=f"id > {last}",
                    output_fields=["id"],
                    limit=MOST_RESULTS,
                    timeout=CALL_SECONDS,
                    **_STRONGLY,
                )
            if not rows:
                return np.concatenate(pages)
            pages.append(np.sort(np.array([row["id"] for row in rows], np.int64)))
            if len(rows) < MOST_RESULTS:
                return np.concatenate(pages)
            last = int(pages[-1][-1])

    def live_queries(self) -> Float32Array:
        """See VectorIndex."""
        live = list(self._live)
        return np.stack(live) if live else np.empty((0, self._dimension), np.float32)

    def truth(self, queries: Float32Array, k: int, allowed: Int64Array | None = None) -> Int64Array:
        """See VectorIndex."""
        return self._search_exactly(queries, k, allowed)[1]

    def needs_tending(self) -> bool:
        """Always False: Milvus maintains itself."""
        return False

    def tend(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Does nothing."""

    def _search_exactly(
        self, queries: Float32Array, k: int, allowed: Int64Array | None
    ) -> tuple[Float32Array, Int64Array]:
        ids = self.ids() if allowed is None else np.intersect1d(self.ids(), as_ids(allowed))
        scores, best_ids = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for part in _parts(len(ids), _ROWS_AT_ONCE):
            best, places = best_rows(queries, self.vectors(ids[part]), min(k, len(ids[part])))
            scores, best_ids = (
                np.concatenate([scores, best], axis=1),
                np.concatenate([best_ids, ids[part][places]], axis=1),
            )
            scores, best_ids = keep_best(scores, best_ids, k)
        return padded(scores, best_ids, k)

    def _ask(self, queries: Float32Array, k: int, condition: str) -> tuple[Float32Array, Int64Array]:
        if not len(queries):
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        with translated():
            answers = self._client.search(
                self.collection,
                data=list(queries),
                limit=k,
                filter=condition,
                search_params={"metric_type": "IP", "params": _searched_with(self._kind, k)},
                timeout=CALL_SECONDS,
            )
        scores, best_ids = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        for row, hits in enumerate(answers):
            scores[row, : len(hits)] = [hit["distance"] for hit in hits]
            best_ids[row, : len(hits)] = [hit["id"] for hit in hits]
        return scores, best_ids

    def _held(self, ids: Int64Array) -> Int64Array:
        held = [np.empty(0, np.int64)]
        with translated():
            for part in _parts(len(ids), _IDS_AT_ONCE):
                rows = self._client.get(
                    self.collection, ids=ids[part].tolist(), output_fields=["id"], timeout=CALL_SECONDS, **_STRONGLY
                )
                held.append(np.array([row["id"] for row in rows], np.int64))
        return np.concatenate(held)


def _searched_with(kind: str, k: int) -> dict[str, int]:
    """How far each kind of index looks for `k` results."""
    match kind:
        case "HNSW":
            return {"ef": max(128, 2 * k)}
        case "IVF_SQ8" | "GPU_IVF_FLAT":
            return {"nprobe": 128}
        case "DISKANN":
            return {"search_list": max(100, 2 * k)}
        case "GPU_CAGRA":
            return {"itopk_size": max(64, 1 << (2 * k - 1).bit_length()), "search_width": 4}
        case _:
            return {}


def _collection(name: str) -> str:
    return re.sub(r"\W", "_", f"medley_{name}")


@contextmanager
def translated() -> Iterator[None]:
    """Turn what Milvus raises into PartitionError."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise PartitionError(f"Milvus refused: {error.message} (setting milvus_uri)") from error


def _conditions(allowed: Int64Array | None) -> Iterator[str]:
    if allowed is None:
        yield ""
        return
    ids = np.unique(as_ids(allowed))
    for part in _parts(len(ids), _IDS_AT_ONCE):
        yield f"id in {ids[part].tolist()}"


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
