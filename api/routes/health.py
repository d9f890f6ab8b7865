"""Whether the service is alive and ready, and its metrics."""

from __future__ import annotations

from litestar import MediaType, Response, get

from api.http.openapi import example
from api.http.problems import documented
from api.routes.dependencies import Injected
from api.schemas import Health

_ALIVE = {"status": "alive", "checks": {}}
_READY = {"status": "ready", "checks": {"database": "ok", "space": "ok", "partitions": "ok"}}


@get(
    "/health/live",
    sync_to_thread=False,
    opt={"scope": "public"} | example(_ALIVE),
    responses=documented(),
    tags=["operations"],
)
def live() -> Health:
    """Whether the process answers."""
    return Health(status="alive")


@get(
    "/health/ready",
    sync_to_thread=True,
    opt={"scope": "public"} | example(_READY),
    responses=documented(503),
    tags=["operations"],
)
def ready(service: Injected) -> Response[Health]:
    """Whether the space answers a known probe, the partitions are loaded, and the database answers."""
    checks = service.readiness.check()
    good = all(outcome == "ok" for outcome in checks.values())
    return Response(Health(status="ready" if good else "not ready", checks=checks), status_code=200 if good else 503)


@get("/metrics", sync_to_thread=True, media_type=MediaType.TEXT, responses=documented(), tags=["operations"])
def metrics(service: Injected) -> Response[bytes]:
    """All metrics, for Prometheus."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


ROUTES = (live, ready, metrics)
