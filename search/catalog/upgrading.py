"""Applies the Alembic history of the `migrations` package, from wherever that is installed.

Knows revisions; knows no table but Alembic's own. Revision files are named `NNNN_what.py` after their
revision `NNNN`, so the newest one is known without importing Alembic (a sixth of a second).
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from sqlalchemy import Connection, inspect

from search.errors import CatalogError

_LOCK = 0x4D65646C  # "Medl"; any number will do, as long as every process uses the same


def folder() -> Path:
    """Where the `migrations` package lies."""
    spec = importlib.util.find_spec("migrations")
    if spec is None or not spec.submodule_search_locations:
        raise CatalogError("the package 'migrations' is not installed: reinstall medley")
    return Path(spec.submodule_search_locations[0])


def revisions() -> list[str]:
    """All revisions, oldest first."""
    return sorted(path.name.partition("_")[0] for path in (folder() / "versions").glob("[0-9]*_*.py"))


def current(connection: Connection) -> str | None:
    """The revision of the tables; None when there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def is_current(connection: Connection, revision: str = "head") -> bool:
    """Whether nothing is left to do. Raises CatalogError when the tables are newer than this Medley."""
    found = current(connection)
    known = revisions()
    if found is not None and found not in known:
        raise CatalogError(f"the catalogue has revision {found}, newer than {known[-1]}: upgrade medley")
    return found == (known[-1] if revision == "head" else revision)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade inside the caller's write transaction: all of it or nothing."""
    from alembic import command  # here, because a search that finds everything up to date needs none of it
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
    if is_current(connection, revision):  # another process was quicker
        return
    config = Config()
    config.set_main_option("script_location", str(folder()).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
