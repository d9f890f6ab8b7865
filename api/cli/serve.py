"""`medley serve`: HTTP, the web page, and one worker beside it.

The worker is a process of its own, so that encoding never delays a request; it stops when this one
does, however this one ends, and is started again if it dies.
"""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
import threading
from types import FrameType

import click
import uvicorn

from api import logs
from api.app import create_app
from api.cli.stopping import stop_on_signals
from api.service import Service
from search.allocator import share_arenas
from search.errors import MedleyError
from search.settings import Settings

log = logging.getLogger("medley.serve")

GRACE_SECONDS = 20
RESTART_SECONDS = 2.0


@click.command(short_help="Serve HTTP and the web page.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 takes a free one.")
@click.option("--with-worker/--no-worker", default=True, show_default=True, help="Index beside serving.")
def serve(host: str, port: int, with_worker: bool) -> None:
    """Serve HTTP and the web page until stopped.

    As long as no key is configured, only this machine may connect, whatever --host says.
    """
    settings = Settings.load()
    logs.configure(settings.log_level)
    share_arenas()
    service = Service.open(settings)
    worker = WorkerProcess() if with_worker else None
    config = uvicorn.Config(
        create_app(service),
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        # The address decides who may come in without a key: never believe a header about it.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_SECONDS,
        timeout_keep_alive=30,
        backlog=2048,
    )
    server = _Server(config, service)
    # Uvicorn raises the signal that stopped it again when it is done: without a handler of ours that would
    # end the process before the worker has handed its leases back.
    with stop_on_signals():
        # The probe loads what queries need, so that the first search of a person does not wait for it.
        threading.Thread(target=service.readiness.check, name="warm-up", daemon=True).start()
        try:
            if worker:
                worker.start()
            server.run()
        finally:
            if worker:
                worker.stop()
    if not server.started:
        raise MedleyError(f"could not listen on {host}:{port}; is another service there? (--port)")


class _Server(uvicorn.Server):
    """Uvicorn, which tells open streams to end as soon as a signal comes, and says where it listens."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Uvicorn waits for every answer before it runs the application's shutdown: streams must end first.
        self._service.stopping.set()
        super().handle_exit(sig, frame)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            print(f"Medley listens on http://{shown}:{port}", file=sys.stderr, flush=True)


class WorkerProcess:
    """A `medley worker` beside this process, started again when it dies."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name="worker-keeper", daemon=True)

    def start(self) -> None:
        """Start it, and keep it running."""
        self._thread.start()

    def stop(self) -> None:
        """Ask it to hand its leases back and end; insist after a while."""
        self._stopping.set()
        process = self._process
        if process is not None and process.poll() is None:
            process.terminate()
            try:
                process.wait(GRACE_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(GRACE_SECONDS)

    def _keep_running(self) -> None:
        while not self._stopping.is_set():
            # Its standard input is a pipe that only we hold: when we are killed it reads the end and stops too.
            with subprocess.Popen(
                [sys.executable, "-m", "api", "worker", "--until-parent-ends"], stdin=subprocess.PIPE
            ) as process:
                self._process = process
                process.wait()
            if not self._stopping.is_set():
                log.warning("the worker ended with status %s; starting another", process.returncode)
            self._stopping.wait(RESTART_SECONDS)
