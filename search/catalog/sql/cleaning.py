"""Makes metadata fit for both databases: text without NUL or lone surrogates, numbers that a column can hold.

Pure functions. What can't be kept is left out, never refused: a broken tag must not lose a photo.
"""

from __future__ import annotations

import math
from typing import overload

import msgspec

from search.catalog.records import AssetFacts

_LARGEST_INTEGER = 2**31 - 1  # of an INTEGER column on PostgreSQL
_MAX_LABEL_CHARACTERS = 1000  # camera, title, language: labels, not essays


@overload
def clean_text(text: str) -> str: ...
@overload
def clean_text(text: None) -> None: ...
def clean_text(text: str | None) -> str | None:
    """Valid Unicode without NUL: PostgreSQL refuses NUL, and no driver encodes a lone surrogate."""
    if text is None or (text.isascii() and "\0" not in text):
        return text
    return text.replace("\0", " ").encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_facts(facts: AssetFacts) -> AssetFacts:
    """The same facts without what can't be stored or can't be true."""
    return msgspec.structs.replace(
        facts,
        width=_count(facts.width),
        height=_count(facts.height),
        duration_seconds=_finite(facts.duration_seconds),
        captured_at=_finite(facts.captured_at),
        latitude=_angle(facts.latitude, 90),
        longitude=_angle(facts.longitude, 180),
        camera=_label(facts.camera),
        title=_label(facts.title),
        language=_label(facts.language),
    )


def _count(value: int | None) -> int | None:
    return value if value is not None and 0 <= value <= _LARGEST_INTEGER else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _angle(value: float | None, limit: float) -> float | None:
    return value if value is not None and -limit <= value <= limit else None


def _label(value: str | None) -> str | None:
    return clean_text(value)[:_MAX_LABEL_CHARACTERS] if value else None
