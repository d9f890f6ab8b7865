"""Webhooks lead where they may: no private address, whatever a name answers when."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from search.alerts import destinations
from search.alerts.destinations import Refused, checked_url, is_public, post
from search.errors import UsageError


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1",
     "255.255.255.255", "192.0.2.1", "::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:10.0.0.1",
     "2002:7f00:1::", "64:ff9b::7f00:1", "2001:db8::1"],
)  # fmt: skip
def test_addresses_at_home_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "93.184.216.34", "2606:4700::1111"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("ftp://example.org/", "https://"),
        ("https:///path", "name a host"),
        ("https://user:word@example.org/", "user name"),
        ("https://example.org:0/", "https://"),
        ("https://example.org:99999/", "can't be read"),
        ("https://exa mple.org/", "spaces"),
        ("https://example.org/\r\nHost: other", "spaces"),
        ("https://exämple.org/", "ASCII"),
        ("http://example.org/", "allow_private_webhooks"),
        ("https://127.0.0.1/", "allow_private_webhooks"),
        ("https://[::1]/", "allow_private_webhooks"),
        ("https://" + "a" * 3000, "2000"),
    ],
)
def test_what_is_no_destination_is_refused_with_the_reason(url: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        checked_url(url, allow_private=False)


def test_at_home_everything_may_be_told_where_the_setting_says_so() -> None:
    for url in ("http://192.168.1.5:8123/hook", "http://localhost/", "https://example.org/?a=b"):
        assert checked_url(url, allow_private=True).hostname


def test_a_name_that_leads_home_is_refused_even_where_one_address_is_public() -> None:
    with pytest.raises(Refused, match=r"leads to the private address 10\.0\.0\.1"):
        post("https://example.org/", b"", {}, False, lambda host, port: ["93.184.216.34", "10.0.0.1"])


def test_a_name_is_looked_up_once_and_the_connection_goes_to_what_was_checked() -> None:
    asked: list[str] = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"]

    with receiver([b"HTTP/1.1 204 No Content\r\n\r\n"]) as (port, received):
        answer = post(f"http://some.name.invalid:{port}/hook?a=b", b"{}", {"webhook-id": "event_1"}, True, look_up)
    assert answer.status == 204
    assert asked == ["some.name.invalid"]
    head = received[0].decode()
    assert head.startswith("POST /hook?a=b HTTP/1.1\r\n")
    assert f"Host: some.name.invalid:{port}" in head
    assert "webhook-id: event_1" in head


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with receiver([b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n"]) as (
        port,
        _,
    ):
        assert post(f"http://127.0.0.1:{port}/", b"", {}, True).status == 302


def test_a_receiver_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(destinations, "TIMEOUT_SECONDS", 0.6)
    with receiver([b"HTTP/1.1 200 OK\r\n", *[b"X-More: 1\r\n"] * 100], pause=0.1) as (port, _):
        began = time.monotonic()
        with pytest.raises(OSError, match="no answer within"):
            post(f"http://127.0.0.1:{port}/", b"", {}, True)
        assert time.monotonic() - began < 5


@contextmanager
def receiver(pieces: list[bytes], pause: float = 0.0) -> Iterator[tuple[int, list[bytes]]]:
    """A port that answers one request with these pieces, and what it received."""
    received: list[bytes] = []
    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                received.append(connection.recv(65536))
                for piece in pieces:
                    try:
                        connection.sendall(piece)
                    except OSError:
                        return
                    if pause and over.wait(pause):
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listening.getsockname()[1], received
        finally:
            over.set()
            thread.join(10)
