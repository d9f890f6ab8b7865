"""Texts and pictures as vectors, for services that only want Medley's encoders.

A space offers two models: under its own name, texts and pictures in one space (texts as queries for
pictures); under `NAME-text`, texts as passages to compare with each other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from api.problems import HttpError
from api.queries import data_of
from indexer.query_media import load_query_image
from search.results import Signal
from search.settings import Settings
from search.spaces.inputs import Picture
from search.spaces.space import Space

TEXT_SUFFIX = "-text"
LONGEST_TEXT = 32_768
#: inputs of one call of the encoder
CHUNK = 64


class Text(msgspec.Struct, frozen=True):
    """A text to embed."""

    text: str


class Image(msgspec.Struct, frozen=True):
    """A picture to embed."""

    picture: Picture


Input = Text | Image


def inputs_of(raw: object, settings: Settings, limit: int) -> list[Input]:
    """What a caller sent as `input` or `documents`: texts, data URLs, `{"text"}`, `{"image"}`, or OpenAI's parts."""
    entries = raw if isinstance(raw, list) else [raw]
    if not entries:
        raise HttpError(400, "validation", "there is nothing to embed")
    if len(entries) > limit:
        raise HttpError(400, "validation", f"{len(entries)} inputs were sent; at most {limit} are allowed")
    return [_input(entry, settings, f"input {place}") for place, entry in enumerate(entries)]


def _input(entry: object, settings: Settings, where: str) -> Input:
    if isinstance(entry, int | list):
        raise HttpError(400, "validation", f"{where}: tokens of another model's tokenizer can't be read; send text")
    if isinstance(entry, str):
        return _text_or_image(entry, settings, where)
    if isinstance(entry, Mapping):
        if isinstance(entry.get("text"), str):
            return _text(entry["text"], where)
        url = entry.get("image", entry.get("image_url"))
        if isinstance(url, Mapping):
            url = url.get("url")
        if isinstance(url, str):
            return _text_or_image(url if url.startswith("data:") else "data:;base64," + url, settings, where)
    raise HttpError(400, "validation", f"{where} is neither a text nor a picture")


def _text_or_image(text: str, settings: Settings, where: str) -> Input:
    if text[:5].lower() == "data:":
        if "," in text and text[:10].lower().startswith("data:text"):
            raise HttpError(400, "validation", f"{where}: send text as it is")
        return Image(load_query_image(data_of(text, where), settings))
    return _text(text, where)


def _text(text: str, where: str) -> Text:
    if not text.strip():
        raise HttpError(400, "validation", f"{where} is empty")
    if len(text) > LONGEST_TEXT:
        raise HttpError(400, "validation", f"{where} has {len(text)} characters; at most {LONGEST_TEXT} are allowed")
    return Text(text)


def embed(space: Space, inputs: Sequence[Input], *, as_passages: bool) -> np.ndarray:
    """`(len(inputs), d) float32` unit rows. Raises HttpError 400 when the space can't embed such inputs."""
    pieces = [_embed(space, inputs[start : start + CHUNK], as_passages) for start in range(0, len(inputs), CHUNK)]
    return np.concatenate(pieces)


def _embed(space: Space, inputs: Sequence[Input], as_passages: bool) -> np.ndarray:
    signal = Signal.SPEECH if as_passages else Signal.IMAGE
    if signal not in space.dimensions:
        raise HttpError(400, "validation", "this space embeds nothing of the kind")
    texts = [(place, one.text) for place, one in enumerate(inputs) if isinstance(one, Text)]
    pictures = [(place, one.picture) for place, one in enumerate(inputs) if isinstance(one, Image)]
    if pictures and as_passages:
        raise HttpError(400, "validation", "this model embeds texts only")
    vectors = np.empty((len(inputs), space.dimensions[signal]), np.float32)
    if texts:
        words = [text for _, text in texts]
        found = space.embed(signal, words) if as_passages else space.embed_query_text(words)[signal]
        vectors[[place for place, _ in texts]] = found
    if pictures:
        vectors[[place for place, _ in pictures]] = space.embed(signal, [picture for _, picture in pictures])
    return vectors
