"""Metrics of a worker: how busy each stage is, what became of the files, memory, GPU.

A worker has no HTTP service; with `--metrics-port` it opens one for Prometheus alone, on its own port.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Gauge, start_http_server

from api.monitoring.metrics import resident_bytes
from indexer.ingest.worker import Progress

OUTCOMES = ("indexed", "read", "unchanged", "moved", "retried", "quarantined")
STAGES = ("decode", "encode", "write")


class WorkerMetrics:
    """A listener for a worker that keeps its progress as metrics."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Gauges, because the worker counts by itself and tells totals.
        self._files = Gauge("medley_worker_files", "Files done with, by outcome.", ["outcome"], registry=self.registry)
        self._stage = Gauge(
            "medley_worker_stage_seconds", "Time that each stage has been busy.", ["stage"], registry=self.registry
        )
        self._segments = Gauge("medley_worker_segments", "Segments made.", registry=self.registry)
        self._bytes = Gauge("medley_worker_bytes", "Bytes of media read.", registry=self.registry)
        self._in_flight = Gauge("medley_worker_in_flight", "Files being worked on.", registry=self.registry)
        self._seconds = Gauge("medley_worker_seconds", "Time since the worker began.", registry=self.registry)
        memory = Gauge("medley_worker_resident_bytes", "Memory of the worker.", registry=self.registry)
        memory.set_function(resident_bytes)
        gpu = Gauge("medley_worker_gpu_bytes", "Memory held on the GPU.", registry=self.registry)
        gpu.set_function(gpu_bytes)

    def __call__(self, told: Progress) -> None:
        """Record a worker's progress."""
        for outcome in OUTCOMES:
            self._files.labels(outcome).set(getattr(told.tally, outcome))
        for stage in STAGES:
            self._stage.labels(stage).set(getattr(told.stages, stage))
        self._segments.set(told.tally.segments)
        self._bytes.set(told.tally.bytes)
        self._in_flight.set(told.in_flight)
        self._seconds.set(told.seconds)


def gpu_bytes() -> float:
    """Memory that this process holds on its GPU; 0 without one. Never loads torch by itself."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return 0.0
    return float(torch.cuda.memory_reserved())


@contextmanager
def shown(metrics: WorkerMetrics, host: str, port: int) -> Iterator[int]:
    """Serve the metrics over HTTP until the block ends; yields the port."""
    server, thread = start_http_server(port, host, metrics.registry)
    try:
        yield int(server.server_port)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
