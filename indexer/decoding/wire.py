"""Messages between a worker and its decoder children, as MessagePack.

Not pickle: a child handles hostile bytes, and unpickling what it sends would let it run code in the
parent. The types below are all that can arrive.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_origin

import msgspec
import numpy as np

from indexer.decoding.items import (
    Decoded,
    DecodedItem,
    DecodeRequest,
    Facts,
    Note,
    PictureItem,
    SoundItem,
    StillWorking,
    SubtitleItem,
    TextItem,
    WrittenItem,
)
from search.errors import UnavailableError

MAX_MESSAGE_BYTES = 256 * 1024**2
_ARRAY_TYPES = frozenset({"|u1", "<f4"})


@dataclass(frozen=True)
class Ready:
    """The child has loaded its libraries and waits for a request."""

    has_room: bool  # whether the machine gives it all the memory that one file may take


@dataclass(frozen=True)
class Done:
    """The file of the current request has been decoded to its end."""


class Fault(StrEnum):
    """Whose fault it is that a file could not be decoded."""

    FILE = "file"
    PASSING = "passing"  # nobody's that lasts
    MACHINE = "machine"
    MEMORY = "memory"  # the file's, if the child had room


@dataclass(frozen=True)
class Failed:
    """The file of the current request can't be decoded (further)."""

    reason: str
    fault: Fault


Message = DecodedItem | DecodeRequest | Ready | Done | Failed
# A message starts with one byte: its type's place here.
_TYPES: tuple[type[Any], ...] = (
    DecodeRequest,
    Ready,
    Done,
    Failed,
    Facts,
    Decoded,
    PictureItem,
    SoundItem,
    SubtitleItem,
    WrittenItem,
    TextItem,
    Note,
    StillWorking,
)


def encode(message: Message) -> bytes:
    """One message as bytes."""
    return bytes([_TYPES.index(type(message))]) + _ENCODER.encode(message)


def decode(data: bytes) -> Message:
    """The message in `data`. Raises UnavailableError when it is not one."""
    try:
        message: Message = _DECODERS[data[0]].decode(memoryview(data)[1:])
    except (IndexError, ValueError, msgspec.MsgspecError) as error:
        raise UnavailableError(f"a decoder process sent nonsense: {error}") from None
    return message


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return os.fsencode(value)
    raise NotImplementedError(f"{type(value)} can't travel")


def _rich(wanted: type, value: Any) -> Any:
    if (get_origin(wanted) or wanted) is np.ndarray:
        dtype, shape, data = value
        if dtype not in _ARRAY_TYPES:
            raise ValueError(f"an array of type {dtype!r}")
        # A copy, because torch warns about arrays that can't be written to.
        return np.frombuffer(data, dtype).reshape(shape).copy()
    if issubclass(wanted, Path):
        return Path(os.fsdecode(value))
    raise NotImplementedError(wanted)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
_DECODERS = [msgspec.msgpack.Decoder(kind, dec_hook=_rich) for kind in _TYPES]
