"""The day on a photo is that of the photographer's clock."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of what is indexed already the offset is unknown until it is indexed again.
    op.add_column("asset", sa.Column("captured_offset", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("asset", "captured_offset")
