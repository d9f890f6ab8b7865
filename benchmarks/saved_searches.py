"""What saved searches cost while photos are indexed, and how precise their events are.

    python -m benchmarks.saved_searches ../shared/data [--searches 10000] [--part test] [--only cost] [--json FILE]

Cost: captions of other photos are saved as searches, then photos are written into a catalogue as a worker would, and
the matcher compares them; its processor time is set against that of ingestion, as benchmarks/ingest.py measures it.
Latency: from the commit of a photo to its event, with a service's pauses.

Precision: words of captions, and sentences, are saved; photos of `--part` are new, and the library holds as many
others. An event of words is right where at least two captions of the photo hold them: captions leave things out, so
what is right is more than what counts as right. An event of a sentence is right where it is the photo's own, or one of
the photo's other captions tells the same scene, and wrong where all of them tell another; between the two nobody can
say, and the event counts neither way (the bounds of training/mixed_libraries.py, by which the calibration was fitted,
too). The validation part chose nothing but the default, which is the calibration's; the test part reports. Searches of
the same sentences in the same library say whether events have the relevance that a search shows.
"""

from __future__ import annotations

import argparse
import gzip
import json
import re
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from PIL import Image

from benchmarks.everyday import words_of
from search.alerts.matcher import Matcher
from search.alerts.saved_query import SavedQuery
from search.catalog import assets, queue, sources
from search.catalog.alerts import saved_searches
from search.catalog.database import Database
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import fit
from search.spaces.space import unit_rows
from training.mixed_libraries import OTHER_SCENE, SAME_SCENE, sentence_vectors
from training.photos import Photo, read_photos

INGESTION_CPU_SECONDS = 0.038  # of one photo: 9.2 s for 240 (docs/benchmarks/ingestion.md)
WRITTEN_TOGETHER = 64
LATENCY_PHOTOS = 40
THRESHOLDS = (0.5, 0.7, 0.9)  # beside the calibration's own
SENTENCES = 500
SEARCHED = 50  # sentences that are searched for as well
DRAWS = 2000  # of searches anew, for intervals


def main() -> None:
    """Print the tables; write the numbers as JSON if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--searches", type=int, default=10_000)
    parser.add_argument("--part", default="test")
    parser.add_argument("--only", choices=("precision", "cost"), help="of the two tables")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    every = [photo for photo in read_photos(chosen.data) if photo.set == "flickr8k"]
    library = [photo for photo in every if photo.part == "train"][:500]
    new = [photo for photo in every if photo.part == chosen.part]
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        world = _World(home, chosen.data, [*library, *new])
        world.add(library)
        if chosen.only != "cost":
            report[f"precision, {chosen.part} part ({len(new)} new photos beside {len(library)})"] = precision(
                world, new
            )
        if chosen.only != "precision":
            sentences = _other_sentences(chosen.data, chosen.searches)
            report[f"cost of {len(sentences)} saved searches"] = cost(world, new, sentences)
        world.close()
    for title, rows in report.items():
        print(f"\n| {title} | |\n|---|---|")
        for name, value in rows.items():
            print(f"| {name} | {value} |")
    if chosen.json:
        chosen.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


class _World:
    """A catalogue with the starter space, and pictures that are embedded once."""

    def __init__(self, home: Path, data: Path, photos: Sequence[Photo]) -> None:
        settings = Settings.load({}, home=home)
        self.settings = settings
        self.database = Database.open(settings)
        self.engine = SearchEngine.open(settings, self.database)
        space = self.engine.space
        self.vectors: dict[str, np.ndarray] = {}
        for start in range(0, len(photos), 32):
            part = photos[start : start + 32]
            pictures = [fit(Image.open(photo.path).convert("RGB"), space.image_input) for photo in part]
            for photo, vector in zip(part, space.embed(Signal.IMAGE, pictures), strict=True):
                self.vectors[str(photo.path)] = vector
        with self.database.write() as connection:
            self.source = sources.add_source(connection, str(data))
        self.count = 0

    def add(self, photos: Sequence[Photo]) -> list[int]:
        """Index photos as a worker's last stage does, with vectors that are known; gives their ids."""
        space_id = self.engine.active_space.record.id
        files = []
        for photo in photos:
            self.count += 1
            path = f"{photo.path}.{self.count}"
            files.append(FoundFile(path=path, path_bytes=path.encode(), size_bytes=1, modified_ns=1))
        with self.database.write() as connection:
            ids = assets.sync_assets(connection, self.source.id, files).ids
            claims = queue.claims_of(queue.claim(connection, "benchmark", len(photos), 60))
            results = [
                IndexedAsset(
                    asset_id=asset_id,
                    kind="image",
                    content_hash=f"{asset_id:064x}",
                    facts=AssetFacts(),
                    segments=[NewSegment(signal=Signal.IMAGE, vectors={space_id: self.vectors[str(photo.path)]})],
                )
                for asset_id, photo in zip(ids, photos, strict=True)
            ]
            queue.finish(connection, claims, results)
        return list(ids)

    def matcher(self) -> Matcher:
        """Of this process."""
        return Matcher(self.settings, self.database, lambda: self.engine.active_space)

    def save(self, texts: Sequence[str], relevance: float | None) -> dict[int, str]:
        """Saved searches for these texts, by id."""
        space_id = self.engine.active_space.record.id
        saved: dict[int, str] = {}
        with self.database.write() as connection:
            for number, text in enumerate(texts):
                name = f"{relevance} {number} {text[:50]}"
                query = SavedQuery(text=text).encode()
                record = saved_searches.create_saved_search(connection, space_id, name, query, least=relevance)
                saved[record.id] = text
        return saved

    def forget(self) -> None:
        """All saved searches."""
        with self.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM saved_search")

    def close(self) -> None:
        """Close the engine."""
        self.engine.close()


def precision(world: _World, new: Sequence[Photo]) -> dict[str, Any]:
    """Events of words and of sentences at several thresholds: how many, and how many are right."""
    captions = [[re.findall(r"\w+", sentence.lower()) for sentence in photo.sentences] for photo in new]
    truths = {asked.text: asked.right.astype(float) for asked in words_of(captions)}
    words = frozenset(truths)
    same = same_scenes(new)
    truths |= {photo.sentences[0]: same[place] for place, photo in enumerate(new[:SENTENCES])}
    saved = world.save(list(truths), min(THRESHOLDS))
    ids = world.add(new)
    matcher = world.matcher()
    while matcher.step():
        continue
    with world.database.read() as connection:
        events = saved_searches.events_after(connection, 0, limit=10_000_000)
    place_of = {asset_id: place for place, asset_id in enumerate(ids)}
    told = [_Told(saved[event.saved_search_id], event.asset_id, event.relevance) for event in events]
    rows: dict[str, Any] = {}
    default = world.engine.active_space.calibration.threshold
    for level in sorted((*THRESHOLDS, default)):
        for kind, is_words in (("words", True), ("sentences", False)):
            # What is told of at a higher threshold is what has that relevance: each file is judged by itself.
            chosen = [one for one in told if one.relevance >= level and (one.text in words) == is_words]
            judged = [(one, float(truths[one.text][place_of[one.asset_id]])) for one in chosen]
            known = [(one, right) for one, right in judged if not np.isnan(right)]
            name = f"{kind}, relevance >= {level:.2f}{' (default)' if level == default else ''}"
            rows[name] = f"{len(chosen)} events, {len(known)} judged" + (f": {_shares(known)}" if known else "")
    rows["largest difference from the relevance in a search"] = f"{_difference(world, told, words):.4f}"
    world.forget()
    return rows


class _Told(Struct, frozen=True):
    """An event."""

    text: str
    asset_id: int
    relevance: float


def _shares(known: Sequence[tuple[_Told, float]]) -> str:
    """How many are right, with an interval over searches, and how many were promised."""
    by_text: dict[str, list[float]] = {}
    for one, right in known:
        by_text.setdefault(one.text, []).append(right)
    groups = list(by_text.values())
    sums, sizes = np.array([sum(group) for group in groups]), np.array([len(group) for group in groups])
    counts = np.random.default_rng(0).multinomial(len(groups), np.full(len(groups), 1 / len(groups)), DRAWS)
    low, high = np.percentile((counts @ sums) / (counts @ sizes), [2.5, 97.5])
    promised = np.mean([one.relevance for one, _ in known])
    return f"{sums.sum() / sizes.sum():.3f} right ({low:.3f} to {high:.3f}), {promised:.3f} promised"


def same_scenes(photos: Sequence[Photo]) -> np.ndarray:
    """`(n, n)`: whether the first sentence of each photo (row) fits each photo: 1, 0, or nan where nobody can say."""
    said = sentence_vectors([sentence for photo in photos for sentence in photo.sentences])
    meanings = unit_rows(said - said.mean(axis=0)).reshape(len(photos), -1, said.shape[1])
    truth = np.full((len(photos), len(photos)), np.nan)
    for place in range(len(photos)):
        likeness = (meanings[:, 1:] @ meanings[place, 0]).max(axis=1)
        truth[place, likeness >= SAME_SCENE] = 1.0
        truth[place, likeness <= OTHER_SCENE] = 0.0
        truth[place, place] = 1.0
    return truth


def _difference(world: _World, told: Sequence[_Told], words: frozenset[str]) -> float:
    """Between the relevance of an event and that of the same file when its sentence is searched for."""
    world.engine.catch_up()
    known = {(one.text, one.asset_id): one.relevance for one in told}
    worst = 0.0
    for text in list(dict.fromkeys(one.text for one in told if one.text not in words))[:SEARCHED]:
        query = msgspec.structs.replace(parse_query(text), limit=100, fold_copies=False, rerank=False)
        for hit in world.engine.search(query).hits:
            if (relevance := known.get((text, int(hit.asset.id)))) is not None:
                worst = max(worst, abs(relevance - hit.relevance))
    return worst


def cost(world: _World, new: Sequence[Photo], sentences: Sequence[str]) -> dict[str, Any]:
    """Processor time of comparing, beside that of indexing; and the time from commit to event."""
    began = time.process_time()
    world.save(sentences, None)
    matcher = world.matcher()
    world.add(new[:1])
    while matcher.step():
        continue
    loading = time.process_time() - began
    again = world.matcher()
    with world.database.write() as connection:
        connection.exec_driver_sql("UPDATE matching SET owner = NULL")
    world.add(new[:1])
    began = time.process_time()
    while again.step():
        continue
    restarting = time.process_time() - began
    spent: list[float] = []
    for start in range(0, len(new), WRITTEN_TOGETHER):
        part = new[start : start + WRITTEN_TOGETHER]
        world.add(part)
        world.engine.catch_up()
        began = time.process_time()
        while again.step():
            continue
        spent.append((time.process_time() - began) / len(part))
    with world.database.read() as connection:
        events = saved_searches.latest_event(connection)
    each = statistics.median(spent)
    latencies = _latencies(world, new[:LATENCY_PHOTOS])
    return {
        "events in all": events,
        "embedding and loading them, once, s": f"{loading:.1f}",
        "loading them again in another process, s": f"{restarting:.1f}",
        "comparing a photo, ms of processor time": f"{each * 1000:.2f}",
        "share of ingestion (38 ms of processor time a photo)": f"{each / INGESTION_CPU_SECONDS:.1%}",
        "from commit to event, s: median": f"{statistics.median(latencies):.2f}",
        "from commit to event, s: 95 %": f"{np.quantile(latencies, 0.95):.2f}",
        "peak memory, MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _latencies(world: _World, photos: Sequence[Photo]) -> list[float]:
    """Each photo is looked for by a saved search for its own vector: it surely matches."""
    with world.database.write() as connection:
        connection.exec_driver_sql("UPDATE matching SET owner = NULL")
        saved_searches.create_saved_search(
            connection, world.engine.active_space.record.id, "everything", SavedQuery(text="kind:image").encode()
        )
    matcher, stop = world.matcher(), threading.Event()
    thread = threading.Thread(target=matcher.run, args=(stop,))
    thread.start()
    found: list[float] = []
    try:
        for photo in photos:
            (asset_id,) = world.add([photo])
            began = time.monotonic()
            while not _has_event(world.database, asset_id):
                time.sleep(0.01)
            found.append(time.monotonic() - began)
    finally:
        stop.set()
        thread.join()
    return found


def _has_event(database: Database, asset_id: int) -> bool:
    with database.read() as connection:
        return any(event.asset_id == asset_id for event in saved_searches.events_before(connection, limit=200))


def _other_sentences(data: Path, count: int) -> list[str]:
    with gzip.open(data / "text" / "captions.txt.gz", "rt", encoding="utf-8") as lines:
        every = list(dict.fromkeys(line.strip() for line in lines if line.strip()))
    chosen = np.random.default_rng(0).choice(len(every), count, replace=False)
    return [every[place] for place in sorted(chosen.tolist())]


if __name__ == "__main__":
    main()
