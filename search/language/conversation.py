"""What was said before in a conversation, in one token that the caller hands back.

Nothing is stored: the token is the memory. It comes back from outside, so it is bounded, strictly
read, and used only as words to search with and segments to look at again, never as instructions.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from typing import Self

import msgspec
from msgspec import Struct

from search.errors import UsageError

MAX_TURNS = 6  # older ones are forgotten
MAX_TOKEN_CHARACTERS = 20_000
MAX_BYTES = 64_000  # after decompression
MAX_TURN_CHARACTERS = 1_000
MAX_SEGMENTS = 8  # carried along from each turn


class Turn(Struct, frozen=True, array_like=True):
    """One question with its answer and the segments it cited."""

    question: str
    answer: str
    segment_ids: tuple[int, ...] = ()


class Conversation(Struct, frozen=True):
    """Turns, oldest first."""

    turns: tuple[Turn, ...] = ()

    @property
    def segment_ids(self) -> tuple[int, ...]:
        """Segments cited so far, latest first, each once."""
        latest = (segment for turn in reversed(self.turns) for segment in turn.segment_ids)
        return tuple(dict.fromkeys(latest))

    def with_turn(self, question: str, answer: str, segment_ids: tuple[int, ...]) -> Self:
        """The conversation after one more turn."""
        turn = Turn(question[:MAX_TURN_CHARACTERS], answer[:MAX_TURN_CHARACTERS], segment_ids[:MAX_SEGMENTS])
        return type(self)((*self.turns, turn)[-MAX_TURNS:])

    def encode(self) -> str:
        """As a token for URLs and JSON."""
        return base64.urlsafe_b64encode(zlib.compress(msgspec.msgpack.encode(self.turns))).decode()

    @classmethod
    def decode(cls, token: str | None) -> Self:
        """From a token; None or "" begins a conversation. Raises UsageError."""
        if not token:
            return cls()
        if len(token) > MAX_TOKEN_CHARACTERS:
            raise UsageError(f"the conversation has {len(token)} characters; at most {MAX_TOKEN_CHARACTERS} are taken")
        try:
            inflater = zlib.decompressobj()
            data = inflater.decompress(base64.urlsafe_b64decode(token), MAX_BYTES)
            # Small tokens can unpack to gigabytes: whatever is left over was over the limit.
            if inflater.unconsumed_tail:
                raise UsageError(f"the conversation unpacks to more than {MAX_BYTES} bytes")
            turns = msgspec.msgpack.decode(data, type=tuple[Turn, ...])
        except (binascii.Error, zlib.error, ValueError, msgspec.DecodeError):
            raise UsageError("this is not a conversation: pass back the one that an answer gave, unchanged") from None
        bounded = cls()
        for turn in turns[-MAX_TURNS:]:
            bounded = bounded.with_turn(turn.question, turn.answer, turn.segment_ids)
        return bounded
