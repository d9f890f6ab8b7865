"""Embeds texts and pictures for services that only want Medley's encoders.

A space offers two models: under its own name, texts and pictures in one space (texts as queries for
pictures); under `NAME-text`, texts as passages to compare with each other.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from api.http.problems import HttpError
from api.openai_tokens import text_of
from api.queries import data_of
from indexer.query_media import load_query_image
from search.arrays import Float32Array
from search.settings import Settings
from search.signals import Signal
from search.spaces.space import Space, unit_rows

TEXT_SUFFIX = "-text"
#: as long as the longest list of tokens is in most languages
LONGEST_TEXT = 65_536
#: inputs that are decoded and encoded together: a search never waits for more than these
CHUNK = 8
#: characters of all texts of one request: about a minute of one core
MOST_CHARACTERS = 1_000_000
#: texts and pictures that are one input together
MOST_PARTS = 16

# One bulk request at a time: searches then wait for one chunk at most while another client embeds a library.
_bulk = threading.Lock()


class Text(msgspec.Struct, frozen=True):
    """A text to embed."""

    text: str


class Image(msgspec.Struct, frozen=True):
    """A picture to embed, as it came: a chunk of them is decoded when it is its turn, never all at once."""

    data: Path | bytes


class Fused(msgspec.Struct, frozen=True):
    """Texts and pictures that are one input together: its vector is the mean of theirs, of unit length."""

    parts: tuple[Text | Image, ...]


Input = Text | Image | Fused


def inputs_of(raw: object, limit: int) -> list[Input]:
    """What a caller sent as `input` or `documents`: each a text, its tokens, a data URL, or an object.

    Objects are `{"text"}`, `{"image"}`, OpenAI's parts, and `{"content": [...]}`, which holds several of them.
    Raises HttpError 400.
    """
    entries = raw if isinstance(raw, list) and not _are_tokens(raw) else [raw]
    if not entries:
        raise HttpError(400, "validation", "there is nothing to embed")
    if len(entries) > limit:
        raise HttpError(400, "validation", f"{len(entries)} inputs were sent; at most {limit} are allowed")
    inputs = [_input(entry, f"input {index}") for index, entry in enumerate(entries)]
    characters = sum(len(part.text) for entry in inputs for part in _parts(entry) if isinstance(part, Text))
    if characters > MOST_CHARACTERS:
        told = f"the texts have {characters:,} characters together; at most {MOST_CHARACTERS:,} are allowed"
        raise HttpError(400, "validation", f"{told}: send them in several requests")
    return inputs


def conversations_of(raw: object, limit: int) -> list[Input]:
    """What a caller sent as vLLM's `messages`: one conversation or several, each an input. Raises HttpError 400.

    Only what users say is embedded; a conversation of several messages is one input all the same.
    """
    given = raw if isinstance(raw, list) else []
    conversations = given if given and all(isinstance(entry, list) for entry in given) else [given]
    return inputs_of([{"content": _said(messages)} for messages in conversations], limit)


def _said(messages: list[object]) -> list[object]:
    said: list[object] = []
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) and message.get("role") == "user" else None
        said += content if isinstance(content, list) else [content] if content is not None else []
    return said


def _are_tokens(entry: list[object]) -> bool:
    return bool(entry) and all(isinstance(token, int) and not isinstance(token, bool) for token in entry)


def _parts(entry: Input) -> tuple[Text | Image, ...]:
    return entry.parts if isinstance(entry, Fused) else (entry,)


def _input(entry: object, where: str) -> Input:
    if isinstance(entry, Mapping) and isinstance(entry.get("content"), list):
        content: list[object] = entry["content"]
        if not 0 < len(content) <= MOST_PARTS:
            raise HttpError(400, "validation", f"{where} has {len(content)} parts; 1 to {MOST_PARTS} are allowed")
        parts = tuple(_part(part, where) for part in content)
        return parts[0] if len(parts) == 1 else Fused(parts)
    return _part(entry, where)


def _part(entry: object, where: str) -> Text | Image:
    if isinstance(entry, list) and _are_tokens(entry):
        try:
            return _text(text_of(entry), where)
        except ValueError as error:
            raise HttpError(400, "validation", f"{where}: {error}") from None
    if isinstance(entry, str):
        return _text_or_image(entry, where)
    if isinstance(entry, Mapping):
        if isinstance(entry.get("text"), str):
            return _text(entry["text"], where)
        url = entry.get("image", entry.get("image_url"))
        if isinstance(url, Mapping):
            url = url.get("url")
        if isinstance(url, str):
            if "://" in url[:10]:
                raise HttpError(400, "validation", f"{where}: URLs are not fetched; send the picture as a data URL")
            return _text_or_image(url if url[:5].lower() == "data:" else "data:;base64," + url, where)
    raise HttpError(400, "validation", f"{where} is neither a text nor a picture")


def _text_or_image(text: str, where: str) -> Text | Image:
    if text[:5].lower() == "data:":
        if "," in text and text[:10].lower().startswith("data:text"):
            raise HttpError(400, "validation", f"{where}: send text as it is")
        return Image(data_of(text, where))
    return _text(text, where)


def _text(text: str, where: str) -> Text:
    if not text.strip():
        raise HttpError(400, "validation", f"{where} is empty")
    if len(text) > LONGEST_TEXT:
        raise HttpError(400, "validation", f"{where} has {len(text)} characters; at most {LONGEST_TEXT} are allowed")
    return Text(text)


def embed(
    space: Space, inputs: Sequence[Input], settings: Settings, *, as_passages: bool, as_queries: bool = False
) -> Float32Array:
    """`(len(inputs), d) float32` unit rows. Raises HttpError 400 when the space can't embed such inputs, MediaError.

    `as_queries` embeds texts as what is looked for among passages.
    """
    signal = Signal.SPEECH if as_passages else Signal.IMAGE
    if signal not in space.dimensions:
        raise HttpError(400, "validation", "this space embeds nothing of the kind")
    parts = [part for entry in inputs for part in _parts(entry)]
    if as_passages and any(isinstance(part, Image) for part in parts):
        raise HttpError(400, "validation", "this model embeds texts only")
    vectors = _embed_parts(space, parts, settings, signal, as_queries=as_queries)
    if len(parts) == len(inputs):
        return vectors
    starts = np.cumsum([0, *(len(_parts(entry)) for entry in inputs[:-1])])
    return unit_rows(np.add.reduceat(vectors, starts, axis=0))


def _embed_parts(
    space: Space, parts: Sequence[Text | Image], settings: Settings, signal: Signal, *, as_queries: bool
) -> Float32Array:
    if len(parts) <= CHUNK:
        return _embed(space, parts, settings, signal, as_queries=as_queries)
    pieces = []
    for start in range(0, len(parts), CHUNK):
        with _bulk:
            pieces.append(_embed(space, parts[start : start + CHUNK], settings, signal, as_queries=as_queries))
    return np.concatenate(pieces)


def cut_places(space: Space, inputs: Sequence[Input], *, as_passages: bool) -> set[int]:
    """Places of the inputs with a text of which the space reads only the beginning."""
    signal = Signal.SPEECH if as_passages else Signal.IMAGE
    texts = [
        (index, part.text) for index, entry in enumerate(inputs) for part in _parts(entry) if isinstance(part, Text)
    ]
    cut = space.cuts(signal, [text for _, text in texts])
    return {index for (index, _), is_cut in zip(texts, cut, strict=True) if is_cut}


def _embed(
    space: Space, parts: Sequence[Text | Image], settings: Settings, signal: Signal, *, as_queries: bool
) -> Float32Array:
    vectors = np.empty((len(parts), space.dimensions[signal]), np.float32)
    texts = {index: part.text for index, part in enumerate(parts) if isinstance(part, Text)}
    images = {index: part.data for index, part in enumerate(parts) if isinstance(part, Image)}
    if texts:
        words = list(texts.values())
        as_items = signal.holds_words and not as_queries
        vectors[list(texts)] = space.embed(signal, words) if as_items else space.embed_query_text(words)[signal]
    if images:
        pictures = [load_query_image(data, settings) for data in images.values()]
        vectors[list(images)] = space.embed(signal, pictures)
    return vectors
