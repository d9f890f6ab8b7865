"""Traces by OpenTelemetry, off unless a collector is named: a request through its steps, a file through the pipeline.

A span tells how long a step took and numbers about it. Values are numbers and words of our own (`StrEnum`), so that no
query, no path and no word of a library can get into one; of an error its class is told and not its message. While
tracing is off nothing of OpenTelemetry is imported, and a span is one shared object that does nothing.
"""

from __future__ import annotations

import importlib
import logging
import threading
import time
from contextlib import AbstractContextManager
from enum import StrEnum
from types import TracebackType
from typing import Any, Self

from search.errors import SettingsError

Value = float | StrEnum  # what an attribute may be: never free text

_SERVICE = "medley"
_PATIENCE_SECONDS = 3.0  # with a collector: a command that ends waits no longer

_log = logging.getLogger(__name__)


class _Off(AbstractContextManager["_Off"]):
    """A span, a request and a trace while tracing is off."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def set(self, **attributes: Value) -> None:
        """Nothing."""

    def done(self, route: str, status: int) -> None:
        """Nothing."""

    def span(self, _name: str, **_attributes: Value) -> _Off:
        """Nothing."""
        return self

    def add(self, name: str, began_ns: int, **attributes: Value) -> None:
        """Nothing."""

    def end(self, outcome: str) -> None:
        """Nothing."""


OFF = _Off()
_tracer: Any = None  # of OpenTelemetry, once tracing is on
_lock = threading.Lock()


def start(endpoint: str) -> None:
    """Send traces to an OTLP collector from now on, such as `http://127.0.0.1:4318`. Empty: stay off.

    Raises SettingsError where the extra is not installed.
    """
    with _lock:
        if not endpoint or _tracer is not None:
            return
        try:
            sdk = importlib.import_module("opentelemetry.sdk.trace")
            export = importlib.import_module("opentelemetry.sdk.trace.export")
            resources = importlib.import_module("opentelemetry.sdk.resources")
            otlp = importlib.import_module("opentelemetry.exporter.otlp.proto.http.trace_exporter")
        except ModuleNotFoundError as missing:
            told = f"tracing_endpoint needs {missing.name}, which is not installed"
            raise SettingsError(f"{told}: pip install 'medley-search[tracing]'") from None
        provider = sdk.TracerProvider(resource=resources.Resource.create({"service.name": _SERVICE}))
        # Its own messages come by the dozen, in the words of libraries below it; ours says the same once.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        exporter = otlp.OTLPSpanExporter(endpoint.rstrip("/") + "/v1/traces", timeout=_PATIENCE_SECONDS)
        provider.add_span_processor(export.BatchSpanProcessor(_Exporter(exporter, endpoint)))
    use(provider)


class _Exporter:
    """An exporter of OpenTelemetry whose failures are told plainly, and once until it works again."""

    def __init__(self, inner: Any, endpoint: str) -> None:
        self._inner = inner
        self._endpoint = endpoint
        self._failing = False

    def export(self, spans: Any) -> Any:
        """Send spans; what can't be sent is dropped."""
        result = self._inner.export(spans)
        failed = result.name != "SUCCESS"
        if failed and not self._failing:
            _log.warning("traces can't be sent to %s (setting tracing_endpoint); they are dropped", self._endpoint)
        self._failing = failed
        return result

    def shutdown(self) -> None:
        """End."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Nothing waits here."""
        return bool(self._inner.force_flush(timeout_millis))


def use(provider: Any | None) -> None:
    """Make spans with this provider of tracers, or none. It is not made the global one: others' spans hold words."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer(_SERVICE)


def now_ns() -> int:
    """The time that `Trace.add` takes, in nanoseconds since 1970."""
    return time.time_ns()


def span(name: str, **attributes: Value) -> _Off | _On:
    """A step within the step that is going on in this thread or task."""
    return OFF if _tracer is None else _On(name, attributes, None)


def add(name: str, began_ns: int, **attributes: Value) -> None:
    """A step that is over, within the step that is going on: of generators, which rest between their values."""
    if _tracer is not None:
        _tracer.start_span(name, start_time=began_ns, attributes=_told(attributes)).end()


class _On(AbstractContextManager["_On"]):
    """A span of OpenTelemetry."""

    def __init__(self, name: str, attributes: dict[str, Value], parent: Any) -> None:
        # Its own way of telling errors would keep their messages, which name files and repeat queries.
        self._context = _tracer.start_as_current_span(
            name, context=parent, attributes=_told(attributes), record_exception=False, set_status_on_exception=False
        )
        self._span: Any = None

    def __enter__(self) -> Self:
        self._span = self._context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._span.set_attribute("error.type", kind.__name__)
            self._span.set_status(importlib.import_module("opentelemetry.trace").StatusCode.ERROR)
        self._context.__exit__(kind, error, trace)

    def set(self, **attributes: Value) -> None:
        """Tell more of it."""
        self._span.set_attributes(_told(attributes))


class _Request(_On):
    """A request over HTTP."""

    def done(self, route: str, status: int) -> None:
        """It was this route's, and ended so."""
        self._span.update_name(f"HTTP {route}")
        self._span.set_attributes({"http.route": route, "http.response.status_code": status})


def request(traceparent: str) -> _Off | _Request:
    """An incoming request; `traceparent` is the header by which its sender has it continue a trace (W3C)."""
    if _tracer is None:
        return OFF
    propagation = importlib.import_module("opentelemetry.trace.propagation.tracecontext")
    parent = propagation.TraceContextTextMapPropagator().extract({"traceparent": traceparent})
    return _Request("HTTP", {}, parent)


class _Trace:
    """A trace whose steps are done by several threads."""

    def __init__(self, name: str, attributes: dict[str, Value]) -> None:
        trace = importlib.import_module("opentelemetry.trace")
        nothing = trace.set_span_in_context(trace.INVALID_SPAN)  # it belongs to no request that is going on
        self._root = _tracer.start_span(name, context=nothing, attributes=_told(attributes))
        self._parent = trace.set_span_in_context(self._root)

    def span(self, name: str, **attributes: Value) -> _On:
        """A step that this thread does now."""
        return _On(name, attributes, self._parent)

    def add(self, name: str, began_ns: int, **attributes: Value) -> None:
        """A step that is over, shared with other traces."""
        if _tracer is not None:
            _tracer.start_span(name, context=self._parent, start_time=began_ns, attributes=_told(attributes)).end()

    def end(self, outcome: str) -> None:
        """It is over; `outcome` is the name of a class."""
        self._root.set_attribute("outcome", outcome)
        self._root.end()


Trace = _Off | _Trace


def begin(name: str, **attributes: Value) -> Trace:
    """A trace of its own, to be ended."""
    return OFF if _tracer is None else _Trace(name, attributes)


def _told(attributes: dict[str, Value]) -> dict[str, Any]:
    return {f"medley.{name}": str(value) if isinstance(value, StrEnum) else value for name, value in attributes.items()}
