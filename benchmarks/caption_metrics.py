"""How well captions are worded: BLEU and CIDEr-D against several human captions a picture.

The definitions, smoothing and constants of the COCO caption evaluation (`pycocoevalcap`), without its Java
tokenizer: captions are lower-cased, and split as the Penn Treebank is, without punctuation. Knows texts alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence

ORDERS = 4  # n-grams of one to four words
_SIGMA = 6.0  # words of difference in length that CIDEr-D forgives half-way
_TINY, _SMALL = 1e-15, 1e-9  # as pycocoevalcap guards its quotients
_CONTRACTION = re.compile(r"(n't|'s|'re|'ve|'ll|'d|'m)\b")
_WORD = re.compile(r"n't|'[a-z]+|[\w]+(?:[-.,'/&][\w]+)*|[$%#]")

NGrams = Counter[tuple[str, ...]]


def tokenize(caption: str) -> list[str]:
    """Words in lower case; hyphens stay inside words, clitics stand alone, punctuation goes."""
    spaced = _CONTRACTION.sub(r" \1", caption.lower())
    return _WORD.findall(spaced)


def bleu(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """Corpus BLEU-1 to BLEU-4 (Papineni 2002), brevity by the reference closest in length."""
    matched, possible = [0] * ORDERS, [0] * ORDERS
    written = expected = 0
    for caption, wanted in zip(captions, references, strict=True):
        words = tokenize(caption)
        rows = [tokenize(reference) for reference in wanted]
        written += len(words)
        expected += min((len(row) for row in rows), key=lambda length: (abs(length - len(words)), length))
        own, others = _ngrams(words), [_ngrams(row) for row in rows]
        for gram, count in own.items():
            matched[len(gram) - 1] += min(count, max(other[gram] for other in others))
        for order in range(ORDERS):
            possible[order] += max(0, len(words) - order)
    scores, product = [], 1.0
    for order in range(ORDERS):
        product *= (matched[order] + _TINY) / (possible[order] + _SMALL)
        scores.append(product ** (1 / (order + 1)))
    ratio = (written + _TINY) / (expected + _SMALL)
    brevity = math.exp(1 - 1 / ratio) if ratio < 1 else 1.0
    return [score * brevity for score in scores]


def cider(captions: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption (arXiv 1411.5726), n-grams weighed by how few pictures' references hold them."""
    grams = [[_ngrams(tokenize(reference)) for reference in wanted] for wanted in references]
    holding: Counter[tuple[str, ...]] = Counter()
    for pictures in grams:
        holding.update({gram for reference in pictures for gram in reference})
    weigh = _Weighing(holding, math.log(len(references)))
    scores = []
    for caption, wanted in zip(captions, grams, strict=True):
        own = weigh(_ngrams(tokenize(caption)))
        likeness = [own.likeness(weigh(reference)) for reference in wanted]
        scores.append(10 * sum(likeness) / len(likeness) / ORDERS)
    return scores


class _Vector:
    """TF-IDF vectors of one text, one for each order of n-grams."""

    def __init__(self, weights: dict[tuple[str, ...], float], length: int) -> None:
        self.weights = weights
        self.length = length
        self.norms = [0.0] * ORDERS
        for gram, weight in weights.items():
            self.norms[len(gram) - 1] += weight**2
        self.norms = [math.sqrt(norm) for norm in self.norms]

    def likeness(self, reference: _Vector) -> float:
        """Sum over orders of the clipped cosine, less where lengths differ."""
        products = [0.0] * ORDERS
        for gram, weight in self.weights.items():
            other = reference.weights.get(gram, 0.0)
            products[len(gram) - 1] += min(weight, other) * other
        forgiven = math.exp(-((self.length - reference.length) ** 2) / (2 * _SIGMA**2))
        norms = zip(products, self.norms, reference.norms, strict=True)
        return forgiven * sum(product / (own * other) if own and other else 0.0 for product, own, other in norms)


class _Weighing:
    def __init__(self, holding: Counter[tuple[str, ...]], log_pictures: float) -> None:
        self._holding, self._log_pictures = holding, log_pictures

    def __call__(self, grams: NGrams) -> _Vector:
        weights = {
            gram: count * (self._log_pictures - math.log(max(1.0, self._holding[gram])))
            for gram, count in grams.items()
        }
        # pycocoevalcap counts bigrams for the length, which differs by one for all.
        return _Vector(weights, sum(count for gram, count in grams.items() if len(gram) == 2))


def _ngrams(words: Sequence[str]) -> NGrams:
    orders = range(1, ORDERS + 1)
    return Counter(tuple(words[at : at + n]) for n in orders for at in range(len(words) - n + 1))
