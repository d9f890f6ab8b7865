"""Sounds wait for a caption as images do."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

OF_IMAGES = "caption IS NULL AND kind = 'image' AND status = 'indexed'"
OF_SOUNDS_TOO = "caption IS NULL AND kind IN ('image', 'audio') AND status = 'indexed'"


def upgrade() -> None:
    _index(OF_SOUNDS_TOO)


def downgrade() -> None:
    op.execute("UPDATE asset SET caption = NULL WHERE kind = 'audio'")
    _index(OF_IMAGES)


def _index(waiting: str) -> None:
    op.drop_index("ix_asset_without_caption", "asset")
    op.create_index(
        "ix_asset_without_caption",
        "asset",
        ["not_before", "id"],
        sqlite_where=sa.text(waiting),
        postgresql_where=sa.text(waiting),
    )
