"""Workers that are killed, frozen, given wrong clocks or cut off from their database while they index."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg
from support.library import Library
from support.paths import ROOT, SUPPORT
from support.pictures import save_coloured

from chaos.report import Row
from indexer.decoding.decoder import DecoderPool
from search.catalog.database import Database
from search.catalog.upkeep import health
from search.settings import Settings

WORKERS = 2
LEASE_SECONDS = 1.5  # of the workers in kill_worker.py
TICK_SECONDS = 0.05
WITHOUT_HELP_SECONDS = 8.0
PROMISE = "every file indexed once, none lost, doubled or quarantined; the audit finds nothing"

Workers = list["subprocess.Popen[str]"]
# Does one bit of harm to the workers; true when it did.
Disturb = Callable[[Workers, random.Random], bool]


class Clocks:
    """Files that say by how much each worker's clock is wrong."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(exist_ok=True)
        for number in range(WORKERS):
            self.set(number, 0.0)

    def of(self, number: int) -> Path:
        """The file of one worker."""
        return self._folder / str(number)

    def set(self, number: int, seconds: float) -> None:
        """Step a worker's clock while it runs."""
        fresh = self._folder / f".{number}"
        fresh.write_text(str(seconds))
        fresh.replace(self.of(number))


def kill(workers: Workers, dice: random.Random) -> bool:
    """As a machine without memory does."""
    dice.choice(workers).kill()
    return True


def freeze(workers: Workers, dice: random.Random) -> bool:
    """As a laptop that is closed: longer than its lease, in the middle of anything."""
    frozen = dice.choice(workers)
    frozen.send_signal(signal.SIGSTOP)
    time.sleep(LEASE_SECONDS * dice.uniform(1.1, 2))
    frozen.send_signal(signal.SIGCONT)
    return True


def step_clock(clocks: Clocks) -> Disturb:
    """Two minutes ahead or behind, at once."""

    def disturb(_workers: Workers, dice: random.Random) -> bool:
        clocks.set(dice.randrange(WORKERS), dice.choice([-3600.0, -120.0, 0.0, 120.0, 3600.0]))
        return True

    return disturb


def cut_connections(url: str) -> Disturb:
    """As a restart of PostgreSQL does to those who are connected."""

    def disturb(_workers: Workers, _dice: random.Random) -> bool:
        with psycopg.connect(url, autocommit=True) as connection:
            cut = connection.execute(
                "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = 'medley'"
            ).fetchone()
        return bool(cut and cut[0])

    return disturb


def attack(
    name: str,
    url: str,
    folder: Path,
    *,
    files: int,
    times: int,
    seconds: float,
    pause: tuple[float, float],
    disturb: Callable[[Clocks], Disturb],
) -> Row:
    """Index `files` pictures with two workers, disturbed up to `times` times within `seconds`; then look."""
    began = time.monotonic()
    folder.mkdir(parents=True)
    settings = Settings.load(environment={}, home=folder / "home")
    settings.make_home()
    dice = random.Random(name)
    clocks = Clocks(folder / "clocks")
    database = Database.open(url)
    database.migrate()
    with DecoderPool(settings, size=1) as pool:
        library = Library(database, settings, folder / "media", pool)
        for number in range(files):
            save_coloured(library.root / f"{number}.jpg", number)
        library.scan()
        done = _disturbed(library, url, clocks, disturb(clocks), dice, times, began + seconds, pause)
        broken = _broken(library, files)
    database.close()
    dialect = "PostgreSQL" if url.startswith("postgresql") else "SQLite"
    spent = time.monotonic() - began
    return Row(
        attack=name, on=dialect, amount=f"{done} times, {files} files", seconds=spent, promise=PROMISE, broken=broken
    )


def blind_worker(url: str, folder: Path, *, files: int, seconds: float) -> Row:
    """One worker sees an empty folder where the media are, as a machine whose mount is away does; another sees all."""
    began = time.monotonic()
    folder.mkdir(parents=True)
    settings = Settings.load(environment={}, home=folder / "home")
    settings.make_home()
    database = Database.open(url)
    database.migrate()
    clocks = Clocks(folder / "clocks")
    with DecoderPool(settings, size=1) as pool:
        library = Library(database, settings, folder / "media", pool)
        for number in range(files):
            save_coloured(library.root / f"{number}.jpg", number)
        library.scan()
        hidden = f"mount -t tmpfs none '{library.root}' && exec \"$@\""
        blind = _started(url, folder / "blind", clocks.of(0), "unshare", "-rm", "sh", "-c", hidden, "sh")
        alone = WITHOUT_HELP_SECONDS  # it has all the files to itself, and nothing may happen to them
        blind_until = time.monotonic() + alone
        while time.monotonic() < blind_until and blind.poll() is None:
            time.sleep(TICK_SECONDS)
        broken: list[str] = []
        counts = library.counts()
        if blind.poll() is not None:
            broken.append(f"the worker without the files ended with status {blind.returncode}")
        if counts.pending != files:
            broken.append(f"the worker without the files touched some: {counts}")
        healthy = _started(url, settings.home, clocks.of(1))
        while time.monotonic() < began + seconds and library.counts().indexed < files:
            time.sleep(TICK_SECONDS)
        for worker in (blind, healthy):
            worker.kill()
            worker.wait()
        broken += _broken(library, files)
    database.close()
    return Row(
        attack="a worker without the media",
        on="mount namespaces",
        amount=f"{files} files, {alone:.0f} s alone",
        seconds=time.monotonic() - began,
        promise="it leaves them to those who see them; nothing is missing",
        broken=tuple(broken),
    )


def has_namespaces() -> bool:
    """Whether this machine lets us mount in a namespace of our own."""
    command = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs none /mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def _disturbed(
    library: Library,
    url: str,
    clocks: Clocks,
    disturb: Disturb,
    dice: random.Random,
    times: int,
    ends: float,
    pause: tuple[float, float],
) -> int:
    done = 0
    with _workers(url, library.settings.home, clocks) as (workers, revive):
        quiet_until = time.monotonic() + dice.uniform(*pause)
        while time.monotonic() < ends:
            counts = library.database.patiently(library.counts)  # our own connections are cut as well
            if counts.pending + counts.working == 0:
                break
            revive()
            if done < times and time.monotonic() >= quiet_until:
                done += disturb(workers, dice)
                quiet_until = time.monotonic() + dice.uniform(*pause)
            time.sleep(TICK_SECONDS)
    return done


@contextmanager
def _workers(url: str, home: Path, clocks: Clocks) -> Iterator[tuple[Workers, Callable[[], None]]]:
    workers: Workers = [_started(url, home, clocks.of(number)) for number in range(WORKERS)]

    def revive() -> None:
        for number, worker in enumerate(workers):
            if worker.poll() is not None:
                workers[number] = _started(url, home, clocks.of(number))

    try:
        yield workers, revive
    finally:
        for worker in workers:
            with contextlib.suppress(ProcessLookupError):
                worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()


def _started(url: str, home: Path, clock: Path, *wrapper: str) -> subprocess.Popen[str]:
    environment = {"PYTHONPATH": f"{ROOT}:{SUPPORT.parent}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    command = [*wrapper, sys.executable, str(SUPPORT / "kill_worker.py"), url, str(home), str(clock)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True, env=environment)


def _broken(library: Library, files: int) -> tuple[str, ...]:
    """What is not as it would be had nobody disturbed anything."""
    counts = library.counts()
    vectors = library.vectors()
    with library.database.read() as connection:
        report = health.inspect(connection)
        damage = health.damage(connection)
    states = f"{counts.indexed} indexed, {counts.pending + counts.working} unfinished, {counts.quarantined} quarantined"
    checks: Sequence[tuple[bool, str]] = (
        (counts.indexed == files, f"of {files} files: {states}, {counts.missing} missing"),
        (counts.segments == {"image": files}, f"segments: {counts.segments}"),
        (len(vectors) == files, f"{len(vectors)} vectors"),
        (report.healthy, f"the audit: {report}"),
        (not damage, f"damage: {damage}"),
    )
    return tuple(words for holds, words in checks if not holds)
