"""What a model sees in a picture is kept with it."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

WITHOUT_CAPTION = "caption IS NULL AND kind = 'image' AND status = 'indexed'"


def upgrade() -> None:
    op.add_column("asset", sa.Column("caption", sa.Text(), nullable=True))
    op.create_index(
        "ix_asset_without_caption",
        "asset",
        ["not_before", "id"],
        sqlite_where=sa.text(WITHOUT_CAPTION),
        postgresql_where=sa.text(WITHOUT_CAPTION),
    )


def downgrade() -> None:
    op.drop_index("ix_asset_without_caption", "asset")
    op.drop_column("asset", "caption")
