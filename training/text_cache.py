"""Vectors of many texts, computed once: each encoder's are kept in a folder, and only what is missing is added."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

_AT_ONCE = 2000


class TextCache:
    """Texts to rows of one encoder, which is loaded when a text is new."""

    def __init__(self, path: Path, load: Callable[[], Callable[[Sequence[str]], np.ndarray]]) -> None:
        """`load` gives a function from texts to `(len(texts), d) float32`."""
        self._path = path
        self._load = load
        self._rows: dict[str, int] = {}
        self._vectors = np.empty((0, 0), np.float32)
        if path.exists():
            self._vectors = np.load(path)
            texts = json.loads(path.with_suffix(".json").read_text("utf-8"))
            self._rows = {text: row for row, text in enumerate(texts)}

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """`(len(texts), d) float32`."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            self._add(new)
        return self._vectors[[self._rows[text] for text in texts]]

    def _add(self, texts: Sequence[str]) -> None:
        encode, started = self._load(), time.monotonic()
        parts = [self._vectors] if len(self._rows) else []
        for start in range(0, len(texts), _AT_ONCE):
            parts.append(encode(texts[start : start + _AT_ONCE]))
            print(f"  {self._path.stem}: {start}/{len(texts)}, {time.monotonic() - started:.0f} s", flush=True)
        self._vectors = np.concatenate(parts)
        self._rows |= {text: len(self._rows) + row for row, text in enumerate(texts)}
        np.save(self._path, self._vectors)
        self._path.with_suffix(".json").write_text(json.dumps(list(self._rows), ensure_ascii=False), "utf-8")
