"""The tables of the catalogue, as SQLAlchemy Core. Migrations must agree with them (a test proves it).

Ids are integers that are never used twice, not even after a deletion, because a segment's id is its
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

from search.catalog.states import AssetStatus, SpaceState

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

# An image or sound that is searchable and that no model has looked at; see search/catalog/captions.py.
WITHOUT_CAPTION = f"caption IS NULL AND kind IN ('image', 'audio') AND status = '{AssetStatus.INDEXED}'"

source = Table(
    "source",
    metadata,
    Column("id", Id, primary_key=True),
    Column("root", Text, nullable=False, unique=True),  # absolute folder or file, or the address of a store
    Column("recursive", Boolean, nullable=False),
    Column("watched", Boolean, nullable=False),
    Column("state", String(16), nullable=False),  # active, paused
    Column("reason", Text),  # why it is paused
    Column("created_at", Float, nullable=False),
    Column("scanned_at", Float),
    Column("excludes", Text, nullable=False, server_default=""),  # gitignore's patterns, one a line
    Column("skipped", Text, nullable=False, server_default="{}"),  # JSON: what the last whole scan left out, counted
    Column("profile", Text, nullable=False, server_default=""),  # how a store is reached: a name, no credentials
    sqlite_autoincrement=True,
)

# Files that somebody removed from the library: scans pass them by until somebody asks for them.
removal = Table(
    "removal",
    metadata,
    Column("source_id", ForeignKey("source.id", ondelete="CASCADE"), primary_key=True),
    Column("path_bytes", LargeBinary, primary_key=True),
)

asset = Table(
    "asset",
    metadata,
    Column("id", Id, primary_key=True),
    Column("source_id", ForeignKey("source.id", ondelete="CASCADE"), nullable=False),
    Column("path", Text, nullable=False),
    Column("path_bytes", LargeBinary, nullable=False),
    Column("kind", String(8)),  # image, video, audio, document; unknown until probed
    Column("size_bytes", BigInteger, nullable=False),
    Column("modified_ns", BigInteger, nullable=False),
    Column("changed_ns", BigInteger),  # of the inode; tells that contents changed under the same size and time
    Column("side_car", Text, nullable=False, server_default=""),  # state of the words beside it; see FoundFile
    Column("etag", Text, nullable=False, server_default=""),  # of a stored file; see FoundFile
    Column("content_hash", String(64)),  # blake2b-256 of the bytes, hex
    Column("status", String(16), nullable=False),  # pending, working, indexed, quarantined, missing
    Column("attempts", Integer, nullable=False, server_default="0"),  # claims that no earlier worker's silence led to
    Column("takeovers", Integer, nullable=False, server_default="0"),  # claims from a worker that fell silent
    Column("alone", Boolean, nullable=False, server_default=false()),  # its worker works on nothing else
    Column("deaths", Integer, nullable=False, server_default="0"),  # of workers that worked on nothing else
    Column("not_before", Float, nullable=False, server_default="0"),  # earliest next try
    Column("lease_owner", String(64)),
    Column("lease_expires_at", Float),  # by the database's clock
    Column("claim_number", BigInteger, nullable=False, server_default="0"),  # of the latest claim; see queue.py
    Column("error", Text),  # of the last failure, for people
    Column("note", Text),  # what was left out of an indexed asset, for people
    Column("unread", Boolean, nullable=False, server_default=false()),  # indexed, but its text is still to be read
    Column("caption", Text),  # what a model saw in it; empty: it could not say; NULL: nobody has looked yet
    Column("width", Integer),
    Column("height", Integer),
    Column("duration_seconds", Float),
    Column("captured_at", Float),
    Column("captured_offset", Integer),  # seconds ahead of UTC of the clock that told it; NULL: not written
    Column("latitude", Float),
    Column("longitude", Float),
    Column("camera", Text),
    Column("title", Text),
    Column("language", Text),  # most spoken, BCP 47
    Column("perceptual_hash", LargeBinary),  # see search/duplicates/matching.py
    Column("created_at", Float, nullable=False),
    Column("indexed_at", Float),
    Column("pages", Integer),  # of a document that has some
    Column("place", Text),  # name of the place nearest to its coordinates; NULL: none, or none near
    Column("note_kinds", String(64)),  # what the note is about: states.NoteKind, with commas
    UniqueConstraint("source_id", "path_bytes"),
    Index("ix_asset_status_not_before", "status", "not_before", "id"),
    Index("ix_asset_unread", "not_before", "id", sqlite_where=text("unread"), postgresql_where=text("unread")),
    Index(
        "ix_asset_without_caption",
        "not_before",
        "id",
        sqlite_where=text(WITHOUT_CAPTION),
        postgresql_where=text(WITHOUT_CAPTION),
    ),
    CheckConstraint(f"status IN ({', '.join(f'{status.value!r}' for status in AssetStatus)})", name="status"),
    Index("ix_asset_content_hash", "content_hash"),
    Index("ix_asset_etag", "etag", sqlite_where=text("etag <> ''"), postgresql_where=text("etag <> ''")),
    sqlite_autoincrement=True,
)

# The places where assets were captured, as search/gazetteer.py names them.
place = Table(
    "place",
    metadata,
    Column("name", Text, primary_key=True),  # Kreuzberg, Berlin, Germany
    Column("area", Text, nullable=False),  # Berlin, Germany
    Column("names", Text, nullable=False),  # each of its parts in all languages, folded, a newline around each
)

segment = Table(
    "segment",
    metadata,
    Column("id", Id, primary_key=True),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False),
    Column("ordinal", Integer, nullable=False, server_default="0"),  # in its asset, from 0: none comes twice
    Column("signal", String(8), nullable=False),
    Column("start_seconds", Float),
    Column("end_seconds", Float),
    Column("text", Text),
    Column("details", LargeBinary),  # JSON: words with times, boxes, confidence, language
    Column("page", Integer),  # of a document, from 1
    Column("line", Integer),  # of a text file: the first one of the text, from 1
    Index("ix_segment_asset_id_ordinal", "asset_id", "ordinal", unique=True),
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
    Column("calibration", Text),  # JSON, see search/ranking/calibration.py
    Column("created_at", Float, nullable=False),
    # Not two processes that switch at once can leave two active spaces.
    Index(
        "uq_space_active",
        "state",
        unique=True,
        sqlite_where=text(f"state = '{SpaceState.ACTIVE}'"),
        postgresql_where=text(f"state = '{SpaceState.ACTIVE}'"),
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

# The row "sequence" is locked until commit by a transaction that numbers embeddings or deletions. So numbers become
# visible in their order, on both databases, and a follower that remembers the highest one misses nothing.
counter = Table(
    "counter",
    metadata,
    # sequence; horizon: deletions up to it are forgotten; identity: of this catalogue, random; uploads: of
    # their folder; uploads seen, uploads unseen: when a worker last saw it, or did not (epoch seconds)
    Column("name", String(16), primary_key=True),
    Column("value", BigInteger, nullable=False),
)

job = Table(
    "job",
    metadata,
    Column("id", Id, primary_key=True),
    Column("kind", String(16), nullable=False),  # scan, fill, evaluate, tune
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
    Column("result", Text),  # JSON: of evaluate and tune
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

# What people say of results, to measure spaces by and to tune them.
judgement = Table(
    "judgement",
    metadata,
    Column("id", Id, primary_key=True),
    Column("query", Text, nullable=False),  # as typed
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False),
    Column("relevant", Integer, nullable=False),  # 0: not at all
    Column("created_at", Float, nullable=False),
    Index("ix_judgement_asset_id", "asset_id"),
    sqlite_autoincrement=True,
)

# What was learnt from judgements for the queries of a space.
tuning = Table(
    "tuning",
    metadata,
    Column("space_id", ForeignKey("space.id", ondelete="CASCADE"), primary_key=True, autoincrement=False),
    Column("weights", LargeBinary, nullable=False),  # MessagePack
    Column("record", Text, nullable=False),  # JSON, for people
    Column("created_at", Float, nullable=False),
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

# Token buckets of callers, shared by all processes; see keys.py. What is not here is full.
rate_bucket = Table(
    "rate_bucket",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("tokens", Float, nullable=False),
    Column("filled_at", Float, nullable=False),
)

# Searches that people keep: live collections, which tell of new files that match.
saved_search = Table(
    "saved_search",
    metadata,
    Column("id", Id, primary_key=True),
    Column("name", Text, nullable=False, unique=True),
    Column("query", Text, nullable=False),  # JSON: text and filters, see search/alerts/saved_query.py
    Column("least", Float),  # relevance from which a file matches; NULL: as the space's calibration says
    Column("notify", Boolean, nullable=False),  # whether new files that match raise events
    Column("webhook_url", Text),
    Column("webhook_secret", Text),
    Column("resolved", LargeBinary),  # its vectors in the space that `fingerprint` names; made again when that changes
    Column("fingerprint", String(64)),
    Column("revision", Integer, nullable=False, server_default="0"),  # of the query: matchers load it anew
    Column("created_at", Float, nullable=False),
    sqlite_autoincrement=True,
)

# A file that matches a saved search, told of once.
saved_event = Table(
    "saved_event",
    metadata,
    Column("id", Id, primary_key=True),
    Column("saved_search_id", ForeignKey("saved_search.id", ondelete="CASCADE"), nullable=False),
    Column("asset_id", ForeignKey("asset.id", ondelete="CASCADE"), nullable=False),
    Column("segment_id", BigInteger),  # its best moment then; the segment may be gone since
    Column("relevance", Float, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("saved_search_id", "asset_id"),
    Index("ix_saved_event_asset_id", "asset_id"),
    sqlite_autoincrement=True,
)

# An event on its way to a webhook; of one that arrived or was given up, what became of it.
delivery = Table(
    "delivery",
    metadata,
    Column("event_id", ForeignKey("saved_event.id", ondelete="CASCADE"), primary_key=True),
    Column("state", String(16), nullable=False),  # pending, delivered, dead
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", Float, nullable=False, server_default="0"),  # by the database's clock; while held: the lease
    Column("claim_number", Integer, nullable=False, server_default="0"),  # of the latest claim
    Column("status", Integer),  # of the last answer over HTTP
    Column("error", Text),  # of the last failure, for people
    Column("updated_at", Float, nullable=False),
    Index("ix_delivery_state_not_before", "state", "not_before"),
)

# How far the new files of a space have been compared with the saved searches, and by whom they are now.
matching = Table(
    "matching",
    metadata,
    Column("space_id", ForeignKey("space.id", ondelete="CASCADE"), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("owner", String(64)),
    Column("expires_at", Float, nullable=False, server_default="0"),  # by the database's clock
)
