"""Single words and short phrases that people type, and what fits them, told from descriptions of photos.

A word is right for a photo that two of its descriptions hold, unknown for one of which a single description (or a near
word) speaks, and else wrong. A phrase is unknown, too, for a photo of the thing of which nobody says how it is: "red
car" for "a car". What is only said aloud is weak evidence that a recording is about it.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from search.words import stem

MENTIONED = 0.3  # how right a passage is that holds the one word asked for
_LEAST_HELD = 3  # descriptions that must hold a word or phrase
_ARTICLES = "a an the his her their its two three four five several some many this that of in on with another"
_DETERMINERS = frozenset(_ARTICLES.split())
_LITTLE = (
    "a an the of in on at to with and or is are be being by for from up down out over into its it his her their this "
    "that as while near through off around there some one who which has have had was were been not no other another "
    "onto next behind front under along across against towards toward each between about very what so"
)
_FUNCTION = frozenset(_LITTLE.split())
# Who is described as one of these may be the other as well.
_NEAR = (
    "people person man men woman women boy girl child children kid player adult someone guy lady crowd group friend "
    "couple baby toddler skier climber rider cyclist worker surfer runner",
    "water ocean lake river pool sea wave beach shore",
    "dog puppy animal terrier retriever greyhound",
    "bike bicycle cyclist motorcycle vehicle car truck",
    "shirt jacket coat clothes clothing outfit dress uniform",
    "snow ski skier skiing snowboard snowboarder winter slope ice",
    "grass field lawn yard park",
    "building house wall city street",
)
# Of these a thing has one: where a description says another one, the one asked for is not there.
_EXCLUDING = (
    "black, white, brown, red, blue, green, yellow, orange, pink, purple, gray grey, tan, blond blonde",
    "one, two, three, four, five, six",
    "young, old elderly",
    "small little tiny, large big huge",
)
_CHOICES = [[frozenset(choice.split()) for choice in group.split(",")] for group in _EXCLUDING]
_NEAR_STEMS = [frozenset(stem(word) for word in group.split()) for group in _NEAR]

Asked = tuple[str, str, np.ndarray]  # sort, text, truth (n,)


def words_asked(
    sentences: Sequence[Sequence[str]], sorts: np.ndarray, texts: Sequence[str], most: int, random: np.random.Generator
) -> list[Asked]:
    """At most `most` words, and as many phrases of two or three, that name something in the descriptions.

    `sorts` `(n,)`: what each of the `n` items is.
    """
    described = [row for row, sort in enumerate(sorts) if sort in ("photo", "other") and len(sentences[row]) > 1]
    spelled = {row: [_words(sentence) for sentence in sentences[row]] for row in range(len(sentences))}
    nouns = _nouns(line for row in described for line in spelled[row])
    held: dict[tuple[str, ...], np.ndarray] = defaultdict(lambda: np.zeros(len(sentences)))
    forms: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for row in described:
        for line in spelled[row]:
            for words in set(_phrases(line, nouns)):
                key = tuple(map(stem, words))
                held[key][row] += 1
                forms[key][" ".join(words)] += 1
    said = [frozenset(map(stem, _words(text))) for text in texts]
    named = [frozenset(stem(word) for line in spelled[row] for word in line) for row in range(len(sentences))]
    enough = [key for key in sorted(held) if held[key].sum() >= _LEAST_HELD and (held[key] >= 2).any()]
    # Half of the words by how often they are said, because that is how often people want them; half at random.
    single = sorted((stems for stems in enough if len(stems) == 1), key=lambda stems: -held[stems].sum())
    several = [stems for stems in enough if len(stems) > 1]
    chosen = single[: most // 2]
    for others, count in ((single[most // 2 :], most - most // 2), (several, most)):
        chosen += [others[position] for position in random.permutation(len(others))[:count]]
    described_as = list(spelled.values())
    asked = []
    for key in chosen:
        text = forms[key].most_common(1)[0][0]
        truth = _truth(key, held, said, named, sorts, _left_open(text, described_as, nouns))
        asked.append(("word" if len(key) == 1 else "phrase", text, truth))
    return asked


def _truth(
    key: tuple[str, ...],
    held: dict[tuple[str, ...], np.ndarray],
    said: Sequence[frozenset[str]],
    named: Sequence[frozenset[str]],
    sorts: np.ndarray,
    is_open: np.ndarray,
) -> np.ndarray:
    wanted, near = frozenset(key), _near(key)
    truth = np.where(held[key] >= 2, 1.0, np.where(held[key] == 1, np.nan, 0.0))
    for row, sort in enumerate(sorts):
        if truth[row] == 0:
            if sort in ("passage", "talk", "sign"):
                holds = wanted <= said[row]
                # A few words in one passage are likely about the matter; one may be a mere mention.
                truth[row] = (MENTIONED if len(key) == 1 else np.nan) if holds else 0.0
            elif wanted <= named[row]:
                truth[row] = (
                    np.nan if sort in ("photo", "other") and len(key) > 1 else 1.0 if sort == "clip" else np.nan
                )
            elif named[row] & near or is_open[row]:
                truth[row] = np.nan
    return truth


def _left_open(phrase: str, spelled: Sequence[Sequence[Sequence[str]]], nouns: frozenset[str]) -> np.ndarray:
    """`(n,) bool`: whether the thing that a phrase names is described, and nobody says that it is otherwise."""
    *how, thing = phrase.split()
    if not how or any(stem(word) in nouns or word.endswith("ing") for word in how):
        return np.zeros(len(spelled), bool)  # what else is there, and what is going on, is mostly said
    excluded = {
        word
        for choices in _CHOICES
        if any(choice & set(how) for choice in choices)
        for choice in choices
        if not choice & set(how)
        for word in choice
    }
    key = stem(thing)
    told = [
        [line[max(0, place - 2) : place] for line in lines for place, word in enumerate(line) if stem(word) == key]
        for lines in spelled
    ]
    return np.array([bool(before) and not any(excluded & set(words) for words in before) for before in told])


def _near(key: tuple[str, ...]) -> frozenset[str]:
    """Words that may well be said of what these name."""
    near = [group for group in _NEAR_STEMS if group & frozenset(key)]
    return frozenset().union(*near) if len(key) == 1 else frozenset()


def _nouns(lines: Iterable[Sequence[str]]) -> frozenset[str]:
    """Stems of words that mostly end what an article began: most name things."""
    count: Counter[str] = Counter()
    begun: Counter[str] = Counter()
    ended: Counter[str] = Counter()
    for line in lines:
        for position, word in enumerate(line):
            key, after = stem(word), line[position + 1] if position + 1 < len(line) else ""
            count[key] += 1
            begun[key] += bool(_DETERMINERS & set(line[max(0, position - 2) : position]))
            ended[key] += not after or after in _FUNCTION or after.endswith(("ing", "ed", "s"))
    return frozenset(
        word
        for word, total in count.items()
        if total >= _LEAST_HELD and len(word) > 2 and ended[word] / total >= 0.6 and begun[word] / total >= 0.45
    )


def _phrases(line: Sequence[str], nouns: frozenset[str]) -> list[tuple[str, ...]]:
    """Nouns, and runs of two or three words that end in one and begin with no function word."""
    return [
        tuple(line[end - length : end])
        for end in range(1, len(line) + 1)
        for length in (1, 2, 3)
        if length <= end and stem(line[end - 1]) in nouns and line[end - length] not in _FUNCTION
    ]


def _words(sentence: str) -> list[str]:
    return re.findall(r"[a-z]+", sentence.lower())
