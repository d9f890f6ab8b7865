"""What other processes of Medley ask of encoders (`search.spaces.remote`): every signal, queries of every kind.

`NAME:query` is what a query is compared with, the vectors of all signals in alphabetical order in one row;
`NAME:SIGNAL` are segments. Pictures and sounds come decoded, as pixels and samples. Knows no HTTP but its errors.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from api.embedding_requests import LONGEST_TEXT
from api.http.problems import HttpError
from api.queries import data_of
from search.arrays import Float32Array
from search.signals import Input, Signal
from search.spaces.inputs import SAMPLE_RATE_HZ
from search.spaces.remote.space import PIXELS, QUERY, SAMPLES
from search.spaces.space import Space

LONGEST_SOUND_SECONDS = 60
MOST_INPUTS = 256

_Item = str | np.ndarray


def kind_of(model: str) -> tuple[str, Signal | None] | None:
    """The space and the signal (None: a query) that a model's name asks for; None where it is of another form."""
    name, colon, kind = model.rpartition(":")
    if not colon or (kind != QUERY and kind not in set(Signal)):
        return None
    return name, None if kind == QUERY else Signal(kind)


def encode(space: Space, signal: Signal | None, raw: object) -> Float32Array:
    """`(n, d) float32` of what was sent as `input`. Raises HttpError 400."""
    entries = raw if isinstance(raw, list) else [raw]
    if not 0 < len(entries) <= MOST_INPUTS:
        raise HttpError(400, "validation", f"{len(entries)} inputs were sent; 1 to {MOST_INPUTS} are allowed")
    items = [_item(entry, f"input {index}") for index, entry in enumerate(entries)]
    kinds = {_kind(item) for item in items}
    if len(kinds) > 1:
        raise HttpError(400, "validation", "texts, pictures and sounds go in requests of their own")
    (kind,) = kinds
    if signal is None:
        return _joined(space, _query(space, kind, items), len(items))
    if signal not in space.dimensions or signal.input is not kind:
        raise HttpError(400, "validation", f"this space embeds no {kind} as {signal}")
    rows: Float32Array = space.embed(signal, items)
    return rows


def _query(space: Space, kind: Input, items: Sequence[Any]) -> Mapping[Signal, Float32Array]:
    match kind:
        case Input.WORDS:
            return space.embed_query_text(items)
        case Input.PICTURE:
            return space.embed_query_image(items)
        case Input.WAVEFORM:
            return space.embed_query_sound(items)


def _joined(space: Space, vectors: Mapping[Signal, Float32Array], count: int) -> Float32Array:
    """All signals in one row; those that such a query has no vector for are zeros."""
    parts = [
        vectors.get(signal, np.zeros((count, space.dimensions[signal]), np.float32))
        for signal in sorted(space.dimensions)
    ]
    return np.concatenate(parts, axis=1)


def _kind(item: _Item) -> Input:
    if isinstance(item, str):
        return Input.WORDS
    return Input.PICTURE if item.ndim == 3 else Input.WAVEFORM


def _item(entry: object, where: str) -> _Item:
    if isinstance(entry, Mapping):
        if isinstance(entry.get("text"), str):
            return _text(entry["text"], where)
        if isinstance(entry.get("image"), str):
            return _picture(entry["image"], where)
        if isinstance(entry.get("sound"), str):
            return _waveform(entry["sound"], where)
    raise HttpError(400, "validation", f"{where} has none of text, image and sound")


def _text(text: str, where: str) -> str:
    if len(text) > LONGEST_TEXT:
        raise HttpError(400, "validation", f"{where} has {len(text)} characters; at most {LONGEST_TEXT} are allowed")
    return text


def _picture(url: str, where: str) -> np.ndarray:
    pixels = PIXELS.match(url)
    if pixels is None:
        raise HttpError(400, "validation", f"{where}: pictures are pixels for this model")
    width, height = int(pixels[1]), int(pixels[2])
    data = data_of(url, where)
    if not data or len(data) != width * height * 3:
        told = f"{width} x {height} pixels are {width * height * 3} bytes, not {len(data)}"
        raise HttpError(400, "validation", f"{where}: {told}")
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def _waveform(url: str, where: str) -> np.ndarray:
    data = data_of(url, where)
    most = 4 * SAMPLE_RATE_HZ * LONGEST_SOUND_SECONDS
    if not url.startswith(SAMPLES) or not data or len(data) % 4 or len(data) > most:
        raise HttpError(400, "validation", f"{where}: 1 sample to {LONGEST_SOUND_SECONDS} s, as {SAMPLES}...")
    samples = np.frombuffer(data, "<f4").astype(np.float32)
    if not np.isfinite(samples).all():
        raise HttpError(400, "validation", f"{where}: a sample is not a number")
    return samples
