"""The full-text index over segments' words, and how each database is made to maintain it.

Derived, so no table of `models.metadata`; both kinds follow the segment table by themselves (triggers,
a generated column) and so can't be forgotten by a writer. Used by migrations and repairs alone.
"""

from __future__ import annotations

import string
from typing import Any

from sqlalchemy import ColumnElement, Connection, FromClause, Select, column, func, literal, literal_column, select
from sqlalchemy import table as named_table

from search.catalog.models import segment
from search.catalog.sql.cleaning import clean_text
from search.words import SEPARATOR, UNSPACED, separated

NAME = "segment_words"  # FTS5 table on SQLite; column `words` and its index on PostgreSQL

# Larger texts fail: PostgreSQL refuses a tsvector above 1 MiB. Words behind this are not searchable.
INDEXED_CHARACTERS = 200_000

# `medley_separated` is `search.words.separated`, which every connection of ours brings along.
_SQLITE = (
    "CREATE VIEW segment_words_source AS SELECT id, medley_separated(text) AS text FROM segment WHERE text IS NOT NULL",
    # Marks belong to words: without them FTS5 cuts Hindi and Thai at every vowel.
    """CREATE VIRTUAL TABLE segment_words USING fts5(text, content='segment_words_source', content_rowid='id',
       tokenize="porter unicode61 remove_diacritics 2 categories 'L* M* N* Co'")""",
    """CREATE TRIGGER segment_words_insert AFTER INSERT ON segment WHEN new.text IS NOT NULL BEGIN
       INSERT INTO segment_words(rowid, text) VALUES (new.id, medley_separated(new.text)); END""",
    """CREATE TRIGGER segment_words_delete AFTER DELETE ON segment WHEN old.text IS NOT NULL BEGIN
       INSERT INTO segment_words(segment_words, rowid, text)
       VALUES ('delete', old.id, medley_separated(old.text)); END""",
    # Before the other one: SQLite fires triggers of one moment in no order that one may rely on.
    """CREATE TRIGGER segment_words_update_old BEFORE UPDATE OF text ON segment WHEN old.text IS NOT NULL BEGIN
       INSERT INTO segment_words(segment_words, rowid, text)
       VALUES ('delete', old.id, medley_separated(old.text)); END""",
    """CREATE TRIGGER segment_words_update_new AFTER UPDATE OF text ON segment WHEN new.text IS NOT NULL BEGIN
       INSERT INTO segment_words(rowid, text) VALUES (new.id, medley_separated(new.text)); END""",
)
_SQLITE_DROP = (
    *(f"DROP TRIGGER segment_words_{name}" for name in ("insert", "delete", "update_old", "update_new")),
    "DROP TABLE segment_words",
    "DROP VIEW segment_words_source",
)

# FTS5 splits at every character that is neither letter nor digit and drops accents. PostgreSQL's parser
# would keep e-mail addresses, paths and 3.14 as one word, and accents: so its text is prepared first.
# (Letter by letter, so that a place in the prepared text is a place in the text; and what is cut off from its
# neighbours, as `search.words.separated` does, stands between separators that can be told from the text.)
_PUNCTUATION = string.punctuation.replace("'", "''").replace("\\", "\\\\").replace("%", "%%")
_SPACES = " " * len(string.punctuation)

# The Snowball stemmer without stop words: "to be or not to be" must be findable as a phrase.
_POSTGRESQL = (
    "CREATE TEXT SEARCH DICTIONARY medley_stem (TEMPLATE = snowball, Language = english)",
    "CREATE TEXT SEARCH CONFIGURATION medley_words (COPY = pg_catalog.english)",
    """ALTER TEXT SEARCH CONFIGURATION medley_words ALTER MAPPING REPLACE english_stem WITH medley_stem""",
    f"""CREATE FUNCTION medley_plain(words text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
        SELECT translate(
            CASE WHEN octet_length(words) = char_length(words) THEN words ELSE
                regexp_replace(
                    normalize(regexp_replace(normalize(words, NFD), '[\u0300-\u036f]', '', 'g'), NFC),
                    '[{UNSPACED}]', '{SEPARATOR}\\&{SEPARATOR}', 'g')
            END, E'{_PUNCTUATION}', '{_SPACES}') $$""",
    f"""ALTER TABLE segment ADD COLUMN words tsvector GENERATED ALWAYS AS
        (to_tsvector('medley_words', medley_plain(left(text, {INDEXED_CHARACTERS})))) STORED""",
    "CREATE INDEX ix_segment_words ON segment USING gin (words) WITH (fastupdate = on)",
)
_POSTGRESQL_DROP = (
    "ALTER TABLE segment DROP COLUMN words",
    "DROP FUNCTION medley_plain",
    "DROP TEXT SEARCH CONFIGURATION medley_words",
    "DROP TEXT SEARCH DICTIONARY medley_stem",
)


def create(connection: Connection) -> None:
    """Build the index on empty or full tables."""
    for statement in _SQLITE if connection.dialect.name == "sqlite" else _POSTGRESQL:
        connection.exec_driver_sql(statement)


def recreate(connection: Connection) -> None:
    """Replace an index of an older make by one of this make, over all segments."""
    on_sqlite = connection.dialect.name == "sqlite"
    for statement in _SQLITE_DROP if on_sqlite else _POSTGRESQL_DROP:
        connection.exec_driver_sql(statement)
    create(connection)
    if on_sqlite:  # PostgreSQL computes a new column for all rows by itself
        rebuild(connection)


def rebuild(connection: Connection) -> None:
    """Rebuild it from the segments, after damage."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("INSERT INTO segment_words(segment_words) VALUES ('rebuild')")
    else:
        connection.exec_driver_sql("REINDEX INDEX ix_segment_words")


def is_derived(name: str | None) -> bool:
    """Whether a table, column or index belongs to the full-text index."""
    return name is not None and (name.startswith(NAME) or name in ("words", "ix_segment_words"))


def assets_saying(phrase: str, dialect: str) -> Select[Any] | None:
    """Ids of the assets with a segment whose words hold this run of words; None for a phrase without words."""
    if not any(map(str.isalnum, phrase)):
        return None
    said = segment.alias("said")
    return select(said.c.asset_id).where(_holds(said, clean_text(phrase), dialect))


def _holds(said: FromClause, phrase: str, dialect: str) -> ColumnElement[bool]:
    if dialect == "sqlite":
        # Inside the quotes of FTS5's grammar only a quote is special.
        quoted = '"' + separated(phrase).replace('"', '""') + '"'
        words = named_table(NAME, column("rowid"))
        return said.c.id.in_(select(words.c.rowid).where(column(NAME).op("MATCH")(literal(quoted))))
    query = func.phraseto_tsquery("medley_words", func.medley_plain(phrase))
    return literal_column("said.words").op("@@")(query)
