"""Applies the Alembic history of the `migrations` package, from wherever that is installed.

Knows revisions; knows no table but Alembic's own. Revision files are named `NNNN_what.py` after their
revision `NNNN`, so the newest one is known without importing Alembic (a sixth of a second).
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect

from search.errors import CatalogError

_LOCK = 0x4D65646C  # "Medl"; any number will do, as long as every process uses the same


def folder() -> Path:
    """The folder of the `migrations` package. Raises CatalogError when it was not installed."""
    # Beside `search`, not by name: many projects have a folder `migrations`, and Alembic runs what lies there.
    path = Path(__file__).absolute().parents[3] / "migrations"
    if not (path / "versions").is_dir():
        raise CatalogError(f"{path} is missing: reinstall medley-search")
    return path


def revisions() -> list[str]:
    """All revisions, oldest first."""
    return sorted(path.name.partition("_")[0] for path in (folder() / "versions").glob("[0-9]*_*.py"))


def current(connection: Connection) -> str | None:
    """The revision of the tables; None when there are none."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()


def is_current(connection: Connection, revision: str = "head") -> bool:
    """Whether the tables are at this revision. Raises CatalogError when they are newer than this Medley."""
    present = current(connection)
    known = revisions()
    if present is not None and present not in known:
        raise CatalogError(f"the catalogue has revision {present}, newer than {known[-1]}: upgrade medley")
    return present == (known[-1] if revision == "head" else revision)


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Upgrade inside the caller's write transaction, entirely or not at all."""
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
