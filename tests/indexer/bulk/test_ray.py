"""On a real Ray cluster of several nodes, one of them killed in the middle: results equal the worker's."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.bulk_world import GatheredFleet, broken_spaces, slow_word_spaces, word_spaces
from support.library import Library
from support.paths import ROOT, SUPPORT
from support.pictures import BLUE, GREEN, RED, save_coloured
from support.ray_cluster import RayCluster
from support.waiting import until

from indexer.bulk.cluster import Block
from indexer.bulk.job import Job
from indexer.bulk.jobs import opened_fleet, run_on
from indexer.bulk.ray_fleet import Share, connected
from indexer.decoding.decoder import DecoderPool
from indexer.sources.scan import scan_source
from search.catalog import sources
from search.catalog.database import Database
from search.errors import MedleyError, UnavailableError
from search.settings import Settings

pytest.importorskip("ray", reason="bulk jobs on Ray need the extra `ray`")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # Ray leaves its own sockets and files to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

FILES = 60
NOWHERE = "ray://127.0.0.1:1"


@pytest.fixture(scope="module")
def machines_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home folder of the machines of the cluster, which is not the coordinator's."""
    return tmp_path_factory.mktemp("machines")


@pytest.fixture(scope="module")
def running(machines_home: Path) -> Iterator[RayCluster]:
    """A cluster whose head has no cores, so that only the machines that a test adds do the work."""
    ray: Any = pytest.importorskip("ray")
    before = dict(os.environ)
    os.environ.update(
        RAY_USAGE_STATS_ENABLED="0",
        PYTHONPATH=f"{ROOT}:{SUPPORT.parent}",  # what Ray's workers import
        OMP_NUM_THREADS="1",
        RAY_worker_niceness="0",  # of 15 by default: beside the other tests, a machine would not be up in time
        MEDLEY_HOME=str(machines_home),
    )
    cluster = RayCluster()
    ray.init(address=cluster.address, log_to_driver=False, logging_level=logging.ERROR)
    yield cluster
    ray.shutdown()
    cluster.close()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def machines(running: RayCluster) -> Iterator[RayCluster]:
    """The cluster, without machines at first and afterwards."""
    yield running
    running.kill_all()


@pytest.fixture
def library(sqlite_url: str, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    quiet = msgspec.structs.replace(settings, speech=False, sound=False, ocr=False, batch_assets=4)
    database = Database.open(sqlite_url)
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, quiet, tmp_path / "media", pool)
    database.close()


def fill(library: Library, files: int = FILES) -> None:
    for number in range(files):
        save_coloured(library.root / f"{number}.jpg", number, (RED, GREEN, BLUE)[number % 3])
    (library.root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 nothing more")
    library.scan()


def found(library: Library) -> dict[bytes, Any]:
    vectors = library.vectors()
    return {
        name: (
            asset.status,
            asset.content_hash,
            [(segment.ordinal, segment.signal, vectors[segment.id]) for segment in library.segments(asset)],
        )
        for name, asset in library.all().items()
    }


def index_alone(library: Library, tmp_path: Path, empty: Path) -> dict[bytes, Any]:
    path = tmp_path / "alone.sqlite"
    path.write_bytes(empty.read_bytes())
    database = Database.open(f"sqlite:///{path}")
    alone = Library(database, library.settings, library.root, library.pool)
    alone.index()
    result = found(alone)
    database.close()
    return result


def test_an_address_where_nothing_answers_is_said() -> None:
    """First, while this process is connected to nothing."""
    with pytest.raises(UnavailableError, match=r"no Ray cluster answers at ray://127\.0\.0\.1:1"), connected(NOWHERE):
        pass


def test_a_machine_is_killed_in_the_middle_and_nothing_is_lost_or_doubled(
    library: Library, machines: RayCluster, tmp_path: Path, migrated_sqlite: Path
) -> None:
    fill(library)
    machines.add(cores=1)
    doomed = machines.add(cores=1)
    share = Share(cores=1, open_space=slow_word_spaces)
    with opened_fleet(library.settings, library.database, "ray", share) as opened:
        fleet = GatheredFleet(opened, 2)
        killed = threading.Event()

        def kill() -> None:
            until(lambda: fleet.complete and library.counts().indexed >= 8, seconds=400)
            machines.kill(doomed)
            killed.set()

        thread = threading.Thread(target=kill)
        thread.start()
        run_on(fleet, library.settings, library.database, threading.Event(), block=Block(assets=4, seconds=0.2))
    thread.join()
    assert killed.is_set()
    counts = library.counts()
    assert (counts.indexed, counts.quarantined, counts.pending, counts.working) == (FILES, 1, 0, 0)
    assert counts.segments == {"image": FILES}
    assert found(library) == index_alone(library, tmp_path, migrated_sqlite)


def test_encoders_have_actors_of_their_own(
    library: Library, machines: RayCluster, tmp_path: Path, migrated_sqlite: Path
) -> None:
    """As on machines with GPUs: decoding actors send batches, and get the same vectors."""
    fill(library, 12)
    machines.add(cores=2)
    share = Share(cores=1, encoders=1, open_space=word_spaces)
    with opened_fleet(library.settings, library.database, "ray", share) as fleet:
        run_on(fleet, library.settings, library.database, threading.Event())
    assert found(library) == index_alone(library, tmp_path, migrated_sqlite)


def test_files_in_a_bucket_are_fetched_by_the_nodes(
    library: Library, machines: RayCluster, machines_home: Path, home: Path
) -> None:
    """Each machine has the credentials in its own home; neither they nor the catalogue's address travel."""
    pytest.importorskip("boto3", reason="S3 needs the extra `s3`")
    from support.stores import SECRET, s3_bucket

    fill(library, 8)
    with s3_bucket("bulk") as bucket:
        bucket.profile(home)
        bucket.profile(machines_home)
        for path in library.root.iterdir():
            bucket.put(f"photos/{path.name}", path.read_bytes())
        machines.add(cores=1)
        with library.database.write() as connection:
            source = sources.add_source(connection, "s3://bulk/photos")
            sources.delete_source(connection, library.source.id)
        scan_source(library.database, source, library.settings)
        assert SECRET.encode() not in Job.of(library.settings, []).settings
        with opened_fleet(library.settings, library.database, "ray", Share(cores=1, open_space=word_spaces)) as fleet:
            run_on(fleet, library.settings, library.database, threading.Event())
        counts = library.counts()
        assert (counts.indexed, counts.quarantined) == (8, 1)
        assert {asset.path for asset in library.all().values()} == {
            f"s3://bulk/photos/{path.name}" for path in library.root.iterdir()
        }


def test_a_machine_without_the_weights_ends_the_job_with_the_reason(library: Library, machines: RayCluster) -> None:
    fill(library, 2)
    machines.add(cores=1)
    share = Share(cores=1, open_space=broken_spaces)
    with (
        pytest.raises(MedleyError, match="weights of this space are not here"),
        opened_fleet(library.settings, library.database, "ray", share) as fleet,
    ):
        run_on(fleet, library.settings, library.database, threading.Event())
    assert library.counts().working == 0
    assert library.counts().quarantined == 0
