"""What scans do to assets: new, changed, gone, back, moved; and reading them page by page."""

from __future__ import annotations

import pytest
from support.catalog_world import add_library, add_space, claims_held, found, index_all

from search.catalog import assets, embeddings, queue, segments, sources
from search.catalog.database import Database
from search.catalog.models import asset
from search.catalog.records import AssetRecord, FoundFile
from search.catalog.sql import full_text
from search.catalog.states import SourceState
from search.errors import NotFoundError
from search.query.conditions import PathMatches, SignalIs
from search.signals import Signal


def get(database: Database, asset_id: int) -> AssetRecord:
    with database.read() as connection:
        return assets.get_asset(connection, asset_id)


def searchable(database: Database, space_id: int) -> list[int]:
    """The ids that a follower which starts now would hold, by replaying numbers in order."""
    with database.read() as connection:
        ids, numbers, _ = embeddings.embeddings_after(connection, space_id, "image", 0, 1000)
        deleted_at, deleted = embeddings.deletions_after(connection, 0, 1000)
    events = sorted(
        [(n, i, True) for n, i in zip(numbers, ids, strict=True)]
        + [(n, i, False) for n, i in zip(deleted_at, deleted, strict=True)]
    )
    held: set[int] = set()
    for _, segment_id, added in events:
        (held.add if added else held.discard)(int(segment_id))
    return sorted(held)


def test_a_scan_knows_new_changed_and_unchanged_files(database: Database) -> None:
    source = add_library(database, ["a.jpg", "b.jpg"])
    index_all(database)
    with database.write() as connection:
        counts = assets.sync_assets(
            connection, source.id, [found("a.jpg"), found("b.jpg", size=99), found("c.jpg"), found("c.jpg")]
        )
    assert (counts.unchanged, counts.changed, counts.added, counts.returned) == (1, 1, 1, 0)
    assert counts.ids == (1, 2, 3)
    assert [get(database, i).status for i in counts.ids] == ["indexed", "pending", "pending"]


def test_names_that_are_no_unicode_are_kept_as_bytes(database: Database) -> None:
    source = add_library(database, [])
    odd = FoundFile(path="/media/\udcff\n\0.jpg", path_bytes=b"/media/\xff\n.jpg", size_bytes=1, modified_ns=-5)
    with database.write() as connection:
        [asset_id] = assets.sync_assets(connection, source.id, [odd]).ids
        assert assets.sync_assets(connection, source.id, [odd]).unchanged == 1
    record = get(database, asset_id)
    assert record.path_bytes == b"/media/\xff\n.jpg"
    assert record.path == "/media/\ufffd\n .jpg"


def test_missing_files_leave_every_search_but_keep_their_vectors_for_their_return(database: Database) -> None:
    source = add_library(database, ["a.jpg", "b.jpg"])
    space = add_space(database)
    first, second = index_all(database, space.id)
    before = searchable(database, space.id)
    with database.write() as connection:
        assert assets.mark_missing(connection, source.id, [first], before=1e12) == 1
    assert get(database, second).status == "missing"
    assert searchable(database, space.id) == before[:1]
    with database.read() as connection:
        assert segments.hydrate(connection, before)[0].asset_id == first
        assert len(segments.hydrate(connection, before)) == 1
        assert segments.filter_segments(connection, None).tolist() == before[:1]
        assert full_text.search_text(connection, f"words {second}", ("2",)) == []
    with database.write() as connection:
        assert assets.sync_assets(connection, source.id, [found("a.jpg"), found("b.jpg")]).returned == 1
    assert get(database, second).status == "indexed"
    assert searchable(database, space.id) == before


def test_an_upload_during_a_scan_is_not_taken_for_missing(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    with database.write() as connection:
        assets.sync_assets(connection, source.id, [found("upload.jpg")], now=500.0)
        assert assets.mark_missing(connection, source.id, [1], before=400.0) == 0


def test_a_file_that_comes_back_changed_is_indexed_anew(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    space = add_space(database)
    [asset_id] = index_all(database, space.id)
    with database.write() as connection:
        assets.mark_missing(connection, source.id, [], before=1e12)
        assets.sync_assets(connection, source.id, [found("a.jpg", size=77)])
    assert get(database, asset_id).status == "pending"
    assert searchable(database, space.id) == []
    index_all(database, space.id)
    assert len(searchable(database, space.id)) == 1


def test_a_file_that_went_missing_half_done_leaves_nothing_of_its_older_self(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    space = add_space(database)
    index_all(database, space.id)
    with database.write() as connection:
        assets.sync_assets(connection, source.id, [found("a.jpg", size=77)])  # changed, and pending
        assets.mark_missing(connection, source.id, [], before=1e12)
        assets.sync_assets(connection, source.id, [found("a.jpg", size=77)])
        assert assets.counts(connection).segments == {}
        assert embeddings.embedding_counts(connection, space.id) == []
    assert searchable(database, space.id) == []
    index_all(database, space.id)
    assert len(searchable(database, space.id)) == 1


def test_a_worker_loses_an_asset_that_goes_missing(database: Database) -> None:
    source = add_library(database, ["a.jpg"])
    with database.write() as connection:
        queue.claim(connection, "one", 1, 60)
        assets.mark_missing(connection, source.id, [], before=1e12)
        assert queue.renew(connection, claims_held(connection, "one"), 60) == set()


def test_a_moved_file_keeps_its_segments_and_its_id(database: Database) -> None:
    source = add_library(database, ["old/a.jpg"])
    space = add_space(database)
    [asset_id] = index_all(database, space.id)
    before = searchable(database, space.id)
    with database.write() as connection:
        [new_id] = assets.sync_assets(connection, source.id, [found("new/a.jpg")]).ids
        assets.mark_missing(connection, source.id, [new_id], before=1e12)
        [twin] = assets.find_by_hash(connection, get(database, asset_id).content_hash or "")
        assets.move_asset(connection, twin.id, source.id, found("new/a.jpg"))
    assert get(database, asset_id).path == "/media/new/a.jpg"
    assert get(database, asset_id).status == "indexed"
    assert searchable(database, space.id) == before
    with database.read() as connection:
        assert assets.counts(connection).known == 1
        moved = assets.find_asset(connection, "/media/new/a.jpg")
    assert moved is not None
    assert moved.id == asset_id


def test_deleting_a_source_forgets_its_assets_and_tells_followers(database: Database) -> None:
    source = add_library(database, ["a.jpg", "b.jpg"])
    space = add_space(database)
    index_all(database, space.id)
    with database.write() as connection:
        sources.delete_source(connection, source.id)
    assert searchable(database, space.id) == []
    with database.read() as connection:
        assert assets.counts(connection).known == 0
        assert len(embeddings.deletions_after(connection, 0, 10)[1]) == 2


def test_ids_are_never_used_twice(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg"])
    space = add_space(database)
    index_all(database, space.id)
    with database.write() as connection:
        last = connection.scalar(asset.select().with_only_columns(asset.c.id).order_by(asset.c.id.desc()))
        old_segments = [record.id for i in (1, 2) for record in segments.segments_of(connection, i)]
        assets.delete_assets(connection, [1, 2])
    add_library(database, ["c.jpg"])
    [new] = index_all(database, space.id)
    with database.read() as connection:
        [segment] = segments.segments_of(connection, new)
    assert last is not None
    assert new > last
    assert segment.id > max(old_segments)


def test_adding_a_source_again_keeps_it(database: Database) -> None:
    with database.write() as connection:
        first = sources.add_source(connection, "/media", recursive=True)
        again = sources.add_source(connection, "/media", recursive=False)
        sources.set_source_state(connection, first.id, SourceState.PAUSED, "the root is empty")
    assert (again.id, again.recursive, again.created_at) == (first.id, False, first.created_at)
    with database.read() as connection:
        [paused] = sources.list_sources(connection)
    assert (paused.state, paused.reason) == ("paused", "the root is empty")


def test_what_does_not_exist_is_not_found(database: Database) -> None:
    with database.read() as connection:
        for ask in (assets.get_asset, sources.get_source):
            with pytest.raises(NotFoundError, match="99"):
                ask(connection, 99)
        assert segments.get_segment(connection, 99) is None
        assert segments.hydrate(connection, [99, 98]) == []
        assert segments.hydrate(connection, []) == []


def test_paging_shows_each_asset_once_while_others_come_and_go(database: Database) -> None:
    source = add_library(database, [f"{i}.jpg" for i in range(10)])
    seen: list[int] = []
    cursor = None
    while True:
        with database.write() as connection:
            page = assets.list_assets(connection, cursor=cursor, limit=3)
            if page:
                assets.delete_assets(connection, [page[0].id])
                assets.sync_assets(connection, source.id, [found(f"late {page[-1].id}.jpg")])
        if not page or len(seen) > 30:
            break
        seen += [record.id for record in page]
        cursor = page[-1].id
    assert len(seen) == len(set(seen))
    assert set(range(1, 11)) <= set(seen)


def test_assets_are_listed_by_what_they_and_their_segments_are(database: Database) -> None:
    add_library(database, ["a.jpg", "b.png"])
    index_all(database, signals=("image", "text"))
    with database.read() as connection:
        pngs = assets.list_assets(connection, PathMatches("*.png"))
        with_text = assets.list_assets(connection, SignalIs(Signal.TEXT))
        assert assets.list_assets(connection, SignalIs(Signal.SPEECH)) == []
        assert [record.id for record in assets.get_assets(connection, [2, 9, 1])] == [2, 1]
    assert [record.path for record in pngs] == ["/media/b.png"]
    assert len(with_text) == 2


def test_hydrating_keeps_the_order_asked_for_and_any_number_of_ids(database: Database) -> None:
    add_library(database, [f"{i}.jpg" for i in range(9)])
    index_all(database)
    with database.read() as connection:
        ids = segments.filter_segments(connection, None)[::-1]
        for number in range(1, 10):
            assert [record.id for record in segments.hydrate(connection, ids[:number])] == ids[:number].tolist()
