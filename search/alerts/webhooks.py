"""Sends events to webhooks: signed, tried again with growing pauses, given up in the end, and all of it kept.

The form is that of Standard Webhooks (standardwebhooks.com): `webhook-id` stays the same however often an event is
sent, `webhook-timestamp` says when, `webhook-signature` is an HMAC-SHA256 over both and the body. Any number of
processes may send: a delivery is claimed in the catalogue first.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from typing import Any

import msgspec

from search.alerts.destinations import TIMEOUT_SECONDS, Answer, Refused, post
from search.catalog import assets, segments
from search.catalog.alerts import deliveries
from search.catalog.alerts.deliveries import Told
from search.catalog.database import Database
from search.catalog.records import SavedEventRecord, SavedSearchRecord
from search.catalog.states import DeliveryState
from search.errors import MedleyError, UsageError
from search.ranking.hits import asset_view, moment_of
from search.settings import Settings
from search.times import iso

MOST_ATTEMPTS = 12  # over a day
FIRST_WAIT_SECONDS = 10.0
LONGEST_WAIT_SECONDS = 6 * 3600.0
SENT_TOGETHER = 8
LEASE_SECONDS = SENT_TOGETHER * TIMEOUT_SECONDS  # of deliveries that are being sent
_GONE = 410  # by which a receiver says that it wants no more
_SECRET_BYTES = 32
_PREFIX = "whsec_"
_log = logging.getLogger(__name__)

Post = Callable[[str, bytes, dict[str, str], bool], Answer]


def new_secret() -> str:
    """A key for signatures, as Standard Webhooks writes it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()


def signature(secret: str, event_id: str, timestamp: int, body: bytes) -> str:
    """The signature of one message. Raises UsageError where `secret` is not one."""
    try:
        key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        raise UsageError("a webhook's secret is whsec_ followed by base64") from None
    signed = f"{event_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()


def wait_seconds(attempts: int, jitter: float) -> float:
    """After so many attempts, with `jitter` from [0, 1): ten seconds, then three times as long at each."""
    return min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 3.0 ** (attempts - 1)) * (1 + 0.25 * jitter)


def event_body(database: Database, event: SavedEventRecord, saved: SavedSearchRecord) -> dict[str, Any]:
    """An event as sent to clients: the same in server-sent events, lists and webhooks."""
    with database.read() as connection:
        records = assets.get_assets(connection, [event.asset_id])
        segment = segments.get_segment(connection, event.segment_id) if event.segment_id else None
    return {
        "id": str(event.id),
        "type": "saved_search.matched",
        "created_at": iso(event.created_at),
        "saved_search": {"id": str(saved.id), "name": saved.name},
        "relevance": event.relevance,
        "asset": msgspec.to_builtins(asset_view(records[0])) if records else None,
        "moment": msgspec.to_builtins(moment_of(segment, event.relevance)) if segment else None,
    }


class Courier:
    """For one process: `step` sends what is due, `run` does so until stopped."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        send: Post = post,
        clock: Callable[[], float] = time.time,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._database = database
        self._send = send
        self._clock = clock
        self._jitter = jitter

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. While the catalogue is away it waits."""
        with ThreadPoolExecutor(SENT_TOGETHER, "webhook") as threads:
            problem = ""
            while not stop.is_set():
                busy = False
                try:
                    busy = self.step(threads)
                    problem = ""
                except MedleyError as error:
                    if str(error) != problem:
                        _log.warning("no webhooks for now: %s", error)
                    problem = str(error)
                if not busy:
                    stop.wait(1.0)

    def step(self, threads: ThreadPoolExecutor) -> bool:
        """Send the next few events that are due; False when there are none."""
        with self._database.read() as connection:
            if not deliveries.deliveries_are_due(connection):
                return False
        with self._database.write() as connection:
            claimed: Sequence[Told] = deliveries.claim_deliveries(connection, SENT_TOGETHER, LEASE_SECONDS)
        list(threads.map(self._deliver, claimed))
        return bool(claimed)

    def _deliver(self, told: Told) -> None:
        status, error = self._attempt(told)
        delivered = status is not None and 200 <= status < 300
        attempts = told.delivery.attempts
        given_up = not delivered and (attempts >= MOST_ATTEMPTS or status == _GONE)
        state = DeliveryState.DELIVERED if delivered else DeliveryState.DEAD if given_up else DeliveryState.PENDING
        wait = 0.0 if delivered or given_up else wait_seconds(attempts, self._jitter())
        if given_up:
            error = f"given up after {attempts} {'attempt' if attempts == 1 else 'attempts'}: {error}"
            _log.warning(
                "the webhook of the saved search %r was not told of event %d: %s", told.saved.name, told.event.id, error
            )
        with self._database.write() as connection:
            deliveries.finish_delivery(connection, told.delivery, state, status=status, error=error, wait_seconds=wait)

    def _attempt(self, told: Told) -> tuple[int | None, str | None]:
        """The answer's status, where there is one, and what went wrong."""
        if not told.saved.webhook_url or not told.saved.webhook_secret:
            return _GONE, "the saved search has no webhook any more"
        body = msgspec.json.encode(event_body(self._database, told.event, told.saved))
        timestamp = int(self._clock())
        event_id = f"event_{told.event.id}"
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "Medley-Webhook",
            "webhook-id": event_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(told.saved.webhook_secret, event_id, timestamp, body),
        }
        try:
            answer = self._send(told.saved.webhook_url, body, headers, self._settings.allow_private_webhooks)
        except (OSError, HTTPException, Refused, UsageError, ValueError) as error:
            return None, " ".join(str(error).split())[:300] or type(error).__name__
        if 200 <= answer.status < 300:
            return answer.status, None
        said = " ".join(answer.text.split())[:200]
        return answer.status, f"the receiver answered {answer.status}{f': {said}' if said else ''}"
