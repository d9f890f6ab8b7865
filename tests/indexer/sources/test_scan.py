"""Scans: what is taken, what is left alone, and that nothing is lost when a folder goes away."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import wave
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from support import media
from support.library import Library
from support.pictures import GREEN, save_coloured

from indexer.decoding.decoder import DecoderPool, Items
from indexer.decoding.items import DecodedItem, DecodeRequest, SegmentDraft, SoundItem, SubtitleItem
from indexer.sources.files import Unreadable
from indexer.sources.scan import scan_paths
from indexer.sources.walk import walk
from search.catalog.database import Database
from search.catalog.records import FoundFile
from search.settings import Settings
from search.signals import Signal


@pytest.fixture
def library(database: Database, settings: Settings, tmp_path: Path) -> Iterator[Library]:
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)


def names(root: Path, recursive: bool = True) -> set[bytes]:
    root_bytes = os.fsencode(root)
    entries = [entry for entry in walk(root_bytes, recursive) if isinstance(entry, FoundFile)]
    return {entry.path_bytes.removeprefix(root_bytes + b"/") for entry in entries}


def touch(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


class TestWalk:
    def test_media_are_taken_and_other_files_are_not(self, tmp_path: Path) -> None:
        for name in ("a.jpg", "b.MP4", "c.flac", "d.tex", "e.py", "f.ts", "._a.jpg", "deep/er/g.heic", ".git/h.png"):
            touch(tmp_path / name)
        touch(tmp_path / "no suffix", b"\x89PNG\r\n\x1a\n....")
        touch(tmp_path / "README", b"words")
        touch(tmp_path / "real.ts", (b"\x47" + b"\0" * 187) * 4)
        assert names(tmp_path) == {b"a.jpg", b"b.MP4", b"c.flac", b"deep/er/g.heic", b"no suffix", b"real.ts"}

    def test_documents_are_taken_by_their_names_or_by_a_pdfs_mark(self, tmp_path: Path) -> None:
        for name in ("a.PDF", "b.txt", "c.md", "d.markdown", "e.doc", "f.html"):
            touch(tmp_path / name)
        touch(tmp_path / "no suffix", b"%PDF-1.7 and so on")
        touch(tmp_path / "letter.pdf_1", b"%PDF-1.7 and so on")
        assert names(tmp_path) == {b"a.PDF", b"b.txt", b"c.md", b"d.markdown", b"no suffix", b"letter.pdf_1"}

    def test_subtitles_are_taken_unless_they_are_those_of_a_recording(self, tmp_path: Path) -> None:
        for name in (
            "a.srt",
            "b.mp4",
            "b.en.srt",
            "B.vtt",
            "b.2.srt",
            "c.jpg",
            "c.srt",
            "d.txt",
            "d.srt",
            "e.lrc",
            "e.mp3",
        ):
            touch(tmp_path / name)
        assert names(tmp_path) >= {b"a.srt", b"B.vtt", b"b.2.srt", b"c.srt", b"d.srt"}
        assert not names(tmp_path) & {b"b.en.srt", b"e.lrc"}

    def test_without_recursion_folders_are_left_out(self, tmp_path: Path) -> None:
        touch(tmp_path / "a.jpg")
        touch(tmp_path / "deep/b.jpg")
        assert names(tmp_path, recursive=False) == {b"a.jpg"}

    def test_a_single_file_is_taken_whatever_it_is(self, tmp_path: Path) -> None:
        touch(tmp_path / "notes.txt")
        (entries,) = walk(os.fsencode(tmp_path / "notes.txt"))
        assert isinstance(entries, FoundFile)

    def test_names_of_any_bytes_are_found_and_can_be_shown(self, tmp_path: Path) -> None:
        for name in (b"new\nline.jpg", b"\xff\xfe.jpg", b"tab\t.jpg", "日本.jpg".encode()):
            touch(tmp_path / os.fsdecode(name))
        entries = [entry for entry in walk(os.fsencode(tmp_path)) if isinstance(entry, FoundFile)]
        found = {entry.path_bytes.rpartition(b"/")[2]: entry for entry in entries}
        assert set(found) == {b"new\nline.jpg", b"\xff\xfe.jpg", b"tab\t.jpg", "日本.jpg".encode()}
        assert found[b"\xff\xfe.jpg"].path.endswith("\\xff\\xfe.jpg")

    def test_links_make_no_loop_and_lead_nowhere_else(self, tmp_path: Path) -> None:
        root = tmp_path / "root"
        touch(root / "a.jpg")
        touch(tmp_path / "outside.jpg")
        touch(tmp_path / "other/b.jpg")
        (root / "loop").symlink_to(root)
        (root / "deep").mkdir()
        (root / "deep" / "up").symlink_to("..")
        (root / "self.jpg").symlink_to("self.jpg")
        (root / "broken.jpg").symlink_to("nowhere.jpg")
        (root / "out.jpg").symlink_to(tmp_path / "outside.jpg")
        (root / "other").symlink_to(tmp_path / "other")
        (root / "inside.jpg").symlink_to("a.jpg")
        assert names(root) == {b"a.jpg"}, "inside.jpg is a.jpg, which is found anyway"

    def test_pipes_and_sockets_are_not_opened(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe.jpg")
        os.mkfifo(tmp_path / "pipe")
        assert names(tmp_path) == set()

    def test_deep_trees_need_no_deep_stack(self, tmp_path: Path) -> None:
        folder = os.fsencode(tmp_path)
        descriptor = os.open(folder, os.O_RDONLY)
        for _ in range(1050):  # deeper than Python's recursion limit
            os.mkdir("d", dir_fd=descriptor)
            inner = os.open("d", os.O_RDONLY, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        os.close(descriptor)
        touch(tmp_path / "z.jpg")
        assert names(tmp_path) == {b"z.jpg"}
        subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)

    def test_a_folder_that_cannot_be_listed_is_named(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        touch(tmp_path / "a.jpg")
        touch(tmp_path / "locked/b.jpg")
        _lock(monkeypatch, os.fsencode(tmp_path / "locked"))
        entries = list(walk(os.fsencode(tmp_path)))
        assert [entry.reason for entry in entries if isinstance(entry, Unreadable)] == [
            f"{tmp_path}/locked: can't be listed: Permission denied"
        ]
        assert sum(isinstance(entry, FoundFile) for entry in entries) == 1


def _lock(monkeypatch: pytest.MonkeyPatch, folder: bytes) -> None:
    """As root, file modes stop nobody: refuse where the system would."""
    scandir = os.scandir

    def refuse(path: bytes) -> Iterator[os.DirEntry[bytes]]:
        if path == folder:
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr("indexer.sources.walk.os.scandir", refuse)


class TestSources:
    def test_new_changed_same_gone_and_back(self, library: Library) -> None:
        first = save_coloured(library.root / "a.jpg", 1)
        save_coloured(library.root / "b.jpg", 2)
        assert library.scan().added == 2
        library.work()
        assert library.scan().added == library.scan().changed == 0
        save_coloured(library.root / "b.jpg", 3, GREEN)
        assert library.scan().changed == 1
        library.work()
        away = first.rename(library.root.parent / "a.jpg")
        assert library.scan().missing == 1
        assert library.counts().missing == 1
        assert len(library.vectors()) == 1
        away.rename(first)
        assert library.scan().returned == 1
        assert library.counts().indexed == 2
        assert len(library.vectors()) == 2

    def test_a_root_that_is_away_pauses_the_source_and_loses_nothing(self, library: Library) -> None:
        save_coloured(library.root / "a.jpg", 1)
        library.index()
        before = library.vectors()
        away = library.root.rename(library.root.parent / "unmounted")
        report = library.scan()
        assert "is not there" in (report.paused or "")
        assert library.state().state == "paused"
        assert library.vectors() == before
        away.rename(library.root)
        assert library.scan().paused is None
        assert library.state().state == "active"
        assert library.vectors() == before

    def test_an_empty_root_looks_like_an_offline_mount(self, library: Library) -> None:
        path = save_coloured(library.root / "a.jpg", 1)
        library.index()
        path.unlink()
        assert "is empty, but 1 files are known" in (library.scan().paused or "")
        assert library.counts().indexed == 1

    def test_an_empty_new_folder_is_fine(self, library: Library) -> None:
        assert library.scan().paused is None

    def test_what_lies_in_an_unreadable_folder_is_not_gone(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (library.root / "locked").mkdir()
        save_coloured(library.root / "locked" / "a.jpg", 1)
        gone = save_coloured(library.root / "b.jpg", 2)
        save_coloured(library.root / "c.jpg", 3)
        library.index()
        gone.unlink()
        _lock(monkeypatch, os.fsencode(library.root / "locked"))
        report = library.scan()
        assert report.missing == 1
        assert len(report.unreadable) == 1
        assert library.all()[b"a.jpg"].status == "indexed"

    def test_files_added_while_a_scan_runs_are_not_gone(self, library: Library) -> None:
        save_coloured(library.root / "a.jpg", 1)
        library.scan(now=time.time() - 100)
        assert library.scan(now=time.time() - 200).missing == 0

    def test_what_medley_writes_is_not_media(self, library: Library) -> None:
        library.settings.thumbnails.mkdir()
        save_coloured(library.settings.thumbnails / "thumb.jpg", 1)
        root = library.settings.home.parent
        assert not any(b"thumb" in name for name in _walked(root, (library.settings.home,)))
        assert any(b"thumb" in name for name in _walked(library.settings.thumbnails, ()))


def _walked(root: Path, skipped: tuple[Path, ...]) -> set[bytes]:
    return {entry.path_bytes for entry in walk(os.fsencode(root), True, skipped) if isinstance(entry, FoundFile)}


class TestContents:
    def test_moved_and_renamed_files_keep_their_vectors(self, library: Library) -> None:
        path = save_coloured(library.root / "old name.jpg", 1)
        save_coloured(library.root / "other.jpg", 2)
        library.index()
        before = library.vectors()
        (library.root / "folder").mkdir()
        path.rename(library.root / "folder" / "new name.jpg")
        library.scan()
        assert library.work().moved == 1
        assert library.vectors() == before  # the same segment ids
        assert set(library.all()) == {b"new name.jpg", b"other.jpg"}
        assert library.counts().missing == 0

    def test_a_move_is_noticed_before_the_old_place_is_missed(self, library: Library) -> None:
        path = save_coloured(library.root / "a.jpg", 1)
        library.index()
        before = library.vectors()
        path.rename(library.root / "b.jpg")
        library.index()
        assert library.vectors() == before
        assert set(library.all()) == {b"b.jpg"}

    def test_a_copy_is_not_decoded_again(self, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save_coloured(library.root / "a.jpg", 1)
        library.index()
        shutil.copy(path, library.root / "b.jpg")
        monkeypatch.setattr(library.pool, "decode", _refuse)
        library.index()
        assert library.counts().indexed == 2
        one, other = library.vectors().values()
        assert one == other
        a, b = library.all()[b"a.jpg"], library.all()[b"b.jpg"]
        assert (a.width, a.height, a.perceptual_hash) == (b.width, b.height, b.perceptual_hash)

    def test_a_copy_with_words_beside_it_is_another_recording(self, library: Library) -> None:
        with wave.open(str(library.root / "a.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(16_000)
            file.writeframes(bytes(64_000))
        decoded: list[str] = []
        decode = library.decode

        def count(request: DecodeRequest) -> Items:
            decoded.append(request.path.name)
            return decode(request)

        library.decode = count
        library.makers = (OnePerSound,)
        library.index()
        for name in ("b", "c"):
            shutil.copy(library.root / "a.wav", library.root / f"{name}.wav")
        (library.root / "c.en.srt").write_text("1\n00:00:00,000 --> 00:00:02,000\nHello there\n")
        library.index()
        assert decoded == ["a.wav", "c.wav"]
        assert library.counts().indexed == 3

    def test_words_beside_a_recording_belong_to_its_state(self, library: Library) -> None:
        """Added, changed and taken away again: each time it is looked into once more, and only then."""
        library.makers = (OnePerLine,)
        media.write_wav(library.root / "talk.wav", media.tone(1))
        media.write_wav(library.root / "talk.2.wav", media.tone(2))
        beside = library.root / "talk.en.srt"
        library.index()
        said: list[list[str | None]] = []
        for words in ("Hello there", "Good bye", None):
            beside.write_text(f"1\n00:00:00,000 --> 00:00:01,000\n{words}\n") if words else beside.unlink()
            assert library.scan().changed == 1
            assert library.counts().pending == 1
            library.work()
            said.append([segment.text for segment in library.segments(library.all()[b"talk.wav"])])
            assert library.scan().changed == 0
        assert said == [["Hello there"], ["Good bye"], []]
        assert library.segments(library.all()[b"talk.2.wav"]) == []

    def test_a_recording_that_moves_with_its_words_keeps_them(
        self, library: Library, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        library.makers = (OnePerLine,)
        media.write_wav(library.root / "old.wav", media.tone(1))
        (library.root / "old.de.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nGuten Tag\n")
        library.index()
        before = library.segments(library.all()[b"old.wav"])
        assert [segment.text for segment in before] == ["Guten Tag"]
        (library.root / "deep").mkdir()
        for name in ("old.wav", "old.de.vtt"):
            (library.root / name).rename(library.root / "deep" / name.replace("old", "new"))
        decode = library.decode
        asked: list[DecodeRequest] = []

        def noted(request: DecodeRequest) -> Items:
            asked.append(request)
            return decode(request)

        library.decode = noted
        library.index()
        assert library.segments(library.all()[b"new.wav"]) == before
        assert not asked
        (library.root / "deep" / "new.wav").rename(library.root / "alone.wav")
        library.index()
        assert set(library.all()) == {b"alone.wav", b"new.de.vtt"}  # words that are left behind are a file of their own
        assert library.segments(library.all()[b"alone.wav"]) == []
        assert [request.path.name for request in asked if request.path.suffix == ".wav"] == ["alone.wav"]

    def test_a_touched_file_is_not_decoded_again(self, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
        path = save_coloured(library.root / "a.jpg", 1)
        library.index()
        before = library.vectors()
        os.utime(path, (1, 1))
        monkeypatch.setattr(library.pool, "decode", _refuse)
        assert library.index().unchanged == 1
        assert library.vectors() == before

    def test_a_changed_file_gets_new_vectors_and_drops_the_old(self, library: Library) -> None:
        path = save_coloured(library.root / "a.jpg", 1)
        library.index()
        before = library.vectors()
        save_coloured(path, 2, GREEN)
        library.index()
        after = library.vectors()
        assert len(after) == 1
        assert after.keys() != before.keys()
        assert list(after.values()) != list(before.values())


class OnePerLine:
    """A segment for every line of subtitles."""

    def feed(self, item: DecodedItem) -> Iterable[SegmentDraft]:
        if isinstance(item, SubtitleItem):
            for start, end, words in item.lines:
                yield SegmentDraft(Signal.SPEECH, start, end, words)

    def finish(self) -> Iterable[SegmentDraft]:
        return ()


class OnePerSound:
    """A segment for every piece of sound."""

    def feed(self, item: DecodedItem) -> Iterable[SegmentDraft]:
        if isinstance(item, SoundItem):
            yield SegmentDraft(Signal.SOUND, item.start_seconds, item.start_seconds + 1, sound=item.waveform)

    def finish(self) -> Iterable[SegmentDraft]:
        return ()


def _refuse(*_: object) -> None:
    raise AssertionError("it was decoded")


class TestSubtitlesByThemselves:
    def known(self, library: Library) -> dict[bytes, str]:
        return {os.path.basename(path): record.status for path, record in library.all().items()}  # noqa: PTH119

    def test_they_leave_the_library_when_their_recording_comes_and_return_when_it_goes(self, library: Library) -> None:
        words = touch(library.root / "talk.srt", b"1\n00:00:01,000 --> 00:00:02,000\nGood morning.\n")
        library.scan()
        assert self.known(library) == {b"talk.srt": "pending"}
        recording = media.write_wav(library.root / "talk.wav", media.tone(1))
        scan_paths(library.database, library.state(), library.settings, [bytes(recording)])
        assert self.known(library) == {b"talk.srt": "missing", b"talk.wav": "pending"}
        recording.unlink()
        scan_paths(library.database, library.state(), library.settings, [bytes(recording)])
        assert self.known(library)[b"talk.srt"] != "missing"
        media.write_wav(recording, media.tone(1))
        library.scan()
        assert self.known(library)[b"talk.srt"] == "missing"
        assert words.exists()
