"""Access control: keys and their scopes, or loopback only until a key exists.

A key is 256 random bits, so one round of sha256 is enough to store it. The catalogue holds the hashes;
this process re-reads them at most once a second, so a revoked key is refused everywhere within one.
"""

from __future__ import annotations

import hmac
import ipaddress
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import msgspec
from anyio import to_thread
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from api.http.problems import HttpError
from api.http.rate_limit import RateLimiter
from api.keys import SCOPES, hash_of
from search.catalog.records import KeyRecord
from search.errors import AccessError, CatalogError

COOKIE = "medley_key"
REREAD_SECONDS = 1.0
TOUCH_SECONDS = 60.0

_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
# What browsers and plain HTTP clients send on their own. A proxy on this machine makes everyone look like loopback,
# and no list of what proxies add is ever complete; so, while no key exists, anything else counts as a proxy's.
_DIRECT_HEADERS = re.compile(
    r"host|connection|keep-alive|te|user-agent|accept(-.*)?|content-.*|transfer-encoding|expect|range|if-.*|origin"
    r"|referer|cookie|authorization|x-api-key|cache-control|pragma|dnt|priority|save-data|upgrade-insecure-requests"
    r"|sec-.*|(x-)?purpose|x-requested-with|access-control-request-.*|idempotency-key|x-request-id|last-event-id"
    r"|mcp-.*|x-stainless-.*|traceparent|tracestate|baggage|prefer|tus-.*|upload-.*|x-fern-.*|x-client-name"
)
WRONG_KEYS_PER_MINUTE = 30  # from one address


class Caller(msgspec.Struct, frozen=True):
    """The sender of a request. Until a key is configured, loopback is trusted with everything."""

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
        """Whether the keys were read recently enough."""
        return self._read_at is not None and self._clock() - self._read_at < REREAD_SECONDS

    def refresh(self) -> None:
        """Read the catalogue again, unless another thread just did."""
        with self._lock:
            if not self.fresh:
                self._keys = self._read()
                self._read_at = self._clock()

    async def used(self, key_id: int) -> None:
        """Record the use of a key, at most once a minute, so that a read does not cost a write."""
        now = self._clock()
        if now - self._touched.get(key_id, -TOUCH_SECONDS) >= TOUCH_SECONDS:
            self._touched[key_id] = now
            await to_thread.run_sync(self._touch, key_id)

    @property
    def empty(self) -> bool:
        """Whether no key is configured."""
        return not self._keys

    def find(self, key: str) -> Caller | None:
        """The caller that holds this key; None without one. Compares with every key, so that timing reveals nothing."""
        wanted = hash_of(key)
        match: KeyRecord | None = None
        for record in self._keys:
            if hmac.compare_digest(record.hash, wanted):
                match = record
        if match is None:
            return None
        scopes = frozenset[str]().union(*(SCOPES.get(scope, frozenset()) for scope in match.scopes.split()))
        return Caller(match.name, match.id, scopes)


class AccessGuard:
    """Litestar's guard of every route: identifies the caller, checks the scope, limits the rate.

    A handler's `opt["scope"]` names the scope that it needs: read, write, admin or public; without one,
    GET needs read and everything else write, so that a forgotten option grants nothing.
    """

    def __init__(
        self,
        keys: KeyRing,
        limiter: RateLimiter,
        guesses: RateLimiter,
        cors_origins: tuple[str, ...] = (),
        keyless_networks: tuple[str, ...] = (),
    ) -> None:
        self._keys = keys
        self._limiter = limiter
        self._guesses = guesses
        self._cors_origins = cors_origins
        self._keyless = tuple(ipaddress.ip_network(network) for network in keyless_networks)

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """Let the request pass, or raise AccessError."""
        method = str(connection.scope.get("method", "GET"))
        needed = handler.opt.get("scope") or _usual_scope(method)
        if not self._keys.fresh:
            try:
                await to_thread.run_sync(self._keys.refresh)
            except CatalogError:
                if needed != "public":
                    raise
                # Whether the service is alive must be told, and the page be shown, above all when the database is not.
                connection.scope["state"] |= {"caller": ANONYMOUS, "caller_name": ANONYMOUS.name}
                return
        if method not in ("GET", "HEAD", "OPTIONS"):
            _refuse_foreign_origin(connection, self._cors_origins)
        caller = await self._identify(connection, handler)
        connection.scope["state"]["caller"] = caller
        connection.scope["state"]["caller_name"] = caller.name
        if needed == "public":
            return
        if caller is ANONYMOUS:
            raise HttpError(401, "unauthorized", "a key is needed: Authorization: Bearer KEY", _CHALLENGE)
        if needed not in caller.scopes:
            raise AccessError(f"key {caller.name!r} lacks the scope {needed!r}")
        await self._limit(caller, handler)
        if caller.key_id is not None:
            await self._keys.used(caller.key_id)

    async def _identify(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> Caller:
        if self._keys.empty:
            version = str(connection.scope.get("http_version", "1.1"))
            refuse_unless_loopback(connection.scope["client"], connection.headers, version)
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
            await self._limit_guesses(connection.scope["client"])
            raise HttpError(401, "unauthorized", "this key is not known here, or was revoked", _CHALLENGE)
        return caller

    async def _limit_guesses(self, client: tuple[str, int] | None) -> None:
        wait = await _take(self._guesses, f"wrong keys from {_neighbourhood(client)}")
        if wait:
            message = f"too many wrong keys from this address; wait {wait:.0f} s"
            raise HttpError(429, "rate-limited", message, {"Retry-After": str(max(1, round(wait + 0.5)))})

    def _from_keyless(self, client: tuple[str, int] | None) -> bool:
        if client is None:
            return False
        address = _address(client[0])
        return address is not None and any(address in network for network in self._keyless)

    async def _limit(self, caller: Caller, handler: BaseRouteHandler) -> None:
        # Thumbnails are asked for by the dozen, cached and cheap; without a key it is a person at this machine.
        if caller.key_id is None or handler.opt.get("unlimited"):
            return
        wait = await _take(self._limiter, f"key {caller.key_id}")
        if wait:
            message = f"key {caller.name!r} asks too often (setting rate_limit_per_minute); wait {wait:.1f} s"
            raise HttpError(429, "rate-limited", message, {"Retry-After": str(max(1, round(wait + 0.5)))})


async def _take(limiter: RateLimiter, name: str) -> float:
    """Take one token; the seconds to wait. The catalogue, where it must be asked, is asked beside the event loop."""
    waited = limiter.take_borrowed(name)
    return await to_thread.run_sync(limiter.take, name) if waited is None else waited


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="medley"'}


def refuse_unless_loopback(
    client: tuple[str, int] | None, headers: Mapping[str, str], http_version: str = "1.1"
) -> None:
    """Without any key only this machine may connect, directly, by a name that means this machine. Raises AccessError.

    The name matters: a web page elsewhere can make its own host name resolve to 127.0.0.1 and would
    then read the library through its visitor's browser (DNS rebinding).
    """
    address = _address(client[0]) if client else None
    if address is None or not address.is_loopback:
        raise AccessError("no key is configured, so only this machine may connect; see `medley keys create`")
    strange = sorted(name for name in headers if not _DIRECT_HEADERS.fullmatch(name.lower()))
    if strange or http_version == "1.0":
        sign = f"the header {strange[0][:50]!r}" if strange else "HTTP/1.0"
        raise AccessError(
            f"no key is configured, so requests through a proxy are refused, and {sign} looks like one; "
            "see `medley keys create`"
        )
    host = _host_name(headers.get("host", ""))
    if host not in _LOOPBACK_NAMES:
        raise AccessError(
            f"no key is configured, so the host must be localhost, not {host!r}; see `medley keys create`"
        )


def _refuse_foreign_origin(connection: ASGIConnection[Any, Any, Any, Any], allowed: tuple[str, ...]) -> None:
    """Refuse a write that a browser sends from another site's page (it could use our cookie or loopback)."""
    origin = connection.headers.get("origin")
    if origin is None or origin in allowed or "*" in allowed:
        return
    if _network_location(origin) != connection.headers.get("host", "").lower():
        raise AccessError(f"the origin {origin[:100]!r} is not in the setting cors_origins")


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


def _neighbourhood(client: tuple[str, int] | None) -> str:
    """Whose guesses are counted together: an address, or the /64 of one in IPv6, all of which one host may use."""
    address = _address(client[0]) if client else None
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, 64), strict=False))
    return str(address)


def _network_location(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _host_name(header: str) -> str:
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""
