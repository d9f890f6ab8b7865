"""What people type, from captions: words and phrases with the photos they are right for, also in other languages.

A word is right for the photos whose captions hold it, in any of its forms, a synonym of it or something that it
covers ("animal": a dog). Captions leave things out, so one caption of five makes it likely and three make it
certain. Translations of words come from parallel sentences, by how often words occur together. Knows captions and
lists of words; knows no vectors.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from search.catalog.sql.full_text import STOP_WORDS
from training.photos import Photo

LANGUAGES = ("de", "fr", "cs")
# Words that make no query by themselves, and no end of a phrase.
_BESIDE_STOP_WORDS = (
    "being been it's up down out over into while near through off around one other another onto next behind front "
    "under along across against towards toward each between very look looks looking something someone"
)
FUNCTION_WORDS = STOP_WORDS | frozenset(_BESIDE_STOP_WORDS.split())
LEAST_PHOTOS = 8  # that a word must be said of
LEAST_PHOTOS_OF_PHRASE = 10
LEAST_FORM = 4  # occurrences of one of a word's forms
# How likely a photo shows what that many of its captions say.
LIKELY = np.array([0.0, 0.6, 0.85, 1.0, 1.0, 1.0], np.float32)
# Of the words of a phrase, none in the same caption as all the others.
SPREAD = 0.5
DICE = 0.25  # of a translation, at least: twice the sentences of both, by the sentences of either
NO_PEOPLE = ("no people", "nobody", "without people", "no person", "nobody there")
_IRREGULAR = {"men": "man", "women": "woman", "children": "child", "feet": "foot", "geese": "goose", "leaves": "leaf"}
_VERBS = {"running": "run", "ran": "run", "swimming": "swim", "sitting": "sit", "bicyclist": "cyclist"}
_LISTS = Path(__file__).with_name("synonyms.txt")


@dataclass(frozen=True)
class Entries:
    """Queries and what is right for them."""

    texts: tuple[str, ...]
    languages: np.ndarray  # (queries,) of str
    phrases: np.ndarray  # (queries,) bool: more than a word
    targets: np.ndarray  # (queries,) int, rows of `likely`
    likely: np.ndarray  # (targets, photos) float32, 0 to 1


class Vocabulary:
    """Words and phrases of the training photos' captions."""

    def __init__(self, photos: Sequence[Photo], parallel: Iterable[Mapping[str, str]]) -> None:
        captioned = [_captions(photo) for photo in photos]
        counts = Counter(word for sentences in captioned if len(sentences) > 1 for words in sentences for word in words)
        self._base = _bases(counts)
        self._captions = [[[self.base(word) for word in words] for words in sentences] for sentences in captioned]
        self._held: dict[str, Counter[int]] = defaultdict(Counter)  # of a word: captions by photo
        for number, sentences in enumerate(self._captions):
            for words in sentences:
                for word in set(words):
                    self._held[word][number] += 1
        self._synonyms, self._covers = _read_lists()
        forms: dict[str, list[str]] = defaultdict(list)
        for word, count in counts.items():
            if count >= LEAST_FORM or word == self.base(word):
                forms[self.base(word)].append(word)
        self.words = {
            word: forms[word]
            for word in self._held
            if len(word) > 2
            and word not in FUNCTION_WORDS
            and word in forms
            and sum(len(self._captions[number]) > 1 for number in self._held[word]) >= LEAST_PHOTOS
        }
        self.phrases = _phrases(sentences for sentences in captioned if len(sentences) > 1)
        self.translations = _translations(parallel, {word for word, count in counts.items() if count >= LEAST_FORM})

    def base(self, word: str) -> str:
        """The form that represents all forms of a word."""
        return self._base.get(word, word)

    def entries(self, left_out: frozenset[str] = frozenset()) -> Entries:
        """All queries, without those that hold a word of `left_out`."""
        texts: list[tuple[str, str, bool, int]] = []
        likely: list[np.ndarray] = []
        for word in [*self.words, *(word for word in self._covers if word not in self.words)]:
            if word in left_out:
                continue
            likely.append(self._said(self._closed(word)))
            for form in self.words.get(word, [word]):
                texts.append((form, "en", False, len(likely) - 1))
                for language, translated in self.translations.get(form, {}).items():
                    texts += [(translation, language, False, len(likely) - 1) for translation in translated]
        for phrase in self.phrases:
            bases = [self.base(word) for word in phrase.split() if self.base(word) not in FUNCTION_WORDS]
            if left_out.isdisjoint(bases):
                likely.append(self._together(bases))
                texts.append((phrase, "en", True, len(likely) - 1))
        likely.append(self._without_people())
        texts += [(text, "en", True, len(likely) - 1) for text in NO_PEOPLE]
        words, languages, phrases, targets = zip(*texts, strict=True)
        return Entries(words, np.array(languages), np.array(phrases), np.array(targets), np.stack(likely))

    def _closed(self, word: str) -> set[str]:
        same = {self.base(related) for related in self._synonyms.get(word, (word,))} | {word}
        return same | {self.base(related) for parent in list(same) for related in self._covers.get(parent, ())}

    def _said(self, words: Iterable[str]) -> np.ndarray:
        likely = np.zeros(len(self._captions), np.float32)
        for word in words:
            for number, count in self._held.get(word, {}).items():
                likely[number] = max(likely[number], self._likely(number, count))
        return likely

    def _together(self, words: Sequence[str]) -> np.ndarray:
        """Of phrases: how likely from the captions that hold all its words."""
        likely = np.zeros(len(self._captions), np.float32)
        for number in set.intersection(*(set(self._held.get(word, ())) for word in words)):
            count = sum(set(words) <= set(caption) for caption in self._captions[number])
            likely[number] = self._likely(number, count) if count else SPREAD
        return likely

    def _without_people(self) -> np.ndarray:
        people = self._said(self._closed("people"))
        captioned = np.array([len(sentences) > 1 for sentences in self._captions])
        return np.asarray((people == 0) & captioned, np.float32)

    def _likely(self, number: int, captions: int) -> float:
        return float(LIKELY[captions]) if len(self._captions[number]) > 1 else 1.0


def split(text: str) -> list[str]:
    """Words in lower case, of any alphabet."""
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)?", text.lower())


def _captions(photo: Photo) -> list[list[str]]:
    """The words of each caption; a label or an album of questions is one."""
    if photo.label:
        return [split(photo.label)]
    return (
        [split(sentence) for sentence in photo.sentences]
        if photo.set == "flickr8k"
        else [split(" ".join(photo.sentences))]
    )


def _bases(counts: Mapping[str, int]) -> dict[str, str]:
    """Forms to the base form, where that occurs too: dogs, running, jumped."""
    bases: dict[str, str] = {}
    for word in counts:
        base = next(
            (candidate for candidate in _candidates(word) if len(candidate) >= 3 and counts.get(candidate, 0) >= 2),
            None,
        )
        if base:
            bases[word] = base
    bases |= {word: base for word, base in (_IRREGULAR | _VERBS).items() if word in counts}
    return {word: bases.get(base, base) if bases.get(base) != word else base for word, base in bases.items()}


def _candidates(word: str) -> Iterable[str]:
    if word.endswith("ies"):
        yield word[:-3] + "y"
    for ending in ("es", "s", "ing", "ed"):
        if word.endswith(ending) and not word.endswith("ss"):
            bare = word[: -len(ending)]
            yield bare
            if ending in ("ing", "ed"):
                yield bare + "e"
                if len(bare) > 2 and bare[-1] == bare[-2]:
                    yield bare[:-1]


def _phrases(captioned: Iterable[Sequence[Sequence[str]]]) -> list[str]:
    """Runs of two to four words of enough photos, from one telling word to another."""
    counts: Counter[str] = Counter()
    for sentences in captioned:
        counts.update({" ".join(run) for words in sentences for run in _runs(words)})
    return [phrase for phrase, count in counts.items() if count >= LEAST_PHOTOS_OF_PHRASE]


def _runs(words: Sequence[str]) -> Iterable[Sequence[str]]:
    for length in (2, 3, 4):
        for start in range(len(words) - length + 1):
            run = words[start : start + length]
            if run[0] not in FUNCTION_WORDS and run[-1] not in FUNCTION_WORDS:
                yield run


def _translations(parallel: Iterable[Mapping[str, str]], known: set[str]) -> dict[str, dict[str, list[str]]]:
    """English words to those that stand beside them most exclusively, by Dice's coefficient."""
    rows = [{key: set(split(row[key])) for key in ("en", *LANGUAGES) if row.get(key)} for row in parallel]
    translations: dict[str, dict[str, list[str]]] = defaultdict(dict)
    for language in LANGUAGES:
        pairs = [(row["en"], row[language]) for row in rows if language in row]
        english, others = (
            Counter(w for ours, _ in pairs for w in ours),
            Counter(w for _, theirs in pairs for w in theirs),
        )
        together: dict[str, Counter[str]] = defaultdict(Counter)
        for ours, theirs in pairs:
            for word in ours & known:
                together[word].update(theirs)
        for word, beside in together.items():
            if word in FUNCTION_WORDS or len(word) < 3:
                continue
            scored = sorted(
                ((2 * n / (english[word] + others[other]), other) for other, n in beside.items() if len(other) > 1)
            )
            best = [(dice, other) for dice, other in scored[:-4:-1] if dice >= max(DICE, 0.6 * scored[-1][0])]
            if best:
                translations[word][language] = [other for _, other in best]
    return dict(translations)


def _read_lists() -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Synonyms by each of them, and what wide words cover."""
    synonyms: dict[str, list[str]] = {}
    covers: dict[str, list[str]] = {}
    for line in _LISTS.read_text("utf-8").splitlines():
        if line.startswith("#") or not line.strip():
            continue
        wide, colon, narrow = line.partition(":")
        if colon:
            covers |= dict.fromkeys(wide.split(), narrow.split())
        else:
            synonyms |= dict.fromkeys(line.split(), line.split())
    return synonyms, covers
