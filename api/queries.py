"""From what a caller sent to a `Query`: bodies, data URLs and uploaded files, all decoded under limits.

Knows the parser of the query language and the decoder for query media; knows no route. Nothing here
fetches a URL.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

import msgspec

from api.http.uploads import Form
from api.schemas import SearchBody
from indexer.query_media import Sent, load_query_image, load_query_sound, load_query_video
from search.errors import QueryError
from search.query.parse import parse_query
from search.results import Filters, Query
from search.settings import Settings
from search.spaces.inputs import ImageInput, Picture, Waveform

_DATA = "data:"


def query_of(body: SearchBody, settings: Settings, wanted: ImageInput, form: Form | None = None) -> Query:
    """The query made of a body and its uploaded files. Raises QueryError and MediaError.

    `wanted` is how the active space takes the frames of an uploaded video.
    """
    sent = len(body.images) + len(body.sounds) + len(form.files if form else ())
    if sent > settings.max_query_parts:  # before any of them is decoded
        raise QueryError(
            f"the query has {sent} parts; {settings.max_query_parts} are allowed (setting max_query_parts)"
        )
    images, image_references = _sorted(body.images)
    sounds, sound_references = _sorted(body.sounds)
    pictures: list[Picture] = [load_query_image(data, settings) for data in images]
    waveforms: list[Waveform] = [load_query_sound(data, settings) for data in sounds]
    for file in form.files if form else ():
        upload = Sent(file.path, file.name)
        if file.field in ("image", "images"):
            pictures.append(load_query_image(upload, settings))
        elif file.field in ("audio", "sound", "sounds"):
            waveforms.append(load_query_sound(upload, settings))
        elif file.field == "video":
            pictures += load_query_video(upload, settings, wanted)[0]
        else:
            raise QueryError(f"the file field {file.field!r} is not known; use image, audio or video")
    if body.limit > settings.max_limit:
        raise QueryError(f"limit is {body.limit}; {settings.max_limit} are allowed (setting max_limit)")
    query = parse_query(
        body.text,
        images=pictures,
        sounds=waveforms,
        references=[*image_references, *sound_references],
        filters=body.filters,
        max_characters=settings.max_query_characters,
        max_parts=settings.max_query_parts,
        today=date.today() if body.dates else None,
    )
    return _with_wishes(query, body)


def query_of_files(body: SearchBody, settings: Settings, images: Iterable[Path], sounds: Iterable[Path]) -> Query:
    """As `query_of`, with files of this machine (the command line)."""
    pictures = [load_query_image(path, settings) for path in images]
    waveforms = [load_query_sound(path, settings) for path in sounds]
    references = body.images
    if not (body.text.strip() or pictures or waveforms or references or body.filters != Filters()):
        raise QueryError("the query is empty: give a text, a filter, --image, --audio or --like")
    query = parse_query(
        body.text,
        images=pictures,
        sounds=waveforms,
        references=references,
        filters=body.filters,
        max_characters=settings.max_query_characters,
        max_parts=settings.max_query_parts,
        today=date.today() if body.dates else None,
    )
    return _with_wishes(query, body)


def _with_wishes(query: Query, body: SearchBody) -> Query:
    """What a body wants of the list, beside what it looks for."""
    return msgspec.structs.replace(
        query,
        limit=body.limit,
        cursor=body.cursor,
        rerank=body.rerank,
        explain=body.explain,
        fold_copies=body.fold_copies,
        correct=body.correct,
    )


def data_of(url: str, what: str) -> bytes:
    """The bytes of a `data:` URL in base64. Raises QueryError."""
    header, comma, payload = url.partition(",")
    if not comma or not header.lower().endswith(";base64"):
        raise QueryError(f"{what}: a data URL looks like data:image/jpeg;base64,...")
    try:
        return base64.b64decode(payload, validate=True)
    except (binascii.Error, ValueError):
        raise QueryError(f"{what}: the data URL holds no valid base64") from None


def _sorted(entries: Sequence[str]) -> tuple[list[bytes], list[str]]:
    """Data URLs decoded, and the references to assets."""
    data = [data_of(entry, "images and sounds") for entry in entries if entry[:5].lower() == _DATA]
    references = [entry for entry in entries if entry[:5].lower() != _DATA]
    for reference in references:
        if "://" in reference:
            raise QueryError("URLs are not fetched; send a data URL, an upload, or an asset id")
    return data, references
