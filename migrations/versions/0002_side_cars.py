"""The words that lie beside a recording belong to its state."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Of what is indexed already nothing is known: files with words beside them are looked into once more.
    op.add_column("asset", sa.Column("side_car", sa.Text(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("asset", "side_car")
