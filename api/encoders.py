"""The encoders of all spaces as a service of their own, for replicas that load none: `medley encode`.

Answers in OpenAI's shape, joins queries that arrive together, remembers frequent ones, and is ready when the active
space answers its probe as it did when it was created. Reads the catalogue for the spaces and the keys; follows no
partition, and writes nothing but when a key was used.
"""

from __future__ import annotations

import base64
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from anyio import to_thread
from litestar import Litestar, MediaType, Response, get, post
from litestar.di import NamedDependency, Provide
from litestar.params import JSONBody
from msgspec import structs

from api import remote_encoding
from api.batching import BatchingSpace
from api.http import problems
from api.http.auth import WRONG_KEYS_PER_MINUTE, AccessGuard, KeyRing
from api.http.key_catalog import KeyCatalog
from api.http.middleware import HttpMiddleware
from api.http.rate_limit import RateLimiter
from api.http.requests import PICTURES_BYTES, JsonRequest
from api.monitoring.metrics import Metrics
from api.routes.compatible.models import Usage
from api.routes.compatible.openai import Embedding, Embeddings, EmbeddingsBody, Models, embedded, models_of
from api.routes.dependencies import Id
from api.schemas import Health
from search.active_space import SpaceOpener, active_space, check_fingerprint, space_opener
from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.records import SpaceRecord
from search.settings import Settings
from search.spaces import self_test
from search.spaces.remote.cache import CachingSpace
from search.spaces.remote.space import EncoderInfo
from search.spaces.space import Space

_log = logging.getLogger(__name__)

# Replicas share a key, and hand on what they were allowed to: their own limits count.
_READ = {"scope": "read", "unlimited": True}
_BROKEN = "the space does not answer as it did when it was created; the log says why"


class EncoderService:
    """Opens the spaces of the catalogue, and keeps them open. Thread-safe."""

    def __init__(self, settings: Settings, database: Database, open_space: SpaceOpener) -> None:
        self.settings = settings
        self.database = database
        self.metrics = Metrics()
        self.stopping = threading.Event()
        self._open_space = open_space
        self._opened: dict[int, Space] = {}
        self._lock = threading.Lock()
        held = KeyCatalog(database)
        ring = KeyRing(held.active, held.touch, time.monotonic)
        limiter = RateLimiter(settings.rate_limit_per_minute, time.monotonic, held.lend)
        guesses = RateLimiter(WRONG_KEYS_PER_MINUTE, time.monotonic, held.lend)
        self.access_guard = AccessGuard(ring, limiter, guesses)

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Over the catalogue that the settings name, brought up to date. Raises MedleyError."""
        settings.home.mkdir(parents=True, exist_ok=True)
        database = Database.open(settings)
        database.migrate()
        # A service that asked another one for its vectors would be of no use, and one that asked itself would hang.
        return cls(settings, database, space_opener(structs.replace(settings, encoder_url="")))

    def opened(self, record: SpaceRecord) -> Space:
        """Any space of the catalogue, opened once and kept; queries are joined and remembered."""
        with self._lock:
            if record.id not in self._opened:
                batching = BatchingSpace(self._open_space(record), self.metrics.encoder_batch.observe)
                self._opened[record.id] = CachingSpace(batching)
            return self._opened[record.id]

    def check(self) -> str:
        """`ok`, or a sentence that says what is wrong. Never raises."""
        try:
            record = active_space(self.database, self.settings)
            space = self.opened(record)
            check_fingerprint(record, space)
            answered = self_test.take(space)
            self_test.check(space, record.probe or answered, record.name)
        except Exception as error:  # noqa: BLE001 - readiness must answer whatever breaks
            # Anybody may ask, and the error's own words name addresses and paths.
            _log.warning("not ready: %s: %s", type(error).__name__, error)
            return _BROKEN
        return "ok"

    def close(self) -> None:
        """Release models and connections."""
        for space in self._opened.values():
            space.release()
        self.database.close()


class Encoded(Embeddings, frozen=True, kw_only=True):
    """Vectors, and the fingerprint of the space that made them, so that callers don't mix them with others."""

    fingerprint: str


_Injected = NamedDependency[EncoderService]


@post("/v1/embeddings", status_code=200, sync_to_thread=True, opt=_READ)
def embeddings(service: _Injected, data: JSONBody[EmbeddingsBody]) -> Embeddings | Encoded:
    """As the route of that name of `medley serve`; and NAME:query and NAME:SIGNAL, for other processes of Medley."""
    wanted = remote_encoding.kind_of(data.model)
    if wanted is None:
        return embedded(service, data)
    name, signal = wanted
    space = service.opened(_record(service, name))
    vectors = remote_encoding.encode(space, signal, data.input)
    rows = [base64.b64encode(row.astype("<f4").tobytes()).decode() for row in vectors]
    return Encoded(
        data=[Embedding(index=index, embedding=row) for index, row in enumerate(rows)],
        model=data.model,
        usage=Usage(len(rows), len(rows)),
        fingerprint=space.fingerprint.digest,
    )


@get("/v1/encoders/{name:str}", sync_to_thread=True, opt=_READ)
def get_encoder(service: _Injected, name: Id) -> EncoderInfo:
    """What another process of Medley must know of a space; it compares the fingerprint with its catalogue's."""
    space = service.opened(_record(service, name))
    return EncoderInfo(
        name=name,
        digest=space.fingerprint.digest,
        fingerprint=space.fingerprint,
        dimensions=dict(space.dimensions),
        image_input=space.image_input,
    )


def _record(service: EncoderService, name: str) -> SpaceRecord:
    with service.database.read() as connection:
        return spaces.get_space(connection, name)


@get("/v1/models", sync_to_thread=True)
def list_models(service: _Injected) -> Models:
    """The models that `/v1/embeddings` takes."""
    return models_of(service)


@get("/health/live", sync_to_thread=False, opt={"scope": "public"})
def live() -> Health:
    """Whether the process answers."""
    return Health(status="alive")


@get("/health/ready", sync_to_thread=True, opt={"scope": "public"})
def ready(service: _Injected) -> Response[Health]:
    """Whether the active space answers its probe as it did when it was created."""
    outcome = service.check()
    good = outcome == "ok"
    status = "ready" if good else "not ready"
    return Response(Health(status=status, checks={"space": outcome}), status_code=200 if good else 503)


@get("/metrics", sync_to_thread=True, media_type=MediaType.TEXT)
def metrics(service: _Injected) -> Response[bytes]:
    """All metrics, for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def create_encoder_app(service: EncoderService) -> Litestar:
    """The application over an open service, which it closes at shutdown."""

    def provide_service() -> EncoderService:
        return service

    @asynccontextmanager
    async def lifespan(_: Litestar) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await to_thread.run_sync(service.close)

    app = Litestar(
        [embeddings, get_encoder, list_models, live, ready, metrics],
        guards=[service.access_guard],
        dependencies={"service": Provide(provide_service, sync_to_thread=False)},
        exception_handlers={Exception: problems.handle},
        openapi_config=None,
        request_class=JsonRequest,
        request_max_body_size=PICTURES_BYTES,
        lifespan=[lifespan],
        logging_config=None,
    )
    app.asgi_handler = HttpMiddleware(app.asgi_handler, service.metrics)
    return app
