"""What the notes of assets are about."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("asset") as batch:
        batch.add_column(sa.Column("note_kinds", sa.String(64)))


def downgrade() -> None:
    with op.batch_alter_table("asset") as batch:
        batch.drop_column("note_kinds")
