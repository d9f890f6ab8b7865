"""`medley worker`: index what is pending until stopped. Any number of them, on any machine."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import click

from api.cli.status import opened_database
from api.cli.stopping import stop_on_signals, stop_with_parent
from api.monitoring import logs
from api.monitoring.worker_metrics import WorkerMetrics, shown
from indexer.indexer import Indexer
from indexer.previews.ahead import thumbnails_ahead
from indexer.sources.watcher import Watcher
from search.settings import Settings


@click.command(short_help="Index what is pending until stopped.")
@click.option("--concurrency", type=click.IntRange(1), help="Files decoded at the same time.  [default: one per core]")
@click.option("--watch/--no-watch", default=True, show_default=True, help="Follow the sources, too.")
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Serve metrics for Prometheus on this port.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address for --metrics-port.")
@click.option("--until-parent-ends", is_flag=True, hidden=True)
def worker(
    concurrency: int | None, watch: bool, metrics_port: int | None, metrics_host: str, until_parent_ends: bool
) -> None:
    """Follow the sources and index what is pending, until stopped; then hand unfinished files back."""
    settings = Settings.load()
    logs.configure(settings.log_level)
    with opened_database() as database, stop_on_signals() as stop:
        if until_parent_ends:
            stop_with_parent(stop)
        watcher = threading.Thread(target=Watcher(database, settings).run, args=(stop,), name="watcher")
        if watch:
            watcher.start()
        try:
            with ExitStack() as stack:
                indexer = stack.enter_context(Indexer(settings, database, concurrency=concurrency))
                stack.enter_context(thumbnails_ahead(settings, database))
                metrics = WorkerMetrics()
                if metrics_port:
                    stack.enter_context(shown(metrics, metrics_host, metrics_port))
                indexer.worker().run(stop, listener=metrics if metrics_port else None)
        finally:
            # Also when the worker failed: the process must end, so that its supervisor starts another.
            stop.set()
            if watch:
                watcher.join()
