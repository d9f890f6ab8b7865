"""Queries that arrive at the same time share one call of the encoder.

No query waits to be joined: one that finds the encoder idle runs at once, and those that arrive while it
runs share the next call. So a single query is as fast as without batching, and batches grow with the
load. (An encoder's cost per text falls several times from 1 to 16.)
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future

import numpy as np

from search.signals import Signal
from search.spaces.space import Space, SpaceAround

#: texts in one call; more than this gains nothing on a CPU and makes the first of them wait
LARGEST_BATCH = 32

Vectors = Mapping[Signal, np.ndarray]


class BatchingSpace(SpaceAround):
    """A space that joins concurrent `embed_query_text` calls; everything else goes straight through."""

    def __init__(self, space: Space, observe: Callable[[int], None] = lambda _size: None) -> None:
        super().__init__(space)
        self._observe = observe
        self._lock = threading.Lock()
        self._waiting: list[tuple[tuple[str, ...], Future[Vectors]]] = []
        self._running = False

    def embed_query_text(self, texts: Sequence[str]) -> Vectors:
        """Per signal, `(len(texts), d) float32` unit rows; may run together with other callers' texts."""
        future: Future[Vectors] = Future()
        with self._lock:
            self._waiting.append((tuple(texts), future))
            leads = not self._running
            self._running = True
        if leads:
            self._run_until_empty(future)
        return future.result()

    def _run_until_empty(self, own: Future[Vectors]) -> None:
        """Run batches until none is waiting; hand over to another thread once our own result is there."""
        while True:
            with self._lock:
                batch = self._take()
                if not batch:
                    self._running = False
                    return
            self._run(batch)
            if own.done():
                with self._lock:
                    if not self._waiting:
                        self._running = False
                        return
                # Others still wait. A helper thread leads on, so that our caller gets its answer now.
                threading.Thread(target=self._run_until_empty, args=(Future(),), daemon=True).start()
                return

    def _take(self) -> list[tuple[tuple[str, ...], Future[Vectors]]]:
        taken: list[tuple[tuple[str, ...], Future[Vectors]]] = []
        size = 0
        while self._waiting and (not taken or size + len(self._waiting[0][0]) <= LARGEST_BATCH):
            entry = self._waiting.pop(0)
            size += len(entry[0])
            taken.append(entry)
        return taken

    def _run(self, batch: Sequence[tuple[tuple[str, ...], Future[Vectors]]]) -> None:
        texts = [text for part, _ in batch for text in part]
        self._observe(len(texts))
        try:
            vectors = self.inner.embed_query_text(texts)
        except BaseException as error:  # noqa: BLE001 - every waiting thread must hear of it, whatever it is
            for _, future in batch:
                future.set_exception(error)
            return
        start = 0
        for part, future in batch:
            future.set_result({signal: rows[start : start + len(part)] for signal, rows in vectors.items()})
            start += len(part)
