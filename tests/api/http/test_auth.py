"""Who may come in, and what each scope opens."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from support.service_world import World, running

from api.http import auth
from api.http.auth import KeyRing, refuse_unless_loopback
from api.http.rate_limit import RateLimiter
from api.keys import hash_of, new_key
from search.catalog import keys
from search.catalog.records import KeyRecord
from search.errors import AccessError
from search.settings import Settings


def make_key(world: World, scopes: str) -> str:
    key, digest = new_key()
    with world.database.write() as connection:
        keys.create_key(connection, scopes, digest, scopes)
    return key


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.fixture
def reader(world: World) -> str:
    return make_key(world, "read")


@pytest.fixture
def client(world: World, reader: str) -> Iterator[httpx.Client]:
    """A client of a service that has a key from the start."""
    with running(world.service) as client:
        yield client


def test_with_a_key_configured_nobody_comes_in_without_one(client: httpx.Client) -> None:
    answer = client.get("/v1/status")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"].startswith("Bearer")
    assert answer.json()["type"] == "urn:medley:problem:unauthorized"
    for wrong in ("medley_wrong", "x" * 5000):
        assert client.get("/v1/status", headers=bearer(wrong)).status_code == 401


def test_the_page_and_health_stay_open_to_ask_for_the_key(client: httpx.Client) -> None:
    for url in ("/", "/web/style.css", "/health/live", "/health/ready", "/v1/session"):
        assert client.get(url).status_code == 200, url
    assert client.get("/v1/session").json()["key_needed"] is True


def test_a_scope_opens_what_it_includes_and_no_more(world: World, client: httpx.Client, reader: str) -> None:
    writer, admin = make_key(world, "write"), make_key(world, "admin")
    asset = world.picture("a.png", "red")
    assert client.get("/v1/status", headers=bearer(reader)).status_code == 200
    assert client.post("/v1/search", json={"text": "red"}, headers=bearer(reader)).status_code == 200
    refused = client.delete(f"/v1/assets/{asset}", headers=bearer(reader))
    assert refused.status_code == 403
    assert "write" in refused.json()["detail"]
    assert client.delete(f"/v1/assets/{asset}", headers=bearer(writer)).status_code == 204
    assert client.get("/v1/keys", headers=bearer(writer)).status_code == 403
    assert client.get("/v1/keys", headers=bearer(admin)).status_code == 200


def test_a_revoked_key_opens_nothing_any_more(world: World, client: httpx.Client, reader: str) -> None:
    make_key(world, "admin")  # else the door would fall back to loopback
    with world.database.write() as connection:
        record = keys.find_key(connection, hash_of(reader))
        assert record is not None
        keys.revoke_key(connection, record.id)
    assert client.get("/v1/status", headers=bearer(reader)).status_code == 401


def test_only_the_hash_of_a_key_is_stored(world: World, reader: str) -> None:
    with world.database.read() as connection:
        stored = keys.list_keys(connection)
    assert reader not in repr(stored)
    assert stored[0].hash == hash_of(reader)


def test_a_session_keeps_the_key_in_a_cookie_that_no_script_can_read(client: httpx.Client, reader: str) -> None:
    opened = client.post("/v1/session", headers=bearer(reader))
    cookie = opened.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert client.get("/v1/status").status_code == 200  # the client sends the cookie now
    assert client.delete("/v1/session").json()["key_needed"] is True
    client.cookies.clear()
    assert client.get("/v1/status").status_code == 401


def test_a_write_from_another_sites_page_is_refused(client: httpx.Client, reader: str) -> None:
    headers = {**bearer(reader), "Origin": "https://evil.example"}
    assert client.post("/v1/search", json={"text": "red"}, headers=headers).status_code == 403
    own = {**bearer(reader), "Origin": str(client.base_url).rstrip("/")}
    assert client.post("/v1/search", json={"text": "red"}, headers=own).status_code == 200


@pytest.mark.parametrize(
    "origin", ["null", "http://[::1", "\u00ff", "x" * 5000, "file://", "http://localhost@evil.example"]
)
def test_an_origin_that_is_none_of_ours_is_refused_whatever_it_looks_like(
    client: httpx.Client, reader: str, origin: str
) -> None:
    headers = {b"Authorization": f"Bearer {reader}".encode(), b"Origin": origin.encode("latin-1")}
    refused = client.post("/v1/search", json={"text": "red"}, headers=headers)
    assert refused.status_code == 403
    assert len(refused.text) < 1000


def test_too_many_requests_of_a_key_have_to_wait(settings: Settings, sqlite_url: str, tmp_path: Path) -> None:
    strict = msgspec.structs.replace(settings, rate_limit_per_minute=1)
    world = World(strict, sqlite_url, tmp_path / "media")
    headers = bearer(make_key(world, "read"))
    with running(world.service) as client:
        assert client.get("/v1/status", headers=headers).status_code == 200
        answer = client.get("/v1/status", headers=headers)
    world.service.close()
    assert answer.status_code == 429
    assert int(answer.headers["retry-after"]) >= 1


def test_every_write_leaves_an_audit_line_without_content(
    world: World, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    writer = make_key(world, "write")
    asset = world.picture("private-name.png", "red")
    with caplog.at_level(logging.INFO, "medley.audit"):
        client.delete(f"/v1/assets/{asset}", headers=bearer(writer))
    (line,) = [record for record in caplog.records if record.name == "medley.audit"]
    fields = line.__dict__["fields"]
    assert (fields["caller"], fields["asset"]) == ("write", asset)
    assert "private-name" not in repr(line.__dict__)


@pytest.mark.parametrize(
    ("address", "headers"),
    [
        ("192.168.1.5", {"host": "localhost"}),
        ("10.0.0.1", {"host": "localhost"}),
        ("::ffff:8.8.8.8", {"host": "localhost"}),
        ("127.0.0.1", {"host": "evil.example"}),
        ("127.0.0.1", {"host": "localhost.evil.example"}),
        ("127.0.0.1", {"host": ""}),
        ("127.0.0.1", {"host": "127.0.0.1.nip.io:8000"}),
        ("127.0.0.1", {"host": "localhost", "x-forwarded-for": "127.0.0.1"}),
        ("127.0.0.1", {"host": "localhost", "forwarded": "for=1.2.3.4"}),
        ("not an address", {"host": "localhost"}),
        (None, {"host": "localhost"}),
    ],
)
def test_without_a_key_only_this_machine_by_its_own_name_may_connect(
    address: str | None, headers: dict[str, str]
) -> None:
    with pytest.raises(AccessError, match="no key is configured"):
        refuse_unless_loopback((address, 1) if address else None, headers)


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000", "LOCALHOST", "localhost."]
)
@pytest.mark.parametrize("address", ["127.0.0.1", "127.8.8.8", "::1", "::ffff:127.0.0.1"])
def test_this_machine_may_connect_by_any_of_its_names(address: str, host: str) -> None:
    refuse_unless_loopback((address, 1), {"host": host})


def test_a_rebound_host_name_is_refused_over_http(world: World) -> None:
    with world.database.write() as connection:
        for record in keys.list_keys(connection):
            keys.revoke_key(connection, record.id)
    with running(world.service) as client:
        assert client.get("/v1/status").status_code == 200
        assert client.get("/v1/status", headers={"Host": "evil.example"}).status_code == 403
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 403


def test_a_key_is_found_among_many_and_its_scopes_add_up() -> None:
    key, digest = new_key()
    records = [KeyRecord(n, f"k{n}", hash_of(f"medley_{n}"), "read", 0.0, None, None) for n in range(50)]
    records.append(KeyRecord(99, "mine", digest, "read write", 0.0, None, None))
    ring = KeyRing(lambda: records, lambda key_id: None, lambda: 0.0)
    ring.refresh()
    caller = ring.find(key)
    assert caller is not None
    assert (caller.name, caller.scopes) == ("mine", frozenset({"read", "write"}))
    assert ring.find("medley_unknown") is None


def test_keys_are_read_again_after_a_second_and_not_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "REREAD_SECONDS", 1.0)
    key, digest = new_key()
    records: list[KeyRecord] = []
    now = [100.0]
    ring = KeyRing(lambda: list(records), lambda key_id: None, lambda: now[0])
    ring.refresh()
    records.append(KeyRecord(1, "mine", digest, "read", 0.0, None, None))
    now[0] += 0.9
    ring.refresh()
    assert ring.empty
    now[0] += 0.2
    ring.refresh()
    assert ring.find(key) is not None


class Bank:
    """A lender with a clock of its own: what the catalogue does, for one bucket a name, without a database."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked = 0
        self._buckets: dict[str, tuple[float, float]] = {}

    def __call__(self, name: str, wanted: int, per_second: float, burst: float, unspent: int) -> tuple[int, float]:
        self.asked += 1
        tokens, then = self._buckets.get(name, (burst, self.now))
        tokens = min(burst, tokens + unspent + (self.now - then) * per_second)
        lent = min(wanted, int(tokens))
        self._buckets[name] = (tokens - lent, self.now)
        return lent, (wanted - tokens + lent) / per_second if lent < wanted else 0.0


def test_the_limiter_lets_bursts_through_and_refills_with_time() -> None:
    bank = Bank()
    limiter = RateLimiter(60, lambda: bank.now, bank)
    assert [limiter.take("a") for _ in range(15)] == [0.0] * 15
    assert limiter.take("a") == pytest.approx(1.0)
    assert limiter.take("b") == 0.0, "another caller has its own bucket"
    bank.now = 2.0
    assert [limiter.take("a") for _ in range(2)] == [0.0, 0.0]
    assert limiter.take("a") > 0


def test_a_request_rarely_asks_the_lender() -> None:
    bank = Bank()
    limiter = RateLimiter(600, lambda: bank.now, bank)
    passed = 0
    for _ in range(60_000):  # a thousand a second, for a minute
        passed += limiter.take("a") == 0.0
        bank.now += 0.001
    assert 600 <= passed <= 150 + 600
    assert bank.asked <= passed / 8, "neither those that pass nor those that are refused cost a write each"


def test_a_light_caller_spread_over_many_replicas_is_not_starved() -> None:
    """Each replica borrows more than it is asked for, and gives it back."""
    bank = Bank()
    replicas = [RateLimiter(600, lambda: bank.now, bank) for _ in range(40)]
    for second in range(400):
        bank.now += 1.0
        replica = replicas[second % len(replicas)]
        assert replica.take("a") == 0.0, second


@pytest.mark.parametrize(
    "header",
    ["via", "forwarded", "x-forwarded-proto", "x-forwarded-host", "cf-connecting-ip", "true-client-ip", "x-envoy-peer"],
)
def test_without_a_key_whatever_a_proxy_may_add_is_refused(header: str) -> None:
    with pytest.raises(AccessError, match=header):
        refuse_unless_loopback(("127.0.0.1", 1), {"host": "localhost", header: "1"})


def test_without_a_key_an_old_protocol_is_a_proxys() -> None:
    """nginx, as it comes, asks with HTTP/1.0, the upstream's own name and no header that tells of a proxy."""
    with pytest.raises(AccessError, match=r"HTTP/1\.0"):
        refuse_unless_loopback(("127.0.0.1", 1), {"host": "127.0.0.1:8000", "connection": "close"}, "1.0")


def test_wrong_keys_of_one_address_have_to_wait(client: httpx.Client, reader: str) -> None:
    answers = [client.get("/v1/status", headers=bearer(f"medley_{guess}")).status_code for guess in range(40)]
    assert answers[0] == 401
    assert answers[-1] == 429
    assert client.get("/v1/status", headers=bearer(reader)).status_code == 200  # the right key is no guess


@pytest.mark.parametrize("trusted", [("127.0.0.1",), ()], ids=["trusted", "not trusted"])
def test_a_proxy_is_believed_only_if_it_is_trusted(world: World, reader: str, trusted: tuple[str, ...]) -> None:
    """Who asks, for the limit of wrong keys; and whether by TLS, for the cookie."""
    with running(world.service, trusted) as client:
        opened = client.post("/v1/session", headers=bearer(reader) | {"X-Forwarded-Proto": "https"})
        assert ("secure" in opened.headers["set-cookie"].lower()) is bool(trusted)
        client.cookies.clear()

        def guess(number: int, address: str) -> int:
            headers = bearer(f"medley_{number}") | {"X-Forwarded-For": address}
            return client.get("/v1/status", headers=headers).status_code

        assert [guess(number, "10.0.0.1") for number in range(40)][-1] == 429
        assert guess(99, "10.0.0.2") == (401 if trusted else 429), "another caller behind the same proxy"


def test_a_key_is_made_once_under_its_idempotency_key_and_never_stored(world: World, client: httpx.Client) -> None:
    headers = bearer(make_key(world, "admin")) | {"Idempotency-Key": "new laptop"}
    body = {"name": "laptop", "scopes": ["read"]}
    first = client.post("/v1/keys", json=body, headers=headers)
    assert first.status_code == 201
    again = client.post("/v1/keys", json=body, headers=headers)
    assert again.status_code == 409
    assert "shown only once" in again.json()["detail"]
    assert first.json()["key"].encode() not in (world.settings.home / "medley.sqlite").read_bytes()
    named = [key["name"] for key in client.get("/v1/keys", headers=headers).json()["items"]]
    assert named.count("laptop") == 1
