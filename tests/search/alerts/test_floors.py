"""Floors: no score that can matter lies below them, however the library grows or shrinks until they are found anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.alerts.floors import Queries, floors_of
from search.alerts.matcher import Matcher
from search.alerts.saved_query import SavedQuery
from search.catalog import assets, spaces
from search.catalog.alerts import saved_searches
from search.ranking.calibration import FALLBACK, Calibration, decode, encode
from search.ranking.candidates import Background, Candidate, CandidateList, Evidence
from search.settings import Settings
from search.signals import Signal
from search.spaces.weights import SHIPPED
from search.testing import add_asset, open_word_engine

CALIBRATIONS = [FALLBACK, *(decode(path.read_text("utf-8")) for path in sorted(SHIPPED.glob("*calibration.json")))]


def asked(random: np.random.Generator, least: Sequence[float], by_example: bool) -> Queries:
    """Random queries, one for each relevance asked for."""
    vectors = random.normal(size=(len(least), 16)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    terms = random.integers(0, 12, len(least))
    return Queries(vectors, np.array(least), terms, np.full(len(least), by_example))


@settings(deadline=None)
@given(
    calibration=st.sampled_from(CALIBRATIONS),
    signal=st.sampled_from(list(Signal)),
    by_example=st.booleans(),
    size=st.integers(1, 20_000),
    growth=st.floats(0.9, 2.0),
    seed=st.integers(0, 1000),
)
def test_what_reaches_the_relevance_asked_for_passes_in_every_size_for_which_floors_hold(
    calibration: Calibration, signal: Signal, by_example: bool, size: int, growth: float, seed: int
) -> None:
    random = np.random.default_rng(seed)
    queries = asked(random, random.uniform(0.001, 0.99, 20).tolist(), by_example)
    sample = asked(random, [0.5] * 30, by_example).vectors
    floors = floors_of(signal, calibration, queries, size, sample)
    now = max(1, int(size * growth))
    assert floors.hold(now, sample)
    for row, least in enumerate(queries.least):
        scores = np.sort(random.uniform(-0.3, 1.0, 60)).astype(np.float32)
        listed = CandidateList(
            signal=signal,
            evidence=Evidence.DENSE,
            candidates=tuple(Candidate(segment_id=at, asset_id=at, score=score) for at, score in enumerate(scores)),
            background=Background.of(sample @ queries.vectors[row], now),
            by_example=by_example,
            terms=int(queries.terms[row]),
        )
        reached = np.array([calibration.final(value) >= least for value in calibration.relevances(listed)])
        assert not np.any(reached & (scores < floors.alone[row]))
        assert floors.among[row] <= floors.alone[row]


@pytest.mark.parametrize("seed", range(2))
def test_a_matcher_that_keeps_its_floors_tells_of_what_one_that_finds_them_anew_does(seed: int, tmp_path: Path) -> None:
    """In a library that grows from nothing, loses much, and grows again, by pictures, words and both."""
    lazy, eager = _Library(tmp_path / "lazy", keeps=True), _Library(tmp_path / "eager", keeps=False)
    for library in (lazy, eager):
        random = np.random.default_rng(seed)
        for number, relevance in enumerate(random.uniform(0.02, 0.9, 60).tolist()):
            library.save(f"{number}", _words(random, 1 + number % 4), relevance)
        for step in range(8):
            for place in range(int(random.integers(1, 8))):
                signals = [(Signal.IMAGE,), (Signal.TEXT,), (Signal.IMAGE, Signal.TEXT)][int(random.integers(3))]
                library.add(f"{step}-{place}", [(signal, _words(random, 3)) for signal in signals])
            if step == 5:
                library.remove_half()
            library.compare()
    told = lazy.close()
    assert told == eager.close()
    assert len(told) > 20


class _Library:
    """One with saved searches, compared by a matcher that is kept, or by a new one each time."""

    def __init__(self, home: Path, *, keeps: bool) -> None:
        self._settings = Settings.load({}, home=home)
        engine = open_word_engine(self._settings)
        with engine.database.write() as connection:
            spaces.set_calibration(connection, engine.active_space.record.id, encode(CALIBRATIONS[-1]))
        engine.close()
        self._engine = open_word_engine(self._settings)
        self._matcher = self._made() if keeps else None
        self._ids: list[int] = []

    def save(self, name: str, text: str, relevance: float) -> None:
        self._engine.saved_searches.create(name, SavedQuery(text=text), relevance=relevance)

    def add(self, name: str, parts: Sequence[tuple[Signal, str]]) -> None:
        self._ids.append(add_asset(self._engine, name, "image", [(*part, None, None) for part in parts]))

    def remove_half(self) -> None:
        with self._engine.database.write() as connection:
            assets.delete_assets(connection, self._ids[::2])

    def compare(self) -> None:
        matcher = self._matcher or self._made()
        with self._engine.database.write() as connection:
            connection.exec_driver_sql("UPDATE matching SET owner = NULL")  # of the one before
        while matcher.step():
            continue

    def close(self) -> dict[tuple[int, int], float]:
        """Relevances of all events, by saved search and asset."""
        with self._engine.database.read() as connection:
            events = saved_searches.events_after(connection, 0, limit=100_000)
        self._engine.close()
        return {(event.saved_search_id, event.asset_id): event.relevance for event in events}

    def _made(self) -> Matcher:
        return Matcher(self._settings, self._engine.database, lambda: self._engine.active_space)


def _words(random: np.random.Generator, count: int) -> str:
    return " ".join(random.choice(["red", "boat", "harbour", "snow", "dog", "night"], count))
