"""Full-text search over speech and text in pictures: FTS5 or tsvector with one interface.

Scores are BM25 on both databases, higher is better. (PostgreSQL counts a word once per segment, which
for passages of a few sentences is nearly the same.) What people type never reaches a query grammar:
it is cut into terms here, and each travels as one quoted value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Integer, Select, and_, cast, column, func, literal, select
from sqlalchemy import table as named_table

from search.catalog.models import asset, segment
from search.catalog.sql.cleaning import clean_text
from search.catalog.sql.filters import segment_clause
from search.catalog.states import AssetStatus
from search.query.conditions import Condition
from search.signals import Signal
from search.words import SEPARATOR, folded, is_unspaced, pieces, separated

MAX_TERMS = 64  # of one query; each costs a look into the index
# Common English function words: they match nearly everything and say nothing. Left out of the ranking
# where other words are there; phrases keep them ("to be or not to be").
_STOP_WORDS = (
    "a about am an and any are as at be but by can could did do does for from had has have he her his how i if in is "
    "it its many me much my no not of on or our she should so some than that the their them then there these they "
    "this those to was we were what when where which who why will with would you your"
)
STOP_WORDS = frozenset(_STOP_WORDS.split())
# Spaces and punctuation of all scripts; apostrophes, hyphens and points may stand inside a word.
_BREAKS = re.compile(
    r"[\s!\"#$%&()*+,/:;<=>?@\[\\\]^_`{|}~¡«»¿؟،؛।॥"
    r"\u2012-\u2018\u201a-\u205e\u3000-\u3004\u3008-\u3020\u30fb\uff01-\uff0f\uff1a-\uff20\uff3b-\uff40\uff5b-\uff65]+"
)
# The constants of FTS5's bm25(), so that PostgreSQL's scores are comparable (Robertson & Zaragoza 2009).
_K1 = 1.2
_B = 0.75
_LEAST_IDF = 1e-6
_START, _STOP = "\ue000", "\ue001"  # private use: media don't say them

_words = named_table("segment_words", column("rowid", Integer))


def search_text(
    connection: Connection,
    words: str,
    phrases: Sequence[str] = (),
    *,
    signals: Iterable[Signal | str] = (),
    condition: Condition | None = None,
    limit: int = 100,
) -> list[tuple[int, float]]:
    """Segments whose words match, best first: `(segment id, score)`.

    Any of `words` is enough and more are better; every one of `phrases` must be there, as one run of
    words. Letters' case, accents and English endings don't count. Missing assets are left out.
    """
    terms, required = terms_of(words), phrases_of(phrases)
    if not required and (phrases or not terms):
        return []
    search = _on_sqlite if connection.dialect.name == "sqlite" else _on_postgresql
    statement = search(terms, required)
    for clause in _conditions(connection, signals, condition):
        statement = statement.where(clause)
    return [(segment_id, float(score)) for segment_id, score in connection.execute(statement.limit(limit))]


def highlights(
    connection: Connection, segment_ids: Iterable[int], words: str, phrases: Sequence[str] = ()
) -> dict[int, tuple[tuple[int, int], ...]]:
    """Where the matched words stand: character ranges `[start, end)` in each segment's text."""
    terms, ids = terms_of(words) + phrases_of(phrases), [int(segment_id) for segment_id in segment_ids]
    if not terms or not ids:
        return {}
    if connection.dialect.name == "sqlite":
        marked: Any = func.highlight(column("segment_words"), 0, _START, _STOP)
        statement = select(_words.c.rowid, marked, segment.c.text).join(segment, segment.c.id == _words.c.rowid)
        statement = statement.where(_matches(" OR ".join(map(_quoted, terms))), _words.c.rowid.in_(ids))
    else:
        options = f"StartSel={_START}, StopSel={_STOP}, HighlightAll=true"
        query = _any([_tsquery(term) for term in terms])
        marked = func.ts_headline("medley_words", func.medley_plain(segment.c.text), query, options)
        statement = select(segment.c.id, marked, segment.c.text).where(
            segment.c.id.in_(ids), column("words").op("@@")(query)
        )
    wanted = [folded(term) for term in terms if is_unspaced(term)]
    return {
        segment_id: tuple(_whole(plain, _ranges(text, plain), wanted))
        for segment_id, text, plain in connection.execute(statement)
    }


def terms_of(words: str) -> list[str]:
    """The distinct words to search for, without stop words unless there are no others.

    Runs of scripts without spaces are cut into pieces of about a word (`search.words.pieces`).
    """
    cut = (piece for word in _BREAKS.split(clean_text(words).casefold()) for piece in pieces(word))
    every = [term for term in cut if any(map(str.isalnum, term))]
    telling = [term for term in every if term not in STOP_WORDS]
    return list(dict.fromkeys(telling or every))[:MAX_TERMS]


def phrases_of(phrases: Sequence[str]) -> list[str]:
    """Those that hold a word at all."""
    return [clean_text(phrase) for phrase in phrases if any(map(str.isalnum, phrase))]


def _conditions(
    connection: Connection, signals: Iterable[Signal | str], condition: Condition | None
) -> Iterable[ColumnElement[bool]]:
    yield asset.c.status != AssetStatus.MISSING
    wanted = [str(signal) for signal in signals]
    if wanted:
        yield segment.c.signal.in_(wanted)
    clause = segment_clause(condition, connection.dialect.name)
    if clause is not None:
        yield clause


def _on_sqlite(terms: Sequence[str], required: Sequence[str]) -> Select[int, float]:
    match = " OR ".join(map(_quoted, [*required, *terms]))
    if required and not terms:
        match = " AND ".join(map(_quoted, required))
    elif required:
        # The second half adds nothing to what matches, but lets the words count in the score.
        match = " AND ".join(map(_quoted, required)) + f" AND ({match})"
    score = (-func.bm25(column("segment_words"))).label("score")
    joined = _words.join(segment, segment.c.id == _words.c.rowid).join(asset, asset.c.id == segment.c.asset_id)
    statement = select(segment.c.id, score).select_from(joined).where(_matches(match))
    return statement.order_by(score.desc(), segment.c.id)


def _matches(expression: str) -> ColumnElement[bool]:
    return column("segment_words").op("MATCH")(literal(expression))


def _quoted(term: str) -> str:
    """A string of FTS5's grammar: inside the quotes only a quote is special."""
    return '"' + separated(term).replace('"', '""') + '"'


def _on_postgresql(terms: Sequence[str], required: Sequence[str]) -> Select[int, float]:
    queries = [_tsquery(term) for term in [*required, *terms]]
    vector: Any = column("words")
    must = [vector.op("@@")(query) for query in queries[: len(required)]]
    flags = [cast(vector.op("@@")(query), Integer).label(f"has_{i}") for i, query in enumerate(queries)]
    matches = (
        select(segment.c.id, func.length(vector).label("length"), *flags)
        .where(and_(*must) if must else vector.op("@@")(_any(queries)))
        .cte("matches")
    )
    holding = [func.sum(matches.c[f"has_{i}"]).label(f"holding_{i}") for i in range(len(queries))]
    library = select(func.avg(matches.c.length).label("length"), _segment_count().label("size"), *holding).cte(
        "library"
    )
    saturation = (_K1 + 1) / (1 + _K1 * (1 - _B + _B * matches.c.length / func.greatest(library.c.length, 1.0)))
    parts = [_idf(library.c.size, library.c[f"holding_{i}"]) * matches.c[f"has_{i}"] for i in range(len(queries))]
    score = cast(saturation * sum(parts[1:], parts[0]), Float).label("score")
    joined = matches.join(segment, segment.c.id == matches.c.id).join(asset, asset.c.id == segment.c.asset_id)
    statement = select(matches.c.id, score).select_from(joined.join(library, literal(True)))
    return statement.order_by(score.desc(), matches.c.id)


def _tsquery(term: str) -> Any:
    return func.phraseto_tsquery("medley_words", func.medley_plain(term))


def _any(queries: Sequence[Any]) -> Any:
    joined = queries[0]
    for query in queries[1:]:
        joined = joined.op("||")(query)
    return joined


def _segment_count() -> Any:
    """How many segments there are: the planner's estimate where the table is large, else counted."""
    rows: Any = select(column("reltuples")).select_from(named_table("pg_class"))
    estimate = rows.where(column("oid") == func.to_regclass("segment")).scalar_subquery()
    counted = select(func.count()).select_from(segment).scalar_subquery()
    return func.coalesce(func.nullif(func.greatest(estimate, 10_000), 10_000), counted)


def _idf(size: Any, holding: Any) -> Any:
    ratio = (size - holding + 0.5) / (holding + 0.5)
    return func.greatest(func.ln(func.greatest(ratio, 1.0)), _LEAST_IDF)


def _ranges(marked: str, plain: str) -> tuple[tuple[int, int], ...]:
    ranges: list[tuple[int, int]] = []
    at = 0
    for piece in re.split(f"({_START}|{_STOP})", marked):
        if piece == _START:
            ranges.append((at, at))
        elif piece == _STOP:
            ranges[-1] = (ranges[-1][0], at)
        else:
            at += len(piece) - piece.count(SEPARATOR)
    # A text that holds the marks itself, or letters of several code points, has no reliable places.
    return tuple(_joined(ranges)) if at == len(plain) else ()


def _whole(plain: str, ranges: Iterable[tuple[int, int]], wanted: Sequence[str]) -> Iterator[tuple[int, int]]:
    """Without single letters of words that have no spaces: PostgreSQL marks those of a phrase wherever they stand."""
    for start, end in ranges:
        marked = plain[start:end]
        if not is_unspaced(marked) or any(word in folded(marked) for word in wanted):
            yield start, end


def _joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Ranges that follow each other directly are one: letter after letter of a word that has no spaces around it."""
    joined: list[tuple[int, int]] = []
    for start, end in ranges:
        if joined and joined[-1][1] == start:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined
