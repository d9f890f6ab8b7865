"""Candidates from every signal: dense, by vectors in each signal's partition, and by words.

Knows the catalogue, one space and its partitions; knows nothing of calibration, fusion or pages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct

from search.catalog import embeddings, segments
from search.catalog.database import Connection, Database
from search.catalog.segment_positions import (
    SegmentPosition,
    recognition_confidences,
    segment_counts,
    segment_positions,
)
from search.catalog.sql import full_text
from search.errors import NotFoundError
from search.index.protocol import VectorIndex
from search.query.aspects import Aspect, aspects_of, words_said
from search.query.conditions import Condition, Not, Says, all_of
from search.query.negation import negated
from search.query.parse import condition_of, parse_reference
from search.ranking.candidates import Background, Candidate, CandidateList, Evidence
from search.ranking.term_coverage import TermCoverage
from search.results import Part, Query
from search.runtime import tracing
from search.signals import Sense, Signal
from search.spaces.space import Space, unit_rows

# A query's scores over this many segments tell how it scores against the library at large: enough for the
# mean and deviation to within a few percent, and cheaper than the search itself.
BACKGROUND_SAMPLE = 512
# An unwanted part pulls half as strongly as a wanted one pushes: at full strength it also drives away what
# is wanted (docs/benchmarks/ranking.md: P@20 0.35 at a half, 0.31 at one, 0.34 without).
UNWANTED_STRENGTH = 0.5


class HasPartitions(Protocol):
    """Where the partitions come from: a follower, or a test."""

    @property
    def partitions(self) -> Mapping[Signal, VectorIndex]:
        """What to search now."""


class Resolved(Struct, frozen=True):
    """A query with its models' work done: what every page and every depth of it can start from."""

    vectors: Mapping[Signal, np.ndarray]  # (d,) float32, unit length; signals without one are not searched
    by_example: bool  # pictures, sounds and references outweigh the text
    text: str  # all that was asked for in words
    seen: str  # the same without what must not be seen or heard
    words: str  # what full text looks for
    condition: Condition | None
    excluded_assets: frozenset[int]
    aspects: tuple[Aspect, ...] = ()  # that an asset must have together; none: whatever a signal finds
    unknown: tuple[str, ...] = ()  # texts that mean nothing to the space: they are looked for literally alone
    unwanted: tuple[str, ...] = ()  # what the words say must not be seen or heard

    def terms(self, signal: Signal) -> int:
        """How many words were asked for, as a list of this signal's vectors is judged by."""
        return len(full_text.terms_of(self.text if signal.holds_words else self.seen))


class Retriever:
    """Finds candidates in one space. Thread-safe."""

    def __init__(self, database: Database, space_id: int, space: Space, follower: HasPartitions) -> None:
        self._database = database
        self._space_id = space_id
        self._space = space
        self._follower = follower
        self._samples: dict[Signal, _Sample] = {}
        self._lock = threading.Lock()

    def resolve(self, query: Query, known: Mapping[Signal, np.ndarray] | None = None) -> Resolved:
        """Run the encoders. Raises NotFoundError for a reference to nothing.

        `known` are the vectors `(d,)` of an earlier `Resolved` of the same query in the same space: nothing runs.
        """
        aspects = _aspects(query.parts)
        embedded = [] if aspects or known is not None else self._embed(query.parts)
        if known is not None:
            vectors: Mapping[Signal, np.ndarray] = known
        else:
            vectors = embed_aspects(self._space, aspects) if aspects else _joined(query.parts, embedded)
        wanted = [(part.text, part.heard or part.text) for part in query.parts if part.text and part.weight > 0]
        return Resolved(
            vectors={
                signal: unit_rows(vector[None])[0]
                for signal in Signal
                if (vector := vectors.get(signal.encoder)) is not None and np.any(vector)
            },
            by_example=_by_example(query.parts),
            text=" ".join((*(typed for typed, _ in wanted), *query.phrases)),
            seen=" ".join(
                (*(apart.wanted if (apart := negated(typed)) else typed for typed, _ in wanted), *query.phrases)
            ),
            words=" ".join((*words_said(aspects, [heard for _, heard in wanted]), *query.phrases)),
            condition=all_of(
                condition_of(query.filters),
                *(Says(phrase) for phrase in query.phrases),
                *(Not(Says(phrase)) for phrase in query.unwanted_phrases),
            ),
            excluded_assets=frozenset(
                reference.asset_id
                for part in query.parts
                if part.reference and (reference := parse_reference(part.reference)).start_seconds is None
            ),
            aspects=aspects,
            unknown=tuple(
                part.text
                for part, by_signal in zip(query.parts, embedded, strict=False)
                if part.text and not any(np.any(vector) for vector in by_signal.values())
            ),
            unwanted=tuple(
                piece
                for text in ([aspect.text for aspect in aspects] or [typed for typed, _ in wanted])
                if (apart := negated(text))
                for piece in apart.unwanted
            ),
        )

    def retrieve(self, resolved: Resolved, depth: int, newest_segment: int | None = None) -> list[CandidateList]:
        """At most `depth` candidates of each list, best first; fewer only where fewer exist.

        Segments above `newest_segment` are left out: they are younger than the ranking.
        """
        with tracing.span("retrieve", depth=depth), self._database.read() as connection:
            allowed = self._allowed(connection, resolved.condition)
            rankings = self._dense(resolved, depth, allowed) + self._by_words(connection, resolved, depth)
            wanted = {segment_id for ranked in rankings for segment_id in ranked.ids.tolist()}
            held = segment_positions(connection, sorted(wanted))
            terms = full_text.terms_of(resolved.words)
            coverage = TermCoverage(terms)
            context = _context(connection, rankings, held, coverage)
        return [
            CandidateList(
                signal=ranked.signal,
                evidence=ranked.evidence,
                candidates=tuple(_candidates(ranked, context, resolved.excluded_assets, newest_segment)),
                background=ranked.background,
                by_example=resolved.by_example,
                terms=len(terms) if ranked.evidence is Evidence.WORDS else resolved.terms(ranked.signal),
                complete=len(ranked.ids) < depth,
            )
            for ranked in rankings
        ]

    def background(self, signal: Signal, vectors: np.ndarray) -> list[Background]:
        """How queries `(n, d) float32` score against a signal's segments at large."""
        sample, size = self.sample(signal), self.size(signal)
        if not len(sample):
            return [Background(1, 0.0, 0.0)] * len(vectors)
        scores = vectors @ sample.T
        return [
            Background(size, float(mean), float(spread))
            for mean, spread in zip(scores.mean(1), scores.std(1), strict=True)
        ]

    def sample(self, signal: Signal) -> np.ndarray:
        """Vectors `(n, d) float32` of a fixed random sample of a signal's segments, at most `BACKGROUND_SAMPLE`.

        The same array until the partition has grown or shrunk by a tenth; then it is drawn again.
        """
        partition = self._follower.partitions.get(signal)
        if partition is None or not len(partition):
            return np.zeros((0, self._space.dimensions.get(signal.encoder, 0)), np.float32)
        with self._lock:
            kept = self._samples.get(signal)
            if kept is None or abs(len(partition) - kept.size) > kept.size * 0.1:
                ids = partition.ids()
                if len(ids) > BACKGROUND_SAMPLE:
                    # A fixed seed, so that a query asked twice is calibrated alike.
                    ids = np.random.default_rng(0).choice(ids, BACKGROUND_SAMPLE, replace=False)
                kept = self._samples[signal] = _Sample(len(partition), partition.vectors(ids))
            return kept.vectors

    def size(self, signal: Signal) -> int:
        """How many segments a signal's scores are judged among: all of its sense, for a query looks for one among all.

        Ten frames beside a thousand photos are not a library of ten pictures.
        """
        return sum(len(held) for other, held in self._follower.partitions.items() if other.sense is signal.sense)

    def _embed(self, parts: Sequence[Part]) -> list[Mapping[Signal, np.ndarray]]:
        """Each part's vector per signal; texts go through the encoder together."""
        texts = list(dict.fromkeys(text for part in parts for text in (part.text, part.heard) if text is not None))
        of_texts = dict(zip(texts, embed_texts(self._space, texts), strict=True))
        return [
            self._embed_example(part)
            if part.text is None
            else _as_heard(of_texts[part.text], of_texts[part.heard or part.text])
            for part in parts
        ]

    def _embed_example(self, part: Part) -> Mapping[Signal, np.ndarray]:
        if part.image is not None:
            return _rows(self._space.embed_query_image([part.image]), 1)[0]
        if part.sound is not None:
            return _rows(self._space.embed_query_sound([part.sound]), 1)[0]
        return self._stored(part.reference or "")

    def _stored(self, text_reference: str) -> Mapping[Signal, np.ndarray]:
        """The mean vector of an asset's segments, or of those that a stretch touches, for like signals."""
        reference = parse_reference(text_reference)
        with self._database.read() as connection:
            every = segments.segments_of(connection, reference.asset_id, limit=10_000)
            touched = [segment for segment in every if reference.touches(segment.start_seconds, segment.end_seconds)]
            ids, rows = embeddings.vectors_of(connection, self._space_id, [segment.id for segment in touched])
        held = dict(zip(ids.tolist(), rows, strict=True))
        vectors: dict[Signal, np.ndarray] = {}
        for sense in Sense:
            examples = [
                held[segment.id] for segment in touched if segment.signal in sense.signals and segment.id in held
            ]
            if examples:
                mean = unit_rows(np.array(examples, np.float32).mean(axis=0)[None])[0]
                vectors |= dict.fromkeys(sense.signals, mean)
        if not vectors:
            raise NotFoundError(f"there is nothing searchable at {text_reference!r}: see `medley status`")
        return vectors

    def _allowed(self, connection: Connection, condition: Condition | None) -> np.ndarray | None:
        """Ids of all segments that the condition leaves; None for all."""
        if condition is None:
            return None
        return segments.filter_segments(connection, condition)

    def _dense(self, resolved: Resolved, depth: int, allowed: np.ndarray | None) -> list[_Found]:
        rankings: list[_Found] = []
        partitions = self._follower.partitions
        for signal, vector in resolved.vectors.items():
            partition = partitions.get(signal)
            if partition is None or not len(partition):
                continue
            with tracing.span("search partition", signal=signal, size=len(partition)) as span:
                scores, ids = partition.search(vector[None], min(depth, len(partition)), allowed)
                held = ids[0] >= 0
                span.set(found=int(held.sum()), allowed=-1 if allowed is None else len(allowed))
            if held.any():
                background = Background.of(self.sample(signal) @ vector, self.size(signal))
                rankings.append(_Found(signal, Evidence.DENSE, ids[0][held], scores[0][held], background))
        return rankings

    def _by_words(self, connection: Connection, resolved: Resolved, depth: int) -> list[_Found]:
        """One list per signal that holds words."""
        if not resolved.words.strip():
            return []
        rankings: list[_Found] = []
        for signal in (signal for signal in Signal if signal.holds_words):
            partition = self._follower.partitions.get(signal)
            if partition is not None and not len(partition):
                continue  # the space embeds all words, and there are none
            with tracing.span("full text", signal=signal) as span:
                matches = full_text.search_text(
                    connection, resolved.words, signals=[signal], condition=resolved.condition, limit=depth
                )
                span.set(found=len(matches))
            if matches:
                ids = np.array([segment_id for segment_id, _ in matches], np.int64)
                scores = np.array([score for _, score in matches], np.float32)
                size = max(len(partition) if partition is not None else 0, len(ids))
                rankings.append(_Found(signal, Evidence.WORDS, ids, scores, Background(size, 0.0, 0.0)))
        return rankings


def _as_heard(typed: Mapping[Signal, np.ndarray], heard: Mapping[Signal, np.ndarray]) -> Mapping[Signal, np.ndarray]:
    """Vectors of a text as it was typed, but for signals of words as the library spells its names."""
    return {signal: (heard if signal.holds_words else typed)[signal] for signal in typed}


def _joined(parts: Sequence[Part], embedded: Sequence[Mapping[Signal, np.ndarray]]) -> dict[Signal, np.ndarray]:
    """One vector per signal for all parts."""
    vectors: dict[Signal, np.ndarray] = {}
    for part, by_signal in zip(parts, embedded, strict=True):
        for signal, vector in by_signal.items():
            vectors[signal] = vectors.get(signal, 0) + _strength(part) * vector
    return vectors


def embed_texts(space: Space, texts: Sequence[str]) -> list[Mapping[Signal, np.ndarray]]:
    """Each text's vector `(d,)` by signal. For pictures and sounds, what must not be there is taken off."""
    apart = {text: taken for text in texts if (taken := negated(text))}
    every = list(dict.fromkeys([*texts, *(piece for taken in apart.values() for piece in taken.pieces)]))
    if not every:
        return []
    rows = dict(zip(every, _rows(space.embed_query_text(every), len(every)), strict=True))
    return [
        _less(rows[text], [rows[piece] for piece in apart[text].pieces]) if text in apart else rows[text]
        for text in texts
    ]


def _less(
    typed: Mapping[Signal, np.ndarray], pieces: Sequence[Mapping[Signal, np.ndarray]]
) -> Mapping[Signal, np.ndarray]:
    """`pieces`: what is wanted, then all that is not."""
    wanted, *unwanted = pieces
    return {
        signal: vector
        if signal.holds_words or not wanted[signal].any()
        else unit_rows((wanted[signal] - UNWANTED_STRENGTH * sum(other[signal] for other in unwanted))[None])[0]
        for signal, vector in typed.items()
    }


def embed_aspects(space: Space, aspects: Sequence[Aspect]) -> dict[Signal, np.ndarray]:
    """For each signal, the `(d,)` vector of the aspect that it can show."""
    rows = embed_texts(space, [aspect.text for aspect in aspects])
    return {
        signal: vector
        for aspect, by_signal in zip(aspects, rows, strict=True)
        for signal, vector in by_signal.items()
        if signal in aspect.sense.signals
    }


class _Context(Struct, frozen=True):
    """What is known of the segments that were found, beside their scores."""

    held: Mapping[int, SegmentPosition]
    covered: Mapping[int, float]  # by segment: the share of the query's words that it holds, where it holds any
    sure: Mapping[int, float]  # by segment, where speech recognition says
    counts: Mapping[tuple[int, str], int]  # segments by asset and signal, where there may be several


def _context(
    connection: Connection, rankings: Sequence[_Found], held: Mapping[int, SegmentPosition], coverage: TermCoverage
) -> _Context:
    covered = {segment_id: share for segment_id, position in held.items() if (share := coverage.of(position[4]))}
    spoken = {
        segment_id for ranking in rankings if ranking.signal is Signal.SPEECH for segment_id in ranking.ids.tolist()
    }
    several = {
        position[1] for position in held.values() if any(part is not None for part in (position[2], *position[5:]))
    }
    return _Context(
        held,
        covered,
        recognition_confidences(connection, sorted(spoken & covered.keys())),
        segment_counts(connection, sorted(several)),
    )


class _Sample(Struct, frozen=True):
    size: int  # of the partition when it was drawn
    vectors: np.ndarray


class _Found(Struct, frozen=True):
    signal: Signal
    evidence: Evidence
    ids: np.ndarray  # (n,) int64, best first
    scores: np.ndarray  # (n,) float32
    background: Background


def _strength(part: Part) -> float:
    """Parts are joined as vectors: within a signal this ranks as joining their log-odds does, and costs one search."""
    return part.weight * UNWANTED_STRENGTH if part.weight < 0 else part.weight


def _aspects(parts: Sequence[Part]) -> tuple[Aspect, ...]:
    """Only for plain-text queries: weighted or example queries are already split."""
    [text] = [part.heard or part.text for part in parts if part.weight > 0] if len(parts) == 1 else [None]
    return aspects_of(text) if text else ()


def _by_example(parts: Sequence[Part]) -> bool:
    by_text = sum(part.weight for part in parts if part.text is not None and part.weight > 0)
    return sum(part.weight for part in parts if part.text is None and part.weight > 0) > by_text


def _rows(vectors: Mapping[Signal, np.ndarray], count: int) -> list[Mapping[Signal, np.ndarray]]:
    return [{signal: rows[row] for signal, rows in vectors.items()} for row in range(count)]


def _candidates(
    ranking: _Found,
    context: _Context,
    excluded: frozenset[int],
    newest_segment: int | None,
) -> Iterator[Candidate]:
    """Those that the catalogue still holds: a partition may lag behind a deletion."""
    for segment_id, score in zip(ranking.ids.tolist(), ranking.scores.tolist(), strict=True):
        position = context.held.get(segment_id)
        if position is None or position[1] in excluded or (newest_segment is not None and segment_id > newest_segment):
            continue
        _, asset_id, start, end, words, page, line = position
        yield Candidate(
            segment_id=segment_id,
            asset_id=asset_id,
            score=score,
            start_seconds=start,
            end_seconds=end,
            text=words,
            page=page,
            line=line,
            covered=context.covered.get(segment_id, 0.0),
            sure=context.sure.get(segment_id, 1.0),
            of=context.counts.get((asset_id, ranking.signal), 1),
        )
