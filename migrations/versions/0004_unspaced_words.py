"""Full text finds words of scripts without spaces."""

from alembic import op

from search.catalog.sql import full_text_index

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    full_text_index.recreate(op.get_bind())
