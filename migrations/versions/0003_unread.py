"""Text in pictures is read after they have become searchable."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("asset", sa.Column("unread", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_index(
        "ix_asset_unread",
        "asset",
        ["not_before", "id"],
        sqlite_where=sa.text("unread"),
        postgresql_where=sa.text("unread"),
    )


def downgrade() -> None:
    op.drop_index("ix_asset_unread", "asset")
    op.drop_column("asset", "unread")
