"""What came of a job: how a space was measured, or what it has learnt."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("job") as batch:
        batch.add_column(sa.Column("result", sa.Text()))


def downgrade() -> None:
    with op.batch_alter_table("job") as batch:
        batch.drop_column("result")
