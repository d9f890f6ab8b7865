"""Searches over mixed libraries, with what each should find: the data of calibration and its benchmarks.

A trial is one question to one library, through real cosines and real full text, down to the candidate
lists that fusion gets. What nobody can say of whether it answers is taken out of the library; for half of
the trials everything that answers is, too.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np
from msgspec import Struct

from search.catalog.sql.full_text import terms_of
from search.query.aspects import Aspect, aspects_of, words_said
from search.ranking.calibration import USUAL_TERMS
from search.ranking.candidates import Background, Candidate, CandidateList, Evidence
from search.ranking.retriever import embed_aspects, embed_texts
from search.ranking.term_coverage import TermCoverage
from search.signals import Sense, Signal
from search.spaces.space import Space
from training.mixed_libraries import Contents, Question

DEPTH = 50
SAMPLE = 512
# Asking for what is seen and said at once: with a cue that tells which is which, and without.
OF_TWO = {"two signals": "{} while someone says {}", "two signals, no cue": "{}. {}"}
_TALKS = 0.5  # of recordings and videos, as long as there is any talk left
_ALBUM = "album"  # of one subject: nothing stands out for its word
# What libraries are made of: a bit of everything, nearly all photos, many recordings, few long videos.
_PROFILES: Mapping[str, Mapping[str, float]] = {
    "mixed": {"photo": 0.45, "screen": 0.03, "recording": 0.17, "sound": 0.1, "video": 0.25},
    "photos": {"photo": 0.86, "screen": 0.04, "recording": 0.03, "sound": 0.04, "video": 0.03},
    "talks": {"photo": 0.2, "screen": 0.1, "recording": 0.55, "sound": 0.05, "video": 0.1},
    "videos": {"photo": 0.5, "screen": 0.02, "recording": 0.1, "sound": 0.08, "video": 0.3},
    _ALBUM: {"photo": 1.0},
}
_LEAST_ALBUM = 12  # photos
_FRAMES = {"videos": (3, 40)}  # of a video, from and to
_USUAL_FRAMES = (3, 6)
_PER_SORT = {"word": 3, "phrase": 2}  # times as many as of other sorts


class Library(Struct, frozen=True, dict=True):
    """Segments, row by row; the segment's id is its row plus 1."""

    rows: np.ndarray  # (n,) of Contents
    signals: np.ndarray  # (n,) of Signal
    assets: np.ndarray  # (n,) asset ids
    starts: np.ndarray  # (n,) seconds, nan for pictures
    texts: list[str]

    @cached_property
    def counts(self) -> np.ndarray:
        """`(n,)`: how many segments of its signal each segment's asset has."""
        keys = [f"{signal} {asset}" for signal, asset in zip(self.signals, self.assets, strict=True)]
        of = Counter(keys)
        return np.array([of[key] for key in keys])


class Trial(Struct, frozen=True, kw_only=True):
    """A question, what was found, and what is right: 1 or 0 by asset; by segment, nan where nobody knows."""

    sort: str
    text: str
    present: bool  # can the library answer?
    size: int  # assets
    lists: list[CandidateList]
    together: tuple[Sense, ...] = ()  # senses that must all find it, see search/query/aspects.py
    asset_truth: Mapping[int, float]
    segment_truth: Mapping[int, float]

    @property
    def terms(self) -> int:
        """How many words were asked for."""
        return max((one.terms for one in self.lists), default=0) or USUAL_TERMS


def trials(
    contents: Contents,
    asked: Sequence[Question],
    space: Space,
    sizes: Sequence[int],
    per_library: int,
    random: np.random.Generator,
) -> Iterator[Trial]:
    """`per_library` questions to a library of each size, and as many that it can't answer."""
    subjects = _subjects(contents, asked)
    for size in sizes:
        profile = str(random.choice([one for one in _PROFILES if one != _ALBUM or subjects]))
        subject = subjects[int(random.integers(len(subjects)))] if profile == _ALBUM else None
        library = build(contents, size, random, profile, subject)
        chosen = _answerable(library, asked, per_library // 6, random)
        chosen += _of_two(contents, library, asked, per_library // 6)
        elsewhere = [question for question in asked if question.sort == "elsewhere"]
        chosen += [elsewhere[place] for place in random.permutation(len(elsewhere))[: per_library // 2]]
        vectors = embed_texts(space, [one.text for one in chosen])
        words = _WordIndex(library.texts)
        for place, question in enumerate(chosen):
            aspects = aspects_of(question.text)
            of_signal = embed_aspects(space, aspects) if aspects else vectors[place]
            truth = _truths(library, question)
            of_asset = _by_asset(library.assets, truth)
            value = np.array([of_asset[asset_id] for asset_id in library.assets.tolist()])
            if question.sort != "elsewhere":
                known = ~np.isnan(value)
                yield _trial(contents, library, words, question, aspects, of_signal, truth, known, present=True)
            if question.also is None:
                yield _trial(contents, library, words, question, aspects, of_signal, truth, value == 0, present=False)


def _subjects(contents: Contents, asked: Sequence[Question]) -> list[np.ndarray]:
    """`(n,) bool` each: the photos that a single word fits, of words that fit enough of them for an album."""
    photos = np.isin(contents.sorts, ("photo", "other"))
    fitting = [photos & (question.truth == 1) for question in asked if question.sort == "word"]
    return [rows for rows in fitting if rows.sum() >= _LEAST_ALBUM]


def build(
    contents: Contents,
    size: int,
    random: np.random.Generator,
    profile: str = "mixed",
    subject: np.ndarray | None = None,
) -> Library:
    """A library of `size` assets (fewer where the contents run out); every content is used at most once.

    `subject`: `(n,) bool` of Contents, all that it may hold.
    """
    allowed = np.ones(len(contents.sorts), bool) if subject is None else subject
    supply = {
        sort: list(random.permutation(np.flatnonzero((contents.sorts == sort) & allowed)))
        for sort in sorted(set(contents.sorts))
    }
    supply["photo"] = supply.get("other", []) + supply.get("photo", [])  # taken from the end
    shares, (fewest, most) = _PROFILES[profile], _FRAMES.get(profile, _USUAL_FRAMES)
    found: list[tuple[int, Signal, int, float]] = []

    def take(sort: str, count: int, signal: Signal, asset: int, step: float) -> None:
        for place in range(count):
            if supply.get(sort):
                found.append((int(supply[sort].pop()), signal, asset, place * step if step else np.nan))

    def speak(count: int, asset: int) -> None:
        # What people really say is rare in the data, so small libraries get their share of it first.
        sort = "talk" if supply.get("talk") and random.random() < _TALKS else "passage"
        take(sort, count, Signal.SPEECH, asset, 10)

    kinds = random.choice(list(shares), size=size, p=list(shares.values()))
    for asset, kind in enumerate(kinds, start=1):
        if kind == "photo":
            take("photo", 1, Signal.IMAGE, asset, 0)
            take("sign", int(random.random() < 0.15), Signal.TEXT, asset, 0)
        elif kind == "screen":
            take("screen", 1, Signal.IMAGE, asset, 0)
            take("passage", 1, Signal.TEXT, asset, 0)
        elif kind == "recording":
            speak(int(random.integers(1, 12)) if profile == "talks" else 3, asset)
        elif kind == "sound":
            take("clip", 2, Signal.SOUND, asset, 5)
        else:
            take("photo", int(random.integers(fewest, most)), Signal.FRAME, asset, 8)
            speak(2, asset)
            take("clip", int(random.random() < 0.3), Signal.SOUND, asset, 5)
    return Library(
        np.array([row for row, *_ in found]),
        np.array([signal for _, signal, *_ in found]),
        np.array([asset for _, _, asset, _ in found]),
        np.array([start for *_, start in found]),
        [contents.texts[row] for row, *_ in found],
    )


def _answerable(library: Library, asked: Sequence[Question], most: int, random: np.random.Generator) -> list[Question]:
    """Questions that the library holds an answer to, at most `most` of every sort."""
    by_sort: dict[str, list[Question]] = {}
    for place in random.permutation(len(asked)):
        question = asked[place]
        right = question.truth[library.rows] == 1
        if right.any():
            sort = question.sort
            if sort == "photo" and not (right & (library.signals == Signal.IMAGE)).any():
                sort = "frame" if (right & (library.signals == Signal.FRAME)).any() else "speech"
            if len(by_sort.setdefault(sort, [])) < most * _PER_SORT.get(sort, 1):
                by_sort[sort].append(Question(sort=sort, text=question.text, truth=question.truth))
    return [question for questions in by_sort.values() for question in questions]


def _of_two(contents: Contents, library: Library, asked: Sequence[Question], most: int) -> list[Question]:
    """What is seen and what is said, in one video: other assets have one of them at best."""
    by_text = {question.text: question for question in asked if question.sort in ("photo", "speech")}
    found: list[Question] = []
    for asset in np.unique(library.assets[library.signals == Signal.FRAME]):
        rows = library.rows[library.assets == asset]
        seen = [by_text.get(contents.sentences[row][0]) for row in rows if contents.sorts[row] == "photo"]
        said = [by_text.get(contents.sentences[row][0]) for row in rows if contents.sorts[row] == "passage"]
        pair = [next(filter(None, seen), None), next(filter(None, said), None)]
        if pair[0] and pair[1] and len(found) < most:
            sort, wording = list(OF_TWO.items())[len(found) % 2]
            text = wording.format(pair[0].text.rstrip(" ."), pair[1].text)
            found.append(Question(sort=sort, text=text, truth=pair[0].truth, also=pair[1].truth))
    return found


def _truths(library: Library, question: Question) -> np.ndarray:
    """Per segment; for questions of two things, right only where the asset holds both."""
    truth: np.ndarray = question.truth[library.rows]
    if question.also is None:
        return truth
    other = question.also[library.rows]
    first, second = _by_asset(library.assets, truth), _by_asset(library.assets, other)
    both = {asset: 1.0 if first[asset] == second[asset] == 1 else 0.0 for asset in first}
    for asset in both:
        # Where one of the two can't be said, the whole can't, unless the other is surely missing.
        if not both[asset] and 0 not in (first[asset], second[asset]):
            both[asset] = np.nan
    return np.array([both[asset] for asset in library.assets.tolist()])


def _by_asset(assets: np.ndarray, truth: np.ndarray) -> dict[int, float]:
    """As right as its best segment; unknown where one is and none is right."""
    found: dict[int, float] = {}
    for asset, value in zip(assets.tolist(), truth.tolist(), strict=True):
        known = found.get(asset, 0.0)
        if value == 1 or known == 1:
            found[asset] = 1.0
        else:
            found[asset] = known + value if np.isnan(known) or np.isnan(value) else max(known, value)
    return found


def _trial(
    contents: Contents,
    library: Library,
    words: _WordIndex,
    question: Question,
    aspects: Sequence[Aspect],
    vectors: Mapping[Signal, np.ndarray],
    truth: np.ndarray,
    left: np.ndarray,
    present: bool,
) -> Trial:
    said = " ".join(words_said(aspects, [question.text]))
    coverage, terms = TermCoverage(terms_of(said)), len(terms_of(question.text))
    lists = [*_dense(contents, library, vectors, coverage, terms, left), *words.search(library, said, coverage, left)]
    return Trial(
        sort=question.sort,
        text=question.text,
        present=present,
        size=len(set(library.assets[left].tolist())),
        lists=lists,
        together=tuple(aspect.sense for aspect in aspects),
        asset_truth=_by_asset(library.assets[left], truth[left]),
        segment_truth=dict(enumerate(truth.tolist(), start=1)),
    )


def _dense(
    contents: Contents,
    library: Library,
    vectors: Mapping[Signal, np.ndarray],
    coverage: TermCoverage,
    terms: int,
    left: np.ndarray,
) -> Iterator[CandidateList]:
    senses = Counter(Signal(signal).sense for signal in library.signals[left])
    for signal, vector in vectors.items():
        places = np.flatnonzero((library.signals == signal) & left)
        if not len(places):
            continue
        scores = contents.vectors[library.rows[places], : len(vector)] @ vector
        best = np.argsort(-scores)[:DEPTH]
        yield CandidateList(
            signal=signal,
            evidence=Evidence.DENSE,
            candidates=tuple(_candidate(library, places[place], float(scores[place]), coverage) for place in best),
            background=Background.of(scores[:SAMPLE], senses[signal.sense]),
            terms=terms,
            complete=len(places) <= DEPTH,
        )


def _candidate(library: Library, place: int, score: float, coverage: TermCoverage) -> Candidate:
    start = float(library.starts[place])
    timed = not np.isnan(start)
    return Candidate(
        of=int(library.counts[place]),
        segment_id=int(place) + 1,
        asset_id=int(library.assets[place]),
        score=score,
        start_seconds=start if timed else None,
        end_seconds=start + 5 if timed else None,
        text=library.texts[place] or None,
        covered=coverage.of(library.texts[place]),
    )


class _WordIndex:
    """FTS5 as the catalogue uses it, in memory."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._connection = sqlite3.connect(":memory:")
        self._connection.execute(
            "CREATE VIRTUAL TABLE words USING fts5(text, tokenize='porter unicode61 remove_diacritics 2')"
        )
        rows = [(place + 1, text) for place, text in enumerate(texts) if text]
        self._connection.executemany("INSERT INTO words(rowid, text) VALUES (?, ?)", rows)

    def search(self, library: Library, text: str, coverage: TermCoverage, left: np.ndarray) -> Iterator[CandidateList]:
        """One list per signal that holds words."""
        terms = terms_of(text)
        match = " OR ".join(f'"{term}"' for term in terms)
        found = self._connection.execute(
            "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? ORDER BY bm25(words)", (match,)
        ).fetchall()
        for signal in (Signal.SPEECH, Signal.TEXT):
            mine = [(row - 1, score) for row, score in found if left[row - 1] and library.signals[row - 1] == signal]
            if mine:
                yield CandidateList(
                    signal=signal,
                    evidence=Evidence.WORDS,
                    candidates=tuple(_candidate(library, place, score, coverage) for place, score in mine[:DEPTH]),
                    background=Background(int(((library.signals == signal) & left).sum()), 0.0, 0.0),
                    terms=len(terms),
                    complete=len(mine) <= DEPTH,
                )
