"""Vectors and their numbers: what followers read, and why they miss nothing."""

from __future__ import annotations

import threading
from functools import partial

import numpy as np
import pytest
from support.catalog_world import add_library, add_space, claims_held, index_all, new_segment, result, vector

from search.catalog import assets, embeddings, queue, segments, sequence, spaces
from search.catalog.database import Database
from search.catalog.records import IndexedAsset, NewSegment
from search.errors import CatalogError, NotFoundError, UsageError


def test_vectors_come_back_in_half_precision_in_the_order_of_their_numbers(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg", "c.jpg"])
    space = add_space(database)
    ids = index_all(database, space.id)
    with database.read() as connection:
        first = embeddings.embeddings_after(connection, space.id, "image", 0, 2)
        rest = embeddings.embeddings_after(connection, space.id, "image", int(first[1][-1]), 2)
        nothing = embeddings.embeddings_after(connection, space.id, "image", int(rest[1][-1]), 2)
    assert first[0].dtype == first[1].dtype == np.int64
    assert first[2].dtype == np.float16
    expected = np.array([vector(asset_id) for asset_id in ids], np.float16)
    assert np.array_equal(np.concatenate([first[2], rest[2]]), expected)
    assert [len(part) for part in nothing] == [0, 0, 0]


def test_a_follower_never_misses_a_vector_however_writers_interleave(database: Database) -> None:
    add_library(database, [f"{i}.jpg" for i in range(48)])
    space = add_space(database)
    stop = threading.Event()
    looked = threading.Condition()
    looks = 0
    seen: list[int] = []

    def has_looked_since(begun: int) -> bool:
        return looks >= begun + 2

    def write(owner: str) -> None:
        while True:
            with database.write() as connection:
                claimed = queue.claim(connection, owner, 2, 60)
            if not claimed:
                return
            with database.write() as connection:
                queue.finish(
                    connection, claims_held(connection, owner), [result(record.id, [space.id]) for record in claimed]
                )
                with looked:  # numbers are drawn, but not yet visible: the follower looks meanwhile
                    assert looked.wait_for(partial(has_looked_since, looks), 30)

    def follow() -> None:
        nonlocal looks
        highest = 0
        while True:
            last_round = stop.is_set()
            with database.read() as connection:
                ids, numbers, _ = embeddings.embeddings_after(connection, space.id, "image", highest, 100)
            assert (np.diff(numbers) > 0).all()
            with looked:
                looks += 1
                looked.notify_all()
            seen.extend(ids.tolist())
            highest = int(numbers[-1]) if len(numbers) else highest
            if last_round:
                return

    writers = [threading.Thread(target=write, args=(f"writer {i}",)) for i in range(4)]
    follower = threading.Thread(target=follow)
    for thread in [follower, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    follower.join()
    with database.read() as connection:
        assert sorted(seen) == sorted(segments.filter_segments(connection, None).tolist())
        assert len(seen) == 48


def test_numbers_are_not_visible_before_lower_ones(database: Database) -> None:
    """Whoever draws numbers holds the counter until commit, so the second writer waits for the first."""
    order: list[str] = []
    drawn, overtaken = threading.Event(), threading.Event()

    def first() -> None:
        with database.write() as connection:
            numbers = sequence.draw(connection, 5)
            drawn.set()
            assert not overtaken.wait(0.2)
            order.append(f"first {numbers[0]}")

    def second() -> None:
        drawn.wait()
        with database.write() as connection:
            numbers = sequence.draw(connection, 1)
            overtaken.set()
            order.append(f"second {numbers[0]}")

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert order == ["first 1", "second 6"]


def test_forgotten_deletions_move_the_horizon(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg"])
    space = add_space(database)
    first, second = index_all(database, space.id)
    with database.write() as connection:
        assets.delete_asset(connection, first)
        assets.delete_asset(connection, second)
        numbers, _ = embeddings.deletions_after(connection, 0, 10)
        assert sequence.forget_deletions(connection, int(numbers[0])) == 1
    with database.read() as connection:
        assert embeddings.horizon(connection) == numbers[0]
        assert embeddings.deletions_after(connection, 0, 10)[0].tolist() == [numbers[1]]


def test_tombstones_from_long_ago_are_forgotten_by_themselves(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "KEPT_NUMBERS", 10)
    with database.write() as connection:
        for first in range(0, 40, 4):
            sequence.record_deletions(connection, list(range(first, first + 4)))
        numbers, _ = embeddings.deletions_after(connection, 0, 100)
        assert embeddings.horizon(connection) == 30
    assert numbers.tolist() == list(range(31, 41))


def test_a_new_space_is_filled_from_what_is_missing_in_it(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg", "c.jpg"])
    old = add_space(database)
    index_all(database, old.id, signals=("image", "text"))
    new = add_space(database, "next")
    with database.read() as connection:
        page = embeddings.missing_embeddings(connection, new.id, ["image", "text"], limit=2)
        rest = embeddings.missing_embeddings(connection, new.id, ["image"], cursor=page[-1].asset_id, limit=2)
    assert [record.signal for record in page] == ["image", "text"] * 2
    assert [(record.asset_id, record.signal) for record in rest] == [(3, "image")]
    rows = [(record.id, vector(record.id)) for record in page]
    with database.write() as connection:
        assert embeddings.add_embeddings(connection, new.id, rows[:3]) == 3
        assert embeddings.add_embeddings(connection, new.id, [*rows, (999, vector(1))]) == 1
        assert embeddings.add_embeddings(connection, 999, rows) == 0
    with database.read() as connection:
        counts = {count.signal: count for count in embeddings.embedding_counts(connection, new.id)}
        ids, vectors = embeddings.vectors_of(connection, new.id, [page[0].id, 999])
    assert (counts["image"].segments, counts["image"].embedded) == (3, 2)
    assert (counts["text"].segments, counts["text"].embedded) == (3, 2)
    assert ids.tolist() == [page[0].id]
    assert np.array_equal(vectors[0], vector(page[0].id).astype(np.float16))


def test_two_fillers_at_once_write_each_vector_once(database: Database) -> None:
    add_library(database, [f"{i}.jpg" for i in range(20)])
    index_all(database)
    space = add_space(database)
    with database.read() as connection:
        rows = [
            (record.id, vector(record.id)) for record in embeddings.missing_embeddings(connection, space.id, ["image"])
        ]
    written: list[int] = []

    def fill() -> None:
        with database.write() as connection:
            written.append(embeddings.add_embeddings(connection, space.id, rows))

    threads = [threading.Thread(target=fill) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(written) == [0, 0, 20]


def test_a_missing_asset_is_not_filled(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    index_all(database)
    space = add_space(database)
    with database.write() as connection:
        [record] = embeddings.missing_embeddings(connection, space.id, ["image"])
        assets.mark_missing(connection, source.id, [], before=1e12)
        assert embeddings.add_embeddings(connection, space.id, [(record.id, vector(1))]) == 0


def test_a_vector_that_is_no_row_of_finite_numbers_is_refused(database: Database) -> None:
    add_library(database, ["a.jpg"])
    space = add_space(database)
    with database.write() as connection:
        queue.claim(connection, "one", 1, 60)
    for broken in (np.full(4, np.nan, np.float32), np.full(4, 1e6, np.float32), np.zeros((1, 4), np.float32)):
        segment = NewSegment(signal="image", vectors={space.id: broken})
        whole = IndexedAsset(asset_id=1, kind="image", content_hash="0", facts=result(1).facts, segments=[segment])
        with pytest.raises(CatalogError, match="a vector must be"), database.write() as connection:
            queue.finish(connection, claims_held(connection, "one"), [whole])


def test_switching_the_space_is_one_step_there_and_back(database: Database) -> None:
    old, new = add_space(database, "old"), add_space(database, "new")
    with database.write() as connection:
        assert spaces.active_space(connection) is None
        spaces.activate_space(connection, "old")
    for name in ("new", "old", "new"):
        with database.write() as connection:
            assert spaces.activate_space(connection, name).state == "active"
        with database.read() as connection:
            states = {record.name: record.state for record in spaces.list_spaces(connection)}
        assert states[name] == "active"
        assert sorted(states.values()) in (["active", "filling"], ["active", "ready"])
    with pytest.raises(UsageError, match="in use"), database.write() as connection:
        spaces.drop_space(connection, "new")
    with database.write() as connection:
        spaces.drop_space(connection, "old")
        assert [record.id for record in spaces.list_spaces(connection)] == [new.id]
    assert old.id != new.id


def test_spaces_are_found_by_name_and_names_are_taken_once(database: Database) -> None:
    record = add_space(database)
    with database.write() as connection:
        spaces.set_calibration(connection, record.id, '{"a": 1}')
        spaces.set_probe(connection, record.id, b"\0\1")
        spaces.mark_filled(connection, record.id)
        changed = spaces.get_space(connection, "starter")
        with pytest.raises(UsageError, match="already"):
            spaces.create_space(connection, "starter", "{}", "0")
        with pytest.raises(NotFoundError, match="there are: starter"):
            spaces.get_space(connection, "nowhere")
    assert (changed.calibration, changed.probe, changed.state) == ('{"a": 1}', b"\0\1", "ready")


def test_dropping_a_space_frees_its_vectors_and_leaves_the_others(database: Database) -> None:
    one, two = add_space(database, "one"), add_space(database, "two")
    add_library(database, ["a.jpg"])
    index_all(database, one.id, two.id)
    with database.write() as connection:
        spaces.drop_space(connection, "one")
    with database.read() as connection:
        assert len(embeddings.embeddings_after(connection, one.id, "image", 0, 9)[0]) == 0
        assert len(embeddings.embeddings_after(connection, two.id, "image", 0, 9)[0]) == 1


def test_segments_without_words_or_vectors_are_fine(database: Database) -> None:
    add_library(database, ["a.wav"])
    with database.write() as connection:
        queue.claim(connection, "one", 1, 60)
        bare = IndexedAsset(
            asset_id=1,
            kind="audio",
            content_hash="0",
            facts=result(1).facts,
            segments=[new_segment("sound"), new_segment("speech", "")],
        )
        assert queue.finish(connection, claims_held(connection, "one"), [bare]) == {1}
    with database.read() as connection:
        assert [record.text for record in segments.segments_of(connection, 1)] == [None, None]
