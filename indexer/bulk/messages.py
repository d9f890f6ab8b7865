"""What travels between the coordinator of a bulk job and its nodes, as MessagePack.

A closed set of types, as between a worker and its decoders. Vectors travel in half precision, as the catalogue
keeps them. Knows no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_origin

import msgspec
import numpy as np
from msgspec import Struct

from indexer.ingest.intake import Later, NotHere, Settled, Unchanged
from indexer.ingest.task import Outcome, StageSeconds
from search.catalog.records import AssetRecord, FoundFile, IndexedAsset, ReadAsset, SourceRecord
from search.errors import MachineError, MediaError, PermanentMediaError, TransientMediaError, UnavailableError

VECTOR = np.dtype("<f2")


class Question(Struct, frozen=True, kw_only=True):
    """What a node asks of the ledger about one of its files; its thread waits for the answer."""

    asset_id: int
    about: Literal["gone", "changed", "known"]
    found: FoundFile | None = None
    content_hash: str = ""
    space_ids: Sequence[int] = ()


class Result(Struct, frozen=True, kw_only=True):
    """How the work on one asset ended, on a node."""

    asset_id: int
    kind: str  # a key of _RESULTS
    value: msgspec.Raw


class Order(Struct, frozen=True, kw_only=True):
    """From the coordinator: more work, and answers to questions."""

    assets: Sequence[AssetRecord] = ()
    sources: Sequence[SourceRecord] = ()  # those of these assets that the node has not been told of
    # By asset id: is it to be decoded? Otherwise the coordinator has settled it already.
    answers: dict[int, bool] = {}
    gather_seconds: float = 0.01  # wait this long for company once there is something to report
    stop: bool = False  # give up what is not encoded yet, and report for the last time


class Report(Struct, frozen=True, kw_only=True):
    """From a node: what is done since its last report, and what it asks."""

    results: Sequence[Result] = ()
    questions: Sequence[Question] = ()
    back: Sequence[int] = ()  # ids of assets that it did not look at, because it can't see their sources
    unseen: Sequence[int] = ()  # ids of the sources that it can't see now, of those that it was told of
    stages: StageSeconds = StageSeconds()
    failure: str | None = None  # why it can do nothing more


_ERRORS: dict[str, type[MediaError]] = {  # subclasses stand before their bases
    "permanent": PermanentMediaError,
    "machine": MachineError,
    "transient": TransientMediaError,
}
_RESULTS: dict[str, type[Any]] = {
    "indexed": IndexedAsset,
    "read": ReadAsset,
    "unchanged": Unchanged,
    "settled": Settled,
    "later": Later,
    "not here": NotHere,
    **dict.fromkeys(_ERRORS, str),
}


def result_of(outcome: Outcome) -> Result:
    """An outcome, ready to travel."""
    value: object = outcome.result
    if isinstance(value, MediaError):
        kind = next(name for name, of in _ERRORS.items() if isinstance(value, of))
        value = str(value)
    else:
        kind = next(name for name, of in _RESULTS.items() if isinstance(value, of))
    return Result(asset_id=outcome.asset.id, kind=kind, value=msgspec.Raw(_ENCODER.encode(value)))


def outcome_of(asset: AssetRecord, result: Result) -> Outcome:
    """The outcome of this asset that a node sent. Raises UnavailableError when it is not one."""
    if result.kind not in _RESULTS:
        raise UnavailableError(f"a node sent an outcome of an unknown kind: {result.kind[:40]!r}")
    value = decode(bytes(result.value), _RESULTS[result.kind])
    if isinstance(value, str):
        value = _ERRORS[result.kind](value)
    return Outcome(asset, value)


def encode(message: Any) -> bytes:
    """One message as bytes."""
    return _ENCODER.encode(message)


def decode(data: bytes, kind: type[Any]) -> Any:
    """The message of this type in `data`. Raises UnavailableError when it is not one."""
    try:
        return msgspec.msgpack.decode(data, type=kind, dec_hook=_rich)
    except (ValueError, msgspec.MsgspecError) as error:
        raise UnavailableError(f"a part of the bulk job sent nonsense: {error}") from None


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.astype(VECTOR).tobytes()
    if isinstance(value, np.generic):
        return value.item()
    raise NotImplementedError(f"{type(value)} can't travel")


def _rich(wanted: type, value: Any) -> Any:
    if (get_origin(wanted) or wanted) is np.ndarray:
        return np.frombuffer(value, VECTOR)
    raise NotImplementedError(wanted)


_ENCODER = msgspec.msgpack.Encoder(enc_hook=_plain)
