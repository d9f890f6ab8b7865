"""Keys, jobs, recent queries and repeated writes; and what people see when the database is unwell."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import msgspec
import pytest
from conftest import PostgresqlScratch
from sqlalchemy import Table
from support.catalog_world import add_library, add_space, index_all

from search.catalog import assets, idempotency, jobs, keys, models, query_log, queue, records
from search.catalog.database import Database
from search.catalog.sql import connections
from search.catalog.states import JobState
from search.catalog.upkeep import health
from search.errors import CatalogError, NotFoundError, UsageError
from search.settings import Settings


def test_a_key_opens_until_it_is_revoked(database: Database) -> None:
    with database.write() as connection:
        assert not keys.any_keys(connection)
        key = keys.create_key(connection, "phone", "a" * 64, "read write", now=1.0)
        assert keys.find_key(connection, "a" * 64) == key
        assert keys.find_key(connection, "b" * 64) is None
        keys.touch_key(connection, key.id, now=100.0)
        keys.touch_key(connection, key.id, now=101.0)
        assert keys.list_keys(connection)[0].used_at == 100.0  # not written at every request
        assert keys.revoke_key(connection, key.id, now=5.0).revoked_at == 5.0
        assert keys.revoke_key(connection, key.id, now=6.0).revoked_at == 5.0
        assert keys.find_key(connection, "a" * 64) is None
        assert not keys.any_keys(connection)
        with pytest.raises(NotFoundError):
            keys.revoke_key(connection, 99)


def test_a_job_counts_and_hears_what_people_decide(database: Database) -> None:
    source, space = add_library(database, []), add_space(database)
    with database.write() as connection:
        scan = jobs.create_job(connection, "scan", source_id=source.id, total=10, now=1.0)
        fill = jobs.create_job(connection, "fill", space_id=space.id, now=2.0)
        jobs.advance_job(connection, scan.id, done=2, failed=1, stage="reading", now=3.0)
        jobs.set_job_state(connection, scan.id, JobState.PAUSED)
        seen = jobs.advance_job(connection, scan.id, done=1, total=20, now=4.0)
        assert (seen.done, seen.failed, seen.total, seen.stage, seen.state) == (3, 1, 20, "reading", "paused")
        assert [job.id for job in jobs.list_jobs(connection)] == [fill.id, scan.id]
        assert [job.id for job in jobs.list_jobs(connection, cursor=fill.id)] == [scan.id]
        assert [job.id for job in jobs.list_jobs(connection, state=JobState.RUNNING)] == [fill.id]
        jobs.set_job_state(connection, scan.id, JobState.FAILED, "the mount is away")
        assert jobs.get_job(connection, scan.id).error == "the mount is away"
        with pytest.raises(UsageError, match="has ended"):
            jobs.set_job_state(connection, scan.id, JobState.RUNNING)
        with pytest.raises(NotFoundError):
            jobs.get_job(connection, 99)


def test_recent_queries_are_bounded(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_log, "MAX_RECENT_QUERIES", 5)
    with database.write() as connection:
        for number in range(12):
            query_log.remember_query(connection, f'"{number}"')
        newest = query_log.recent_queries(connection, limit=3)
        assert [record.query for record in newest] == ['"11"', '"10"', '"9"']
        assert len(query_log.recent_queries(connection, limit=100)) == 5
        query_log.forget_queries(connection)
        assert query_log.recent_queries(connection) == []


def test_the_first_answer_under_an_idempotency_key_stays_for_a_day(database: Database) -> None:
    day = idempotency.RESPONSE_SECONDS
    with database.write() as connection:
        assert idempotency.reserve(connection, "k", "h", now=0.0) is None
        idempotency.complete(connection, "k", 201, b"one")
        reserved = idempotency.reserve(connection, "k", "h", now=day - 1)
        assert reserved is not None
        assert (reserved.status, reserved.body) == (201, b"one")
        assert idempotency.reserve(connection, "k", "h", now=day + 1) is None


def test_a_key_is_taken_before_anything_is_done_and_given_back_when_nothing_was(database: Database) -> None:
    with database.write() as connection:
        assert idempotency.reserve(connection, "k", "h", now=0.0) is None
        begun = idempotency.reserve(connection, "k", "h", now=1.0)  # by another process
        assert begun is not None
        assert begun.status == idempotency.RESERVED
        idempotency.forget(connection, "k")
        assert idempotency.reserve(connection, "k", "h", now=2.0) is None
        # Whoever reserved it has died.
        assert idempotency.reserve(connection, "k", "h", now=3.0 + idempotency.RESERVED_SECONDS) is None


def test_records_have_the_fields_of_their_tables_in_order() -> None:
    pairs: dict[Table, type[msgspec.Struct]] = {
        models.source: records.SourceRecord,
        models.asset: records.AssetRecord,
        models.segment: records.SegmentRecord,
        models.space: records.SpaceRecord,
        models.job: records.JobRecord,
        models.api_key: records.KeyRecord,
        models.recent_query: records.QueryRecord,
        models.idempotent_response: records.ResponseRecord,
    }
    for table, record in pairs.items():
        fields = [field.name for field in msgspec.structs.fields(record)]
        assert [name for name in fields if name != "asset"] == table.columns.keys()


def test_an_unreachable_server_is_said_plainly_and_without_the_password() -> None:
    database = Database.open("postgresql://someone:secret@127.0.0.1:1/medley")
    with pytest.raises(CatalogError) as caught, database.read() as connection:
        assets.counts(connection)
    message = str(caught.value)
    assert "127.0.0.1:1/medley" in message
    assert "secret" not in message
    assert "\n" not in message
    database.close()


@pytest.mark.parametrize("url", ["", "nonsense", "mysql://x/y", "sqlite://", "sqlite:///:memory:", "oracle+x://y"])
def test_a_url_that_can_not_hold_a_catalogue_is_refused(url: str) -> None:
    with pytest.raises(CatalogError):
        Database.open(url)


@pytest.mark.postgres
@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_database_of_another_encoding_is_refused_plainly(
    empty_postgresql_urls: PostgresqlScratch, encoding: str
) -> None:
    database = Database.open(empty_postgresql_urls.create(encoding))
    try:
        with pytest.raises(CatalogError, match=f"{encoding}.*ENCODING 'UTF8'"):
            database.migrate()
        with pytest.raises(CatalogError, match=encoding), database.write():
            pass
    finally:
        database.close()


def test_a_new_catalogue_is_for_its_owner_alone_and_an_older_one_is_closed(tmp_path: Path) -> None:
    def rights(path: Path) -> str:
        return oct(path.stat().st_mode & 0o777)

    home = tmp_path / "new" / "home"
    files = ("medley.sqlite", "medley.sqlite-wal", "medley.sqlite-shm")
    database = Database.open(f"sqlite:///{home / 'medley.sqlite'}")
    database.migrate()
    with database.write():
        assert {path.name: rights(path) for path in home.iterdir()} == dict.fromkeys(files, "0o600")
    database.close()
    assert rights(home) == "0o700"
    (home / "medley.sqlite").chmod(0o664)
    home.chmod(0o775)
    Settings.load({}, home=home).make_home()
    Database.open(f"sqlite:///{home / 'medley.sqlite'}").close()
    assert (rights(home), rights(home / "medley.sqlite")) == ("0o770", "0o660"), "a group may be let in on purpose"


def test_a_file_that_is_no_database_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "medley.sqlite").write_bytes(b"this is a letter to my aunt, not a database " * 100)
    database = Database.open(f"sqlite:///{tmp_path / 'medley.sqlite'}")
    with pytest.raises(CatalogError, match="not a database"):
        database.migrate()
    database.close()


def test_a_folder_that_can_not_be_made_is_said_plainly(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogError, match="can't be made"):
        Database.open(f"sqlite:///{tmp_path / 'file' / 'below' / 'medley.sqlite'}")


def test_a_home_of_any_name_holds_a_catalogue(tmp_path: Path) -> None:
    settings = Settings.load(environment={}, home=tmp_path / "a?b=c#d %20 ü")
    database = Database.open(settings)
    database.migrate()
    database.close()
    assert (settings.home / "medley.sqlite").is_file()


def test_a_write_inside_a_write_is_refused_instead_of_waiting_for_itself(database: Database) -> None:
    with database.write(), pytest.raises(CatalogError, match="inside another"), database.write():
        pass
    with database.write() as connection:
        assets.counts(connection)


def test_reading_changes_nothing(database: Database) -> None:
    add_library(database, ["a.jpg"])
    try:
        with database.read() as connection:
            connection.exec_driver_sql("DELETE FROM asset")
    except CatalogError:
        pass  # PostgreSQL refuses at once, SQLite forgets at the end
    with database.read() as connection:
        assert assets.counts(connection).known == 1


def test_readers_see_one_state_while_writers_go_on(database: Database) -> None:
    add_library(database, ["a.jpg"])
    with database.read() as connection:
        before = assets.counts(connection)
        writer = threading.Thread(target=add_library, args=(database, ["b.jpg"]))
        writer.start()
        writer.join()
        assert assets.counts(connection) == before
    with database.read() as connection:
        assert assets.counts(connection).known == 2


def test_sqlite_keeps_its_promises(sqlite_url: str) -> None:
    database = Database.open(sqlite_url)
    with database.read() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        }
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 30_000, "synchronous": 1}
    database.close()


def test_threads_share_a_catalogue(database: Database) -> None:
    add_library(database, [f"{i}.jpg" for i in range(10)])
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                with database.write() as connection:
                    query_log.remember_query(connection, f'"{number} {turn}"')
                with database.read() as connection:
                    assert assets.counts(connection).known == 10
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with database.read() as connection:
        assert len(query_log.recent_queries(connection, limit=1000)) == 120


@pytest.mark.postgres
def test_a_server_that_dropped_our_connections_fails_no_later_request(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE_SECONDS", 0.0)  # every connection has been idle for long
    database = Database.open(postgresql_url)
    with database.read() as connection:
        assets.counts(connection)
    with database.write() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    with database.read() as connection:
        assert assets.counts(connection).known == 0
    database.close()


def test_sqlite_says_that_it_is_busy(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("search.catalog.sql.connections.BUSY_SECONDS", 0.1)
    database = Database.open(sqlite_url)
    other = sqlite3.connect(sqlite_url.removeprefix("sqlite:///"), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(CatalogError, match="busy"), database.write():
        pass
    other.close()
    database.close()


@pytest.mark.parametrize("first_page", [0, 1])
def test_a_damaged_file_is_called_damaged_and_the_way_out_is_named(sqlite_url: str, first_page: int) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    with path.open("r+b") as file:
        file.seek(first_page * 4096)
        file.write(b"?" * (path.stat().st_size - first_page * 4096))

    def look() -> None:
        with Database.open(sqlite_url).read() as connection:
            health.inspect(connection)

    with pytest.raises(CatalogError, match=r"is damaged \(.*medley restore"):
        look()


def test_a_healthy_catalogue_has_nothing_wrong_and_a_tampered_one_says_what(database: Database) -> None:
    add_library(database, ["a.jpg", "b.jpg", "c.jpg"])
    space = add_space(database)
    index_all(database, space.id, signals=("image", "text"))
    add_library(database, ["d.jpg"])
    with database.write() as connection:
        assets.set_missing(connection, [2])
        queue.claim(connection, "one", 1, 60, now=100.0)
        assert health.inspect(connection).healthy
        assert health.expired_leases(connection, now=100.0) == 0
        assert health.expired_leases(connection, now=161.0) == 1
        connection.exec_driver_sql("UPDATE embedding SET sequence = 999 WHERE sequence = 0")
        connection.exec_driver_sql("UPDATE asset SET lease_owner = NULL WHERE status = 'working'")
        report = health.inspect(connection)
    assert not report.healthy
    assert (report.shown_embeddings_of_missing_assets, report.embeddings_beyond_the_counter) == (2, 2)
    assert report.working_without_lease == 1
    assert report.hidden_embeddings_of_present_assets == 0
