"""Watched sources: what changes is noticed at once, what goes away loses nothing."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from support import media
from support.library import Library
from support.pictures import save_coloured
from support.waiting import until

from indexer.decoding.decoder import DecoderPool
from indexer.sources.scan import scan_paths
from indexer.sources.watcher import Watcher
from search.catalog import sources
from search.catalog.database import Database
from search.settings import Settings


@pytest.fixture
def library(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(sqlite_url)
    with DecoderPool(settings, size=1) as pool:
        yield Library(database, settings, tmp_path / "media", pool)
    database.close()


def inotify_watches() -> set[str]:
    """The watches of this process, as the kernel tells: nothing else announces when they are set."""
    found: set[str] = set()
    for file in Path("/proc/self/fdinfo").iterdir():
        with suppress(FileNotFoundError):  # files close while we look
            found.update(f"{file.name} {line}" for line in file.read_text().splitlines() if "inotify wd" in line)
    return found


@contextmanager
def watching(library: Library) -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=Watcher(library.database, library.settings).run, args=(stop,))
    before = inotify_watches()
    thread.start()
    until(lambda: library.state().scanned_at is not None)
    until(lambda: inotify_watches() - before)
    try:
        yield
    finally:
        stop.set()
        thread.join()


def names(library: Library, status: str) -> set[bytes]:
    return {name for name, asset in library.all().items() if asset.status == status}


def test_new_moved_and_removed_files_are_noticed(library: Library) -> None:
    save_coloured(library.root / "first.jpg", 1)
    with watching(library):
        assert names(library, "pending") == {b"first.jpg"}
        library.work()
        before = library.vectors()
        save_coloured(library.root / "second.jpg", 2)
        (library.root / "notes.tex").write_text("no media")
        until(lambda: names(library, "pending") == {b"second.jpg"})
        (library.root / "deep").mkdir()
        (library.root / "first.jpg").rename(library.root / "deep" / "renamed.jpg")
        until(lambda: b"renamed.jpg" in library.all())
        library.work()
        after = library.vectors()
        assert {key: after.get(key) for key in before} == before
        (library.root / "second.jpg").unlink()
        until(lambda: names(library, "missing") == {b"second.jpg"})
        assert names(library, "indexed") == {b"renamed.jpg"}


def test_words_put_beside_a_recording_are_noticed(library: Library) -> None:
    media.write_wav(library.root / "talk.wav", media.tone(1))
    media.write_wav(library.root / "other.wav", media.tone(2))
    library.makers = ()
    library.index()
    beside = library.root / "talk.srt"
    with watching(library):
        for change in (lambda: beside.write_text("1\n00:00:00,000 --> 00:00:01,000\nHello\n"), beside.unlink):
            change()
            until(lambda: names(library, "pending") == {b"talk.wav"})
            library.work()
            assert names(library, "indexed") == {b"talk.wav", b"other.wav"}


def test_a_folder_that_is_moved_in_or_out_is_taken_whole(library: Library, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(3):
        save_coloured(outside / f"{number}.jpg", number)
    save_coloured(library.root / "stays.jpg", 9)
    with watching(library):
        shutil.move(outside, library.root / "inside")
        until(lambda: len(names(library, "pending")) == 4)
        shutil.move(library.root / "inside", outside)
        until(lambda: len(names(library, "missing")) == 3)


def test_a_root_that_goes_away_pauses_and_comes_back(library: Library) -> None:
    save_coloured(library.root / "a.jpg", 1)
    library.index()
    before = library.vectors()
    library.settings = msgspec.structs.replace(library.settings, sweep_seconds=0.5)
    with watching(library):
        away = library.root.rename(library.root.parent / "unmounted")
        until(lambda: library.state().state == "paused")
        assert names(library, "indexed") == {b"a.jpg"}
        away.rename(library.root)
        until(lambda: library.state().state == "active")
    assert library.vectors() == before


def test_sources_that_are_not_watched_are_left_alone(library: Library) -> None:
    with library.database.write() as connection:
        sources.add_source(connection, str(library.root), watched=False)
    assert Watcher(library.database, library.settings).sweep() == []


def test_sweeps_are_shared(library: Library) -> None:
    now = time.time()
    first, second = (Watcher(library.database, library.settings, lambda: now) for _ in range(2))
    assert len(first.sweep()) == 1
    assert len(second.sweep()) == 0


class TestPaths:
    """What a notice names is taken exactly as a scan of the whole source would take it."""

    def look(self, library: Library, *names: str) -> None:
        paths = [os.fsencode(library.root / name) for name in names]
        scan_paths(library.database, library.state(), library.settings, paths)

    def test_skipped_folders_and_links_stay_out(self, library: Library, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        save_coloured(tmp_path / "elsewhere" / "a.jpg", 1)
        (library.root / ".git").mkdir()
        save_coloured(library.root / ".git" / "b.jpg", 2)
        (library.root / "link").symlink_to(tmp_path / "elsewhere")
        (library.root / "file.jpg").symlink_to(tmp_path / "elsewhere" / "a.jpg")
        self.look(library, ".git/b.jpg", ".git", "link", "link/a.jpg", "file.jpg", "../elsewhere/a.jpg")
        assert library.all() == {}

    def test_a_name_that_is_no_longer_there_is_missing(self, library: Library) -> None:
        save_coloured(library.root / "a.jpg", 1)
        save_coloured(library.root / "b.jpg", 1)
        library.scan()
        (library.root / "a.jpg").unlink()
        self.look(library, "a.jpg", "never.jpg")
        assert names(library, "missing") == {b"a.jpg"}

    def test_neighbours_with_like_names_are_not_touched(self, library: Library) -> None:
        for folder in ("a", "a b", "ab"):
            (library.root / folder).mkdir()
            save_coloured(library.root / folder / f"{folder}.jpg", 1)
        library.scan()
        shutil.rmtree(library.root / "a")
        self.look(library, "a")
        assert names(library, "missing") == {b"a.jpg"}

    def test_an_empty_root_pauses(self, library: Library) -> None:
        path = save_coloured(library.root / "a.jpg", 1)
        library.scan()
        path.unlink()
        self.look(library, "a.jpg")
        assert library.state().state == "paused"
        assert names(library, "missing") == set()
