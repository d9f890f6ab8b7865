"""Common English words by rank, as the starter's tokenizer lists them: these are not typing errors.

BERT's vocabulary is sorted by frequency over books and Wikipedia, and its whole words are words. Knows that file alone.
"""

from __future__ import annotations

import json
from functools import cache

from search.spaces.weights import MINILM_TOKENIZER


@cache
def common_words() -> dict[str, int]:
    """Words in lower case by rank, 0 the most common. Raises SpaceError."""
    vocabulary = json.loads(MINILM_TOKENIZER.find().read_text("utf-8"))["model"]["vocab"]
    whole = (word for word in sorted(vocabulary, key=vocabulary.__getitem__) if word.isalpha() and word.isascii())
    return {word: rank for rank, word in enumerate(word for word in whole if len(word) > 1)}
