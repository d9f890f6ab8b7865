"""Blocks of many rows on PostgreSQL, where foreign keys may go unchecked: still nothing without its parent."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import msgspec
import psycopg
import pytest
from sqlalchemy import make_url
from support.catalog_world import add_library, add_space, claims_held, found, new_segment, result

from search.catalog import assets, queue, segments
from search.catalog.database import Connection, Database
from search.catalog.upkeep import health

pytestmark = pytest.mark.postgres

MANY = 1200  # segments of one file


@pytest.fixture
def database(postgresql_url: str) -> Iterator[Database]:
    """With one file that waits to be indexed, and a space."""
    database = Database.open(postgresql_url)
    add_library(database, ["long.mp4"])
    add_space(database)
    yield database
    database.close()


@pytest.fixture
def plain_user(postgresql_url: str) -> Iterator[Database]:
    """The catalogue as somebody opens it who may read and write rows, and nothing else."""
    role = f"medley_test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute(f"CREATE ROLE {role} IN ROLE pg_read_all_data, pg_write_all_data")
        url = make_url(postgresql_url).update_query_dict({"options": f"-c role={role}"})
        opened = Database.open(url.render_as_string(hide_password=False))
        yield opened
        opened.close()
        server.execute(f"DROP ROLE {role}")


def write_many(connection: Connection) -> int:
    """Finish the file that waits, with many segments; returns its id."""
    (claimed,) = queue.claim(connection, "indexer", 1, 60)
    (space,) = connection.exec_driver_sql("SELECT id FROM space").scalars()
    many = [new_segment("frame", f"words {number}", {space: number}) for number in range(MANY)]
    indexed = msgspec.structs.replace(result(claimed.id), segments=many)
    queue.finish(connection, claims_held(connection, "indexer"), [indexed])
    return claimed.id


def rows(database: Database, table: str) -> int:
    with database.read() as connection:
        return int(connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one())


def test_what_was_written_unchecked_goes_with_its_file(database: Database) -> None:
    with database.write() as connection:
        asset_id = write_many(connection)
    assert (rows(database, "segment"), rows(database, "embedding")) == (MANY, MANY)
    with database.read() as connection:
        assert health.inspect(connection).healthy
    with database.write() as connection:
        assets.delete_asset(connection, asset_id)
    assert (rows(database, "segment"), rows(database, "embedding")) == (0, 0)


def test_keys_are_checked_again_in_the_same_transaction(database: Database) -> None:
    with database.write() as connection:
        asset_id = write_many(connection)
        segments.remove_segments_of(connection, [asset_id])
    assert (rows(database, "segment"), rows(database, "embedding")) == (0, 0)


def test_triggers_that_an_operator_made_fire(database: Database, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as server:
        server.execute("CREATE TABLE seen (id bigint)")
        server.execute(
            "CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN INSERT INTO seen VALUES (new.id); RETURN new; END $$"
        )
        server.execute("CREATE TRIGGER see AFTER INSERT ON segment FOR EACH ROW EXECUTE FUNCTION see()")
        try:
            with database.write() as connection:
                write_many(connection)
            assert rows(database, "seen") == MANY
        finally:
            server.execute("DROP FUNCTION see CASCADE; DROP TABLE seen")


def test_who_may_not_go_unchecked_writes_all_the_same(database: Database, plain_user: Database) -> None:
    with plain_user.write() as connection:
        write_many(connection)
    assert (rows(database, "segment"), rows(database, "embedding")) == (MANY, MANY)


def test_files_are_found_by_path_in_a_table_that_grew(database: Database) -> None:
    """In one statement, whatever it holds: each path once, known or not."""
    with database.write() as connection:
        (source,) = connection.exec_driver_sql("SELECT id FROM source").scalars()
        paths = [found(name).path_bytes for name in ("long.mp4", "none.jpg", "long.mp4")]
        known = assets.files_of(connection, source, paths)
        elsewhere = assets.files_of(connection, source + 1, paths)
    assert list(known) == [b"/media/long.mp4"]
    assert not elsewhere
