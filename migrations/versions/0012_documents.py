"""Documents: how many pages they have, and on which page, or from which line on, a segment stands."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("asset", sa.Column("pages", sa.Integer(), nullable=True))
    op.add_column("segment", sa.Column("page", sa.Integer(), nullable=True))
    op.add_column("segment", sa.Column("line", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("segment", "line")
    op.drop_column("segment", "page")
    op.drop_column("asset", "pages")
