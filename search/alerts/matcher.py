"""Compares what is new in the library with every saved search, and writes an event for each file that matches.

A new segment's vector is compared with all queries in one product (see floors.py); words by an index from word to
query. Few pairs pass, and those are judged as a search of the file alone would be: by the same calibration and fusion.
One process at a time does it, under a lease in the catalogue; the events and how far it came are one transaction.
"""

from __future__ import annotations

import logging
import re
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec
import numpy as np
from msgspec import Struct

from search.active_space import ActiveSpace
from search.alerts.floors import HALF, Floors, Queries, floors_of
from search.alerts.saved_query import decode, pack, unpack
from search.catalog import embeddings, segments
from search.catalog.alerts import saved_searches
from search.catalog.database import Connection, Database
from search.catalog.records import Match, SavedSearchRecord, SegmentRecord
from search.catalog.sequence import latest_sequence
from search.catalog.sql.full_text import terms_of
from search.errors import MedleyError, NotFoundError, UsageError
from search.query.conditions import AssetIn, all_of
from search.ranking.calibration import Yardsticks, log_odds_of_queries, probability
from search.ranking.candidates import Candidate, CandidateList, Evidence
from search.ranking.fusion import Fusion
from search.ranking.retriever import Resolved
from search.ranking.term_coverage import TermCoverage
from search.settings import Settings
from search.signals import Signal
from search.words import folded, is_unspaced, stem

LEASE_SECONDS = 60.0
READ_TOGETHER = 2000  # new vectors of one signal in one batch
COMPARED_TOGETHER = 256  # of them in one product: 10 MB of scores for ten thousand queries
_WORD = re.compile(r"\w+")
_log = logging.getLogger(__name__)


class _Saved(Struct, frozen=True):
    """A saved search, ready to be compared in one space."""

    id: int
    revision: int
    created_at: float
    resolved: Resolved
    least: float
    terms: tuple[str, ...]
    browses: bool  # it asks for nothing but its filters


class _New(Struct, frozen=True):
    """The files of one batch, with all that is known of them."""

    times: Mapping[int, float]  # when each became searchable, by asset id
    segments: Mapping[int, list[SegmentRecord]]  # by asset id
    vectors: Mapping[int, np.ndarray]  # by segment id: (d,) float32


class Matcher:
    """For one process: `step` does what there is to do, `run` does so until stopped."""

    def __init__(self, settings: Settings, database: Database, active: Callable[[], ActiveSpace]) -> None:
        self._settings = settings
        self._database = database
        self._active = active
        self._owner = uuid.uuid4().hex
        self._collection: _Collection | None = None

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set. While the catalogue is away it waits."""
        problem = ""
        while not stop.is_set():
            try:
                busy = self.step()
                problem = ""
            except MedleyError as error:
                busy = False
                if str(error) != problem:
                    _log.warning("saved searches are not compared with new files for now: %s", error)
                problem = str(error)
            if not busy:
                stop.wait(self._settings.poll_seconds)

    def step(self) -> bool:
        """Compare the next batch of new vectors; False when there was none, or another process does it."""
        active = self._active()
        with self._database.read() as connection:
            if saved_searches.matched_up_to(connection, active.record.id) == latest_sequence(connection):
                return False  # as nearly always: nothing more is read
            wanted = saved_searches.revisions(connection)
        if not wanted:
            self._collection = None
            return False
        with self._database.write() as connection:
            saved_searches.begin_matching(connection, active.record.id)
            after = saved_searches.claim_matching(connection, active.record.id, self._owner, LEASE_SECONDS)
        if after is None:
            return False
        with self._database.read() as connection:
            until, new = _read(connection, active, after)
        if until == after:
            return False
        matches: list[Match] = []
        if new.times:
            if active.follower.sequence < until:
                active.follower.catch_up()  # before all else: what a score means depends on the library's size
            collection = self._loaded(active, wanted)
            matches = collection.matches(self._database, new)
        with self._database.write() as connection:
            saved_searches.finish_matching(connection, active.record.id, self._owner, after, until, matches)
            if matches:
                saved_searches.forget_old_events(connection)
        return True

    def _loaded(self, active: ActiveSpace, wanted: Mapping[int, int]) -> _Collection:
        if self._collection is None or self._collection.active is not active:
            self._collection = _Collection(active, self._settings)
        self._collection.follow(self._database, wanted)
        return self._collection


def resolved_of(active: ActiveSpace, record: SavedSearchRecord, settings: Settings) -> Resolved:
    """A saved search in a space; its encoders run unless that was done before. Raises QueryError, NotFoundError."""
    query = decode(record.query).query(settings.max_query_characters, settings.max_query_parts)
    known = record.fingerprint == active.record.fingerprint and record.resolved is not None
    return active.retriever.resolve(query, unpack(record.resolved or b"") if known else None)


class _Collection:
    """All saved searches in one space, as matrices."""

    def __init__(self, active: ActiveSpace, settings: Settings) -> None:
        self.active = active
        self._settings = settings
        self._saved: dict[int, _Saved] = {}
        self._refused: dict[int, int] = {}  # revision by id, of those that can't be understood here
        self._rows: list[_Saved] = []
        self._queries: dict[Signal, Queries] = {}
        self._floors: dict[Signal, Floors] = {}  # of signals of which the library holds something
        self._by_stem: dict[str, list[int]] = {}
        self._unspaced: list[int] = []
        self._lengths = np.zeros(0)
        self._plain = np.zeros(0, bool)  # those whose relevance is that of a score: no filter, no example, one sense

    def follow(self, database: Database, wanted: Mapping[int, int]) -> None:
        """Load what is new or has changed, forget what is gone. Raises CatalogError."""
        known = {saved_id: saved.revision for saved_id, saved in self._saved.items()} | self._refused
        changed = [saved_id for saved_id, revision in wanted.items() if known.get(saved_id) != revision]
        gone = known.keys() - wanted.keys()
        if changed:
            with database.read() as connection:
                records = saved_searches.saved_searches_of(connection, changed)
            made = [kept for record in records if (kept := self._load(record)) is not None]
            if made:
                with database.write() as connection:
                    saved_searches.keep_resolved(connection, self.active.record.fingerprint, made)
        for saved_id in gone:
            self._saved.pop(saved_id, None)
            self._refused.pop(saved_id, None)
        if changed or gone:
            self._arrange()
        self._find_floors()

    def _load(self, record: SavedSearchRecord) -> tuple[int, bytes] | None:
        """Understand one; gives its vectors where they had to be made."""
        self._saved.pop(record.id, None)
        self._refused.pop(record.id, None)
        try:
            resolved = resolved_of(self.active, record, self._settings)
        except (UsageError, NotFoundError) as error:
            _log.warning("the saved search %r finds nothing: %s", record.name, error)
            self._refused[record.id] = record.revision
            return None
        self._saved[record.id] = _Saved(
            id=record.id,
            revision=record.revision,
            created_at=record.created_at,
            resolved=resolved,
            least=self.active.calibration.threshold if record.least is None else record.least,
            terms=tuple(terms_of(resolved.words)),
            browses=not resolved.vectors and not resolved.words.strip(),
        )
        made = record.fingerprint != self.active.record.fingerprint or record.resolved is None
        return (record.id, pack(resolved.vectors)) if made else None

    def _arrange(self) -> None:
        self._rows = sorted(self._saved.values(), key=lambda saved: saved.id)
        by_stem: dict[str, list[int]] = defaultdict(list)
        self._unspaced = []
        for row, saved in enumerate(self._rows):
            plain = [folded(term) for term in saved.terms]
            if any(map(is_unspaced, plain)):
                self._unspaced.append(row)
            for stemmed in {stem(word) for term in plain for word in _WORD.findall(term)}:
                by_stem[stemmed].append(row)
        self._by_stem = dict(by_stem)
        self._lengths = np.array([max(1, len(saved.terms)) for saved in self._rows], np.float64)
        self._plain = np.array([_is_plain(saved.resolved) for saved in self._rows], bool)
        least = np.array([saved.least for saved in self._rows])
        examples = np.array([saved.resolved.by_example for saved in self._rows], bool)
        terms: dict[bool, np.ndarray] = {}  # for signals that hold words, and for the others: counting is the slow part
        self._queries, self._floors = {}, {}
        for signal, partition in self.active.follower.partitions.items():
            held = [saved.resolved.vectors.get(signal) for saved in self._rows]
            if any(vector is not None for vector in held):
                zeros = np.zeros(partition.dimension, np.float32)
                vectors = np.array([zeros if vector is None else vector for vector in held], np.float32)
                if signal.holds_words not in terms:
                    terms[signal.holds_words] = np.array([saved.resolved.terms(signal) for saved in self._rows])
                self._queries[signal] = Queries(vectors, least, terms[signal.holds_words], examples)

    def _find_floors(self) -> None:
        """Those that are missing, and those that the library has outgrown."""
        for signal, queries in self._queries.items():
            size, sample = self.active.retriever.size(signal), self.active.retriever.sample(signal)
            if not len(sample):
                self._floors.pop(signal, None)
            elif (floors := self._floors.get(signal)) is None or not floors.hold(size, sample):
                self._floors[signal] = floors_of(signal, self.active.calibration, queries, size, sample)

    def matches(self, database: Database, new: _New) -> list[Match]:
        """Every pair of a saved search and a new file that matches it."""
        matched: list[Match] = []
        pairs = self._candidates(new, matched)
        for row in sorted(pairs):
            saved = self._rows[row]
            young = [asset for asset in sorted(pairs[row]) if new.times[asset] >= saved.created_at]
            if young:
                matched += self._judged(database, row, young, new)
        return matched

    def _candidates(self, new: _New, sure: list[Match]) -> dict[int, set[int]]:
        """By row, the files that may match and are still to be judged; those that surely do are added to `sure`."""
        pairs: dict[int, set[int]] = defaultdict(set)
        by_signal: dict[Signal, list[SegmentRecord]] = defaultdict(list)
        alone: dict[int, bool] = {}
        for asset_id, held in new.segments.items():
            alone[asset_id] = len({segment.signal for segment in held}) == 1
            for segment in held:
                by_signal[Signal(segment.signal)].append(segment)
        for signal, held in by_signal.items():
            floors = self._floors.get(signal)
            here = [segment for segment in held if segment.id in new.vectors]
            for start in range(0, len(here) if floors is not None else 0, COMPARED_TOGETHER):
                assert floors is not None
                part = here[start : start + COMPARED_TOGETHER]
                vectors = np.array([new.vectors[segment.id] for segment in part])
                scores = vectors @ self._queries[signal].vectors.T
                passing = floors.passing(scores, np.array([alone[segment.asset_id] for segment in part]))
                places, rows = np.nonzero(passing)
                single = [len(new.segments[part[position].asset_id]) == 1 for position in places.tolist()]
                simple = self._plain[rows] & np.array(single, bool) & (not signal.holds_words)
                sure += self._sure(
                    signal, [part[position] for position in places[simple]], rows[simple], vectors[places[simple]], new
                )
                for position, row in zip(places[~simple].tolist(), rows[~simple].tolist(), strict=True):
                    pairs[row].add(part[position].asset_id)
        for held in new.segments.values():
            for segment in held:
                if segment.text:
                    for row in self._worded(segment, new.vectors.get(segment.id)):
                        pairs[row].add(segment.asset_id)
        for row, saved in enumerate(self._rows):
            if saved.browses:
                pairs[row].update(new.times)
        return pairs

    def _sure(
        self, signal: Signal, held: Sequence[SegmentRecord], rows: np.ndarray, vectors: np.ndarray, new: _New
    ) -> list[Match]:
        """Of files that are one picture or sound: what passes the floor matches, as fusion would say."""
        if not held:
            return []
        calibration = self.active.calibration
        asked, places = np.unique(rows, return_inverse=True)
        queries = self._queries[signal].vectors[asked]
        backgrounds = self.active.retriever.background(signal, queries)
        means, spreads = (
            np.array(part)[places]
            for part in zip(*((background.mean, background.deviation) for background in backgrounds), strict=True)
        )
        scores = np.einsum("nd,nd->n", vectors, queries[places])
        curve = calibration.curve_for(signal, by_example=False)
        judged_by = Yardsticks(
            terms=self._queries[signal].terms[rows], size=backgrounds[0].size, means=means, spreads=spreads
        )
        odds = log_odds_of_queries(curve, scores, judged_by)
        evidence, final = np.array(calibration.fused).T
        relevances = np.interp(probability(odds), evidence, final)
        return [
            Match(saved_search_id=saved.id, asset_id=segment.asset_id, segment_id=segment.id, relevance=round(value, 6))
            for segment, row, value in zip(held, rows.tolist(), relevances.tolist(), strict=True)
            if value >= (saved := self._rows[row]).least and new.times[segment.asset_id] >= saved.created_at
        ]

    def _worded(self, segment: SegmentRecord, vector: np.ndarray | None) -> Iterable[int]:
        """Rows of queries of which a passage holds half of the words, or some and is near by meaning."""
        plain = folded(segment.text or "")
        counts: dict[int, int] = defaultdict(int)
        for stemmed in {stem(word) for word in set(_WORD.findall(plain))}:
            for row in self._by_stem.get(stemmed, ()):
                counts[row] += 1
        signal = Signal(segment.signal)
        floors = self._floors.get(signal)
        for row, count in counts.items():
            if count >= HALF * self._lengths[row] or (
                floors is not None
                and vector is not None
                and float(self._queries[signal].vectors[row] @ vector) >= floors.worded[row]
            ):
                yield row
        for row in self._unspaced:
            if TermCoverage(self._rows[row].terms).of(segment.text) > 0:
                yield row

    def _judged(self, database: Database, row: int, asset_ids: Sequence[int], new: _New) -> list[Match]:
        """Which of these files match, as a search among them alone would find."""
        saved = self._rows[row]
        if saved.browses:
            return [
                Match(
                    saved_search_id=saved.id,
                    asset_id=asset_id,
                    segment_id=_first(new.segments[asset_id]),
                    relevance=1.0,
                )
                for asset_id in _passing(database, saved.resolved, asset_ids)
            ]
        lists = self._in_memory(row, asset_ids, new)
        if lists is None:
            narrowed = all_of(saved.resolved.condition, AssetIn(tuple(asset_ids)))
            alone = msgspec.structs.replace(saved.resolved, condition=narrowed)
            lists = self.active.retriever.retrieve(alone, sum(len(new.segments[asset_id]) for asset_id in asset_ids))
        together = [aspect.sense for aspect in saved.resolved.aspects]
        fusion = Fusion(lists, self.active.calibration, 1, together)
        chosen = {asset_id: value for asset_id, value in fusion.ranking if value >= saved.least}
        return [
            Match(
                saved_search_id=saved.id,
                asset_id=scored.asset_id,
                segment_id=scored.moments[0].segment_id if scored.moments else None,
                relevance=round(chosen[scored.asset_id], 6),
            )
            for scored in fusion.assets(list(chosen))
        ]

    def _in_memory(self, row: int, asset_ids: Sequence[int], new: _New) -> list[CandidateList] | None:
        """The lists of a query without filters, for files without words; None where the catalogue must be asked."""
        saved = self._rows[row]
        held = [segment for asset_id in asset_ids for segment in new.segments[asset_id]]
        if (
            saved.resolved.condition is not None
            or saved.resolved.excluded_assets
            or any(segment.text for segment in held)
        ):
            return None
        lists: list[CandidateList] = []
        for signal, vector in saved.resolved.vectors.items():
            here = [segment for segment in held if segment.signal == signal and segment.id in new.vectors]
            if not here or signal not in self._floors:
                continue
            scores = np.array([new.vectors[segment.id] for segment in here]) @ vector
            candidates = [_candidate(segment, score, new) for segment, score in zip(here, scores.tolist(), strict=True)]
            lists.append(
                CandidateList(
                    signal=signal,
                    evidence=Evidence.DENSE,
                    candidates=tuple(sorted(candidates, key=lambda candidate: -candidate.score)),
                    background=self.active.retriever.background(signal, vector[None])[0],
                    by_example=saved.resolved.by_example,
                    terms=saved.resolved.terms(signal),
                    complete=True,
                )
            )
        return lists or None


def _read(connection: Connection, active: ActiveSpace, after: int) -> tuple[int, _New]:
    """The files of the next vectors after a number, and the number up to which they reach."""
    until = latest_sequence(connection)
    ids: list[int] = []
    if until > after:
        batches = []
        for signal in active.follower.partitions:
            fresh, numbers, _ = embeddings.embeddings_after(connection, active.record.id, signal, after, READ_TOGETHER)
            if len(fresh) == READ_TOGETHER:  # there are more: the rest of every signal waits for them
                until = min(until, int(numbers[-1]))
            batches.append((fresh, numbers))
        ids = [int(segment_id) for fresh, numbers in batches for segment_id in fresh[numbers <= until]]
    held: dict[int, list[SegmentRecord]] = defaultdict(list)
    times: dict[int, float] = {}
    for segment in segments.segments_of_assets(connection, segments.asset_ids_of(connection, ids)):
        assert segment.asset is not None
        held[segment.asset_id].append(segment)
        times[segment.asset_id] = segment.asset.indexed_at or 0.0
    known, rows = embeddings.vectors_of(
        connection, active.record.id, [segment.id for part in held.values() for segment in part]
    )
    vectors = dict(zip(known.tolist(), rows.astype(np.float32), strict=True))
    return until, _New(times, held, vectors)


def _candidate(segment: SegmentRecord, score: float, new: _New) -> Candidate:
    several = segment.start_seconds is not None or segment.page is not None
    beside = sum(other.signal == segment.signal for other in new.segments[segment.asset_id]) if several else 1
    return Candidate(
        segment_id=segment.id,
        asset_id=segment.asset_id,
        score=score,
        start_seconds=segment.start_seconds,
        end_seconds=segment.end_seconds,
        page=segment.page,
        line=segment.line,
        of=beside,
    )


def _is_plain(resolved: Resolved) -> bool:
    return not (resolved.by_example or resolved.aspects or resolved.condition or resolved.excluded_assets)


def _first(held: Sequence[SegmentRecord]) -> int | None:
    return held[0].id if held else None


def _passing(database: Database, resolved: Resolved, asset_ids: Sequence[int]) -> list[int]:
    with database.read() as connection:
        narrowed = all_of(resolved.condition, AssetIn(tuple(asset_ids)))
        records = segments.hydrate(connection, segments.filter_segments(connection, narrowed).tolist())
    return sorted({segment.asset_id for segment in records})
