"""One Alembic history leads both databases, from anywhere and from many processes at once, to the models."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from search.catalog import textindex, upgrading
from search.catalog.database import Database
from search.catalog.models import metadata
from search.errors import CatalogError

MIGRATE = "import sys; from search.catalog.database import Database; Database.open(sys.argv[1]).migrate()"
ROOT = Path(__file__).parents[1]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database without any table."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new.sqlite'}"
    return request.getfixturevalue("empty_postgresql_urls").create()


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """As in migrations/env.py: the full-text index is derived."""
    return not (kind in ("table", "index", "column") and textindex.is_derived(name))


def test_the_migrations_lead_to_the_models(database: Database) -> None:
    with database.write() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": include_name, "compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_history_is_one_line_and_files_are_named_after_their_revision() -> None:
    config = Config()
    config.set_main_option("script_location", str(upgrading.folder()))
    script = ScriptDirectory.from_config(config)
    walked = [revision.revision for revision in script.walk_revisions()]
    assert script.get_heads() == walked[:1]
    assert list(reversed(walked)) == upgrading.revisions()


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
        assert upgrading.current(connection) == upgrading.revisions()[-1]
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
            connection.exec_driver_sql(f"UPDATE alembic_version SET version_num = '{upgrading.revisions()[-1]}'")


def test_a_failed_migration_leaves_no_trace(empty_url: str) -> None:
    database = Database.open(empty_url)
    with suppress(RuntimeError), database.write() as connection:
        upgrading.upgrade(connection)
        raise RuntimeError("the power went")
    with database.read() as connection:
        assert upgrading.current(connection) is None
    database.migrate()
    database.close()
