"""Is the service alive, is it ready, and what do its meters say?"""

from __future__ import annotations

from litestar import MediaType, Response, get

from api.params import Injected
from api.problems import documented
from api.schemas import Health


@get("/health/live", sync_to_thread=False, opt={"scope": "public"}, responses=documented(), tags=["operations"])
def live() -> Health:
    """The process answers."""
    return Health(status="alive")


@get("/health/ready", sync_to_thread=True, opt={"scope": "public"}, responses=documented(503), tags=["operations"])
def ready(service: Injected) -> Response[Health]:
    """The space answers a known probe, the partitions are loaded, the database is there."""
    checks = service.readiness.check()
    good = all(outcome == "ok" for outcome in checks.values())
    return Response(Health(status="ready" if good else "not ready", checks=checks), status_code=200 if good else 503)


@get("/metrics", sync_to_thread=True, media_type=MediaType.TEXT, responses=documented(), tags=["operations"])
def metrics(service: Injected) -> Response[bytes]:
    """Everything that Prometheus may want."""
    return Response(service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
