"""A service whose vectors live in Milvus: it starts without it, says so, and heals when it is back."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from support.service_world import World, running
from support.waiting import until

pytest.importorskip("milvus_lite", reason="Milvus Lite is not installed: pip install 'medley-search[milvus]'")

from milvus_lite.adapter.grpc.server import start_server_in_thread

from api.monitoring import readiness
from search.settings import Settings


class MilvusServer:
    """Milvus Lite behind its own gRPC server on loopback, started and stopped at will on one port."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._running: tuple[object, object] | None = None

    def start(self) -> None:
        server, database, _ = start_server_in_thread(str(self._folder), port=self.port)
        self._running = server, database

    def stop(self) -> None:
        if self._running is not None:
            server, database = self._running
            server.stop(grace=None).wait()  # type: ignore[attr-defined]
            database.close()  # type: ignore[attr-defined]
            self._running = None


@pytest.fixture
def milvus(tmp_path: Path) -> Iterator[MilvusServer]:
    server = MilvusServer(tmp_path / "milvus")
    yield server
    server.stop()


def test_a_service_starts_without_milvus_says_so_and_heals(
    milvus: MilvusServer, settings: Settings, sqlite_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "FRESH_SECONDS", 0.0)
    address = f"http://127.0.0.1:{milvus.port}"
    world = World(msgspec.structs.replace(settings, index="milvus", milvus_uri=address), sqlite_url, tmp_path / "media")
    with running(world.service) as client:
        for _ in range(2):
            away = client.get("/health/ready")
            assert away.status_code == 503
            assert "partitions" in away.json()["checks"]["partitions"]
            assert away.json()["checks"]["database"] == away.json()["checks"]["space"] == "ok"
            assert str(milvus.port) not in away.text, "the server's address is nobody's business"
            refused = client.post("/v1/search", json={"text": "red"}, timeout=5.0)
            assert refused.status_code == 503
            assert refused.json()["type"] == "urn:medley:problem:partition"
            assert str(milvus.port) not in refused.text
            assert client.get("/v1/assets").status_code == 200, "what needs no vectors goes on"
            assert client.get("/metrics").status_code == 200

            milvus.start()
            until(lambda: client.get("/health/ready").status_code == 200, 60)
            if not client.get("/v1/assets").json()["items"]:
                world.picture("a.png", "red")
            assert len(client.post("/v1/search", json={"text": "red"}).json()["hits"]) == 1

            milvus.stop()
            until(lambda: client.get("/health/ready").status_code == 503, 60)
    world.service.close()
