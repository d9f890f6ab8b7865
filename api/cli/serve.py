"""`medley serve`: HTTP, the web page, and one worker beside it.

The worker is a process of its own, so that encoding never delays a request; it stops when this one
does, however this one ends, and is started again if it dies.
"""

from __future__ import annotations

import logging
import os
import subprocess
import threading

import click

from api.alert_runner import alerts_running
from api.app import create_app
from api.cli.listening import GRACE_SECONDS, Listener, bound
from api.cli.stopping import stop_on_signals
from api.http.connections import allow_descriptors
from api.monitoring import logs
from api.service import Service
from search.language import backends
from search.runtime import child_python
from search.runtime.allocator import share_arenas
from search.settings import Settings

log = logging.getLogger("medley.serve")

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
    listening = bound(host, port)
    share_arenas()
    service = Service.open(settings)
    worker = WorkerProcess() if with_worker else None
    allow_descriptors()
    listener = Listener(create_app(service), host, port, settings.trusted_proxies, service.stopping)
    # Uvicorn raises the signal that stopped it again when it is done: without a handler of ours that would
    # end the process before the worker has handed its leases back.
    with stop_on_signals():
        # The probe loads what queries need, so that the first search of a person does not wait for it; the
        # language model is converted, so that the first question does not.
        threading.Thread(target=_warm_up, args=(service, settings), name="warm-up", daemon=True).start()
        try:
            if worker:
                worker.start()
            with alerts_running(service.engine):
                listener.serve(listening, "Medley listens")
        finally:
            if worker:
                worker.stop()


def _warm_up(service: Service, settings: Settings) -> None:
    service.readiness.check()
    # A replica that lets others encode stays small until somebody asks a question.
    if not settings.encoder_url:
        backends.prepare(settings)


class WorkerProcess:
    """A `medley worker` beside this process, started again when it dies."""

    def __init__(self) -> None:
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep_running, name="worker-supervisor", daemon=True)

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
                child_python.command("api", "worker", "--until-parent-ends"),
                env=child_python.environment(os.environ),
                stdin=subprocess.PIPE,
            ) as process:
                self._process = process
                process.wait()
            if not self._stopping.is_set():
                log.warning("the worker ended with status %s; starting another", process.returncode)
            self._stopping.wait(RESTART_SECONDS)
