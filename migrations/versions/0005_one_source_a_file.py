"""Sources that know the same files are merged: of each file the oldest searchable asset stays, with its id."""

import os

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# As of this revision: the tables may look different later.
_SOURCE = sa.table("source", sa.column("id"), sa.column("root"), sa.column("recursive"))
_ASSET = sa.table(
    "asset", *map(sa.column, ("id", "source_id", "path")), sa.column("path_bytes", sa.LargeBinary), sa.column("status")
)
_SEGMENT = sa.table("segment", sa.column("id"), sa.column("asset_id"))
_EMBEDDING = sa.table("embedding", sa.column("segment_id"))
_JOB = sa.table("job", sa.column("source_id"))
_COUNTER = sa.table("counter", sa.column("name"), sa.column("value"))
_DELETION = sa.table("deletion", sa.column("sequence"), sa.column("segment_id"))
_CHUNK = 500


def upgrade() -> None:
    connection = op.get_bind()
    rows = connection.execute(sa.select(_SOURCE.c.id, _SOURCE.c.root).order_by(_SOURCE.c.id)).all()
    real = {row.id: os.path.realpath(row.root) for row in rows if "://" not in row.root}
    named = {row.id: row.root for row in rows}
    # The shortest root first: it holds the others.
    for outer in sorted(real, key=lambda source_id: (len(real[source_id]), source_id)):
        for inner in sorted(real):
            if outer in named and inner in named and inner != outer and _lies_in(real[inner], real[outer]):
                name = os.path.normpath(os.path.join(named[outer], os.path.relpath(real[inner], real[outer])))  # noqa: PTH118
                if _merge(connection, inner, outer, named[inner], name):
                    del named[inner]


def downgrade() -> None:
    pass  # what was one file stays one


def _lies_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _merge(connection: sa.Connection, inner: int, outer: int, before: str, after: str) -> bool:
    """Only where both know a file: a walk of the outer one may have reasons to stay out of the inner one."""
    columns = sa.select(_ASSET.c.id, _ASSET.c.path, _ASSET.c.path_bytes, _ASSET.c.status)
    outside = {row.path_bytes: row for row in connection.execute(columns.where(_ASSET.c.source_id == outer))}
    first, then = os.fsencode(before), os.fsencode(after)
    moved = [
        (row, after + row.path[len(before) :], then + row.path_bytes[len(first) :])
        for row in connection.execute(columns.where(_ASSET.c.source_id == inner)).all()
    ]
    doubles = [(row, outside[path_bytes]) for row, _, path_bytes in moved if path_bytes in outside]
    if not doubles:
        return False
    _forget(connection, [max(pair, key=lambda row: (_distance(row.status), row.id)).id for pair in doubles])
    if before != after and moved:
        statement = sa.update(_ASSET).where(_ASSET.c.id == sa.bindparam("of_asset"))
        statement = statement.values(path=sa.bindparam("to"), path_bytes=sa.bindparam("to_bytes"))
        connection.execute(statement, [{"of_asset": row.id, "to": to, "to_bytes": data} for row, to, data in moved])
    for table in (_ASSET, _JOB):
        connection.execute(sa.update(table).where(table.c.source_id == inner).values(source_id=outer))
    connection.execute(sa.delete(_SOURCE).where(_SOURCE.c.id == inner))
    return True


def _distance(status: str) -> int:
    return {"indexed": 0, "missing": 2}.get(status, 1)


def _forget(connection: sa.Connection, asset_ids: list[int]) -> None:
    for start in range(0, len(asset_ids), _CHUNK):
        chunk = asset_ids[start : start + _CHUNK]
        gone = list(connection.scalars(sa.select(_SEGMENT.c.id).where(_SEGMENT.c.asset_id.in_(chunk))))
        _tell_followers(connection, gone)
        owned = sa.select(_SEGMENT.c.id).where(_SEGMENT.c.asset_id.in_(chunk))
        connection.execute(sa.delete(_EMBEDDING).where(_EMBEDDING.c.segment_id.in_(owned)))
        connection.execute(sa.delete(_SEGMENT).where(_SEGMENT.c.asset_id.in_(chunk)))
        connection.execute(sa.delete(_ASSET).where(_ASSET.c.id.in_(chunk)))


def _tell_followers(connection: sa.Connection, segment_ids: list[int]) -> None:
    """Processes that hold the vectors of these segments drop them when they read of their deletion."""
    if not segment_ids:
        return
    sequence = _COUNTER.c.name == "sequence"
    connection.execute(sa.update(_COUNTER).where(sequence).values(value=_COUNTER.c.value + len(segment_ids)))
    last = connection.execute(sa.select(_COUNTER.c.value).where(sequence)).scalar_one()
    rows = [
        {"sequence": last - place, "segment_id": segment_id} for place, segment_id in enumerate(reversed(segment_ids))
    ]
    connection.execute(sa.insert(_DELETION), rows)
