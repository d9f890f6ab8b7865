"""Sources in stores: which profile reaches them, and the etags of their files."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source", sa.Column("profile", sa.Text(), server_default="", nullable=False))
    op.add_column("asset", sa.Column("etag", sa.Text(), server_default="", nullable=False))
    op.create_index(
        "ix_asset_etag",
        "asset",
        ["etag"],
        sqlite_where=sa.text("etag <> ''"),
        postgresql_where=sa.text("etag <> ''"),
    )


def downgrade() -> None:
    op.drop_index("ix_asset_etag", "asset")
    op.drop_column("asset", "etag")
    op.drop_column("source", "profile")
