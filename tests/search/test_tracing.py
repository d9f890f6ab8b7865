"""Traces tell the steps of a search and of a file's way, and nothing personal; while they are off they cost nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from support.language_world import WordModel, answerer, spoken
from support.library import Library
from support.paths import ROOT
from support.pictures import save_coloured
from support.service_world import World
from support.waiting import until
from support.word_library import WordLibrary, opened

from indexer.decoding.decoder import DecoderPool
from search.catalog.database import Database
from search.errors import SettingsError
from search.language.question_planning import plan_question
from search.runtime import tracing
from search.settings import Settings

SECRET = "zanzibar"


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)
    provider.shutdown()


@pytest.fixture
def library(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(sqlite_url)
    with DecoderPool(settings, 1) as pool:
        yield Library(database, settings, tmp_path / "media", pool)
    database.close()


def told(spans: tuple[ReadableSpan, ...]) -> str:
    """Everything that leaves with these spans."""
    return "".join(span.to_json() for span in spans)


def test_a_search_is_one_trace(world: World, client: httpx.Client, exporter: InMemorySpanExporter) -> None:
    world.picture(f"{SECRET}.png", "green", words=f"{SECRET} green leaf")
    exporter.clear()
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    answer = client.post(
        "/v1/search", json={"text": f"{SECRET} green", "filters": {"path": ["*"]}}, headers={"traceparent": parent}
    )
    assert answer.json()["hits"]
    # The request's own span ends just after its answer is sent.
    until(lambda: "HTTP /v1/search" in {span.name for span in exporter.get_finished_spans()})
    spans = exporter.get_finished_spans()
    names = [span.name for span in spans]
    assert {"encode query", "retrieve", "search partition", "full text", "fuse", "HTTP /v1/search"} <= set(names)
    assert {f"{span.context.trace_id:032x}" for span in spans if span.context} == {parent.split("-")[1]}
    root = next(span for span in spans if span.name.startswith("HTTP"))
    assert root.parent is not None
    assert f"{root.parent.span_id:016x}" == parent.split("-")[2]
    retrieve = next(span for span in spans if span.name == "retrieve")
    inner = [span for span in spans if span.name in ("search partition", "full text")]
    assert retrieve.context is not None
    assert {span.parent.span_id for span in inner if span.parent} == {retrieve.context.span_id}
    partition = next(span for span in spans if span.name == "search partition")
    assert partition.attributes is not None
    assert {"medley.signal", "medley.size", "medley.found", "medley.allowed"} <= set(partition.attributes)


def test_no_word_of_a_query_or_a_library_is_told(
    world: World, client: httpx.Client, exporter: InMemorySpanExporter
) -> None:
    world.picture(f"{SECRET}/a.png", "green", words=SECRET)
    client.post("/v1/search", json={"text": SECRET, "filters": {"path": [f"*{SECRET}*"]}})
    client.post("/v1/search", json={"text": f'"{SECRET}'})  # an error that repeats what was asked
    client.get(f"/v1/assets?path=*{SECRET}*")
    client.get(f"/{SECRET}")
    world.space.broken = SECRET
    client.post("/v1/search", json={"text": f"{SECRET} again"})
    spans = exporter.get_finished_spans()
    failed = [span for span in spans if span.name == "encode query" and not span.status.is_ok]
    assert failed, "the encoder's failure is seen"
    assert "error.type" in (failed[-1].attributes or {})
    assert SECRET not in told(spans)


def test_a_question_is_one_trace_down_to_each_sentence_that_is_checked(exporter: InMemorySpanExporter) -> None:
    model = WordModel(f"The {SECRET} opened in 1952 [1]. It cost nine crowns [1].", name="large")
    hits = [spoken(f"The {SECRET} opened in 1952 after long rain.")]
    with tracing.span("HTTP /v1/answers"):
        answer = answerer(model).answer(plan_question(f"When was the {SECRET} opened?"), hits, {})
    assert answer.found
    spans = exporter.get_finished_spans()
    assert [span.name for span in spans] == [
        "weigh sentences", "check sentence", "write answer", "check sentence", "HTTP /v1/answers",
    ]  # fmt: skip
    root = spans[-1].context
    assert root is not None
    assert {span.parent.span_id for span in spans if span.parent} == {root.span_id}
    written = next(span for span in spans if span.name == "write answer")
    assert (written.attributes or {})["medley.characters"] == 57
    assert SECRET not in told(spans)


def test_the_searches_of_a_question_belong_to_its_trace(
    exporter: InMemorySpanExporter, settings: Settings, sqlite_url: str
) -> None:
    database = Database.open(sqlite_url)
    words = WordLibrary(database)
    words.photo(f"{SECRET}.jpg", f"{SECRET} beach")
    with opened(words, settings) as engine:
        engine.ask(f"Where is the {SECRET}?", limit=5)
    database.close()
    spans = {span.name: span for span in exporter.get_finished_spans()}
    assert {"ask", "find sources", "encode query", "fuse"} <= set(spans)
    sources, encoding = spans["find sources"].context, spans["encode query"].parent
    assert sources is not None
    assert encoding is not None
    assert encoding.span_id == sources.span_id
    assert len({span.context.trace_id for span in exporter.get_finished_spans() if span.context}) == 1
    assert SECRET not in told(exporter.get_finished_spans())


def test_a_file_s_way_through_the_pipeline_is_one_trace(library: Library, exporter: InMemorySpanExporter) -> None:
    save_coloured(library.root / f"{SECRET}.jpg", 1)
    (library.root / f"broken {SECRET}.jpg").write_bytes(b"\xff\xd8\xff\xe0 no picture")
    library.index()
    spans = exporter.get_finished_spans()
    traces: dict[int, dict[str, ReadableSpan]] = {}
    for span in spans:
        assert span.context is not None
        traces.setdefault(span.context.trace_id, {})[span.name] = span
    outcomes = {str((trace["index asset"].attributes or {})["outcome"]): set(trace) for trace in traces.values()}
    assert outcomes["IndexedAsset"] == {"index asset", "decode", "encode", "write"}
    assert outcomes["PermanentMediaError"] == {"index asset", "decode", "write"}
    assert SECRET not in told(spans)


def test_it_is_off_by_default_and_loads_nothing(world: World) -> None:
    assert world.settings.tracing_endpoint == ""
    assert tracing.span("anything", size=1) is tracing.OFF
    code = "import sys, search.searcher, indexer.indexer; from search.runtime import tracing; tracing.start('');"
    code += "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_while_it_is_off_a_span_costs_less_than_five_microseconds() -> None:
    """A search makes about a dozen."""
    runs = []
    for _ in range(5):
        began = time.thread_time()
        for _ in range(10_000):
            with tracing.span("search partition", size=10) as span:
                span.set(found=3)
        runs.append((time.thread_time() - began) / 10_000)
    assert min(runs) < 5e-6


@pytest.mark.parametrize("listens", [True, False])
def test_traces_reach_a_collector_or_one_plain_line_says_that_they_do_not(listens: bool, tmp_path: Path) -> None:
    received: list[bytes] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Collector)
    endpoint = f"http://127.0.0.1:{server.server_port}"
    if listens:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    else:
        server.server_close()
    code = "from search.runtime import tracing; import sys; tracing.start(sys.argv[1])\n"
    code += "for _ in range(3):\n    with tracing.span('step', size=1): pass"
    done = subprocess.run([sys.executable, "-c", code, endpoint], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if listens:
        server.shutdown()
        server.server_close()
        assert b"step" in received[0]
        assert done.stderr == ""
    else:
        (line,) = done.stderr.splitlines()
        assert endpoint in line
        assert "tracing_endpoint" in line


def test_without_the_extra_the_setting_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"medley-search\[tracing\]"):
        tracing.start("http://127.0.0.1:4318")
