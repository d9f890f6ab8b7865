"""The vectors of frequent queries, remembered: people page, refine and repeat, and programs ask the same all day."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence

import numpy as np

from search.arrays import Float32Array
from search.signals import Signal
from search.spaces import self_test
from search.spaces.space import Space, SpaceAround

MOST_TEXTS = 4096  # about 40 MB with five signals of 512 dimensions

Vectors = Mapping[Signal, Float32Array]


class CachingSpace(SpaceAround):
    """A space that remembers the vectors of the latest query texts; everything else goes straight through."""

    def __init__(self, space: Space, most_texts: int = MOST_TEXTS) -> None:
        super().__init__(space)
        self._most_texts = most_texts
        self._known: OrderedDict[str, Vectors] = OrderedDict()  # of one text each, latest last
        self._lock = threading.Lock()

    def embed_query_text(self, texts: Sequence[str]) -> Vectors:
        """See Space; only texts that are not remembered are embedded, each once."""
        by_text: dict[str, Vectors] = {}
        with self._lock:
            for text in texts:
                if text in self._known:
                    self._known.move_to_end(text)
                    by_text[text] = self._known[text]
        missing = list(dict.fromkeys(text for text in texts if text not in by_text))
        if missing:
            made = self.inner.embed_query_text(missing)
            for row, text in enumerate(missing):
                by_text[text] = {signal: rows[row] for signal, rows in made.items()}
            self._remember({text: by_text[text] for text in missing})
        if not texts:
            return self.inner.embed_query_text(texts)
        return {signal: np.stack([by_text[text][signal] for text in texts]) for signal in by_text[texts[0]]}

    def release(self) -> None:
        """Forget everything, and release loaded models."""
        with self._lock:
            self._known.clear()
        self.inner.release()

    def _remember(self, made: Mapping[str, Vectors]) -> None:
        with self._lock:
            for text, vectors in made.items():
                # The probe asks whether the encoders still answer, not what they once did.
                if text != self_test.TEXT:
                    self._known[text] = {signal: row.copy() for signal, row in vectors.items()}
            while len(self._known) > self._most_texts:
                self._known.popitem(last=False)
