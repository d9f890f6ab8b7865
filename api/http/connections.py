"""What a connection may take: time to send its headers, and a share of all connections.

Uvicorn waits for a request without limit; a hundred half-sent ones would use up the file descriptors. Knows no route.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import Counter
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_SECONDS = 15.0  # from the connection, or from a further request's first byte, to the end of its headers
MOST_PER_PEER = 128  # open connections of one address; a browser holds six
DESCRIPTORS = 8192

_open: Counter[str] = Counter()


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that is patient, but not without end."""

    _deadline: asyncio.TimerHandle | None = None
    _peer: str | None = None

    def connection_made(self, transport: Any) -> None:
        """Begin to wait for a request; refuse what is one connection too many."""
        super().connection_made(transport)
        self._peer = self.client[0] if self.client else ""
        _open[self._peer] += 1
        if _open[self._peer] > MOST_PER_PEER:
            transport.abort()
            return
        self._await_headers()

    def data_received(self, data: bytes) -> None:
        """As uvicorn does; the clock stops while a request is served."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._deadline is None and self.conn.trailing_data[0]:
            self._await_headers()  # a further request has begun on the same connection

    def connection_lost(self, exc: Exception | None) -> None:
        """Give the share back."""
        self._stop_waiting()
        if self._peer is not None:
            _open[self._peer] -= 1
            if not _open[self._peer]:
                del _open[self._peer]
            self._peer = None
        super().connection_lost(exc)

    def _await_headers(self) -> None:
        self._deadline = self.loop.call_later(HEADER_SECONDS, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


def allow_descriptors() -> None:
    """As many open files as the system allows this process, up to DESCRIPTORS: the usual 1,024 are few for a server."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
