"""Alembic's environment. Normally run by `search.catalog.upkeep.migrating`, which hands over a connection.

By hand (`alembic -x url=... -c ...`) it is needed only to draft a new revision.
"""

from alembic import context
from sqlalchemy import Connection, create_engine

from search.catalog.models import metadata
from search.catalog.sql.full_text_index import is_derived


def include_name(name: str | None, kind: str, _parents: object) -> bool:
    """The full-text index is derived, and each database has its own kind: autogenerate leaves it alone."""
    return not (kind in ("table", "index", "column") and is_derived(name))


def run(connection: Connection) -> None:
    """Upgrade on this connection; its owner commits."""
    context.configure(connection=connection, target_metadata=metadata, include_name=include_name)
    with context.begin_transaction():
        context.run_migrations()


connection = context.config.attributes.get("connection")
if connection is not None:
    run(connection)
else:
    url = context.get_x_argument(as_dictionary=True)["url"]
    with create_engine(url).begin() as opened:
        run(opened)
