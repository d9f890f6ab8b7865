"""Text files -> their lines; subtitles without a recording -> words with times.

Knows encodings and the limit; knows no markup. Runs in the killable child process.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator

from indexer.decoding.items import (
    Decoded,
    DecodedItem,
    DecodeRequest,
    Facts,
    Note,
    Part,
    Promised,
    SubtitleItem,
    TextItem,
)
from indexer.decoding.metadata.companions import companions
from indexer.decoding.metadata.witness import Witness, believed, somebodys_words
from indexer.decoding.probe import SIDE_CAR_SUFFIXES
from indexer.decoding.sidecars import language_in_name
from indexer.decoding.subtitles import parse
from indexer.decoding.text_encoding import UnreadableTextError, read_text
from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.errors import PermanentMediaError
from search.results import Kind

_HEADING = re.compile(r"#{1,2}\s+(.+?)[\s#]*")
_HEADING_WITHIN_LINES = 20
# What ends a line; `str.splitlines` also ends it at separators that editors don't number by.
_LINE_END = re.compile(r"\r\n|\r|\n")


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Facts, then all the words. Raises PermanentMediaError for what holds none."""
    limit = request.limits.max_text_bytes
    with request.path.open("rb") as file:
        data = file.read(limit)
        size = max(len(data), file.seek(0, os.SEEK_END))
    try:
        text = read_text(data)
    except UnreadableTextError as error:
        raise PermanentMediaError(f"is a text file that can't be read: {error}") from None
    suffix = request.path.suffix.lower()
    words = _subtitles(request, text, suffix) if suffix in SIDE_CAR_SUFFIXES else _lines(request, text, suffix)
    if words is None:
        raise PermanentMediaError("holds no words")
    before, after, left_out = companions(request.path)
    title = _title(text) if suffix in (".md", ".markdown") else None
    told = believed((*before, Witness(title=title), *after))
    facts = AssetFacts(**told.facts(), language=words.language if isinstance(words, SubtitleItem) else None)
    yield Facts(Kind.DOCUMENT, facts, Promised({Part.TEXT: 1}))
    yield from (Note(NoteKind.BESIDE, note) for note in left_out)
    yield words
    cut = f"max_text_bytes = {limit:,}" if size > len(data) else ""
    yield Decoded(part=Part.TEXT, share=len(data) / size, why=cut)


def _subtitles(request: DecodeRequest, text: str, suffix: str) -> SubtitleItem | None:
    lines = parse(text, suffix)
    return SubtitleItem(lines, language_in_name(request.path)) if lines else None


def _lines(request: DecodeRequest, text: str, suffix: str) -> TextItem | None:  # noqa: ARG001 - as `_subtitles`
    lines = [(line.rstrip(), None) for line in _LINE_END.split(text.replace("\0", ""))]
    return TextItem(lines) if any(any(map(str.isalnum, line)) for line, _ in lines) else None


def _title(text: str) -> str | None:
    for line in _LINE_END.split(text[:4000])[:_HEADING_WITHIN_LINES]:
        if heading := _HEADING.fullmatch(line.strip()):
            return somebodys_words(heading[1])
    return None
