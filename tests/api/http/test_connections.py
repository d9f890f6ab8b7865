"""Clients that take their time, and a database that is away."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import httpx
import pytest
from support.service_world import World, running

from api.cli.listening import bound
from api.http import connections, middleware
from search.errors import CatalogError


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 0.3)
    monkeypatch.setattr(middleware, "BODY_SECONDS", 0.3)


@contextlib.contextmanager
def connected(client: httpx.Client) -> Iterator[socket.socket]:
    with socket.create_connection((client.base_url.host, client.base_url.port or 80), timeout=10) as connection:
        yield connection


def until_closed(connection: socket.socket) -> bytes:
    """What still comes before the other side hangs up. Raises TimeoutError when it does not."""
    received = b""
    with contextlib.suppress(ConnectionResetError):
        while piece := connection.recv(4096):
            received += piece
    return received


@pytest.mark.parametrize("sent", [b"", b"GET /health/live HTTP/1.1\r\nHost: local"], ids=["nothing", "half a request"])
def test_who_sends_no_whole_request_is_cut_off(hasty: None, world: World, sent: bytes) -> None:
    with running(world.service) as client, connected(client) as slow:
        slow.sendall(sent)
        assert until_closed(slow) == b""


def test_a_second_request_on_a_connection_must_come_whole_too(hasty: None, world: World) -> None:
    with running(world.service) as client, connected(client) as slow:
        slow.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\nGET /health")
        assert until_closed(slow).count(b"HTTP/1.1 200") == 1


def test_a_body_that_stops_coming_is_given_up(hasty: None, world: World) -> None:
    head = (
        b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
    )
    with running(world.service) as client, connected(client) as slow:
        slow.sendall(head + b'{"text": "r')
        assert b" 200 " not in until_closed(slow)[:15]
        assert client.get("/health/live").status_code == 200


def test_a_request_of_two_lengths_is_refused_and_what_follows_is_not_read(world: World) -> None:
    """Behind a proxy that believes the other one, somebody else's request would follow (request smuggling)."""
    head = b"POST /v1/search HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n"
    with running(world.service) as client, connected(client) as connection:
        connection.sendall(head + b"0\r\n\r\nGET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = until_closed(connection)
    assert b" 400 " in answer[:15]
    assert answer.count(b"HTTP/1.1 ") == 1


def test_one_address_holds_no_more_than_its_share_of_connections(monkeypatch: pytest.MonkeyPatch, world: World) -> None:
    monkeypatch.setattr(connections, "MOST_PER_PEER", 5)
    with running(world.service) as client, contextlib.ExitStack() as opened:
        held = [opened.enter_context(connected(client)) for _ in range(5)]
        with connected(client) as too_many:
            assert until_closed(too_many) == b""
        held[0].sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in until_closed(held[0])


def test_public_routes_answer_without_a_database_and_nobody_reads_its_address(
    monkeypatch: pytest.MonkeyPatch, world: World
) -> None:
    def away() -> None:
        raise CatalogError("the catalogue at postgresql://secret-host/medley is away")

    monkeypatch.setattr(world.service.key_ring, "refresh", away)
    with running(world.service) as client:
        assert client.get("/health/live").status_code == 200
        assert client.get("/").status_code == 200
        refused = client.get("/v1/status")
        assert refused.status_code == 503
        assert "secret-host" not in refused.text


def test_an_answer_does_not_wait_for_its_headers_to_be_acknowledged() -> None:
    with bound("127.0.0.1", 0) as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
