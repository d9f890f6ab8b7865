"""The tables of the catalogue, as SQLAlchemy Core. Migrations must agree with them (a test proves it).

Ids are integers that are never used twice, also not after a deletion, because a segment's id is its
vector's id in every partition of every process. Times are UTC epoch seconds (float), so that both
databases store and compare them alike. Paths are kept twice: `path` is what people see and filter by
(always valid Unicode), `path_bytes` is what the file system wants.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
metadata = MetaData(naming_convention=NAMING)

# SQLite gives rowids (and so never-reused ids) only to INTEGER primary keys.
Id = BigInteger().with_variant(Integer, "sqlite")

source = Table(
    "source",
    metadata,
    Column("id", Id, primary_key=True),
    Column("root", Text, nullable=False, unique=True),  # absolute folder or file, or an fsspec URL
    Column("recursive", Boolean, nullable=False),
    Column("watched", Boolean, nullable=False),
    Column("state", String(16), nullable=False),  # active, paused
    Column("reason", Text),  # why it is paused
    Column("created_at", Float, nullable=False),
    Column("scanned_at", Float),
    sqlite_autoincrement=True,
)

asset = Table(
    "asset",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source_id", ForeignKey("source.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("path_bytes", LargeBinary, nullable=False),
    Column("kind", String(8)),  # image, video, audio; unknown until probed
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    Column("side_car", Text, nullable=False, server_default=""),  # state of the words beside it; see FoundFile
    Column("content_hash", String(64)),  # blake2b-256 of the bytes, hex
    Column("status", String(16), nullable=False),  # pending, working, indexed, quarantined, missing
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", Float, nullable=False, server_default="0"),  # earliest next try
    Column("lease_owner", String(64)),
    Column("lease_expires_at", Float),
    Column("error", Text),  # of the last failure, for people
    Column("note", Text),  # what was left out of an indexed asset, for people
    Column("unread", Boolean, nullable=False, server_default=false()),  # indexed, but its text is still to be read
    Column("width", Integer),
    Column("height", Integer),
    Column("duration_seconds", Float),
    Column("captured_at", Float),
    Column("latitude", Float),
    Column("longitude", Float),
    Column("camera", Text),
    Column("title", Text),
    Column("language", Text),  # most spoken, BCP 47
    Column("perceptual_hash", LargeBinary),  # see search/duplicates.py
    Column("created_at", Float, nullable=False),
    Column("indexed_at", Float),
    UniqueConstraint("source_id", "path_bytes"),
    Index("ix_asset_status_not_before", "status", "not_before", "id"),
    Index("ix_asset_unread", "not_before", "id", sqlite_where=text("unread"), postgresql_where=text("unread")),
    CheckConstraint("status IN ('pending', 'working', 'indexed', 'quarantined', 'missing')", name="status"),
    Index("ix_asset_content_hash", "content_hash"),
    sqlite_autoincrement=True,
)

segment = Table(
    "segment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False),
    Column("signal", String(8), nullable=False),
    Column("start_seconds", Float),
    Column("end_seconds", Float),
    Column("text", Text),
    Column("details", LargeBinary),  # JSON: words with times, boxes, confidence, language
    # With the id, so that filters are answered from the index alone (SQLite's indexes hold it anyway).
    Index("ix_segment_asset_id_signal", "asset_id", "signal", postgresql_include=["id"]),
    sqlite_autoincrement=True,
)

space = Table(
    "space",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("specification", Text, nullable=False),  # JSON; what the registry opens the space from
    Column("fingerprint", String(64), nullable=False),
    Column("state", String(16), nullable=False),  # filling, ready, active
    Column("probe", LargeBinary),  # known vectors of a fixed probe, float32; readiness compares
    Column("calibration", Text),  # JSON, see search/calibration.py
    Column("created_at", Float, nullable=False),
    # Not two processes that switch at once can leave two active spaces.
    Index(
        "uq_space_active",
        "state",
        unique=True,
        sqlite_where=text("state = 'active'"),
        postgresql_where=text("state = 'active'"),
    ),
    sqlite_autoincrement=True,
)

embedding = Table(
    "embedding",
    metadata,
    Column("space_id", ForeignKey("space.id", ondelete="CASCADE"), primary_key=True),
    Column("segment_id", ForeignKey("segment.id", ondelete="CASCADE"), primary_key=True),
    Column("signal", String(8), nullable=False),
    Column("sequence", BigInteger, nullable=False),  # 0: hidden, because its asset is missing
    Column("vector", LargeBinary, nullable=False),  # float16, little-endian
    Index("ix_embedding_space_id_signal_sequence", "space_id", "signal", "sequence"),
    Index("ix_embedding_segment_id", "segment_id"),
)

# Segments that are gone, so that followers can drop their vectors.
deletion = Table(
    "deletion",
    metadata,
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("segment_id", BigInteger, primary_key=True, autoincrement=False),
)

# The row "sequence" is locked by whoever numbers embeddings or deletions until its commit: so numbers become visible
# in their order, on both databases, and a follower that remembers the highest one misses nothing.
counter = Table(
    "counter",
    metadata,
    # sequence; horizon: deletions up to it are forgotten; identity: of this catalogue, random
    Column("name", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),  # scan, fill
    Column("source_id", ForeignKey("source.id", ondelete="CASCADE")),
    Column("space_id", ForeignKey("space.id", ondelete="CASCADE")),
    Column("state", String(16), nullable=False),  # running, paused, done, failed, cancelled
    Column("stage", Text),
    Column("total", Integer, nullable=False, server_default="0"),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("failed", Integer, nullable=False, server_default="0"),
    Column("error", Text),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

api_key = Table(
    "api_key",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False),
    Column("hash", String(64), nullable=False, unique=True),  # sha256 of a 256-bit random key, hex
    Column("scopes", Text, nullable=False),  # space-separated: read write admin
    Column("created_at", Float, nullable=False),
    Column("used_at", Float),
    Column("revoked_at", Float),
    sqlite_autoincrement=True,
)

# Recent queries, for comparing spaces and auditing recall; bounded, and off by setting.
recent_query = Table(
    "recent_query",
    metadata,
    Column("id", Id, primary_key=True),
    Column("query", Text, nullable=False),  # JSON
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

# Answers to writes that carried an idempotency key.
idempotent_response = Table(
    "idempotent_response",
    metadata,
    Column("key", String(128), primary_key=True),
    Column("request_hash", String(64), nullable=False),
    Column("status", Integer, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
)
