"""Colours, counts and negation: which photos of a thing show it as asked for?

Among photos that show the same thing, a query that names a colour, a number, or something that must not be there
should rank those that fit above the others. What fits is told by captions that agree; the measure is the share of
pairs of a fitting and another photo that stand in the right order (0.5: chance).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from search.ranking.retriever import embed_texts
from search.signals import Signal
from search.spaces.space import Space
from training.instructions import sure_colours, sure_counts

LEAST = 4  # photos that fit, and others, for a query to count


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PEOPLE = _words(
    "people person man men woman women boy boys girl girls child children kid kids guy guys lady ladies baby couple "
    "crowd player players rider riders skier surfer hiker climber toddler someone family group team"
)
_UNWANTED = {"people": _PEOPLE, "dog": _words("dog dogs"), "water": _words("water")}
_SCENES = _words(
    "beach snow water street grass field pool mountain lake river sand park rock road dog dogs car bike boat ball "
    "building trees"
)


class Contrast(Struct, frozen=True):
    """A query, and photos of its thing that fit it or don't."""

    query: str
    fitting: np.ndarray  # (n,) int, numbers of photos
    others: np.ndarray  # (m,) int


def details(space: Space, pictures: np.ndarray, captions: Sequence[Sequence[str]]) -> dict[str, str]:
    """For `pictures` `(photos, d)` and the captions of each: how well details are told apart."""

    def scores(text: str, *, whole: bool = False) -> np.ndarray:
        """As the engine asks, or by the encoder's vector of the `whole` text."""
        rows = space.embed_query_text([text]) if whole else embed_texts(space, [text])[0]
        return np.asarray(pictures @ np.ravel(rows[Signal.IMAGE]))

    colours = _by_value(captions, sure_colours, "a {value} {thing}")
    counts = _by_value(captions, sure_counts, "{value} {thing}")
    negated = _negated(captions)
    return {
        f"colours: 'a red shirt' among shirts ({len(colours)})": _ordered(colours, scores),
        f"counts: 'two dogs' among dogs ({len(counts)})": _ordered(counts, scores),
        f"'beach' alone: beaches without people first ({len(negated)})": _ordered(
            negated, lambda text: scores(text.split()[0])
        ),
        "'beach without people' as one text": _ordered(negated, lambda text: scores(text, whole=True)),
        "'beach without people' as the engine asks": _ordered(negated, scores),
    }


def _ordered(contrasts: Sequence[Contrast], scored: Callable[[str], np.ndarray]) -> str:
    """The share of pairs in the right order, a mean over queries."""
    shares = []
    for contrast in contrasts:
        scores = scored(contrast.query)
        shares.append((scores[contrast.fitting][:, None] > scores[contrast.others][None, :]).mean())
    return f"{np.mean(shares):.3f}"


def _by_value(
    captions: Sequence[Sequence[str]], sure: Callable[[Sequence[str]], dict[str, str]], form: str
) -> list[Contrast]:
    shown: dict[str, dict[str, list[int]]] = {}
    for number, sentences in enumerate(captions):
        for thing, value in sure([sentence.lower() for sentence in sentences]).items():
            shown.setdefault(thing, {}).setdefault(value, []).append(number)
    contrasts = []
    for thing, by_value in shown.items():
        for value, fitting in by_value.items():
            others = [number for other, numbers in by_value.items() if other != value for number in numbers]
            if len(fitting) >= LEAST and len(others) >= LEAST:
                query = form.format(value=value, thing=thing)
                contrasts.append(Contrast(query, np.array(fitting), np.array(others)))
    return contrasts


def _negated(captions: Sequence[Sequence[str]]) -> list[Contrast]:
    """What two captions tell is there; what none does is not."""
    words = [[set(re.findall(r"[a-z]+", sentence.lower())) for sentence in sentences] for sentences in captions]

    def held(wanted: frozenset[str]) -> np.ndarray:
        return np.array([sum(not wanted.isdisjoint(said) for said in sentences) for sentences in words])

    contrasts = []
    for scene, (unwanted, named) in itertools.product(sorted(_SCENES), _UNWANTED.items()):
        if scene in named:
            continue
        there, without = held(frozenset({scene})) >= 2, held(named)
        fitting, others = np.flatnonzero(there & (without == 0)), np.flatnonzero(there & (without >= 2))
        if len(fitting) >= LEAST and len(others) >= LEAST:
            contrasts.append(Contrast(f"{scene} without {unwanted}", fitting, others))
    return contrasts
