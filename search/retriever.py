"""Candidates from every signal: dense, by vectors in each signal's partition, and by words.

Knows the catalogue, one space and its partitions; knows nothing of calibration, fusion or pages.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import numpy as np
from msgspec import Struct

from search.aspects import Aspect, aspects_of, words_said
from search.candidates import Background, Candidate, CandidateList, Evidence, Sense
from search.catalog import embeddings, segments, text
from search.catalog.database import Connection, Database
from search.catalog.places import Place, places
from search.coverage import Coverage
from search.errors import NotFoundError
from search.filters import Condition, Not, Says, all_of
from search.index.protocol import VectorIndex
from search.query import condition_of, parse_reference
from search.results import Part, Query, Signal
from search.spaces.space import Space, unit_rows

# A query's scores over this many segments tell how it scores against the library at large: enough for the
# mean and deviation to within a few percent, and cheaper than the search itself.
BACKGROUND_SAMPLE = 512
# An unwanted part pulls half as strongly as a wanted one pushes: at full strength it also drives away what
# is wanted (docs/benchmarks.md: P@20 0.35 at a half, 0.31 at one, 0.34 without).
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
    words: str  # what full text looks for
    condition: Condition | None
    excluded_assets: frozenset[int]
    aspects: tuple[Aspect, ...] = ()  # that an asset must have together; none: whatever a signal finds


class Retriever:
    """Finds candidates in one space. Thread-safe."""

    def __init__(self, database: Database, space_id: int, space: Space, follower: HasPartitions) -> None:
        self._database = database
        self._space_id = space_id
        self._space = space
        self._follower = follower
        self._samples: dict[Signal, _Sample] = {}
        self._lock = threading.Lock()

    def resolve(self, query: Query) -> Resolved:
        """Run the encoders. Raises NotFoundError for a reference to nothing."""
        aspects = _aspects(query.parts)
        vectors = embed_aspects(self._space, aspects) if aspects else self._joined(query.parts)
        wanted = [part.text for part in query.parts if part.text and part.weight > 0]
        return Resolved(
            vectors={signal: unit_rows(vector[None])[0] for signal, vector in vectors.items() if np.any(vector)},
            by_example=_by_example(query.parts),
            text=" ".join((*wanted, *query.phrases)),
            words=" ".join((*words_said(aspects, wanted), *query.phrases)),
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
        )

    def retrieve(self, resolved: Resolved, depth: int, newest_segment: int | None = None) -> list[CandidateList]:
        """At most `depth` candidates of each list, best first; fewer only where fewer exist.

        Segments above `newest_segment` are left out: they are younger than the ranking.
        """
        with self._database.read() as connection:
            allowed = self._allowed(connection, resolved.condition)
            found = self._dense(resolved, depth, allowed) + self._by_words(connection, resolved, depth)
            wanted = {segment_id for one in found for segment_id in one.ids.tolist()}
            held = places(connection, sorted(wanted))
        terms = text.terms_of(resolved.words)
        asked = len(text.terms_of(resolved.text))
        coverage = Coverage(terms)
        return [
            CandidateList(
                signal=one.signal,
                evidence=one.evidence,
                candidates=tuple(_candidates(one, held, coverage, resolved.excluded_assets, newest_segment)),
                background=one.background,
                by_example=resolved.by_example,
                terms=len(terms) if one.evidence is Evidence.WORDS else asked,
                complete=len(one.ids) < depth,
            )
            for one in found
        ]

    def _joined(self, parts: Sequence[Part]) -> dict[Signal, np.ndarray]:
        """One vector per signal for all parts."""
        vectors: dict[Signal, np.ndarray] = {}
        for part, found in zip(parts, self._embed(parts), strict=True):
            for signal, vector in found.items():
                vectors[signal] = vectors.get(signal, 0) + _strength(part) * vector
        return vectors

    def _embed(self, parts: Sequence[Part]) -> list[Mapping[Signal, np.ndarray]]:
        """Each part's vector per signal; texts go through the encoder together."""
        texts = [part.text for part in parts if part.text is not None]
        of_texts = iter(_rows(self._space.embed_query_text(texts), len(texts)) if texts else ())
        return [next(of_texts) if part.text is not None else self._embed_example(part) for part in parts]

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
            found = [held[segment.id] for segment in touched if segment.signal in sense.signals and segment.id in held]
            if found:
                mean = unit_rows(np.array(found, np.float32).mean(axis=0)[None])[0]
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
        found: list[_Found] = []
        partitions = self._follower.partitions
        for signal, vector in resolved.vectors.items():
            partition = partitions.get(signal)
            if partition is None or not len(partition):
                continue
            scores, ids = partition.search(vector[None], min(depth, len(partition)), allowed)
            held = ids[0] >= 0
            if held.any():
                background = Background.of(self._sample(signal, partition) @ vector, len(partition))
                found.append(_Found(signal, Evidence.DENSE, ids[0][held], scores[0][held], background))
        return found

    def _by_words(self, connection: Connection, resolved: Resolved, depth: int) -> list[_Found]:
        """One list per signal that holds words."""
        if not resolved.words.strip():
            return []
        found: list[_Found] = []
        for signal in (Signal.SPEECH, Signal.TEXT):
            partition = self._follower.partitions.get(signal)
            if partition is not None and not len(partition):
                continue  # the space embeds all words, and there are none
            matches = text.search_text(
                connection, resolved.words, signals=[signal], condition=resolved.condition, limit=depth
            )
            if matches:
                ids = np.array([segment_id for segment_id, _ in matches], np.int64)
                scores = np.array([score for _, score in matches], np.float32)
                size = max(len(partition) if partition is not None else 0, len(ids))
                found.append(_Found(signal, Evidence.WORDS, ids, scores, Background(size, 0.0, 0.0)))
        return found

    def _sample(self, signal: Signal, partition: VectorIndex) -> np.ndarray:
        """Vectors `(n, d) float32` of a fixed random sample, drawn again when the partition has grown."""
        with self._lock:
            kept = self._samples.get(signal)
            if kept is None or abs(len(partition) - kept.size) > kept.size * 0.1:
                ids = partition.ids()
                if len(ids) > BACKGROUND_SAMPLE:
                    # A fixed seed, so that a query asked twice is calibrated alike.
                    ids = np.random.default_rng(0).choice(ids, BACKGROUND_SAMPLE, replace=False)
                kept = self._samples[signal] = _Sample(len(partition), partition.vectors(ids))
            return kept.vectors


def embed_aspects(space: Space, aspects: Sequence[Aspect]) -> dict[Signal, np.ndarray]:
    """For each signal, the `(d,)` vector of the aspect that it can show."""
    rows = _rows(space.embed_query_text([aspect.text for aspect in aspects]), len(aspects))
    return {
        signal: vector
        for aspect, found in zip(aspects, rows, strict=True)
        for signal, vector in found.items()
        if signal in aspect.sense.signals
    }


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
    """Only of a query of plain words: who gives weights or examples has taken it apart already."""
    return aspects_of(parts[0].text) if len(parts) == 1 and parts[0].text and parts[0].weight > 0 else ()


def _by_example(parts: Sequence[Part]) -> bool:
    by_text = sum(part.weight for part in parts if part.text is not None and part.weight > 0)
    return sum(part.weight for part in parts if part.text is None and part.weight > 0) > by_text


def _rows(vectors: Mapping[Signal, np.ndarray], count: int) -> list[Mapping[Signal, np.ndarray]]:
    return [{signal: rows[place] for signal, rows in vectors.items()} for place in range(count)]


def _candidates(
    found: _Found,
    held: Mapping[int, Place],
    coverage: Coverage,
    excluded: frozenset[int],
    newest_segment: int | None,
) -> Iterator[Candidate]:
    """Those that the catalogue still holds: a partition may be a moment behind a deletion."""
    for segment_id, score in zip(found.ids.tolist(), found.scores.tolist(), strict=True):
        place = held.get(segment_id)
        if place is None or place[1] in excluded or (newest_segment is not None and segment_id > newest_segment):
            continue
        _, asset_id, start, end, words = place
        yield Candidate(
            segment_id=segment_id,
            asset_id=asset_id,
            score=score,
            start_seconds=start,
            end_seconds=end,
            text=words,
            covered=coverage.of(words),
        )
