"""Saved searches: live collections, events of new files once each, and who may do what."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx
import msgspec
import numpy as np
import pytest
from support import media
from support.service_world import World

from api.batching import BatchingSpace
from api.keys import new_key
from search.alerts.matcher import Matcher
from search.alerts.saved_query import SavedQuery, pack, unpack
from search.catalog import assets, keys
from search.catalog.alerts import saved_searches
from search.catalog.database import Database
from search.catalog.records import Match, SavedEventRecord
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.signals import Signal


@pytest.fixture
def matcher(world: World) -> Matcher:
    """Over a library of other things: what is like everything in it stands out from nothing."""
    for number in range(8):
        world.picture(f"other-{number}.png", "green" if number % 2 else "white", words=f"nothing like it {number}")
    return Matcher(world.settings, world.database, lambda: world.engine.active_space)


def save(client: httpx.Client, **body: object) -> dict[str, object]:
    answer = client.post("/v1/saved-searches", json={"relevance": 0.05, **body})
    assert answer.status_code == 201, answer.text
    made: dict[str, object] = answer.json()
    return made


def events(world: World, matcher: Matcher) -> list[SavedEventRecord]:
    """All, after everything new was compared."""
    while matcher.step():
        continue
    with world.database.read() as connection:
        return saved_searches.events_after(connection, 0)


def test_a_new_file_that_matches_is_told_of_once(world: World, client: httpx.Client, matcher: Matcher) -> None:
    world.picture("before.png", "red")
    saved = save(client, name="Red things", text="red")
    assert not events(world, matcher)
    made = world.picture("after.png", "red")
    world.picture("blue.png", "blue")
    (event,) = events(world, matcher)
    assert (event.asset_id, str(event.saved_search_id)) == (made, saved["id"])
    assert event.relevance >= 0.05
    assert events(world, matcher) == [event]
    answer = client.get(f"/v1/saved-searches/{saved['id']}/results").json()["hits"]
    assert {hit["asset"]["path"].rpartition("/")[2] for hit in answer[:2]} == {"before.png", "after.png"}


def test_the_relevance_of_an_event_is_that_of_a_search(world: World, client: httpx.Client, matcher: Matcher) -> None:
    save(client, name="Seen", text="red", relevance=0.01)
    save(client, name="Written", text="harbour copenhagen", relevance=0.01)
    save(client, name="Both", text="red harbour", filters={"kind": ["image"]}, relevance=0.01)
    for number in range(5):
        world.picture(f"red-{number}.png", "red")
        world.picture(f"blue-{number}.png", "blue", words=f"harbour of copenhagen number {number}")
    told = {(event.saved_search_id, event.asset_id): event.relevance for event in events(world, matcher)}
    with world.database.read() as connection:
        records = saved_searches.list_saved_searches(connection)
    for record in records:
        query = msgspec.structs.replace(world.engine.saved_searches.query(record), limit=100, fold_copies=False)
        for hit in world.engine.search(query).hits:
            key = (record.id, int(hit.asset.id))
            if hit.relevance >= 0.011:
                assert told[key] == pytest.approx(hit.relevance, abs=0.02), (record.name, hit.asset.path)
            elif hit.relevance < 0.009:
                assert key not in told


def test_a_process_that_is_behind_knows_the_library_before_it_judges(
    world: World, client: httpx.Client, sqlite_url: str
) -> None:
    """In a library taken for empty every score would mean much."""
    save(client, name="Red", text="red", relevance=0.01)
    behind = SearchEngine.open(world.settings, Database.open(sqlite_url), lambda record: BatchingSpace(world.space))
    try:
        for number in range(20):
            world.picture(f"red-{number}.png", "red")
            world.picture(f"blue-{number}.png", "blue")
        assert not len(behind.partitions[Signal.IMAGE])
        late = Matcher(world.settings, world.database, lambda: behind.active_space)
        told = {event.asset_id: event.relevance for event in events(world, late)}
    finally:
        behind.close()
    query = msgspec.structs.replace(parse_query("red"), limit=100, fold_copies=False)
    found = {int(hit.asset.id): hit.relevance for hit in world.engine.search(query).hits if hit.relevance >= 0.011}
    assert len(found) >= 20
    assert {asset_id: told[asset_id] for asset_id in found} == pytest.approx(found, abs=0.02)


def test_saving_says_how_likely_a_file_must_be_and_how_likely_the_best_one_is(
    world: World, client: httpx.Client
) -> None:
    nothing = save(client, name="Nothing there", text="red")["reach"]
    assert nothing == {"needed": 0.05, "best": None, "falls_short": False}
    world.picture("red.png", "red")
    world.picture("blue.png", "blue")
    made = client.post("/v1/saved-searches", json={"name": "Red", "text": "red"}).json()
    assert made["reach"]["needed"] == world.engine.active_space.calibration.threshold
    found = client.get(f"/v1/saved-searches/{made['id']}/results").json()["hits"]
    assert made["reach"]["best"] == found[0]["relevance"]
    assert made["reach"]["falls_short"] == (made["reach"]["best"] < made["reach"]["needed"])
    assert client.get(f"/v1/saved-searches/{made['id']}").json()["reach"] is None
    with world.database.read() as connection:
        assert [record.name for record in saved_searches.list_saved_searches(connection)] == ["Nothing there", "Red"]


def test_hundreds_are_listed_page_by_page(world: World, client: httpx.Client) -> None:
    with world.database.write() as connection:
        for number in range(250):
            query = SavedQuery(text=f"n{number}").encode()
            saved_searches.create_saved_search(connection, 1, f"Number {number}", query)
    names, cursor = [], None
    while True:
        page = client.get("/v1/saved-searches", params={} if cursor is None else {"cursor": cursor}).json()
        assert len(page["items"]) <= 100
        names += [one["name"] for one in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert names == [f"Number {number}" for number in range(250)]
    assert len(client.get("/v1/saved-searches", params={"limit": 1000}).json()["items"]) == 250


def test_filters_hold_and_alone_they_tell_of_everything_that_passes(
    world: World, client: httpx.Client, matcher: Matcher
) -> None:
    save(client, name="Red in 2024", text="red path:2024/*")
    save(client, name="All of 2024", text="path:2024/*")
    save(client, name="Documents", filters={"kind": ["document"]})
    world.picture("2023/a.png", "red")
    inside, other = world.picture("2024/a.png", "red"), world.picture("2024/b.png", "blue")
    lease = world.document("lease.pdf", [["rent"]])
    found = {(event.saved_search_id, event.asset_id) for event in events(world, matcher)}
    assert found == {(1, inside), (2, inside), (2, other), (3, lease)}


def test_what_is_said_and_written_matches_too(world: World, client: httpx.Client, matcher: Matcher) -> None:
    save(client, name="Trains", text="train leaves")
    save(client, name="Rent", text='"third working day"')
    talk = world.recording(
        media.write_wav(world.media / "talk.wav", media.tone(1)), [(0.0, 2.0, "the train leaves at ten")]
    )
    lease = world.document("lease.pdf", [["cover"], ["due on the third working day"]])
    found = {(event.saved_search_id, event.asset_id) for event in events(world, matcher)}
    assert found == {(1, talk), (2, lease)}


def test_a_change_counts_from_then_on_and_what_is_quiet_raises_nothing(
    world: World, client: httpx.Client, matcher: Matcher
) -> None:
    saved = save(client, name="Colours", text="red")
    save(client, name="Quiet", text="blue", notify=False)
    first = world.picture("a.png", "red")
    assert [event.asset_id for event in events(world, matcher)] == [first]
    changed = client.patch(f"/v1/saved-searches/{saved['id']}", json={"text": "blue", "name": "Blue"})
    assert changed.json()["text"] == "blue"
    second = world.picture("b.png", "blue")
    world.picture("c.png", "red")
    assert [event.asset_id for event in events(world, matcher)] == [first, second]
    assert client.delete(f"/v1/saved-searches/{saved['id']}").status_code == 204
    assert not events(world, matcher)
    assert client.get(f"/v1/saved-searches/{saved['id']}").status_code == 404


def test_one_matcher_compares_at_a_time_and_another_goes_on_where_it_stopped(
    world: World, client: httpx.Client, matcher: Matcher
) -> None:
    save(client, name="Red", text="red")
    other = Matcher(world.settings, world.database, lambda: world.engine.active_space)
    first = world.picture("a.png", "red")
    assert matcher.step()
    second = world.picture("b.png", "red")
    assert not other.step(), "the first holds the lease"
    space_id = world.engine.active_space.record.id
    with world.database.write() as connection:
        before = saved_searches.claim_matching(connection, space_id, "frozen", -1.0) or 0
    assert not before, "the first still holds the lease"
    assert [event.asset_id for event in events(world, matcher)] == [first, second]


def test_events_of_a_lost_lease_are_not_written(world: World, client: httpx.Client) -> None:
    save(client, name="Red", text="red")
    made = world.picture("a.png", "red")
    space_id = world.engine.active_space.record.id
    match = Match(saved_search_id=1, asset_id=made, segment_id=None, relevance=0.9)
    with world.database.write() as connection:
        before = saved_searches.claim_matching(connection, space_id, "slow", -1.0)
        assert before is not None
        assert saved_searches.claim_matching(connection, space_id, "quick", 60.0) == before
    with world.database.write() as connection:
        assert saved_searches.finish_matching(connection, space_id, "slow", before, before + 9, [match]) is None
        assert saved_searches.finish_matching(connection, space_id, "quick", before, before + 9, [match])
    with world.database.write() as connection:
        # The same again, as if the counter had been set back: the pair is known.
        assert saved_searches.finish_matching(connection, space_id, "quick", before + 9, before + 10, [match]) == []


def test_removed_files_take_their_events_with_them(world: World, client: httpx.Client, matcher: Matcher) -> None:
    saved = save(client, name="Red", text="red")
    made = world.picture("a.png", "red")
    assert events(world, matcher)
    assert client.get(f"/v1/saved-searches/{saved['id']}/events").json()["items"][0]["asset"]["id"] == str(made)
    with world.database.write() as connection:
        assets.delete_assets(connection, [made])
    assert client.get(f"/v1/saved-searches/{saved['id']}/events").json()["items"] == []


def test_events_stream_from_where_the_client_was(world: World, client: httpx.Client, matcher: Matcher) -> None:
    save(client, name="Red", text="red")
    for name in ("a.png", "b.png"):
        world.picture(name, "red")
    first, second = events(world, matcher)

    def stream(headers: dict[str, str], query: str = "") -> Iterator[dict[str, object]]:
        with client.stream("GET", f"/v1/saved-searches/events{query}", headers=headers) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            for line in answer.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line.removeprefix("data:"))

    assert next(stream({}, "?after=0"))["id"] == str(first.id)
    told = next(stream({"Last-Event-ID": str(first.id)}))
    assert told["id"] == str(second.id)
    assert told["saved_search"] == {"id": "1", "name": "Red"}
    assert client.get("/v1/saved-searches/events", headers={"Last-Event-ID": "x"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"name": "", "text": "red"}, "name"),
        ({"name": "a", "text": "kind:picture"}, "kind"),
        ({"name": "a", "text": "red", "relevance": 1.5}, "relevance"),
        ({"name": "a", "text": "red image:1"}, "image"),
        ({"name": "a", "text": "red", "webhook_url": "http://example.org/"}, "allow_private_webhooks"),
        ({"name": "a", "text": "red", "webhook_url": "https://10.0.0.1/"}, "private"),
        ({"name": "a", "text": "red", "colour": 1}, "colour"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(client: httpx.Client, body: dict[str, object], why: str) -> None:
    answer = client.post("/v1/saved-searches", json=body)
    assert (answer.status_code, why in answer.text) == (400, True), answer.text


def test_a_name_is_taken_once(client: httpx.Client) -> None:
    save(client, name="Red", text="red")
    assert "already" in client.post("/v1/saved-searches", json={"name": "Red", "text": "blue"}).text
    other = save(client, name="Blue", text="blue")
    assert client.patch(f"/v1/saved-searches/{other['id']}", json={"name": "Red"}).status_code == 400


def test_a_webhooks_secret_is_shown_when_it_is_new_and_never_again(client: httpx.Client) -> None:
    made = save(client, name="Red", text="red", webhook_url="https://example.org/a")
    assert str(made["webhook_secret"]).startswith("whsec_")
    path = f"/v1/saved-searches/{made['id']}"
    assert client.get(path).json()["webhook_secret"] is None
    assert client.patch(path, json={"name": "Rot"}).json()["webhook_secret"] is None
    fresh = client.patch(path, json={"webhook_url": "https://example.org/b"}).json()
    assert fresh["webhook_secret"] != made["webhook_secret"]
    assert client.patch(path, json={"webhook_url": None}).json()["webhook_url"] is None


def test_vectors_are_kept_so_that_no_process_embeds_again(world: World, matcher: Matcher) -> None:
    world.engine.saved_searches.create("Red", SavedQuery(text="red"), relevance=0.05)
    world.picture("a.png", "red")
    asked = len(world.space.calls)
    assert events(world, matcher)
    assert len(world.space.calls) == asked


def test_a_saved_search_that_is_broken_later_stops_no_other(
    world: World, client: httpx.Client, matcher: Matcher
) -> None:
    example = world.picture("example.png", "red")
    save(client, name="Like it", text=f"asset:{example}")
    save(client, name="Red", text="red")
    with world.database.write() as connection:
        assets.delete_assets(connection, [example])
        connection.exec_driver_sql("UPDATE saved_search SET resolved = NULL, revision = 7")
    made = world.picture("a.png", "red")
    assert [(event.saved_search_id, event.asset_id) for event in events(world, matcher)] == [(2, made)]


def test_vectors_travel_as_bytes_of_known_signals() -> None:
    vectors = {Signal.IMAGE: np.arange(4, dtype=np.float32)}
    assert np.array_equal(unpack(pack(vectors))[Signal.IMAGE], vectors[Signal.IMAGE])
    strange = msgspec.msgpack.encode({"smell": b"\0\0\0\0"})
    assert unpack(strange) == {}


def test_a_key_that_only_reads_looks_and_only_an_admin_sends_to_other_places(
    world: World, client: httpx.Client
) -> None:
    made = {}
    for scope in ("read", "write", "admin"):
        key, digest = new_key()
        with world.database.write() as connection:
            keys.create_key(connection, scope, digest, scope)
        made[scope] = {"Authorization": f"Bearer {key}"}
    body = {"name": "Red", "text": "red"}
    assert client.post("/v1/saved-searches", json=body, headers=made["read"]).status_code == 403
    assert client.post("/v1/saved-searches", json=body, headers=made["write"]).status_code == 201
    hooked = {"name": "Hooked", "text": "red", "webhook_url": "https://example.org/"}
    assert client.post("/v1/saved-searches", json=hooked, headers=made["write"]).status_code == 403
    assert client.post("/v1/saved-searches", json=hooked, headers=made["admin"]).status_code == 201
    assert len(client.get("/v1/saved-searches", headers=made["read"]).json()["items"]) == 2
    patch = {"webhook_url": "https://example.org/"}
    assert client.patch("/v1/saved-searches/1", json=patch, headers=made["write"]).status_code == 403
