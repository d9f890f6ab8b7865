"""How commands listen: an address taken before anything is loaded, and a server that ends its streams first."""

from __future__ import annotations

import errno
import socket
import sys
import threading
from types import FrameType

import uvicorn
from litestar.types import ASGIApp

from api.http.connections import PatientProtocol
from search.errors import MedleyError

GRACE_SECONDS = 20
BACKLOG = 2048  # connections that wait to be taken


def bound(host: str, port: int) -> socket.socket:
    """A socket at this address, taken before anything is loaded. Raises MedleyError."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise MedleyError(
                f"port {port} of {host} is taken; is Medley running already? (--port names another)"
            ) from None
        raise MedleyError(f"can't listen on {host}:{port}: {error.strerror}") from None
    # Connections inherit it. Else an answer's body waits until its headers are acknowledged, 40 ms as a rule: asyncio
    # sees to that only where the socket says that it is of TCP, and this one does not.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listening


class Listener:
    """Serves an application on a socket until a signal comes, which also sets `stopping`."""

    def __init__(
        self, app: ASGIApp, host: str, port: int, trusted_proxies: tuple[str, ...], stopping: threading.Event
    ) -> None:
        self._address = f"{host}:{port}"
        config = uvicorn.Config(
            app,
            host=host,
            port=port,
            http=PatientProtocol,
            log_config=None,
            access_log=False,
            server_header=False,
            # The address decides who may connect without a key: no header is believed, but a trusted proxy's.
            proxy_headers=bool(trusted_proxies),
            forwarded_allow_ips=",".join(trusted_proxies),
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_keep_alive=30,
            backlog=BACKLOG,
        )
        self._server = _Server(config, stopping)

    def serve(self, listening: socket.socket, words: str) -> None:
        """Until stopped; says where, in these words, on standard error. Raises MedleyError when it could not start."""
        self._server.words = words
        self._server.run([listening])
        if not self._server.started:
            raise MedleyError(f"could not start serving on {self._address}")


class _Server(uvicorn.Server):
    """Uvicorn, which tells open streams to end as soon as a signal comes, and says where it listens."""

    def __init__(self, config: uvicorn.Config, stopping: threading.Event) -> None:
        super().__init__(config)
        self.words = ""
        self._stopping = stopping

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn waits for every answer before it runs the application's shutdown: streams must end first.
        self._stopping.set()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"{self.words} on http://{shown}:{port}", file=sys.stderr, flush=True)
