"""Metrics for Prometheus: requests as they happen, the state of the catalogue at each scrape.

Counters of requests and searches live in this process. Gauges of the queue are read from the
catalogue at each scrape, so that every replica tells the same.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from api.audit import Audit

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """One registry per service, so that two services in one process (tests) don't collide."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "medley_http_requests", "Requests answered.", ["method", "route", "status"], registry=self.registry
        )
        self.request_seconds = Histogram(
            "medley_http_request_seconds",
            "Time to answer.",
            ["method", "route"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.search_seconds = Histogram(
            "medley_search_seconds", "Time of the search itself.", buckets=SECONDS, registry=self.registry
        )
        self.answer_seconds = Histogram(
            "medley_answer_seconds", "Time of an answer.", buckets=SECONDS, registry=self.registry
        )
        self.recall = Gauge(
            "medley_recall", "Recall@10 at the last audit.", ["signal", "selectivity"], registry=self.registry
        )
        self.audit_problems = Gauge("medley_audit_problems", "Problems at the last audit.", registry=self.registry)
        self.encoder_batch = Histogram(
            "medley_query_batch_size", "Queries encoded in one call.", buckets=BATCH_SIZES, registry=self.registry
        )

    def observe_audit(self, report: Audit) -> None:
        """Record what the latest audit in this process measured."""
        self.audit_problems.set(len(report.problems))
        for partition in report.partitions:
            for row in partition.recall:
                self.recall.labels(str(partition.signal), str(row.selectivity)).set(row.recall)

    def observe_state(self, read: Callable[[], Iterable[Metric]]) -> None:
        """Add gauges that are read at each scrape."""
        self.registry.register(_AtScrape(read))

    def text(self) -> bytes:
        """All metrics, in Prometheus' text format."""
        return generate_latest(self.registry)


class _AtScrape(Collector):
    def __init__(self, read: Callable[[], Iterable[Metric]]) -> None:
        self._read = read

    def collect(self) -> Iterable[Metric]:
        return self._read()

    def describe(self) -> Iterable[Metric]:
        return []  # else registering would read the state


def gauge(name: str, help_text: str, values: Iterable[tuple[dict[str, str], float]]) -> Metric:
    """A gauge from (labels, value) pairs, which all carry the same label names."""
    pairs = list(values)
    names = sorted(pairs[0][0]) if pairs else []
    family = GaugeMetricFamily(name, help_text, labels=names)
    for labels, value in pairs:
        family.add_metric([labels[name] for name in names], value)
    return family


def resident_bytes() -> int:
    """Memory of this process."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * resource.getpagesize()
    # Elsewhere only the peak is known; macOS counts it in bytes, others in KiB.
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
