"""Unigram segmentation (arXiv 1804.10959): the likeliest way to cut a text into the pieces of a vocabulary.

Knows SentencePiece's conventions for spaces; knows no model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

SPACE = "\u2581"  # stands for a space, also for the one before the first word
_UNKNOWN_PENALTY = 10.0  # an unknown sign is so much less likely than the least likely piece
_IMPOSSIBLE = -1e30


class Unigram:
    """Text to the numbers of its pieces. Thread-safe."""

    def __init__(
        self, pieces: Mapping[bytes, int], scores: Sequence[float], unknown: int, replaced: Mapping[int, str]
    ) -> None:
        """Pieces are UTF-8; `scores` are log-probabilities by number; `replaced` normalises single characters."""
        self._pieces, self._scores = pieces, scores
        self._longest = max(map(len, pieces))
        self._unknown, self._unknown_score = unknown, min(scores) - _UNKNOWN_PENALTY
        self._replaced = replaced

    def numbers(self, text: str) -> list[int]:
        """Of the pieces in their order; each sign that no piece holds is one unknown piece."""
        text = re.sub(" {2,}", " ", text.translate(self._replaced))
        signs = [sign.encode() for sign in (text if text.startswith(" ") else " " + text).replace(" ", SPACE)]
        starts = [0]
        for sign in signs:
            starts.append(starts[-1] + len(sign))
        return self._cut(b"".join(signs), starts)

    def _cut(self, text: bytes, starts: Sequence[int]) -> list[int]:
        """Viterbi's algorithm over the signs, which begin at `starts`; the last of these is the text's end."""
        count = len(starts) - 1
        best = [0.0] + [_IMPOSSIBLE] * count
        came = [(0, 0)] * (count + 1)  # to each place: from which, by which piece
        for first in range(count):
            known, begin = best[first], starts[first]
            if known + self._unknown_score > best[first + 1]:
                best[first + 1], came[first + 1] = known + self._unknown_score, (first, self._unknown)
            for last in range(first + 1, count + 1):
                end = starts[last]
                if end - begin > self._longest:
                    break
                number = self._pieces.get(text[begin:end])
                if number is not None and known + self._scores[number] > best[last]:
                    best[last], came[last] = known + self._scores[number], (first, number)
        numbers = []
        position = count
        while position:
            position, number = came[position]
            numbers.append(number)
        return numbers[::-1]
