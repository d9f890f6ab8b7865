"""What scans leave out: excludes of a source, counts of what was skipped, files that somebody removed; inode times."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("source", sa.Column("excludes", sa.Text(), server_default="", nullable=False))
    op.add_column("source", sa.Column("skipped", sa.Text(), server_default="{}", nullable=False))
    op.add_column("asset", sa.Column("changed_ns", sa.BigInteger(), nullable=True))
    op.create_table(
        "removal",
        sa.Column("source_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("path_bytes", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["source_id"], ["source.id"], name=op.f("fk_removal_source_id_source"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("source_id", "path_bytes", name=op.f("pk_removal")),
    )


def downgrade() -> None:
    op.drop_table("removal")
    op.drop_column("asset", "changed_ns")
    op.drop_column("source", "skipped")
    op.drop_column("source", "excludes")
