"""A backup holds the whole catalogue, fits either database, and is refused when it is damaged."""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from sqlalchemy import inspect
from support.catalog_world import add_library, add_space, found, index_all, vector

from search.catalog import assets, embeddings, jobs, keys, segments, sequence, spaces
from search.catalog.database import Database
from search.catalog.sql import full_text
from search.catalog.upkeep import backup, migrating
from search.errors import CatalogError


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """Another catalogue without any table, on either database."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'restored.sqlite'}"
    else:
        url = request.getfixturevalue("empty_postgresql_urls").create()
    database = Database.open(url)
    yield database
    database.close()


def lived_in(database: Database) -> int:
    """A catalogue with a bit of everything and some history; returns the id of its space."""
    source = add_library(database, ["a.jpg", "b.jpg", "gone.jpg", "deleted.jpg"])
    space = add_space(database)
    index_all(database, space.id, signals=("image", "text"))
    with database.write() as connection:
        spaces.activate_space(connection, "starter")
        keys.create_key(connection, "phone", "0" * 64, "read write")
        jobs.create_job(connection, "fill", space_id=space.id)
        assets.delete_asset(connection, 4)
        assets.set_missing(connection, [3])
        assets.sync_assets(connection, source.id, [found("late.jpg")])
    return space.id


def dumped(database: Database) -> bytes:
    file = io.BytesIO()
    backup.dump(database, file)
    return file.getvalue()


def test_a_restored_catalogue_serves_the_same_and_gives_no_id_again(database: Database, empty: Database) -> None:
    space_id = lived_in(database)
    rows = backup.load(empty, io.BytesIO(dumped(database)))
    assert rows > 20
    with database.read() as old, empty.read() as new:
        for read in (assets.counts, assets.list_assets, spaces.list_spaces, keys.list_keys, jobs.list_jobs):
            assert read(new) == read(old)
        for signal in ("image", "text"):
            before = embeddings.embeddings_after(old, space_id, signal, 0, 100)
            after = embeddings.embeddings_after(new, space_id, signal, 0, 100)
            assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
        assert full_text.search_text(new, "words") != []
        assert {i for i, _ in full_text.search_text(new, "words")} == {
            i for i, _ in full_text.search_text(old, "words")
        }
        assert embeddings.latest_sequence(new) == embeddings.latest_sequence(old)
        highest = int(max(segments.filter_segments(old, None)))
    source = add_library(empty, ["new.jpg"])
    new_ids = index_all(empty, space_id)
    assert source.root == "/media"
    with empty.read() as connection:
        new_segments = [record.id for i in new_ids for record in segments.segments_of(connection, i)]
    assert min(new_ids) > 4  # asset 4 was deleted, its id is spent
    assert min(new_segments) > highest + 2


def test_a_backup_of_an_older_medley_is_loaded_and_upgraded(
    database: Database, empty: Database, first_columns: dict[str, set[str]]
) -> None:
    lived_in(database)
    assert backup.load(empty, io.BytesIO(as_of_the_first_revision(dumped(database), first_columns))) > 20
    with database.read() as old, empty.read() as new:
        numbered = [msgspec.structs.replace(record, claim_number=0) for record in assets.list_assets(old)]
        assert assets.list_assets(new) == numbered
        assert migrating.current(new) == migrating.revisions()[-1]


def as_of_the_first_revision(dump: bytes, columns: Mapping[str, Collection[str]]) -> bytes:
    """The same rows without the tables and columns that came later; `columns`: of the first revision, by table."""
    older, offset, kept = b"", 0, True
    dropped: list[int] = []
    while length := int.from_bytes(dump[offset : offset + 4], "little"):
        part = msgspec.msgpack.decode(dump[offset + 4 : offset + 4 + length])
        offset += 4 + length
        if "revision" in part:
            part["revision"] = migrating.revisions()[0]
        elif "columns" in part:
            kept = part["name"] in columns
            names = part["columns"]
            dropped = [at for at, name in enumerate(names) if kept and name not in columns[part["name"]]][::-1]
        if not kept:
            continue
        for row in [part.get("columns", []), *part.get("rows", [])]:
            for place_in_row in dropped if row else ():
                del row[place_in_row]
        frame = msgspec.msgpack.encode(part)
        older += len(frame).to_bytes(4, "little") + frame
    return older + bytes(4)


@pytest.fixture
def first_columns(tmp_path: Path) -> dict[str, set[str]]:
    """What the tables of the first revision hold."""
    database = Database.open(f"sqlite:///{tmp_path / 'first.sqlite'}")
    database.migrate(migrating.revisions()[0])
    with database.read() as connection:
        looked = inspect(connection)
        found = {name: {column["name"] for column in looked.get_columns(name)} for name in looked.get_table_names()}
    database.close()
    return found


def test_a_restored_catalogue_is_another_one_for_snapshots(database: Database, empty: Database) -> None:
    lived_in(database)
    backup.load(empty, io.BytesIO(dumped(database)))
    with database.read() as old, empty.read() as new:
        assert sequence.identity(old) != sequence.identity(new)


def test_a_backup_goes_only_into_an_empty_catalogue(database: Database) -> None:
    lived_in(database)
    with pytest.raises(CatalogError, match="not empty"):
        backup.load(database, io.BytesIO(dumped(database)))


def test_a_backup_is_one_moment_while_writers_go_on(database: Database, empty: Database) -> None:
    space_id = lived_in(database)

    class Busy(io.BytesIO):
        """Someone writes to the catalogue between any two parts of the dump."""

        number = 0

        def write(self, data: Any, /) -> int:
            self.number += 1
            if self.number < 12:
                add_library(database, [f"during {self.number}.jpg"])
                index_all(database, space_id)
            return super().write(data)

    file = Busy()
    with database.read() as connection:
        before = assets.counts(connection)
    backup.dump(database, file)
    backup.load(empty, io.BytesIO(file.getvalue()))
    with empty.read() as connection:
        counts = assets.counts(connection)
        vectors = len(embeddings.embeddings_after(connection, space_id, "image", 0, 1000)[0])
    assert before.known <= counts.known <= before.known + 1  # at most what came before the first look
    assert vectors == counts.indexed


def test_a_damaged_backup_is_refused_and_nothing_is_loaded(database: Database, empty: Database) -> None:
    lived_in(database)
    whole = dumped(database)
    noise = np.random.default_rng(1).bytes(500)
    damaged = [b"", b"\0\0\0\0", noise, whole[: len(whole) // 2], whole[:-4], whole[:9] + b"\xff" + whole[10:]]
    damaged.append(whole.replace(b"medley-catalogue-1", b"medley-catalogue-9"))
    damaged.append(whole.replace(migrating.revisions()[-1].encode(), b"9999"))
    damaged.append(whole.replace(b"path_bytes", b"path_bites"))
    for data in damaged:
        with pytest.raises(CatalogError):
            backup.load(empty, io.BytesIO(data))
    assert backup.load(empty, io.BytesIO(whole)) > 20


def test_an_unmigrated_catalogue_has_nothing_to_back_up(empty: Database) -> None:
    with pytest.raises(CatalogError, match="no tables"):
        backup.dump(empty, io.BytesIO())


def test_large_values_pass(database: Database, empty: Database) -> None:
    add_library(database, ["a.jpg"])
    space = add_space(database)
    with database.write() as connection:
        spaces.set_probe(connection, space.id, vector(1).tobytes() * 500_000)
    backup.load(empty, io.BytesIO(dumped(database)))
    with empty.read() as connection:
        assert spaces.get_space(connection, "starter").probe == vector(1).tobytes() * 500_000
