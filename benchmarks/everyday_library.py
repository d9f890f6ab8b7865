"""A real library of files of all kinds, for `benchmarks/everyday.py`: built once, then asked through the engine."""

from __future__ import annotations

import json
import re
import shutil
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from indexer.indexer import Indexer
from indexer.sources.scan import scan_source
from search.catalog import sources, spaces
from search.catalog.database import Database
from search.engine import SearchEngine
from search.results import Kind, Part, Query
from search.settings import Settings
from search.spaces import registry, specification
from search.spaces.specification import StarterSpecification
from training.photos import Photo

if TYPE_CHECKING:
    from benchmarks.everyday import Asked

NAME = "starter"
SOUNDS, RECORDINGS, VIDEOS = 40, 20, 5
LOOKED_AT = 10


def library_report(
    data: Path,
    folder: Path,
    version: StarterSpecification,
    photos: Sequence[Photo],
    words: Sequence[Asked],
    absent: Sequence[str],
) -> dict[str, dict[str, Any]]:
    """How the engine does on single words and on things the library lacks."""
    settings = Settings.load({}, home=folder / f"home-{version.version}", settle_seconds=0.0, vision=False)
    build(data, folder, settings, version, photos)
    places = {photo.path.name: number for number, photo in enumerate(photos)}
    absent = [text for text in absent if not _mentioned(text, photos)]
    engine = SearchEngine.open(settings)
    try:
        answers = [engine.search(_query(word.text)) for word in words]
        refused = [not engine.search(_query(text)).matched for text in absent]
    finally:
        engine.close()
    first = [result.hits[:LOOKED_AT] for result in answers]
    right = [[_is_right(hit.asset.path, word, places) for hit in hits] for hits, word in zip(first, words, strict=True)]
    kinds = {kind: np.mean([any(hit.asset.kind is kind for hit in hits) for hits in first]) for kind in Kind}
    return {
        f"a library of {len(photos)} photos and {len(list(_others(data)))} sounds, recordings and videos": {
            f"precision at {LOOKED_AT}, single words ({len(words)})": f"{np.mean([np.mean(row) for row in right]):.3f}",
            "words said to match nothing": f"{np.mean([not result.matched for result in answers]):.3f}",
            f"absent things ({len(absent)}) said to match nothing": f"{np.mean(refused):.3f}",
            "words with a recording or sound among the first ten": f"{kinds[Kind.AUDIO]:.3f}",
            "words with a video among the first ten": f"{kinds[Kind.VIDEO]:.3f}",
        }
    }


def build(data: Path, folder: Path, settings: Settings, version: StarterSpecification, photos: Sequence[Photo]) -> None:
    """Copy the files into one folder and index it; what is there already is not done again."""
    media = folder / "media"
    media.mkdir(parents=True, exist_ok=True)
    for path in [*(photo.path for photo in photos), *_others(data)]:
        target = media / f"{path.parent.parent.name}-{path.name}"
        if not target.exists():
            shutil.copyfile(path, target)
    database = Database.open(settings)
    try:
        database.migrate()
        _create(database, settings, version)
        with database.write() as connection:
            source = sources.add_source(connection, str(media), True)
        scan_source(database, source, settings)
        with Indexer(settings, database) as indexer:
            indexer.worker().run(threading.Event(), until_idle=True)
    finally:
        database.close()


def _create(database: Database, settings: Settings, version: StarterSpecification) -> None:
    with database.write() as connection:
        if not spaces.active_space(connection):
            fingerprint = registry.open_space(version, settings).fingerprint.digest
            spaces.create_space(connection, NAME, specification.encode(version), fingerprint)
            spaces.activate_space(connection, NAME)


def _others(data: Path) -> Iterator[Path]:
    yield from _listed(data / "sounds" / "esc10.jsonl", SOUNDS)
    yield from _listed(data / "speech" / "ljspeech.jsonl", RECORDINGS)
    yield from sorted(path for path in (data / "video").glob("*") if path.suffix in {".mp4", ".webm", ".mkv", ".mov"})[
        :VIDEOS
    ]


def _listed(listing: Path, count: int) -> Iterable[Path]:
    if not listing.exists():
        return []
    rows = [json.loads(line) for line in listing.read_text("utf-8").splitlines()]
    step = max(1, len(rows) // count)
    return [listing.with_suffix("") / row["file"] for row in rows[::step][:count]]


def _query(text: str) -> Query:
    return Query(parts=(Part(text=text),), text=text, limit=LOOKED_AT)


def _is_right(path: str, asked: Asked, places: dict[str, int]) -> bool:
    name = Path(path).name.partition("-")[2]
    return name in places and bool(asked.right[places[name]])


def _mentioned(text: str, photos: Sequence[Photo]) -> bool:
    telling = [word for word in re.findall(r"[a-z]{4,}", text.lower()) if word not in {"with", "surface"}]
    told = [sentence.lower() for photo in photos for sentence in photo.sentences]
    return any(all(word in sentence for word in telling) for sentence in told)
