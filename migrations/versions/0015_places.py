"""Where photos were captured, by name: the nearest city of those that are indexed already."""

import sqlalchemy as sa
from alembic import op

from search.catalog.sql.places import row_of
from search.gazetteer import find_place

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

# As of this revision: the tables may look different later.
_ASSET = sa.table("asset", *map(sa.column, ("id", "latitude", "longitude", "place")))
_PLACE = sa.table("place", *map(sa.column, ("name", "area", "names")))
_CHUNK = 1000


def upgrade() -> None:
    op.create_table(
        "place",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("area", sa.Text(), nullable=False),
        sa.Column("names", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_place")),
    )
    op.add_column("asset", sa.Column("place", sa.Text(), nullable=True))
    name_places(op.get_bind())


def name_places(connection: sa.Connection) -> None:
    """Give every asset with coordinates the name of its place."""
    known: set[str] = set()
    columns = sa.select(_ASSET.c.id, _ASSET.c.latitude, _ASSET.c.longitude).where(
        _ASSET.c.latitude.is_not(None), _ASSET.c.longitude.is_not(None)
    )
    naming = sa.update(_ASSET).where(_ASSET.c.id == sa.bindparam("of_asset")).values(place=sa.bindparam("named"))
    last = -1
    while rows := connection.execute(columns.where(_ASSET.c.id > last).order_by(_ASSET.c.id).limit(_CHUNK)).all():
        last = rows[-1].id
        found = [(row.id, place) for row in rows if (place := find_place(row.latitude, row.longitude)) is not None]
        new = {place.name: place for _, place in found if place.name not in known}
        if new:
            connection.execute(sa.insert(_PLACE), [row_of(place) for place in new.values()])
            known |= set(new)
        if found:
            connection.execute(naming, [{"of_asset": asset_id, "named": place.name} for asset_id, place in found])


def downgrade() -> None:
    op.drop_column("asset", "place")
    op.drop_table("place")
