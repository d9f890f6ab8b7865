"""`medley encode`: the encoders as a service of their own, on the machine that has the cores or the GPU for them."""

from __future__ import annotations

import threading

import click

from api.cli.listening import Listener, bound
from api.cli.stopping import stop_on_signals
from api.encoders import EncoderService, create_encoder_app
from api.http.connections import allow_descriptors
from api.monitoring import logs
from search.runtime.allocator import share_arenas
from search.settings import Settings


@click.command(short_help="Serve the encoders alone, for other processes.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8100, show_default=True, help="0 takes a free one.")
def encode(host: str, port: int) -> None:
    """Serve the encoders of the catalogue's spaces until stopped, as OpenAI serves embeddings.

    Servers and workers that have the setting encoder_url use them, and load no models. As long as no key is configured,
    only this machine may connect, whatever --host says.
    """
    settings = Settings.load()
    logs.configure(settings.log_level)
    listening = bound(host, port)
    share_arenas()
    allow_descriptors()
    service = EncoderService.open(settings)
    listener = Listener(create_encoder_app(service), host, port, settings.trusted_proxies, service.stopping)
    with stop_on_signals():
        # The probe loads what queries need, so that the first of them does not wait for it.
        threading.Thread(target=service.check, name="warm-up", daemon=True).start()
        listener.serve(listening, "Medley's encoders listen")
