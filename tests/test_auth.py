"""Who may come in, and what each scope opens."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import httpx
import pytest
from service_world import World, running

from api.auth import KeyRing, refuse_unless_loopback
from api.keys import hash_of, new_key
from api.limits import RateLimiter
from search.catalog import keys
from search.catalog.records import KeyRecord
from search.errors import AccessError


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
    world.service.key_ring._read_at = None
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
        keys.revoke_key(connection, keys.find_key(connection, hash_of(reader)).id)
    world.service.key_ring._read_at = None  # a second later
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


def test_too_many_requests_of_a_key_have_to_wait(world: World, client: httpx.Client, reader: str) -> None:
    world.service.gate._limiter = RateLimiter(8, lambda: 0.0)
    statuses = [client.get("/v1/status", headers=bearer(reader)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    answer = client.get("/v1/status", headers=bearer(reader))
    assert int(answer.headers["retry-after"]) >= 1


def test_every_write_leaves_an_audit_line_without_content(
    world: World, client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    writer = make_key(world, "write")
    world.service.key_ring._read_at = None
    asset = world.picture("private-name.png", "red")
    with caplog.at_level(logging.INFO, "medley.audit"):
        client.delete(f"/v1/assets/{asset}", headers=bearer(writer))
    (line,) = [record for record in caplog.records if record.name == "medley.audit"]
    assert line.fields["caller"] == "write"
    assert line.fields["asset"] == asset
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
def test_without_a_key_only_this_machine_by_its_own_name_may_connect(address: str | None, headers: dict) -> None:
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
    assert (caller.name, caller.scopes) == ("mine", {"read", "write"})
    assert ring.find("medley_unknown") is None


def test_the_limiter_lets_bursts_through_and_refills_with_time() -> None:
    now = [0.0]
    limiter = RateLimiter(60, lambda: now[0])
    assert [limiter.take("a") for _ in range(15)] == [0.0] * 15
    assert limiter.take("a") == pytest.approx(1.0)
    assert limiter.take("b") == 0.0, "another caller has its own bucket"
    now[0] = 2.0
    assert [limiter.take("a") for _ in range(2)] == [0.0, 0.0]
    assert limiter.take("a") > 0
