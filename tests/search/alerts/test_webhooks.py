"""Deliveries: signed, tried again with growing pauses, given up in the end, never sent by two at once."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.catalog_world import add_library, add_space, index_all

from search.alerts.destinations import Answer
from search.alerts.webhooks import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, MOST_ATTEMPTS, Courier, wait_seconds
from search.catalog.alerts import deliveries, saved_searches
from search.catalog.database import Database
from search.catalog.records import DeliveryRecord, Match
from search.catalog.states import DeliveryState
from search.settings import Settings


class Receiver:
    """Notes what is sent, and answers as it is told."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, bytes, dict[str, str]]] = []
        self.answers: list[Answer | Exception] = []

    def __call__(self, url: str, body: bytes, headers: dict[str, str], allow_private: bool) -> Answer:
        self.sent.append((url, body, headers))
        answer = self.answers.pop(0) if self.answers else Answer(204, "")
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(4) as pool:
        yield pool


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def event_id(database: Database) -> int:
    """An event that is to be sent."""
    add_library(database, ["boat.jpg"])
    space_id = add_space(database).id
    (asset_id,) = index_all(database, space_id)
    with database.write() as connection:
        saved = saved_searches.create_saved_search(
            connection, space_id, "Boats", '{"text": "a boat"}', webhook_url="https://example.org/hook",
            webhook_secret="whsec_c2VjcmV0",
        )  # fmt: skip
        before = saved_searches.claim_matching(connection, space_id, "me", 60)
        assert before is not None
        match = Match(saved_search_id=saved.id, asset_id=asset_id, segment_id=None, relevance=0.9)
        events = saved_searches.finish_matching(connection, space_id, "me", before, before + 1, [match])
    assert events
    return events[0].id


def state_of(database: Database, event_id: int) -> DeliveryRecord:
    with database.read() as connection:
        (event,) = saved_searches.events_after(connection, event_id - 1, limit=1)
        (delivery,) = deliveries.list_deliveries(connection, event.saved_search_id)
    return delivery


def make_due(database: Database, event_id: int) -> None:
    """As if its time had come."""
    record = state_of(database, event_id)
    with database.write() as connection:
        deliveries.finish_delivery(
            connection, record, DeliveryState(record.state), status=record.status, error=record.error, now=0.0
        )


def test_an_event_is_sent_once_with_a_signature_that_standard_webhooks_verify(
    database: Database, settings: Settings, receiver: Receiver, threads: ThreadPoolExecutor, event_id: int
) -> None:
    courier = Courier(settings, database, receiver, clock=lambda: 1_700_000_000.0)
    assert courier.step(threads)
    assert not courier.step(threads)
    ((url, body, headers),) = receiver.sent
    assert url == "https://example.org/hook"
    told = json.loads(body)
    assert (told["type"], told["saved_search"]["name"], told["relevance"]) == ("saved_search.matched", "Boats", 0.9)
    assert told["asset"]["path"].endswith("boat.jpg")
    assert headers["webhook-id"] == f"event_{event_id}"
    signed = f"event_{event_id}.1700000000.".encode() + body
    expected = base64.b64encode(hmac.new(b"secret", signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert (state_of(database, event_id).state, state_of(database, event_id).status) == ("delivered", 204)


def test_what_fails_is_tried_again_under_the_same_id_and_given_up_in_the_end(
    database: Database, settings: Settings, receiver: Receiver, threads: ThreadPoolExecutor, event_id: int
) -> None:
    courier = Courier(settings, database, receiver, jitter=lambda: 0.0)
    receiver.answers = [Answer(500, "out of order"), OSError("no route to host")] * MOST_ATTEMPTS
    courier.step(threads)
    waiting = state_of(database, event_id)
    assert (waiting.state, waiting.attempts, waiting.status) == ("pending", 1, 500)
    assert waiting.error == "the receiver answered 500: out of order"
    assert not courier.step(threads), "its time has not come"
    for _ in range(MOST_ATTEMPTS - 1):
        make_due(database, event_id)
        courier.step(threads)
    dead = state_of(database, event_id)
    assert (dead.state, dead.attempts) == ("dead", MOST_ATTEMPTS)
    assert dead.error == f"given up after {MOST_ATTEMPTS} attempts: no route to host"
    assert {headers["webhook-id"] for _, _, headers in receiver.sent} == {f"event_{event_id}"}
    with database.write() as connection:
        (event,) = saved_searches.events_after(connection, event_id - 1)
        assert deliveries.retry_deliveries(connection, event.saved_search_id) == 1
    receiver.answers = []
    courier.step(threads)
    assert state_of(database, event_id).state == "delivered"


def test_a_receiver_that_is_gone_is_told_no_more(
    database: Database, settings: Settings, receiver: Receiver, threads: ThreadPoolExecutor, event_id: int
) -> None:
    receiver.answers = [Answer(410, "")]
    Courier(settings, database, receiver).step(threads)
    assert state_of(database, event_id).state == "dead"


def test_two_couriers_do_not_send_the_same_event_and_one_that_died_is_taken_over(
    database: Database, event_id: int
) -> None:
    with database.write() as connection:
        (first,) = deliveries.claim_deliveries(connection, 8, 60.0, now=1000.0)
        assert not deliveries.claim_deliveries(connection, 8, 60.0, now=1030.0)
        (second,) = deliveries.claim_deliveries(connection, 8, 60.0, now=1061.0)
    assert first.event.id == second.event.id == event_id
    with database.write() as connection:
        assert not deliveries.finish_delivery(connection, first.delivery, DeliveryState.DEAD, error="late")
        assert deliveries.finish_delivery(connection, second.delivery, DeliveryState.DELIVERED, status=200)
    assert state_of(database, event_id).state == "delivered"


def test_pauses_grow_and_have_an_end() -> None:
    waits = [wait_seconds(attempts, 0.0) for attempts in range(1, 12)]
    assert waits[0] == FIRST_WAIT_SECONDS
    assert waits == sorted(waits)
    assert waits[-1] == LONGEST_WAIT_SECONDS
    assert sum(waits[: MOST_ATTEMPTS - 1]) > 24 * 3600
