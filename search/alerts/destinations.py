"""Where a webhook may lead, and the connection to it: no private address, whatever its name answers when.

A name is resolved once, every address that it gives is checked, and the connection goes to a checked address: a name
that changes its mind in between (DNS rebinding) gains nothing. No proxy, no redirect.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from urllib.parse import SplitResult, urlsplit

from msgspec import Struct

from search.errors import UsageError

TIMEOUT_SECONDS = 10.0  # for a receiver to answer, altogether
MOST_ANSWER_BYTES = 500  # of an answer that is kept for people
MOST_URL_CHARACTERS = 2000
_SETTING = "the setting allow_private_webhooks"

Resolve = Callable[[str, int], list[str]]


class Refused(Exception):
    """A destination that is not allowed; the message says why."""


class Answer(Struct, frozen=True):
    """What a receiver said."""

    status: int
    text: str


def checked_url(url: str, allow_private: bool) -> SplitResult:
    """A webhook's URL, taken apart. Raises UsageError."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"the webhook's URL can't be read: {error}") from None
    if len(url) > MOST_URL_CHARACTERS or not url.isascii() or any(letter <= " " for letter in url):
        raise UsageError(f"the webhook's URL must be at most {MOST_URL_CHARACTERS} ASCII characters without spaces")
    if parts.scheme not in ("https", "http") or not parts.hostname or port == 0:
        raise UsageError("the webhook's URL must begin with https:// and name a host")
    if parts.username or parts.password:
        raise UsageError("the webhook's URL must not hold a user name or password: events are signed instead")
    if parts.scheme == "http" and not allow_private:
        raise UsageError(
            f"the webhook's URL must begin with https://; {_SETTING} also allows http:// and addresses at home"
        )
    with suppress(ValueError):  # a name: what it leads to is seen when it is used
        address = ipaddress.ip_address(parts.hostname)
        if not allow_private and not is_public(str(address)):
            raise UsageError(f"the webhook's address {address} is private; {_SETTING} allows it")
    return parts


def is_public(address: str) -> bool:
    """Is an address one of the public Internet? Also looks into IPv6 addresses that stand for others."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour or (parsed.teredo[1] if parsed.teredo else None)
        if inner is None and parsed in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None and not inner.is_global:
            return False
    return parsed.is_global and not parsed.is_multicast and not parsed.is_reserved


def resolve(host: str, port: int) -> list[str]:
    """All addresses of a name. Raises OSError."""
    entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in entries))


def post(url: str, body: bytes, headers: dict[str, str], allow_private: bool, look_up: Resolve = resolve) -> Answer:
    """Send a body, and what came back. Raises Refused, OSError, HTTPException, UsageError."""
    parts = checked_url(url, allow_private)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    addresses = look_up(host, port)
    if not addresses:
        raise OSError(f"{host} has no address")
    if not allow_private and (private := [candidate for candidate in addresses if not is_public(candidate)]):
        raise Refused(f"{host} leads to the private address {private[0]}; {_SETTING} allows it")
    connection = _Connection(host, port, addresses[0], secure=parts.scheme == "https")
    # A receiver that sends a byte now and then would never run into a socket's own timeout.
    deadline = threading.Timer(TIMEOUT_SECONDS, connection.cut)
    deadline.start()
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("POST", path, body, headers)
        answer = connection.getresponse()
        text = answer.read(MOST_ANSWER_BYTES).decode("utf-8", "replace")
        if connection.was_cut:  # what came until then may look like an answer
            raise TimeoutError
        return Answer(answer.status, text)
    except (OSError, HTTPException, ValueError, AttributeError):
        if connection.was_cut:
            raise TimeoutError(f"no answer within {TIMEOUT_SECONDS:g} s") from None
        raise
    finally:
        deadline.cancel()
        connection.close()


class _Connection(HTTPConnection):
    """To one address, under the name that its certificate must have."""

    def __init__(self, host: str, port: int, address: str, *, secure: bool) -> None:
        super().__init__(host, port, timeout=TIMEOUT_SECONDS)
        self._address = address
        self._secure = secure
        self.was_cut = False

    def connect(self) -> None:
        """See HTTPConnection."""
        plain = socket.create_connection((self._address, self.port), self.timeout)
        self.sock = plain
        if self._secure:
            self.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=self.host)

    def cut(self) -> None:
        """End it from another thread: a caller that waits for an answer gets an error."""
        self.was_cut = True
        with suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)
