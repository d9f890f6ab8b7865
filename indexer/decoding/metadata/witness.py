"""What one witness (EXIF, a container's tags, a file beside, the name) says about a file, and which one is believed.

Pure values. Every text comes from strangers: it is cleaned and cut, and what camera makers write into every
picture is not taken for somebody's words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from indexer.decoding.items import WrittenItem
from indexer.decoding.metadata.capture_time import Moment

MAX_TITLE_CHARACTERS = 500
MAX_CAPTION_CHARACTERS = 4000
_MAX_KEYWORDS = 100
# What cameras, scanners and programs write by themselves; compared in lower case.
_STOCK = re.compile(
    r"(?:[\w ,.&-]+ )?digital (?:still )?camera|sony dsc|exif[ _]jpeg[ _]picture|exif_jpeg_t422|jpeg|untitled|default|"
    r"binary comment|image description|dcim|dav|hdrpl|hdr|rhdr|sdr|sdr_hdr|oznor\w*|cof|cof_\w+|mde|dig|edf|bst|rbr|"
    r"qrf|ptr|bty|fil|btr|edr_\d+\S*|\(null\)|null|none|0|ascii|(?:created|made) (?:with|by) \w+|file written by \w+.*|"
    r"lead technologies.*|processed by.*|creator: gd-jpeg.*|optimized by.*|charset=.*|"
    r"dcim[\\/].*|.*[\\/]dcim[\\/].*|file source: .*|screenshot|"
    r"\(?(?:anonymous|unspecified)\)?|\{.*\}|<.*>"  # what programs tell each other
)


@dataclass(frozen=True)
class Witness:
    """What is said; None and empty where nothing is."""

    taken: Moment | None = None
    place: tuple[float, float] | None = None  # latitude and longitude, degrees
    camera: str | None = None
    title: str | None = None
    caption: str | None = None
    keywords: Sequence[str] = ()

    def facts(self) -> dict[str, Any]:
        """The fields of AssetFacts that are known."""
        latitude, longitude = self.place or (None, None)
        return {
            "captured_at": self.taken.epoch_seconds if self.taken else None,
            "captured_offset": self.taken.offset_seconds if self.taken else None,
            "latitude": latitude,
            "longitude": longitude,
            "camera": self.camera,
            "title": self.title or (self.caption or "")[:MAX_TITLE_CHARACTERS] or None,
        }

    def written(self) -> WrittenItem | None:
        """The words that people gave it, to be searched."""
        parts = [self.title, None if self.caption == self.title else self.caption, ", ".join(self.keywords)]
        text = ". ".join(part.rstrip(".") for part in parts if part)
        return WrittenItem(((None, None, text),), "caption") if text else None


def believed(witnesses: Iterable[Witness]) -> Witness:
    """Of each thing, what the first one says who says anything."""
    best = Witness()
    for witness in witnesses:
        told = {
            name: value
            for name in best.__dataclass_fields__
            if (value := getattr(witness, name)) and not getattr(best, name)
        }
        best = replace(best, **told)
    return best


def clean_text(value: object, longest: int = MAX_TITLE_CHARACTERS) -> str | None:
    """A short line of valid Unicode without control characters, or None. PostgreSQL refuses NUL."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    value = value.encode("utf-8", "replace").decode("utf-8")
    line = " ".join("".join(c if c.isprintable() or c.isspace() else " " for c in value).split())
    return line[:longest] or None


def somebodys_words(value: object, longest: int = MAX_TITLE_CHARACTERS) -> str | None:
    """Cleaned, or None for what no person wrote."""
    text = clean_text(value, longest)
    return None if text is None or _STOCK.fullmatch(text.lower()) else text


def keywords_of(values: Iterable[object]) -> tuple[str, ...]:
    """Each once, in their order."""
    words = (somebodys_words(value) for value in values)
    return tuple(dict.fromkeys(word for word in words if word))[:_MAX_KEYWORDS]


def place_of(latitude: float | None, longitude: float | None) -> tuple[float, float] | None:
    """A place on Earth; 0, 0 is what devices without a fix write."""
    if latitude is None or longitude is None or (round(latitude, 4), round(longitude, 4)) == (0, 0):
        return None
    return (round(latitude, 7), round(longitude, 7)) if abs(latitude) <= 90 and abs(longitude) <= 180 else None
