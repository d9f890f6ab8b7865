"""The catalogue as a queue: leases, their loss, failures, and an account that always balances."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import msgspec
import pytest
from support.catalog_world import add_library, add_space, claims_held, found, index_all, result

from search.catalog import assets, embeddings, models, queue, segments, sequence
from search.catalog.database import Database
from search.catalog.records import Counts, NewSegment
from search.catalog.upkeep import health
from search.errors import CatalogError


def account(database: Database) -> Counts:
    """The account, which must balance whenever one looks."""
    with database.read() as connection:
        counts = assets.counts(connection)
    assert counts.indexed + counts.pending + counts.working + counts.quarantined + counts.missing == counts.known
    return counts


def claim(database: Database, owner: str, limit: int = 100, now: float | None = 100.0) -> list[int]:
    with database.write() as connection:
        return [record.id for record in queue.claim(connection, owner, limit, 60, now=now)]


def finish(database: Database, owner: str, ids: list[int], *space_ids: int) -> set[int]:
    with database.write() as connection:
        return queue.finish(
            connection, claims_held(connection, owner), [result(asset_id, space_ids) for asset_id in ids], now=200.0
        )


def test_a_finished_asset_is_searchable_with_its_facts(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg", "c.jpg"])
    space = add_space(database)
    first, second = claim(database, "one", 2)
    with database.write() as connection:
        queue.finish(
            connection,
            claims_held(connection, "one"),
            [result(first, [space.id], width=4, camera="Canon"), result(second, [space.id])],
        )
    with database.read() as connection:
        ids, _, vectors = embeddings.embeddings_after(connection, space.id, "image", 0, 10)
        hydrated = segments.hydrate(connection, ids)
    assert [record.asset_id for record in hydrated] == [first, second]
    assert [record.asset.path for record in hydrated if record.asset] == ["/media/a.jpg", "/media/b.jpg"]
    owner = hydrated[0].asset
    assert owner is not None
    assert (owner.width, owner.camera, owner.attempts) == (4, "Canon", 0)
    assert vectors.shape == (2, 4)
    assert account(database) == Counts(
        indexed=2, pending=1, known=3, by_kind={"image": 2, "unknown": 1}, segments={"image": 2}
    )


def test_two_workers_never_claim_the_same_asset(database: Database) -> None:
    add_library(database, [f"{i}.jpg" for i in range(60)])
    claimed: list[int] = []

    def work(owner: str) -> None:
        while batch := claim(database, owner, 7):
            claimed.extend(batch)

    threads = [threading.Thread(target=work, args=(f"worker {i}",)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 60
    assert account(database).working == 60


def test_the_oldest_pending_assets_come_first(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg", "c.jpg"])
    assert claim(database, "one", 2) == [1, 2]


def test_an_expired_lease_is_taken_over_and_its_old_claim_writes_nothing(database: Database) -> None:
    add_library(database, ["a.jpg"])
    with database.write() as connection:
        old = queue.claims_of(queue.claim(connection, "slow", 1, 60, now=100.0))
    [asset_id] = old
    assert claim(database, "quick", now=159.0) == []
    assert claim(database, "quick", now=161.0) == [asset_id]
    with database.write() as connection:
        assert queue.finish(connection, old, [result(asset_id, [])]) == set()
        assert queue.finish_unchanged(connection, old, [asset_id]) == set()
        assert queue.quarantine(connection, old, asset_id, "no") is False
        assert queue.retry_later(connection, old, asset_id, "no", 0) is False
        assert queue.release(connection, old) == set()
        assert queue.renew(connection, old, 60) == set()
    assert account(database).working == 1
    assert finish(database, "quick", [asset_id]) == {asset_id}


def test_nobody_takes_over_from_itself(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "frozen", now=100.0)
    with database.write() as connection:
        assert queue.claim(connection, "frozen", 10, 60, now=1000.0, holding=[asset_id]) == []
        assert queue.renew(connection, claims_held(connection, "frozen"), 60, now=1000.0) == {asset_id}
    assert claim(database, "other", now=1030.0) == []


def test_a_claim_that_was_handed_back_writes_nothing_even_if_nobody_took_it_since(database: Database) -> None:
    add_library(database, ["a.jpg"])
    with database.write() as connection:
        claims = queue.claims_of(queue.claim(connection, "one", 1, 60))
        queue.release(connection, claims)
        assert queue.finish(connection, claims, [result(next(iter(claims)), [])]) == set()
    assert account(database).pending == 1


def test_leases_are_measured_by_the_clock_of_the_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    add_library(database, ["a.jpg"])
    assert claim(database, "one", now=None) == [1]
    monkeypatch.setattr(time, "time", lambda: 10.0**10)  # a worker's own clock may say anything
    assert claim(database, "two", now=None) == []


def test_a_death_counts_only_against_an_asset_that_was_alone_with_its_worker(database: Database) -> None:
    add_library(database, ["bomb.jpg"])
    told = []
    for life in range(1, 5):
        with database.write() as connection:
            [record] = queue.claim(connection, f"victim {life}", 10, 60, now=100.0 * life)
            if life >= 3:
                queue.mark_alone(connection, record)
        told.append((record.attempts, record.takeovers, record.deaths))
    assert told == [(1, 0, 0), (1, 1, 0), (1, 2, 0), (1, 3, 1)]


def test_segments_of_an_asset_cannot_be_written_twice(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    assert finish(database, "one", [asset_id]) == {asset_id}
    with database.read() as connection:
        [segment] = segments.segments_of(connection, asset_id)
    stretch = {"start_seconds": segment.start_seconds, "end_seconds": segment.end_seconds, "text": segment.text}
    row = {"asset_id": asset_id, "ordinal": segment.ordinal, "signal": segment.signal, **stretch}
    with pytest.raises(CatalogError), database.write() as connection:
        connection.execute(models.segment.insert().values(**row))
    with database.write() as connection:  # by hand, past the rule
        connection.execute(models.segment.insert().values(**row | {"ordinal": 7}))
    with database.read() as connection:
        assert health.inspect(connection).doubled_segments == 1


def test_a_renewed_lease_is_kept(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one", now=100.0)
    with database.write() as connection:
        assert queue.renew(connection, claims_held(connection, "one"), 60, now=150.0) == {asset_id}
    assert claim(database, "two", now=200.0) == []


def test_released_work_is_pending_again_and_costs_no_attempt(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    with database.write() as connection:
        assert queue.release(connection, claims_held(connection, "one")) == {asset_id}
        [record] = queue.claim(connection, "two", 1, 60)
    assert record.attempts == 1


def test_a_transient_failure_waits_for_its_time(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    with database.write() as connection:
        now = sequence.database_time(connection)
        assert queue.retry_later(connection, claims_held(connection, "one"), asset_id, "the mount is away", 500.0)
    assert claim(database, "one", now=now + 490.0) == []
    assert claim(database, "one", now=now + 510.0) == [asset_id]


def test_a_quarantined_asset_is_listed_with_its_reason_and_can_be_retried(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg"])
    first, second = claim(database, "one")
    with database.write() as connection:
        queue.quarantine(connection, claims_held(connection, "one"), first, "truncated\0 after 3 bytes", kind="image")
        queue.quarantine(connection, claims_held(connection, "one"), second, "zero bytes")
    with database.read() as connection:
        listed = assets.failures(connection, limit=1)
        listed += assets.failures(connection, cursor=listed[-1].id)
    assert [(record.id, record.error) for record in listed] == [
        (first, "truncated  after 3 bytes"),
        (second, "zero bytes"),
    ]
    assert claim(database, "one") == []
    with database.write() as connection:
        assert queue.retry_quarantined(connection, [first]) == 1
        assert queue.retry_quarantined(connection) == 1
    assert claim(database, "one") == [first, second]


def test_indexing_again_replaces_the_segments_and_tells_followers(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    space = add_space(database)
    [asset_id] = index_all(database, space.id)
    with database.read() as connection:
        [old], _, _ = embeddings.embeddings_after(connection, space.id, "image", 0, 10)
    with database.write() as connection:
        assets.sync_assets(connection, source.id, [found("a.jpg", size=11)])
    assert index_all(database, space.id) == [asset_id]
    with database.read() as connection:
        [new], [number], _ = embeddings.embeddings_after(connection, space.id, "image", 0, 10)
        numbers, deleted = embeddings.deletions_after(connection, 0, 10)
        assert embeddings.latest_sequence(connection) == number
    assert new > old
    assert deleted.tolist() == [old]
    assert numbers.tolist() == [number - 1]


def test_a_file_that_changes_while_it_is_worked_on_is_done_again(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    with database.write() as connection:
        assert assets.sync_assets(connection, source.id, [found("a.jpg", time=2)]).changed == 1
    assert finish(database, "one", [asset_id]) == set()
    assert account(database).pending == 1


def test_quarantine_takes_away_what_the_old_file_said(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    space = add_space(database)
    [asset_id] = index_all(database, space.id)
    with database.write() as connection:
        assets.sync_assets(connection, source.id, [found("a.jpg", size=3)])
    claim(database, "one")
    with database.write() as connection:
        queue.quarantine(connection, claims_held(connection, "one"), asset_id, "truncated")
    with database.read() as connection:
        assert segments.segments_of(connection, asset_id) == []
        assert len(embeddings.deletions_after(connection, 0, 10)[1]) == 1


def test_unchanged_contents_keep_their_segments(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    space = add_space(database)
    [asset_id] = index_all(database, space.id)
    with database.write() as connection:
        assets.sync_assets(connection, source.id, [found("a.jpg", time=2)])
    claim(database, "one")
    with database.write() as connection:
        assert queue.finish_unchanged(connection, claims_held(connection, "one"), [asset_id]) == {asset_id}
    with database.read() as connection:
        assert len(segments.segments_of(connection, asset_id)) == 1
        assert embeddings.deletions_after(connection, 0, 10)[0].size == 0
    assert account(database).indexed == 1


def test_vectors_for_a_space_that_was_dropped_meanwhile_are_left_out(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    assert finish(database, "one", [asset_id], 77) == {asset_id}


def test_a_batch_that_fails_leaves_no_trace(database: Database) -> None:
    add_library(database, ["a.jpg"])
    space = add_space(database)
    [asset_id] = claim(database, "one")
    with suppress(RuntimeError), database.write() as connection:
        queue.finish(connection, claims_held(connection, "one"), [result(asset_id, [space.id])])
        raise RuntimeError("the power went")
    with database.read() as connection:
        assert segments.segments_of(connection, asset_id) == []
        assert embeddings.latest_sequence(connection) == 0
    assert account(database).working == 1


def test_facts_and_words_that_no_database_can_hold_are_left_out(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    broken = result(
        asset_id, width=2**40, latitude=float("nan"), longitude=999.0, camera="Ca\0non\ud800", language="x" * 99
    )
    broken = msgspec.structs.replace(broken, segments=[NewSegment(signal="speech", text="one\0two \udfff")])
    with database.write() as connection:
        queue.finish(connection, claims_held(connection, "one"), [broken])
    with database.read() as connection:
        record = assets.get_asset(connection, asset_id)
        [segment] = segments.segments_of(connection, asset_id)
    assert (record.width, record.latitude, record.longitude) == (None, None, None)
    assert record.camera == "Ca non\ufffd"
    assert segment.text == "one two \ufffd"
