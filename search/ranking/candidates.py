"""What retrieval hands to fusion and what fusion hands back: frozen values, no behaviour to speak of.

This module knows no database, no index and no space.
"""

from __future__ import annotations

from enum import StrEnum

import numpy as np
from msgspec import Struct

from search.results import Why
from search.signals import Signal


class Evidence(StrEnum):
    """How a candidate was found."""

    DENSE = "dense"  # by vectors: the score is a cosine
    WORDS = "words"  # by full text: the score is the database's rank, higher is better


class Background(Struct, frozen=True):
    """How one query scores against the library at large: the yardstick for calibration."""

    size: int  # segments that the query's scores are judged among: of words, of the signal; else of the sense
    mean: float
    deviation: float

    @classmethod
    def of(cls, scores: np.ndarray, size: int) -> Background:
        """From the query's scores `(n,)` over a sample of a partition, judged among `size` segments."""
        if not len(scores):
            return cls(size, 0.0, 0.0)
        return cls(size, float(np.mean(scores)), float(np.std(scores)))


class Candidate(Struct, frozen=True, kw_only=True):
    """A segment that one list of evidence proposes."""

    segment_id: int
    asset_id: int
    score: float
    start_seconds: float | None = None
    end_seconds: float | None = None
    text: str | None = None
    page: int | None = None  # of a document
    line: int | None = None  # of a text file: its first one
    covered: float = 0.0  # the share of the query's words that its text holds
    sure: float = 1.0  # how sure speech recognition was of the passage, on average over its words
    of: int = 1  # how many segments of this signal the asset has: the best of many frames is high by chance


class CandidateList(Struct, frozen=True, kw_only=True):
    """What one way of finding brought, best first. For words, only the background's size says something."""

    signal: Signal
    evidence: Evidence
    candidates: tuple[Candidate, ...]
    background: Background | None = None
    by_example: bool = False  # asked with pictures, sounds or stored vectors rather than with text
    terms: int = 0  # how many different words were asked for; of full text, looked for
    complete: bool = False  # nothing further would be found by looking deeper


class ScoredMoment(Struct, frozen=True, kw_only=True):
    """A stretch of an asset with everything that spoke for it. `segment_id` is its best segment."""

    segment_id: int
    signal: Signal
    start_seconds: float | None
    end_seconds: float | None
    text: str | None
    score: float
    relevance: float
    page: int | None = None
    line: int | None = None
    words_id: int = 0  # the segment whose words the text is; 0 where there are none
    why: tuple[Why, ...]  # best first


class ScoredAsset(Struct, frozen=True, kw_only=True):
    """An asset with its fused relevance and its moments, best first."""

    asset_id: int
    relevance: float
    moments: tuple[ScoredMoment, ...]
