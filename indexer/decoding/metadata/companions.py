"""What lies beside a picture, recording or video and says something of it: `.xmp`, and Google Takeout's `.json`.

Knows their contents; which names belong to a file is for sidecars.py. Runs in the killable child process.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from indexer.decoding.metadata.capture_time import Moment
from indexer.decoding.metadata.image_metadata import xmp_witness
from indexer.decoding.metadata.witness import MAX_CAPTION_CHARACTERS, Witness, place_of, somebodys_words
from indexer.decoding.metadata.xmp import MAX_BYTES, read_xmp
from indexer.decoding.sidecars import Unsafe, companions_of


def companions(path: Path) -> tuple[list[Witness], list[Witness], list[str]]:
    """Those to believe before the file itself (somebody edited them), those after it, and what was left out."""
    before: list[Witness] = []
    after: list[Witness] = []
    notes: list[str] = []
    for beside in companions_of(path):
        try:
            data = beside.read(MAX_BYTES)
        except Unsafe as error:
            notes.append(str(error))
            continue
        if beside.name.lower().endswith(".xmp"):
            before.append(xmp_witness(read_xmp(data)))
        elif witness := _takeout(data):
            after.append(witness)
    return before, after, notes


def _takeout(data: bytes) -> Witness | None:
    """None for JSON that is something else."""
    try:
        told = msgspec.json.decode(data)
    except msgspec.MsgspecError:
        return None
    if not isinstance(told, dict) or not isinstance(told.get("photoTakenTime"), dict):
        return None
    # geoDataExif is what the camera wrote; geoData is what the person set.
    places = (_place(told.get(key)) for key in ("geoData", "geoDataExif"))
    return Witness(
        taken=_moment(told["photoTakenTime"].get("timestamp")),
        place=next((place for place in places if place), None),
        caption=somebodys_words(told.get("description"), MAX_CAPTION_CHARACTERS),
        keywords=tuple(
            name
            for person in told.get("people") or ()
            if isinstance(person, dict) and (name := somebodys_words(person.get("name")))
        ),
    )


def _moment(timestamp: object) -> Moment | None:
    try:
        when = datetime.fromtimestamp(int(str(timestamp)), UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return Moment(when.timestamp()) if 1826 <= when.year < 2200 else None


def _place(told: Any) -> tuple[float, float] | None:
    if not isinstance(told, dict):
        return None
    latitude, longitude = told.get("latitude"), told.get("longitude")
    if isinstance(latitude, int | float) and isinstance(longitude, int | float):
        return place_of(float(latitude), float(longitude))
    return None
