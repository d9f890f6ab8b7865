"""Who may come in: keys and their scopes, or loopback only until a key exists.

A key is 256 random bits, so one round of sha256 is enough to store it. The catalogue holds the hashes;
this process re-reads them at most once a second, so a revoked key is refused everywhere within one.
"""

from __future__ import annotations

import hmac
import ipaddress
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from anyio import to_thread
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.keys import SCOPES, hash_of
from api.limits import RateLimiter
from api.problems import HttpError
from search.catalog.records import KeyRecord
from search.errors import AccessError

COOKIE = "medley_key"
REREAD_SECONDS = 1.0
TOUCH_SECONDS = 60.0

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# A proxy on this machine would make everyone look like loopback.
_PROXY_HEADERS = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")


class Caller(msgspec.Struct, frozen=True):
    """Who asks. Without any key configured, loopback is trusted with everything."""

    name: str
    key_id: int | None
    scopes: frozenset[str]


LOOPBACK = Caller("loopback", None, SCOPES["admin"])
ANONYMOUS = Caller("anonymous", None, frozenset())


class KeyRing:
    """The active keys, re-read when they are older than a second.

    `read` gives all keys that are not revoked; `touch` notes that one was used.
    """

    def __init__(
        self, read: Callable[[], list[KeyRecord]], touch: Callable[[int], None], clock: Callable[[], float]
    ) -> None:
        self._read = read
        self._touch = touch
        self._clock = clock
        self._touched: dict[int, float] = {}
        self._keys: list[KeyRecord] = []
        self._read_at: float | None = None
        self._lock = threading.Lock()

    @property
    def fresh(self) -> bool:
        """Is what we know recent enough?"""
        return self._read_at is not None and self._clock() - self._read_at < REREAD_SECONDS

    def refresh(self) -> None:
        """Read the catalogue again, unless another thread just did."""
        with self._lock:
            if not self.fresh:
                self._keys = self._read()
                self._read_at = self._clock()

    async def used(self, key_id: int) -> None:
        """Note the use of a key, at most once a minute: a read must not cost a write."""
        now = self._clock()
        if now - self._touched.get(key_id, -TOUCH_SECONDS) >= TOUCH_SECONDS:
            self._touched[key_id] = now
            await to_thread.run_sync(self._touch, key_id)

    @property
    def empty(self) -> bool:
        """Is no key configured?"""
        return not self._keys

    def find(self, key: str) -> Caller | None:
        """The caller that holds this key. Compares with every key, so that time tells nothing."""
        wanted = hash_of(key)
        found: KeyRecord | None = None
        for record in self._keys:
            if hmac.compare_digest(record.hash, wanted):
                found = record
        if found is None:
            return None
        scopes = frozenset[str]().union(*(SCOPES.get(scope, frozenset()) for scope in found.scopes.split()))
        return Caller(found.name, found.id, scopes)


class Gate:
    """Litestar's guard of every route: identifies the caller, checks the scope, limits the rate.

    A handler's `opt["scope"]` names the scope that it needs: read, write, admin or public; without one,
    GET needs read and everything else write, so that a forgotten option never opens a door.
    """

    def __init__(
        self,
        keys: KeyRing,
        limiter: RateLimiter,
        cors_origins: tuple[str, ...] = (),
        keyless_networks: tuple[str, ...] = (),
    ) -> None:
        self._keys = keys
        self._limiter = limiter
        self._cors_origins = cors_origins
        self._keyless = tuple(ipaddress.ip_network(network) for network in keyless_networks)

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let the request pass, or raise."""
        if not self._keys.fresh:
            await to_thread.run_sync(self._keys.refresh)
        method = str(connection.scope.get("method", "GET"))
        if method not in ("GET", "HEAD", "OPTIONS"):
            _refuse_foreign_origin(connection, self._cors_origins)
        needed = handler.opt.get("scope") or _usual_scope(method)
        caller = self._identify(connection, handler)
        connection.scope["state"]["caller"] = caller
        connection.scope["state"]["caller_name"] = caller.name
        if needed == "public":
            return
        if caller is ANONYMOUS:
            raise HttpError(401, "unauthorized", "a key is needed: Authorization: Bearer KEY", _CHALLENGE)
        if needed not in caller.scopes:
            raise AccessError(f"key {caller.name!r} lacks the scope {needed!r}")
        self._limit(caller, handler)
        if caller.key_id is not None:
            await self._keys.used(caller.key_id)

    def _identify(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> Caller:
        if self._keys.empty:
            refuse_unless_loopback(connection.scope["client"], connection.headers)
            return LOOPBACK
        key = _key_of(connection)
        if key is None:
            if handler.opt.get("keyless_networks") and self._from_keyless(connection.scope["client"]):
                return Caller("keyless", None, SCOPES["read"])
            return ANONYMOUS
        caller = self._keys.find(key)
        if caller is None:
            if handler.opt.get("scope") == "public":
                return ANONYMOUS  # the page must load with a stale cookie, to ask for another key
            raise HttpError(401, "unauthorized", "this key is not known here, or was revoked", _CHALLENGE)
        return caller

    def _from_keyless(self, client: tuple[str, int] | None) -> bool:
        if client is None:
            return False
        address = _address(client[0])
        return address is not None and any(address in network for network in self._keyless)

    def _limit(self, caller: Caller, handler: BaseRouteHandler) -> None:
        # Thumbnails come by the page, are cached for ever and cost little; no key: a person at this machine.
        if caller.key_id is None or handler.opt.get("unlimited"):
            return
        wait = self._limiter.take(str(caller.key_id))
        if wait:
            message = f"key {caller.name!r} asks too often (setting rate_limit_per_minute); wait {wait:.1f} s"
            raise HttpError(429, "rate-limited", message, {"Retry-After": str(max(1, round(wait + 0.5)))})


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="medley"'}


def refuse_unless_loopback(client: tuple[str, int] | None, headers: Mapping[str, str]) -> None:
    """Without any key only this machine may connect, by a name that means this machine.

    The name matters: a web page elsewhere can make its own host name resolve to 127.0.0.1 and would
    then read the library through its visitor's browser (DNS rebinding).
    """
    address = _address(client[0]) if client else None
    if address is None or not address.is_loopback:
        raise AccessError("no key is configured, so only this machine may connect; see `medley keys create`")
    if any(name in headers for name in _PROXY_HEADERS):
        raise AccessError("no key is configured, so requests through a proxy are refused; see `medley keys create`")
    host = _host_name(headers.get("host", ""))
    if host not in _LOOPBACK_NAMES:
        raise AccessError(
            f"no key is configured, so the host must be localhost, not {host!r}; see `medley keys create`"
        )


def _refuse_foreign_origin(connection: ASGIConnection[Any, Any, Any, Any], allowed: tuple[str, ...]) -> None:
    """A write that a browser sends from another site's page is refused (it could use our cookie or loopback)."""
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return
    if urlsplit(origin).netloc.lower() != connection.headers.get("host", "").lower():
        raise AccessError(f"the origin {origin!r} is not in the setting cors_origins")


def _usual_scope(method: str) -> str:
    return "read" if method in ("GET", "HEAD") else "write"


def _key_of(connection: ASGIConnection[Any, Any, Any, Any]) -> str | None:
    scheme, _, key = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and key.strip():
        return key.strip()
    # <img> and <video> can't send a header; the page's cookie is HttpOnly and SameSite=Strict.
    return connection.cookies.get(COOKIE)


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return mapped or address


def _host_name(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""
