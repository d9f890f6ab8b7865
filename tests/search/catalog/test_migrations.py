"""One Alembic history leads both databases, from anywhere and from many processes at once, to the models."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, Table, insert
from support.paths import ROOT

from search.catalog import assets, sources
from search.catalog.database import Database
from search.catalog.models import asset, metadata
from search.catalog.records import FoundFile
from search.catalog.sql import full_text_index
from search.catalog.states import AssetStatus
from search.catalog.upkeep import migrating
from search.errors import CatalogError

MIGRATE = "import sys; from search.catalog.database import Database; Database.open(sys.argv[1]).migrate()"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite'}"
    return str(request.getfixturevalue("empty_postgresql_urls").create())


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """As in migrations/env.py: the full-text index is derived."""
    return not (kind in ("table", "index", "column") and full_text_index.is_derived(name))


def test_the_migrations_lead_to_the_models(database: Database) -> None:
    with database.write() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": include_name, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_history_is_one_line_and_files_are_named_after_their_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(migrating.folder()))
    script = ScriptDirectory.from_config(config)
    walked = [revision.revision for revision in script.walk_revisions()]
    assert script.get_heads() == walked[:1]
    assert list(reversed(walked)) == migrating.revisions()


def test_processes_that_start_together_migrate_once(empty_url: str, tmp_path: Path) -> None:
    # From another folder: the history is found in the installed package, not beside the caller.
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", MIGRATE, empty_url],
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "PATH": ""},
            stderr=subprocess.PIPE,
        )
        for _ in range(3)
    ]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0] * 3, errors
    database = Database.open(empty_url)
    with database.read() as connection:
        assert migrating.current(connection) == migrating.revisions()[-1]
        assert connection.exec_driver_sql("SELECT count(*) FROM counter").scalar() == 3
    database.close()


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.read() as connection:
        before = connection.exec_driver_sql("SELECT name, value FROM counter ORDER BY name").all()
    database.migrate()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT name, value FROM counter ORDER BY name").all() == before


def test_a_catalogue_of_a_newer_medley_is_refused(database: Database) -> None:
    with database.write() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    try:
        with pytest.raises(CatalogError, match=r"9999.*upgrade medley"):
            database.migrate()
    finally:
        with database.write() as connection:
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{migrating.revisions()[-1]}'")


def test_a_failed_migration_leaves_no_trace(empty_url: str) -> None:
    database = Database.open(empty_url)
    with suppress(RuntimeError), database.write() as connection:
        migrating.upgrade(connection)
        raise RuntimeError("the power went")
    with database.read() as connection:
        assert migrating.current(connection) is None
    database.migrate()
    database.close()


def test_files_that_two_sources_knew_are_one_asset_each_after_migrating(database: Database) -> None:
    with database.write() as connection:
        trip, photos, other = (sources.add_source(connection, root) for root in ("/p/trip", "/p", "/q"))
        ids = {}
        for source, names in ((trip, ("a", "b")), (photos, ("trip/a", "trip/b", "c")), (other, ("a",))):
            files = [FoundFile(path=f"{source.root}/{name}.jpg", path_bytes=f"{source.root}/{name}.jpg".encode(),
                               size_bytes=1, modified_ns=1) for name in names]  # fmt: skip
            ids[source.root] = assets.sync_assets(connection, source.id, files).ids
        searchable = ids["/p"][1]
        connection.execute(asset.update().where(asset.c.id == searchable).values(status=AssetStatus.INDEXED))
    migration = importlib.import_module("migrations.versions.0005_one_source_a_file")
    with database.write() as connection, Operations.context(MigrationContext.configure(connection)):
        migration.upgrade()
    with database.read() as connection:
        kept = {record.path: record.id for record in assets.list_assets(connection)}
        assert [source.root for source in sources.list_sources(connection)] == ["/p", "/q"]
    assert kept == {
        "/p/trip/a.jpg": ids["/p/trip"][0],  # the older one
        "/p/trip/b.jpg": searchable,
        "/p/c.jpg": ids["/p"][2],
        "/q/a.jpg": ids["/q"][0],
    }


def test_photos_that_are_known_already_get_the_names_of_their_places(empty_url: str) -> None:
    old = Database.open(empty_url)
    with old.write() as connection:
        migrating.upgrade(connection, "0014")  # the last one without places
        tables = MetaData()
        tables.reflect(connection, only=("source", "asset"))
        connection.execute(insert(tables.tables["source"]).values(made(tables.tables["source"], id=1, state="active")))
        for number, (latitude, longitude) in enumerate(
            [(48.8566, 2.3522), (48.8570, 2.3530), (0.0, -30.0), (None, None)]
        ):
            name = f"{number}.jpg"
            row = made(
                tables.tables["asset"],
                id=number + 1,
                source_id=1,
                path=name,
                path_bytes=name.encode(),
                status="indexed",
            )
            connection.execute(
                insert(tables.tables["asset"]).values(row | {"latitude": latitude, "longitude": longitude})
            )
    old.migrate()
    with old.read() as connection:
        named = [record.place for record in sorted(assets.list_assets(connection), key=lambda record: record.id)]
        kept = connection.exec_driver_sql("SELECT name, area FROM place").all()
    old.close()
    assert named[0] is not None
    assert "Paris" in named[0]
    assert named == [named[0], named[0], None, None]
    assert [(name, area) for name, area in kept] == [(named[0], "Paris, France")]


def made(table: Table, **known: object) -> dict[str, object]:
    """A row: what is known of it, and something of the right type for every other column that needs a value."""
    needed = {column.name: column.type.python_type() for column in table.columns
              if not column.nullable and column.server_default is None and not column.primary_key}  # fmt: skip
    return needed | known


def test_the_revisions_are_one_line_and_each_follows_the_one_before() -> None:
    files = sorted((migrating.folder() / "versions").glob("[0-9]*_*.py"))
    named = [re.findall(r'(?m)^(?:down_)?revision = (?:"(\d+)"|None)', file.read_text("utf-8")) for file in files]
    numbers = [f"{number:04}" for number in range(1, len(files) + 1)]
    assert [file.name.partition("_")[0] for file in files] == numbers
    assert named == [[number, before] for number, before in zip(numbers, ["", *numbers[:-1]], strict=True)]
