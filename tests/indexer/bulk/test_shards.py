"""Shards: what a job writes beside the media is imported once, whatever happens in between."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.bulk_world import word_spaces
from support.library import Library
from support.pictures import BLUE, GREEN, RED, save_coloured
from support.stores import s3_bucket, sftp_folder, webdav_folder

from indexer.bulk.cluster import Block
from indexer.bulk.estimate import extrapolated, sampled
from indexer.bulk.importing import Imported, ShardImporter
from indexer.bulk.jobs import opened_fleet, run_on, shard_job
from indexer.bulk.ray_fleet import Share
from indexer.bulk.shard_places import ShardFolder, ShardPlace, shard_place
from indexer.bulk.shards import read_entries, read_files, read_head
from indexer.decoding.decoder import DecoderPool
from search.catalog import assets, spaces
from search.catalog.database import Database
from search.catalog.states import SpaceState
from search.errors import CatalogError, StoreError, UsageError
from search.settings import Settings

pytest.importorskip("pyarrow", reason="shards need the extra `ray`")

FILES = 12
WORDS = Share(open_space=word_spaces)


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Library:
    """What shards are imported into; its files are not indexed yet."""
    quiet = msgspec.structs.replace(settings, speech=False, sound=False, ocr=False, batch_assets=4, decode_processes=2)
    with DecoderPool(settings, size=2) as pool:
        made = Library(database, quiet, tmp_path / "media", pool)
    for number in range(FILES):
        save_coloured(made.root / f"{number}.jpg", number, (RED, GREEN, BLUE)[number % 3])
    (made.root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    (made.root / os.fsdecode(b"n\xe4me.jpg")).write_bytes((made.root / "1.jpg").read_bytes() + b" ")
    return made


def make_shards(library: Library, place: Path | ShardPlace, at_once: int = 5) -> int:
    """Returns how many files the shards that were there held."""
    place = ShardFolder(place) if isinstance(place, Path) else place
    with shard_job(library.settings, library.database, library.source, place) as (queue, recorder, _, written):
        block = Block(assets=at_once, seconds=60.0)
        with opened_fleet(library.settings, queue, None, WORDS) as fleet:
            run_on(fleet, library.settings, queue, threading.Event(), recorder=recorder, block=block)
    return written


def take_in(library: Library, place: Path | ShardPlace, root: str | None = None) -> Imported:
    place = ShardFolder(place) if isinstance(place, Path) else place
    return ShardImporter(library.database, library.settings, root).run(place, threading.Event())


def facts(library: Library) -> dict[bytes, tuple[object, ...]]:
    vectors = library.vectors()
    return {
        name: (
            asset.status,
            asset.kind,
            asset.content_hash,
            asset.width,
            asset.perceptual_hash,
            asset.error,
            [(segment.ordinal, segment.signal, vectors[segment.id]) for segment in library.segments(asset)],
        )
        for name, asset in library.all().items()
    }


def test_a_folder_goes_through_shards_as_through_the_worker(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    make_shards(library, folder)
    assert library.counts().known == 0  # nothing went into the catalogue
    made = len(ShardFolder(folder).names())
    assert made >= 2
    done = take_in(library, folder)
    assert (done.indexed, done.quarantined, done.segments, done.shards) == (FILES + 1, 1, FILES + 1, made)
    imported = facts(library)
    with library.database.write() as connection:
        assets.delete_assets(connection, [asset.id for asset in library.all().values()])
    with DecoderPool(library.settings, size=2) as pool:
        library.decode = pool.decode
        library.index()
    assert imported == facts(library)


def test_an_import_again_changes_nothing(library: Library, tmp_path: Path) -> None:
    make_shards(library, tmp_path / "shards")
    take_in(library, tmp_path / "shards")
    before, vectors = facts(library), library.vectors()
    again = take_in(library, tmp_path / "shards")
    assert (again.indexed, again.quarantined, again.known) == (0, 0, FILES + 2)
    assert facts(library) == before
    assert library.vectors() == vectors  # the very same rows


def test_an_import_that_was_stopped_goes_on(library: Library, tmp_path: Path) -> None:
    make_shards(library, tmp_path / "shards")
    stop = threading.Event()
    first = ShardImporter(library.database, library.settings).run(
        ShardFolder(tmp_path / "shards"), stop, lambda _: stop.set()
    )
    assert first.shards == 1
    rest = take_in(library, tmp_path / "shards")
    assert first.indexed + rest.indexed == FILES + 1
    assert library.counts().indexed == FILES + 1


def test_a_job_that_was_stopped_makes_the_rest_only(library: Library, tmp_path: Path) -> None:
    folder = tmp_path / "shards"
    make_shards(library, folder)
    lost = folder / ShardFolder(folder).names()[-1]
    missing = len(read_files(lost))
    lost.unlink()
    (folder / "shard-half.part").write_bytes(b"PAR1")
    assert make_shards(library, folder) == FILES + 2 - missing
    assert sum(len(read_files(path)) for path in folder.glob("*.parquet")) == FILES + 2
    assert make_shards(library, folder) == FILES + 2
    done = take_in(library, folder)
    assert done.indexed == FILES + 1


def test_what_the_catalogue_knows_better_is_left_alone(library: Library, tmp_path: Path) -> None:
    make_shards(library, tmp_path / "shards")
    (library.root / "2.jpg").write_bytes((library.root / "3.jpg").read_bytes() + b"  ")
    library.scan()
    with library.database.write() as connection:
        removed = library.all()[b"4.jpg"]
        assets.remove_asset(connection, removed.id)
    done = take_in(library, tmp_path / "shards")
    assert (done.changed, done.removed) == (1, 1)
    assert library.all()[b"2.jpg"].status == "pending"
    assert b"4.jpg" not in library.all()


def test_an_import_overtakes_a_worker_that_holds_a_file(library: Library, tmp_path: Path) -> None:
    """The claim's number rises, so what the worker writes afterwards is not written: nothing is doubled."""
    from search.catalog import queue

    make_shards(library, tmp_path / "shards")
    library.scan()
    with library.database.write() as connection:
        held = queue.claims_of(queue.claim(connection, "worker", 100, 60.0))
    take_in(library, tmp_path / "shards")
    with library.database.write() as connection:
        assert queue.hold(connection, held) == set()
    assert library.counts().working == 0


def test_media_may_be_mounted_elsewhere(library: Library, tmp_path: Path) -> None:
    make_shards(library, tmp_path / "shards")
    elsewhere = tmp_path / "elsewhere"
    library.root.rename(elsewhere)
    take_in(library, tmp_path / "shards", str(elsewhere))
    indexed = [asset for asset in library.all().values() if asset.status == "indexed"]
    assert len(indexed) == FILES + 1
    assert all(asset.path_bytes.startswith(os.fsencode(elsewhere) + b"/") for asset in indexed)
    assert all(Path(os.fsdecode(asset.path_bytes)).exists() for asset in indexed)


def test_shards_of_a_space_that_is_not_here_are_refused(library: Library, tmp_path: Path) -> None:
    make_shards(library, tmp_path / "shards")
    with library.database.write() as connection:
        spaces.create_space(connection, "other", "{}", "0" * 64, state=SpaceState.READY)
        spaces.activate_space(connection, "other")
        spaces.drop_space(connection, "words")
    with pytest.raises(UsageError, match=r"made for 'words'.*use 'other'"):
        take_in(library, tmp_path / "shards")
    assert library.counts().known == 0


@pytest.mark.parametrize("damage", ["cut", "garbage", "nan"])
def test_a_damaged_shard_is_named_and_takes_nothing_in(library: Library, tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "shards"
    make_shards(library, folder, at_once=100)
    (path,) = folder.glob("*.parquet")
    whole = path.read_bytes()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "garbage":
        path.write_bytes(os.urandom(4096))
    else:
        import pyarrow as pa
        import pyarrow.parquet as pq

        table = pq.read_table(path)
        column = table.schema.get_field_index("vector_0")
        bad = np.full(256, np.nan, "<f2").tobytes()
        pq.write_table(table.set_column(column, "vector_0", pa.array([bad] * table.num_rows, pa.binary())), path)
    with pytest.raises(CatalogError):
        take_in(library, folder)
    assert library.counts().known == 0


def test_a_shard_says_what_it_holds(library: Library, tmp_path: Path) -> None:
    """For people who read it with other tools: columns as documented."""
    import pyarrow.parquet as pq

    folder = tmp_path / "shards"
    make_shards(library, folder, at_once=100)
    (path,) = folder.glob("*.parquet")
    head = read_head(path)
    assert head.root == str(library.root)
    assert [space.name for space in head.spaces] == ["words"]
    rows = pq.read_table(path).to_pylist()
    row = next(row for row in rows if row["path"] == "0.jpg")
    assert (row["outcome"], row["signal"], row["kind"]) == ("indexed", "image", "image")
    assert np.frombuffer(row["vector_0"], "<f2").shape == (256,)
    assert next(row for row in rows if row["outcome"] == "quarantined")["error"]
    with pytest.raises(UsageError):
        ShardFolder(tmp_path / "nowhere").names()
    with pytest.raises(CatalogError, match="lacks"):
        read_entries(path, {"vector_9": 1})


@pytest.mark.parametrize("kind", ["s3", "sftp", "webdav"])
def test_shards_lie_in_stores_as_in_folders(library: Library, tmp_path: Path, kind: str) -> None:
    there, home = tmp_path / "there", library.settings.home
    there.mkdir()
    with ExitStack() as stack:
        if kind == "s3":
            bucket = stack.enter_context(s3_bucket())
            bucket.profile(home)
            root = f"s3://{bucket.name}"
        else:
            root = stack.enter_context((sftp_folder if kind == "sftp" else webdav_folder)(there, home))
        with shard_place(library.settings, f"{root}/not yet/shards") as place:
            assert place.names() == []
            assert make_shards(library, place) == 0
            assert len(place.names()) >= 2
            assert list(place.staging.iterdir()) == []  # nothing stays here
            with place.fetched(place.names()[0]) as path:
                held = len(read_files(path))
            assert held > 0
            assert make_shards(library, place) == FILES + 2  # all are known
            done = take_in(library, place)
        assert (done.indexed, done.quarantined) == (FILES + 1, 1)
        if kind != "s3":
            written = [path.suffix for path in there.rglob("*") if path.is_file()]
            assert set(written) == {".parquet"}


def test_where_nothing_can_be_written_no_shards_are_made(library: Library, tmp_path: Path) -> None:
    for address, error in (("https://127.0.0.1:1/shards", StoreError), (str(library.root / "0.jpg"), UsageError)):
        with pytest.raises(error), shard_place(library.settings, address):
            pass


def test_an_estimate_multiplies_a_sample(library: Library) -> None:
    with sampled(library.database, library.settings, library.source, most=7) as sample:
        with opened_fleet(library.settings, sample.database, None, WORDS) as fleet:
            run_on(fleet, library.settings, sample.database, threading.Event())
        estimate = extrapolated(sample, library.settings, 2.0)
    assert (estimate.files, estimate.sample) == (FILES + 2, 7)
    assert estimate.media_bytes == sum(path.stat().st_size for path in library.root.iterdir())
    assert estimate.segments["image"] == round((7 - estimate.failed) * (FILES + 2) / 7)
    assert estimate.seconds == pytest.approx(estimate.files / 2.0)
    assert estimate.memory_bytes == estimate.segments["image"] * (256 * 4 + 16)
    assert library.counts().known == 0  # the library itself is as it was
