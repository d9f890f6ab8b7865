"""Saved searches, the files that match them, and how their webhooks are told."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "saved_search",
        sa.Column("id", ID, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("least", sa.Float(), nullable=True),
        sa.Column("notify", sa.Boolean(), nullable=False),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("webhook_secret", sa.Text(), nullable=True),
        sa.Column("resolved", sa.LargeBinary(), nullable=True),
        sa.Column("fingerprint", sa.String(64), nullable=True),
        sa.Column("revision", sa.Integer(), server_default="0", nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_search")),
        sa.UniqueConstraint("name", name=op.f("uq_saved_search_name")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "saved_event",
        sa.Column("id", ID, nullable=False),
        sa.Column("saved_search_id", ID, nullable=False),
        sa.Column("asset_id", ID, nullable=False),
        sa.Column("segment_id", sa.BigInteger(), nullable=True),
        sa.Column("relevance", sa.Float(), nullable=False),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_saved_event")),
        sa.ForeignKeyConstraint(
            ["saved_search_id"],
            ["saved_search.id"],
            name=op.f("fk_saved_event_saved_search_id_saved_search"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["asset_id"], ["asset.id"], name=op.f("fk_saved_event_asset_id_asset"), ondelete="CASCADE"
        ),
        sa.UniqueConstraint("saved_search_id", "asset_id", name=op.f("uq_saved_event_saved_search_id_asset_id")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_saved_event_asset_id", "saved_event", ["asset_id"])
    op.create_table(
        "delivery",
        sa.Column("event_id", ID, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default="0", nullable=False),
        sa.Column("not_before", sa.Float(), server_default="0", nullable=False),
        sa.Column("claim_number", sa.Integer(), server_default="0", nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("updated_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_delivery")),
        sa.ForeignKeyConstraint(
            ["event_id"], ["saved_event.id"], name=op.f("fk_delivery_event_id_saved_event"), ondelete="CASCADE"
        ),
    )
    op.create_index("ix_delivery_state_not_before", "delivery", ["state", "not_before"])
    op.create_table(
        "matching",
        sa.Column("space_id", ID, nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("owner", sa.String(64), nullable=True),
        sa.Column("expires_at", sa.Float(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("space_id", name=op.f("pk_matching")),
        sa.ForeignKeyConstraint(
            ["space_id"], ["space.id"], name=op.f("fk_matching_space_id_space"), ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    op.drop_table("matching")
    op.drop_table("delivery")
    op.drop_table("saved_event")
    op.drop_table("saved_search")
