"""Would what the language model writes of pictures find them better? Captions as a signal of their own.

The likeness of a query to what is written of a picture, added to its likeness to the picture, beside the space alone
(the first share, 0). Queries are single words that people's captions use, and captions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from benchmarks.everyday import LOOKED_AT, words_of
from search.arrays import Float32Array
from search.signals import Signal
from search.spaces.space import Space

SHARES = (0.0, 0.05, 0.1, 0.2)  # of a cosine to a caption, beside one to the picture


def remembered(file: Path | None, names: Sequence[str], write: Callable[[list[int]], list[str]]) -> list[str]:
    """A caption of each picture: from a JSON file by name, and otherwise written, by numbers, and kept there."""
    known: dict[str, str] = json.loads(file.read_text("utf-8")) if file and file.is_file() else {}
    missing = [number for number, name in enumerate(names) if name not in known]
    if missing:
        known |= dict(zip([names[number] for number in missing], write(missing), strict=True))
        if file:
            file.write_text(json.dumps(known, indent=0, ensure_ascii=False), "utf-8")
    return [known[name] for name in names]


def captions_as_signal(
    space: Space,
    pictures: Float32Array,
    written: Sequence[str],
    described: Sequence[Sequence[str]],
    queries: Sequence[str],
) -> dict[str, dict[str, float]]:
    """Precision of single words, and how often a picture's query finds it; by share.

    `pictures (n, d)`; for each what is `written`, how people `described` it, and its query.
    """
    words = words_of([[re.findall(r"[^\W\d_]+", sentence.lower()) for sentence in told] for told in described])
    passages = space.embed(Signal.SPEECH, written)

    def ranked(texts: Sequence[str], share: float) -> np.ndarray:
        vectors = space.embed_query_text(texts)
        scores = vectors[Signal.IMAGE] @ pictures.T + share * (vectors[Signal.SPEECH] @ passages.T)
        return np.argsort(-scores, axis=1, kind="stable")

    told = {}
    for share in SHARES:
        places = (ranked(queries, share) == np.arange(len(queries))[:, None]).argmax(1)
        found = ranked([word.text for word in words], share)[:, :LOOKED_AT] if words else np.empty((0, LOOKED_AT), int)
        right = [word.right[first].mean() for word, first in zip(words, found, strict=True)]
        told[str(share)] = {
            f"precision of {len(words)} words": round(float(np.mean(right)), 3) if right else float("nan"),
            "first": round(float((places < 1).mean()), 3),
            "among ten": round(float((places < 10).mean()), 3),
        }
    return told
