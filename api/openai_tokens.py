"""Lists of tokens of OpenAI's tokenizer cl100k_base, read back as text.

Clients that cut long texts by tokens (LangChain's `OpenAIEmbeddings` does so unless told otherwise) send the tokens
instead of the text, and take cl100k_base for a model that they don't know. Decoding needs nothing but the bytes of each
token. They come with Medley in `cl100k_base.xz`: the length of each token in one byte, then all tokens one after the
other, in the order of their ranks. They are the vocabulary that tiktoken (MIT, OpenAI) loads from the network; a test
holds them against the checksum that tiktoken names.
"""

from __future__ import annotations

import functools
import itertools
import lzma
from collections.abc import Sequence
from importlib import resources

TOKENS = 100_256
#: a model of OpenAI reads no longer text
MOST_TOKENS = 8192


@functools.cache
def vocabulary() -> tuple[bytes, ...]:
    """The bytes of every token, by its rank."""
    unpacked = lzma.decompress((resources.files("api") / "cl100k_base.xz").read_bytes())
    ends = itertools.accumulate(unpacked[:TOKENS], initial=TOKENS)
    return tuple(unpacked[start:end] for start, end in itertools.pairwise(ends))


def text_of(tokens: Sequence[int]) -> str:
    """The text of these tokens; a character split between tokens becomes U+FFFD.

    Raises ValueError for numbers that are not tokens of a text.
    """
    if len(tokens) > MOST_TOKENS:
        raise ValueError(f"{len(tokens)} tokens were sent; at most {MOST_TOKENS} are read")
    words = vocabulary()
    for token in tokens:
        if not 0 <= token < TOKENS:
            raise ValueError(f"{token} is not a token of cl100k_base; send text")
    return b"".join(words[token] for token in tokens).decode("utf-8", "replace")
