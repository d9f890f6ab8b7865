"""Captions of images: made once, after everything else, and again when the image has changed."""

from __future__ import annotations

import msgspec
from support.catalog_world import add_library, add_space, found, result

from search.catalog import assets, captions, queue
from search.catalog.database import Database
from search.catalog.queue import Claims


def indexed(database: Database, *names: str, unread: bool = False) -> list[int]:
    """Index these images as a worker does."""
    add_library(database, list(names))
    space = add_space(database)
    with database.write() as connection:
        claimed = queue.claim(connection, "first", 100, 60, now=100.0)
        done = [msgspec.structs.replace(result(asset.id, [space.id]), unread=unread) for asset in claimed]
        queue.finish(connection, queue.claims_of(claimed), done, now=100.0)
    return [asset.id for asset in claimed]


def claim(database: Database, owner: str, now: float = 200.0) -> Claims:
    with database.write() as connection:
        return queue.claims_of(captions.claim_without_caption(connection, owner, 10, 60, now=now))


def caption_of(database: Database, asset_id: int) -> str | None:
    with database.read() as connection:
        return assets.get_asset(connection, asset_id).caption


def test_an_indexed_image_gets_one_caption(database: Database) -> None:
    first, second = indexed(database, "a.jpg", "b.jpg")
    claims = claim(database, "one")
    assert list(claims) == [first, second]
    assert claim(database, "two") == {}  # the first still holds them
    with database.write() as connection:
        assert captions.write_captions(connection, claims, {first: "A dog runs.", second: ""}) == {first, second}
    assert (caption_of(database, first), caption_of(database, second)) == ("A dog runs.", "")
    assert claim(database, "two", now=1000.0) == {}
    with database.read() as connection:
        assert assets.get_asset(connection, first).attempts == 0


def test_what_holds_text_is_read_first(database: Database) -> None:
    indexed(database, "a.jpg", unread=True)
    assert claim(database, "one") == {}


def test_a_lease_that_ran_out_is_taken_over_and_its_old_owner_writes_nothing(database: Database) -> None:
    (asset_id,) = indexed(database, "a.jpg")
    late, taken = claim(database, "one", now=200.0), claim(database, "two", now=300.0)
    assert list(taken) == [asset_id]
    with database.write() as connection:
        assert captions.write_captions(connection, late, {asset_id: "late"}) == set()
        assert captions.write_captions(connection, taken, {asset_id: "in time"}) == {asset_id}
    assert caption_of(database, asset_id) == "in time"


def test_an_image_that_changed_is_looked_at_again(database: Database) -> None:
    (asset_id,) = indexed(database, "a.jpg")
    claims = claim(database, "one")
    with database.write() as connection:
        captions.write_captions(connection, claims, {asset_id: "A dog runs."})
        source_id = assets.get_asset(connection, asset_id).source_id
        changed = msgspec.structs.replace(found("a.jpg"), size_bytes=77)
        assets.sync_assets(connection, source_id, [changed], now=300.0)
        (claimed,) = queue.claim(connection, "one", 10, 60, now=301.0)
        queue.finish(connection, queue.claims_of([claimed]), [result(claimed.id)], now=302.0)
    assert caption_of(database, asset_id) is None
    assert list(claim(database, "two", now=400.0)) == [asset_id]
