"""Claims are numbered, segments are numbered within their asset, and deaths are counted only of the lonely."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_NUMBERED = """
UPDATE segment SET ordinal = numbered.ordinal
FROM (SELECT id, row_number() OVER (PARTITION BY asset_id ORDER BY id) - 1 AS ordinal FROM segment) AS numbered
WHERE segment.id = numbered.id
"""


def upgrade() -> None:
    op.add_column("asset", sa.Column("takeovers", sa.Integer(), server_default="0", nullable=False))
    op.add_column("asset", sa.Column("alone", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("asset", sa.Column("deaths", sa.Integer(), server_default="0", nullable=False))
    op.add_column("asset", sa.Column("claim_number", sa.BigInteger(), server_default="0", nullable=False))
    op.add_column("segment", sa.Column("ordinal", sa.Integer(), server_default="0", nullable=False))
    op.execute(_NUMBERED)
    op.create_index("ix_segment_asset_id_ordinal", "segment", ["asset_id", "ordinal"], unique=True)


def downgrade() -> None:
    op.drop_index("ix_segment_asset_id_ordinal", "segment")
    op.drop_column("segment", "ordinal")
    for name in ("claim_number", "deaths", "alone", "takeovers"):
        op.drop_column("asset", name)
