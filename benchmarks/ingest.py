"""How fast photographs become searchable, beside bare decoding and bare encoding of the same files.

    python -m benchmarks.ingest [--photos FOLDER] [--count N] [--rounds N] [--library N] [--json FILE]

`--library` puts them into a library that already holds that many segments (synthetic vectors), instead of an
empty one. Each round runs the bare loops and the whole pipeline in turn, each from cold queues with warm models;
medians over the rounds. Without `--photos` the pictures are made from a seed. Every picture is written
anew as a JPEG of one megapixel. A second table sets our way from a JPEG to a model's input beside
open_clip's preprocessing.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import psutil
from PIL import Image

from benchmarks.catalog import write_segments
from indexer.decoding import images
from indexer.decoding.decoder import DecoderPool, limits_of
from indexer.decoding.items import DecodeRequest, Limits, PictureItem
from indexer.ingest.worker import Worker
from indexer.segmenting.makers import open_makers
from indexer.segmenting.segmenter import PictureMaker
from indexer.sources.scan import scan_source
from search.catalog import assets, queue, sources, spaces
from search.catalog.database import Database
from search.catalog.records import FoundFile
from search.settings import Settings
from search.signals import Signal
from search.spaces import torchvision_schemas
from search.spaces.inputs import ImageInput, fit
from search.spaces.space import Space, unit_rows
from search.spaces.starter import StarterSpace
from search.spaces.text.minilm import DIMENSION

MEGAPIXEL = (1152, 864)
TWELVE_MEGAPIXELS = (4032, 3024)
ENCODED_TOGETHER = 32
SEGMENTS_EACH = 100  # of the assets that a library already holds
FILLED_TOGETHER = 200  # assets
CLIP_INPUT = ImageInput(side=224, fit="crop", resample="bicubic")


@dataclass(frozen=True)
class Row:
    """One line of the table: medians."""

    name: str
    per_second: float
    wall_seconds: float
    cpu_seconds: float
    peak_megabytes: float = 0.0  # of the process that encodes, resident


def make_photos(folder: Path, count: int, source: Path | None) -> list[Path]:
    """`count` JPEGs of a megapixel each."""
    originals = sorted(source.rglob("*.jpg")) if source else []
    rng = np.random.default_rng(0)
    if originals:
        originals = [originals[index] for index in rng.choice(len(originals), count, replace=count > len(originals))]
    paths = []
    for number in range(count):
        if originals:
            picture = Image.open(originals[number]).convert("RGB")
        else:
            rough = rng.integers(0, 255, (rng.integers(6, 60), rng.integers(8, 80), 3), dtype=np.uint8)
            picture = Image.fromarray(rough)
        path = folder / f"{number}.jpg"
        picture.resize(MEGAPIXEL, Image.Resampling.BICUBIC).save(path, quality=88)
        paths.append(path)
    return paths


def measure(work: Callable[[], object], rounds_of: list[tuple[float, float]]) -> None:
    """Wall and CPU seconds of one run, of this process and the children it has reaped."""
    before, began = _cpu_seconds(), time.perf_counter()
    work()
    rounds_of.append((time.perf_counter() - began, _cpu_seconds() - before))


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


class Peak:
    """The largest resident memory of this process while it is open."""

    def __enter__(self) -> Peak:
        self.megabytes = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        process = psutil.Process()
        while not self._ended.wait(0.05):
            self.megabytes = max(self.megabytes, process.memory_info().rss / 1e6)


def decode_bare(request: DecodeRequest) -> tuple[int, ...]:
    """One file in one process, with nothing around it."""
    return picture_of(request).shape


def picture_of(request: DecodeRequest) -> np.ndarray:
    """`(side, side, 3) uint8`: the picture of the file as the request's first model sees it."""
    return next(item for item in images.decode(request) if isinstance(item, PictureItem)).pictures[1]


def fill(database: Database, space_id: int, library: int) -> None:
    """A library of that many segments: half of them with words, all with a vector."""
    rng = np.random.default_rng(0)
    with database.write() as connection:
        source_id = sources.add_source(connection, "/library").id
    for first in range(0, library // SEGMENTS_EACH, FILLED_TOGETHER):
        numbers = range(first, min(first + FILLED_TOGETHER, library // SEGMENTS_EACH))
        paths = [f"/library/{number}.mp4" for number in numbers]
        files = [FoundFile(path=path, path_bytes=path.encode(), size_bytes=1, modified_ns=1) for path in paths]
        with database.write() as connection:
            held = assets.sync_assets(connection, source_id, files).ids
            claimed = queue.claim(connection, "bench", FILLED_TOGETHER, 600)
            queue.finish_unchanged(connection, queue.claims_of(claimed), [asset.id for asset in claimed])
            for number, asset_id in zip(numbers, held, strict=True):
                ids = range(1 + number * SEGMENTS_EACH, 1 + (number + 1) * SEGMENTS_EACH)
                vectors = unit_rows(rng.normal(size=(SEGMENTS_EACH, DIMENSION)).astype(np.float32))
                write_segments(connection, space_id, asset_id, ids, vectors)


class Ingestion:
    """The same photographs through the bare loops and through the pipeline."""

    def __init__(self, paths: Sequence[Path], settings: Settings, space: Space, template: Path, library: int) -> None:
        self._paths = paths
        self._settings = settings
        self._space = space
        self._template = template
        with self._catalogue(template) as database:
            database.migrate()
            with database.write() as connection:
                space_id = spaces.create_space(connection, "bench", "{}", "0" * 64).id
            fill(database, space_id, library)
        self._processes = settings.decode_processes or os.cpu_count() or 1
        limits = limits_of(settings)
        wants = {1: space.image_input}
        self._requests = [DecodeRequest(path, limits, wants, want_text=True) for path in paths]
        self._pictures = [picture_of(request) for request in self._requests]
        space.embed(Signal.IMAGE, self._pictures[:ENCODED_TOGETHER])
        self.peak_megabytes = 0.0

    def decode(self, pool: ProcessPoolExecutor) -> None:
        """Bare decoding, on as many processes as the pipeline has."""
        assert len(list(pool.map(decode_bare, self._requests, chunksize=8))) == len(self._paths)

    def encode(self) -> None:
        """Bare encoding of pictures that are in memory."""
        for start in range(0, len(self._pictures), ENCODED_TOGETHER):
            self._space.embed(Signal.IMAGE, self._pictures[start : start + ENCODED_TOGETHER])

    @staticmethod
    def _settings_of(home: Path) -> Settings:
        return Settings.load(environment={}, home=home, speech=False, sound=False, vision=False, settle_seconds=0.0)

    @contextmanager
    def _catalogue(self, home: Path) -> Iterator[Database]:
        database = Database.open(self._settings_of(home))
        yield database
        database.close()

    def index_anew(self, read: bool, seconds: list[tuple[float, float]]) -> None:
        """Index into a copy of the library that was there before; the copy is not on the clock."""
        with tempfile.TemporaryDirectory(prefix="medley-bench-") as home:
            shutil.copytree(self._template, home, dirs_exist_ok=True)
            os.sync()  # or the disk would be busy with the copy meanwhile
            measure(lambda: self.index(Path(home), read), seconds)

    def index(self, home: Path, read: bool) -> None:
        """From files to vectors in an SQLite catalogue: scan, hash, decode, encode, write.

        Text is looked for, as always. Ends when every photograph is searchable, or when the text is read, too.
        """
        settings = self._settings_of(home)
        with self._catalogue(home) as database:
            with database.write() as connection:
                space_id = spaces.get_space(connection, "bench").id
                source = sources.add_source(connection, str(self._paths[0].parent))
            with DecoderPool(settings, self._processes) as pool, Peak() as peak:
                scan_source(database, source, settings)
                makers = open_makers(settings)
                spaces_of = {space_id: self._space}
                reading = makers.reading if read else (PictureMaker,)
                worker = Worker.here(
                    settings, database, lambda: spaces_of, pool.decode, makers.factories, reading=reading
                )
                searchable = threading.Event()
                if not read:
                    threading.Thread(target=self._watch, args=(database, source.id, searchable), daemon=True).start()
                worker.run(searchable, until_idle=True)
            assert self._indexed(database, source.id) == len(self._paths)
            self.peak_megabytes = max(self.peak_megabytes, peak.megabytes)

    @staticmethod
    def _indexed(database: Database, source_id: int) -> int:
        with database.read() as connection:
            return assets.counts(connection, source_id).indexed

    def _watch(self, database: Database, source_id: int, searchable: threading.Event) -> None:
        while self._indexed(database, source_id) < len(self._paths):
            time.sleep(0.05)
        searchable.set()

    def run(self, rounds: int, read: bool) -> list[Row]:
        """All in turn."""
        seconds: dict[str, list[tuple[float, float]]] = {"bare decoding": [], "bare encoding": [], "end to end": []}
        seconds |= {"and its text read": []} if read else {}
        for _ in range(rounds):
            # A pool of its own in every round, so that its processor time is counted; started before the clock.
            with ProcessPoolExecutor(self._processes, get_context("spawn")) as pool:
                list(pool.map(decode_bare, self._requests[: 4 * self._processes]))
                began = time.perf_counter()
                self.decode(pool)
                seconds["bare decoding"].append((time.perf_counter() - began, 0.0))
            measure(self.encode, seconds["bare encoding"])
            self.index_anew(False, seconds["end to end"])
            if read:
                self.index_anew(True, seconds["and its text read"])
        return [self._row(name, taken) for name, taken in seconds.items()]

    def _row(self, name: str, taken: Sequence[tuple[float, float]]) -> Row:
        wall = statistics.median(seconds for seconds, _ in taken)
        cpu = statistics.median(seconds for _, seconds in taken)
        return Row(name, len(self._paths) / wall, wall, cpu, self.peak_megabytes if name == "end to end" else 0.0)


@dataclass(frozen=True)
class Preparation:
    """From a JPEG to a model's input."""

    megapixels: float
    ours_milliseconds: float
    open_clip_milliseconds: float
    faster: float
    cosine: float  # of the starter's embeddings, decoded at reduced and at full size: the least of the pictures


def prepare(photos: Sequence[Path], size: tuple[int, int], space: Space, rounds: int) -> Preparation:
    """Ours beside open_clip's, picture by picture, in one process."""
    torchvision_schemas.declare_missing()
    from open_clip.transform import image_transform  # only after the line above, where torchvision has no operators

    transform = image_transform(CLIP_INPUT.side, is_train=False)
    limits = limits_of(Settings.load(environment={}))
    ours, theirs, cosines = [], [], []
    with tempfile.TemporaryDirectory(prefix="medley-bench-") as folder:
        for path in photos:
            file = Path(folder) / path.name
            Image.open(path).resize(size, Image.Resampling.LANCZOS).save(file, quality=90)
            for _ in range(rounds):
                began = time.perf_counter()
                to_input(file, limits)
                middle = time.perf_counter()
                transform(Image.open(file))
                ours.append(middle - began)
                theirs.append(time.perf_counter() - middle)
            cosines.append(_cosine_of_draft(file, space))
    our, their = statistics.median(ours), statistics.median(theirs)
    return Preparation(size[0] * size[1] / 1e6, our * 1e3, their * 1e3, their / our, min(cosines))


def to_input(file: Path, limits: Limits) -> np.ndarray:
    """A file as the picture that a model sees, and nothing else: no facts, no hash."""
    picture, _ = images.load_picture(file, limits, int(CLIP_INPUT.side * images.DRAFT_MARGIN))
    return fit(picture, CLIP_INPUT)


def _cosine_of_draft(file: Path, space: Space) -> float:
    wanted = space.image_input
    limits = limits_of(Settings.load(environment={}))
    drafted_picture = picture_of(DecodeRequest(file, limits, {1: wanted}, want_text=False))
    full = Image.open(file).convert("RGB").resize((wanted.side, wanted.side), Image.Resampling.BICUBIC)
    drafted, whole = space.embed(Signal.IMAGE, [drafted_picture, np.asarray(full)])
    return float(drafted @ whole)


def print_rows(rows: Iterable[Row]) -> None:
    """The first table."""
    print(f"{'':22}{'photos/s':>10}{'wall s':>9}{'CPU s':>9}{'peak MB':>9}")
    for row in rows:
        cpu = f"{row.cpu_seconds:9.1f}" if row.cpu_seconds else f"{'':9}"
        peak = f"{row.peak_megabytes:9.0f}" if row.peak_megabytes else ""
        print(f"{row.name:22}{row.per_second:10.1f}{row.wall_seconds:9.2f}{cpu}{peak}")


def main() -> None:
    """Measure, print two tables and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of JPEGs to take pictures from")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--read", action="store_true", help="also read the text in them")
    parser.add_argument("--library", type=int, default=0, help="segments that are there before")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    settings = Settings.load(environment={})
    space = StarterSpace(settings)
    with (
        tempfile.TemporaryDirectory(prefix="medley-bench-") as folder,
        tempfile.TemporaryDirectory(prefix="medley-bench-") as template,
    ):
        paths = make_photos(Path(folder), options.count, options.photos)
        ingestion = Ingestion(paths, settings, space, Path(template), options.library)
        rows = ingestion.run(options.rounds, options.read)
        print_rows(rows)
        slower = min(row.per_second for row in rows[:2])
        print(f"end to end / the slower of the bare loops: {rows[2].per_second / slower:.2f}\n")
        sizes = (MEGAPIXEL, TWELVE_MEGAPIXELS)
        preparations = [prepare(paths[:12], size, space, options.rounds) for size in sizes]
    print("megapixels   ours ms   open_clip ms   faster   cosine")
    for prepared in preparations:
        print(
            f"{prepared.megapixels:10.1f}{prepared.ours_milliseconds:10.1f}{prepared.open_clip_milliseconds:15.1f}"
            f"{prepared.faster:9.1f}{prepared.cosine:9.4f}"
        )
    if options.json:
        result = {"ingestion": [asdict(row) for row in rows], "preparation": [asdict(row) for row in preparations]}
        options.json.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
