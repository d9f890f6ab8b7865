"""The catalogue as a queue: leases, their loss, failures, and an account that always balances."""

from __future__ import annotations

import threading
from contextlib import suppress

from catalog_world import add_library, add_space, found, index_all, result

from search.catalog import assets, embeddings, queue, segments
from search.catalog.database import Database
from search.catalog.records import Counts


def account(database: Database) -> Counts:
    """The account, which must balance whenever one looks."""
    with database.read() as connection:
        counts = assets.counts(connection)
    assert counts.indexed + counts.pending + counts.working + counts.quarantined + counts.missing == counts.known
    return counts


def claim(database: Database, owner: str, limit: int = 100, now: float = 100.0) -> list[int]:
    with database.write() as connection:
        return [record.id for record in queue.claim(connection, owner, limit, 60, now=now)]


def finish(database: Database, owner: str, ids: list[int], *space_ids: int) -> set[int]:
    with database.write() as connection:
        return queue.finish(connection, owner, [result(asset_id, space_ids) for asset_id in ids], now=200.0)


def test_a_finished_asset_is_searchable_with_its_facts(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg", "c.jpg"])
    space = add_space(database)
    first, second = claim(database, "one", 2)
    with database.write() as connection:
        queue.finish(
            connection, "one", [result(first, [space.id], width=4, camera="Canon"), result(second, [space.id])]
        )
    with database.read() as connection:
        ids, _, vectors = embeddings.embeddings_after(connection, space.id, "image", 0, 10)
        hydrated = segments.hydrate(connection, ids)
    assert [record.asset_id for record in hydrated] == [first, second]
    assert [record.asset.path for record in hydrated if record.asset] == ["/media/a.jpg", "/media/b.jpg"]
    assert (hydrated[0].asset.width, hydrated[0].asset.camera, hydrated[0].asset.attempts) == (4, "Canon", 0)  # type: ignore[union-attr]
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


def test_an_expired_lease_is_taken_over_and_its_old_owner_writes_nothing(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "slow", now=100.0)
    assert claim(database, "quick", now=159.0) == []
    assert claim(database, "quick", now=161.0) == [asset_id]
    assert finish(database, "slow", [asset_id]) == set()
    with database.write() as connection:
        assert queue.quarantine(connection, "slow", asset_id, "no") is False
        assert queue.retry_later(connection, "slow", asset_id, "no", 0) is False
        assert queue.release(connection, "slow", [asset_id]) == set()
        assert queue.renew(connection, "slow", [asset_id], 60) == set()
    assert account(database).working == 1
    assert finish(database, "quick", [asset_id]) == {asset_id}


def test_an_asset_that_kills_its_workers_shows_by_its_attempts(database: Database) -> None:
    add_library(database, ["bomb.jpg"])
    for attempt in range(1, 4):
        with database.write() as connection:
            [record] = queue.claim(connection, f"victim {attempt}", 10, 60, now=100.0 * attempt)
        assert record.attempts == attempt


def test_a_renewed_lease_is_kept(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one", now=100.0)
    with database.write() as connection:
        assert queue.renew(connection, "one", [asset_id], 60, now=150.0) == {asset_id}
    assert claim(database, "two", now=200.0) == []


def test_released_work_is_pending_again_and_costs_no_attempt(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    with database.write() as connection:
        assert queue.release(connection, "one", [asset_id]) == {asset_id}
        [record] = queue.claim(connection, "two", 1, 60)
    assert record.attempts == 1


def test_a_transient_failure_waits_for_its_time(database: Database) -> None:
    add_library(database, ["a.jpg"])
    [asset_id] = claim(database, "one")
    with database.write() as connection:
        assert queue.retry_later(connection, "one", asset_id, "the mount is away", not_before=500.0)
    assert claim(database, "one", now=499.0) == []
    assert claim(database, "one", now=500.0) == [asset_id]


def test_a_quarantined_asset_is_listed_with_its_reason_and_can_be_retried(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg"])
    first, second = claim(database, "one")
    with database.write() as connection:
        queue.quarantine(connection, "one", first, "truncated\0 after 3 bytes", kind="image")
        queue.quarantine(connection, "one", second, "zero bytes")
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
        queue.quarantine(connection, "one", asset_id, "truncated")
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
        assert queue.finish_unchanged(connection, "one", [asset_id]) == {asset_id}
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
        queue.finish(connection, "one", [result(asset_id, [space.id])])
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
    broken.segments[0] = type(broken.segments[0])(signal="speech", text="one\0two \udfff")  # type: ignore[index]
    with database.write() as connection:
        queue.finish(connection, "one", [broken])
    with database.read() as connection:
        record = assets.get_asset(connection, asset_id)
        [segment] = segments.segments_of(connection, asset_id)
    assert (record.width, record.latitude, record.longitude) == (None, None, None)
    assert record.camera == "Ca non\ufffd"
    assert segment.text == "one two \ufffd"
