"""Partitions kept by Milvus: one collection each, in a local file (Milvus Lite) or on a cluster.

For libraries whose vectors outgrow one machine's memory; see docs/indexes.md. How far a collection has come
is kept beside it, in the same Milvus, so that any process can go on from there. Only this file calls pymilvus.
"""

from __future__ import annotations

import re
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

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


class Milvus:
    """A connection. `uri` is a file's path (Milvus Lite: one process at a time) or a server's address."""

    def __init__(self, uri: str) -> None:
        try:
            from pymilvus import MilvusClient
        except ImportError:
            raise SettingsError("index = milvus needs pymilvus: pip install 'medley[milvus]'") from None
        self._local = "://" not in uri
        with translated():
            self.client: MilvusClient = MilvusClient(uri)
            if not self.client.has_collection(_STATE):
                self._create(_STATE, "VARCHAR", 2, {"owner": "VARCHAR", "sequence": "INT64"})

    @classmethod
    def open(cls, settings: Settings) -> Milvus:
        """As the settings say. Raises PartitionError or SettingsError."""
        settings.home.mkdir(parents=True, exist_ok=True)
        return cls(settings.milvus_uri or str(settings.home / "milvus.db"))

    def partition(self, name: str, dimension: int) -> MilvusPartition:
        """The partition of this name, made when there is none."""
        collection = _collection(name)
        with translated():
            if not self.client.has_collection(collection):
                self._create(collection, "INT64", dimension, {})
            self.client.load_collection(collection)
        return MilvusPartition(self.client, collection, dimension, approximate=not self._local)

    def existing(self, name: str) -> MilvusPartition | None:
        """The partition of this name, if there is one."""
        collection = _collection(name)
        with translated():
            if not self.client.has_collection(collection):
                return None
            fields = self.client.describe_collection(collection)["fields"]
            self.client.load_collection(collection)
        dimension = next(field["params"]["dim"] for field in fields if field["name"] == "vector")
        return MilvusPartition(self.client, collection, int(dimension), approximate=not self._local)

    def drop(self, partition: MilvusPartition) -> None:
        """Forget a partition and how far it had come."""
        with translated():
            self.client.drop_collection(partition.collection)
            self.client.delete(_STATE, ids=[partition.collection])

    def sequence(self, partition: MilvusPartition, owner: str) -> int | None:
        """Where the collection stands in the catalogue that `owner` names; None if it belongs to another."""
        with translated():
            found = self.client.get(_STATE, ids=[partition.collection])
        return int(found[0]["sequence"]) if found and found[0]["owner"] == owner else None

    def save(self, partition: MilvusPartition, owner: str, sequence: int) -> None:
        """Remember where it stands."""
        row = {"id": partition.collection, "vector": [1.0, 0.0], "owner": owner, "sequence": sequence}
        with translated():
            self.client.upsert(_STATE, [row])

    def close(self) -> None:
        """Let go of the connection."""
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
        # A server knows best which of its indexes suits the data; the local file scans exactly.
        index.add_index("vector", index_type="FLAT" if self._local else "AUTOINDEX", metric_type="IP")
        self.client.create_collection(name, schema=schema, index_params=index, consistency_level="Strong")


class MilvusPartition:
    """One collection; see VectorIndex."""

    def __init__(self, client: MilvusClient, collection: str, dimension: int, approximate: bool) -> None:
        self.collection = collection
        self._client = client
        self._dimension = dimension
        self._approximate = approximate
        # "How many of these ids are held?" and the change that follows must not mix with another's.
        self._writer = threading.Lock()
        self._live: deque[np.ndarray] = deque(maxlen=_LIVE_QUERIES)

    @property
    def dimension(self) -> int:
        """Length of the vectors."""
        return self._dimension

    @property
    def size_bytes(self) -> int:
        """Nothing: the vectors are elsewhere."""
        return 0

    @property
    def approximate(self) -> bool:
        """Whether searches may miss; the local file's never do."""
        return self._approximate

    def __len__(self) -> int:
        with translated():
            found = self._client.query(self.collection, filter="", output_fields=["count(*)"])
        return int(found[0]["count(*)"])

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        """See VectorIndex."""
        ids = as_ids(ids)
        vectors = as_rows(vectors, self._dimension, (np.float16, np.float32), len(ids))
        require_unit(vectors)
        ids, vectors = last_of_each(ids, vectors)
        with self._writer, translated():
            for part in _parts(len(ids), _ROWS_AT_ONCE):
                rows = [{"id": key, "vector": row} for key, row in zip(ids[part].tolist(), vectors[part], strict=True)]
                self._client.upsert(self.collection, rows)

    def remove(self, ids: np.ndarray) -> int:
        """See VectorIndex."""
        ids = np.unique(as_ids(ids))
        with self._writer:
            held = self._held(ids)
            with translated():
                for part in _parts(len(held), _IDS_AT_ONCE):
                    self._client.delete(self.collection, ids=held[part].tolist())
        return len(held)

    def search(
        self,
        queries: np.ndarray,
        k: int,
        allowed: np.ndarray | None = None,
        exact: bool = False,
        remember: bool = True,
    ) -> tuple[np.ndarray, np.ndarray]:
        """See VectorIndex. A long filter travels in several requests."""
        queries = as_rows(queries, self._dimension, (np.float32,))
        require_direction(queries)
        if not 1 <= k <= MOST_RESULTS:
            raise PartitionError(f"Milvus returns between 1 and {MOST_RESULTS} results, not {k}")
        if remember:
            self._live.extend(queries[:_LIVE_QUERIES].copy())
        if exact and self._approximate:
            return self._search_exactly(queries, k, allowed)
        scores, found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for condition in _conditions(allowed):
            more_scores, more = self._ask(queries, k, condition)
            scores, found = np.concatenate([scores, more_scores], axis=1), np.concatenate([found, more], axis=1)
            scores, found = keep_best(scores, found, k)
        return padded(scores, found, k)

    def score(self, query: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """See VectorIndex."""
        query = as_rows(np.asarray(query)[None], self._dimension, (np.float32,))[0]
        rows = self.vectors(ids)
        return np.where(rows.any(axis=1), rows @ query, np.float32(-np.inf))

    def vectors(self, ids: np.ndarray) -> np.ndarray:
        """See VectorIndex."""
        ids = as_ids(ids)
        found: dict[int, Sequence[float]] = {}
        with translated():
            for part in _parts(len(ids), _ROWS_AT_ONCE):
                rows = self._client.get(self.collection, ids=ids[part].tolist(), output_fields=["vector"])
                found |= {row["id"]: row["vector"] for row in rows}
        out = np.zeros((len(ids), self._dimension), np.float32)
        for place, key in enumerate(ids.tolist()):
            if key in found:
                out[place] = found[key]
        return out

    def ids(self) -> np.ndarray:
        """See VectorIndex."""
        pages, last = [np.empty(0, np.int64)], -1
        while True:
            with translated():
                # By hand and not by Milvus's iterator, which warns where a server keeps no time for it.
                rows = self._client.query(
                    self.collection, filter=f"id > {last}", output_fields=["id"], limit=MOST_RESULTS
                )
            if not rows:
                return np.concatenate(pages)
            pages.append(np.sort(np.array([row["id"] for row in rows], np.int64)))
            if len(rows) < MOST_RESULTS:
                return np.concatenate(pages)
            last = int(pages[-1][-1])

    def live_queries(self) -> np.ndarray:
        """See VectorIndex."""
        live = list(self._live)
        return np.stack(live) if live else np.empty((0, self._dimension), np.float32)

    def truth(self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
        """See VectorIndex."""
        return self._search_exactly(queries, k, allowed)[1]

    def needs_tending(self) -> bool:
        """Never: Milvus looks after itself."""
        return False

    def tend(self, cancelled: Callable[[], bool] = lambda: False) -> None:
        """Nothing."""

    def _search_exactly(self, queries: np.ndarray, k: int, allowed: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        ids = self.ids() if allowed is None else np.intersect1d(self.ids(), as_ids(allowed))
        scores, found = np.empty((len(queries), 0), np.float32), np.empty((len(queries), 0), np.int64)
        for part in _parts(len(ids), _ROWS_AT_ONCE):
            best, places = best_rows(queries, self.vectors(ids[part]), min(k, len(ids[part])))
            scores, found = np.concatenate([scores, best], axis=1), np.concatenate([found, ids[part][places]], axis=1)
            scores, found = keep_best(scores, found, k)
        return padded(scores, found, k)

    def _ask(self, queries: np.ndarray, k: int, condition: str) -> tuple[np.ndarray, np.ndarray]:
        if not len(queries):
            return np.empty((0, k), np.float32), np.empty((0, k), np.int64)
        with translated():
            answers = self._client.search(
                self.collection, data=list(queries), limit=k, filter=condition, search_params={"metric_type": "IP"}
            )
        scores, found = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
        for place, hits in enumerate(answers):
            scores[place, : len(hits)] = [hit["distance"] for hit in hits]
            found[place, : len(hits)] = [hit["id"] for hit in hits]
        return scores, found

    def _held(self, ids: np.ndarray) -> np.ndarray:
        held = [np.empty(0, np.int64)]
        with translated():
            for part in _parts(len(ids), _IDS_AT_ONCE):
                rows = self._client.get(self.collection, ids=ids[part].tolist(), output_fields=["id"])
                held.append(np.array([row["id"] for row in rows], np.int64))
        return np.concatenate(held)


def _collection(name: str) -> str:
    return re.sub(r"\W", "_", f"medley_{name}")


@contextmanager
def translated() -> Iterator[None]:
    """What Milvus raises becomes PartitionError."""
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise PartitionError(f"Milvus refused: {error.message} (setting milvus_uri)") from error


def _conditions(allowed: np.ndarray | None) -> Iterator[str]:
    if allowed is None:
        yield ""
        return
    ids = np.unique(as_ids(allowed))
    for part in _parts(len(ids), _IDS_AT_ONCE):
        yield f"id in {ids[part].tolist()}"


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, start + size) for start in range(0, count, size))
