"""Broken and hostile files: each is quarantined with a reason that names it, and everything else goes on."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import threading
import wave
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from PIL import Image
from support.library import Library
from support.paths import DEMO_MEDIA
from support.pictures import landscape, quadrants, save_coloured
from support.waiting import until

from indexer.decoding.decoder import DecoderPool, Items
from indexer.decoding.items import DecodeRequest
from indexer.ingest.intake import Intake
from indexer.ingest.ledger import CatalogueLedger
from search.catalog.database import Database
from search.errors import TransientMediaError
from search.settings import Settings

VIDEO = DEMO_MEDIA / "space_documentary.mp4"


@pytest.fixture
def library(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[Library]:
    database = Database.open(sqlite_url)
    with DecoderPool(settings, size=2) as pool:
        yield Library(database, settings, tmp_path / "media", pool)
    database.close()


def _cut(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])


def _png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def write_hostile_files(folder: Path) -> dict[str, str]:
    """Name -> what its reason must say."""
    rng = random.Random(0)
    reasons: dict[str, str] = {}

    def put(name: str, data: bytes, reason: str) -> None:
        (folder / name).write_bytes(data)
        reasons[name] = reason

    put("empty.jpg", b"", "is empty")
    put("empty.mp4", b"", "is empty")
    put("text.jpg", b"this is only text\n" * 10, "a text file")
    put("words.mp4", b"neither is this\n" * 1000, "a text file")
    put("noise.jpg", rng.randbytes(50_000), "no image format")
    put("noise.mp3", rng.randbytes(50_000), "")
    put("noise.mp4", rng.randbytes(50_000), "")
    put("header.png", b"\x89PNG\r\n\x1a\n" + rng.randbytes(500), "")
    put("header.gif", b"GIF89a" + rng.randbytes(500), "")
    put("header.heic", b"\0\0\0\x20ftypheic\0\0\0\0mif1heic" + rng.randbytes(500), "")
    put(
        "drawing.svg",
        b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg>",
        "SVG is refused",
    )
    put("script.png", b"%!PS\n(hello) show", "a document")
    put("list.m4a", b"#EXTM3U\n#EXTINF:10,\nfile:///etc/passwd\n", "a playlist")
    put("list.mp4", b"ffconcat version 1.0\nfile '/etc/passwd'\n", "a playlist")
    put("web.mp4", b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/secret\n", "a playlist")
    put("archive.jpg", b"PK\3\4" + rng.randbytes(200), "a document or archive")

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)
    bomb = (
        _png_chunk(b"IHDR", header) + _png_chunk(b"IDAT", zlib.compress(b"\0" * 10_000_000)) + _png_chunk(b"IEND", b"")
    )
    put("bomb.png", b"\x89PNG\r\n\x1a\n" + bomb, "100000 x 100000 = 10,000,000,000 pixels, more than max_image_pixels")

    landscape(1).save(folder / "cut.jpg", quality=95)
    _cut(folder / "cut.jpg", 0.6)
    (folder / "cut.jpg").write_bytes((folder / "cut.jpg").read_bytes()[:400])  # nothing of the picture is left
    reasons["cut.jpg"] = ""
    landscape(2).save(folder / "cut.webp")
    _cut(folder / "cut.webp", 0.5)
    reasons["cut.webp"] = ""
    (folder / "cut.mp4").write_bytes(VIDEO.read_bytes()[:3000])
    reasons["cut.mp4"] = ""

    with wave.open(str(folder / "silent.wav"), "wb") as file:  # a header and not one sample
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
    reasons["silent.wav"] = "no sound"
    put("no frames.avi", b"RIFF" + struct.pack("<I", 4) + b"AVI " + b"\0" * 64, "")
    return reasons


def test_each_is_quarantined_with_a_reason_and_the_rest_is_searchable(library: Library) -> None:
    reasons = write_hostile_files(library.root)
    good = {b"good.jpg", b"new\nline.jpg", b"\xff\xfe raw bytes.jpg", b"really a png.mp4", b"a" * 250 + b".jpg"}
    for number, name in enumerate(sorted(good)):
        path = library.root / os.fsdecode(name)
        if b"png" in name:
            quadrants().save(path, format="PNG")
        else:
            save_coloured(path, number)
    (library.root / "loop").symlink_to(library.root)
    library.index()

    assets = library.all()
    assert {name for name, record in assets.items() if record.status == "indexed"} == good
    assert {os.fsdecode(name) for name, record in assets.items() if record.status == "quarantined"} == set(reasons)
    for bad, reason in reasons.items():
        error = assets[os.fsencode(bad)].error or ""
        assert bad in error, f"{error!r} does not name {bad}"
        assert reason in error, f"{error!r} does not say {reason!r}"
        assert "Traceback" not in error
    counts = library.counts()
    assert counts.indexed + counts.quarantined == counts.known == len(good) + len(reasons)


def test_a_file_that_changes_while_it_is_read_is_read_again(library: Library) -> None:
    path = save_coloured(library.root / "a.jpg", 1)
    library.scan()
    decode, changed = library.decode, threading.Event()

    def decode_and_change(request: DecodeRequest) -> Items:
        yield from decode(request)
        if not changed.is_set():
            changed.set()
            save_coloured(path, 2, (0, 255, 0))

    library.decode = decode_and_change
    tally = library.work()
    assert changed.is_set()
    assert tally.retried == 1
    record = library.all()[b"a.jpg"]
    assert record.status == "indexed"
    assert record.modified_ns == path.stat().st_mtime_ns
    assert record.attempts == 0


def test_a_half_written_file_waits_until_it_settles(library: Library) -> None:
    library.settings = msgspec.structs.replace(library.settings, settle_seconds=1.0)
    path = library.root / "slow.png"
    whole = _png_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    library.scan()

    first_due = library.all()[b"slow.png"].not_before

    def write_the_rest() -> None:
        until(lambda: library.all()[b"slow.png"].not_before > first_due)  # the worker looked, and put it off
        with path.open("ab") as file:
            file.write(whole[len(whole) // 2 :])

    writer = threading.Thread(target=write_the_rest)
    writer.start()
    tally = library.work()
    writer.join()
    assert library.all()[b"slow.png"].status == "indexed"
    assert tally.retried == tally.quarantined == 0


def _png_bytes() -> bytes:
    from io import BytesIO

    out = BytesIO()
    landscape(1).save(out, "PNG")
    return out.getvalue()


def test_a_file_that_never_stops_changing_blocks_nobody(library: Library) -> None:
    library.settings = msgspec.structs.replace(library.settings, settle_seconds=0.5)
    growing = library.root / "growing.jpg"
    growing.write_bytes(b"\xff\xd8\xff")
    old = save_coloured(library.root / "old.jpg", 1)
    os.utime(old, (1e9, 1e9))
    library.scan()
    stop, ended = threading.Event(), threading.Event()

    def grow() -> None:
        while not ended.wait(0.05):
            with growing.open("ab") as file:
                file.write(b"more")

    grower = threading.Thread(target=grow)
    worker = threading.Thread(target=lambda: library.worker().run(stop))
    grower.start()
    worker.start()
    until(lambda: library.all()[b"old.jpg"].status == "indexed")
    stop.set()
    worker.join()
    ended.set()
    grower.join()
    assert library.all()[b"growing.jpg"].status == "pending"


def test_a_file_that_went_away_is_missing_only_when_a_scan_says_so(library: Library) -> None:
    path = save_coloured(library.root / "a.jpg", 1)
    save_coloured(library.root / "b.jpg", 2)
    library.scan()
    path.unlink()
    library.work()
    waiting = library.all()[b"a.jpg"]
    assert waiting.status == "pending"
    assert "the next scan says" in (waiting.error or "")
    library.scan()
    assert library.all()[b"a.jpg"].status == "missing"
    assert library.counts().quarantined == 0


@pytest.mark.parametrize("empty", [False, True], ids=["absent", "an empty mount point"])
def test_what_a_worker_cannot_see_it_does_not_claim(library: Library, empty: bool) -> None:
    save_coloured(library.root / "a.jpg", 1)
    library.scan()
    away = library.root.parent / "unmounted"
    library.root.rename(away)
    if empty:
        library.root.mkdir()
    library.work()
    record = library.all()[b"a.jpg"]
    assert (record.status, record.claim_number, record.not_before) == ("pending", 0, 0.0)
    if empty:
        library.root.rmdir()
    away.rename(library.root)
    library.work()
    assert library.all()[b"a.jpg"].status == "indexed"


def test_unreadable_permissions_are_named(library: Library, settings: Settings) -> None:
    path = save_coloured(library.root / "locked.jpg", 1)
    save_coloured(library.root / "open.jpg", 2)
    path.chmod(0)
    if os.geteuid() == 0:
        # Nothing is locked to root: index as somebody else, in a process of its own.
        _index_as_nobody(library)
    else:
        library.index()
    assets = library.all()
    assert assets[b"locked.jpg"].status == "quarantined"
    assert "permission denied" in (assets[b"locked.jpg"].error or "")
    assert assets[b"open.jpg"].status == "indexed"


def _index_as_nobody(library: Library) -> None:
    """Hash and decode with the rights of `nobody`; the catalogue stays ours."""
    real_hash = _hash_as_nobody
    library.scan()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("indexer.ingest.intake.hash_file", real_hash)
        library.work()


def _hash_as_nobody(path: Path) -> str:
    # World-readable all the way down, but for the file itself.
    for parent in path.parents:
        if parent.stat().st_mode & 0o755 != 0o755 and parent.is_relative_to("/tmp"):
            parent.chmod(0o755)
    result = subprocess.run(["b2sum", "-l", "256", path], user="nobody", capture_output=True, text=True, check=False)
    if "Permission denied" in result.stderr:
        raise PermissionError(13, "Permission denied", str(path))
    assert result.returncode == 0, result.stderr
    return result.stdout.split()[0]


def test_io_errors_are_tried_again_and_then_given_up(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    save_coloured(library.root / "a.jpg", 1)

    def fail(*_: object) -> str:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("indexer.ingest.intake.hash_file", fail)
    tally = library.index()
    record = library.all()[b"a.jpg"]
    assert tally.retried == library.settings.max_attempts - 1
    assert record.status == "quarantined"
    assert f"tried {library.settings.max_attempts} times" in (record.error or "")


def test_changes_are_noticed_even_with_the_same_size(library: Library) -> None:
    path = save_coloured(library.root / "a.jpg", 1)
    library.scan()
    asset = library.all()[b"a.jpg"]
    os.utime(path, (5, 5))
    ledger = CatalogueLedger(library.database, library.settings)
    intake = Intake(ledger, ledger.places, library.settings)
    with pytest.raises(TransientMediaError, match="changed while it was read"):
        intake.check_unchanged(asset)


def test_files_larger_than_the_limit_are_not_read(library: Library) -> None:
    library.settings = msgspec.structs.replace(library.settings, max_file_bytes=1000)
    save_coloured(library.root / "a.jpg", 1)
    library.index()
    assert "max_file_bytes = 1,000" in (library.all()[b"a.jpg"].error or "")


def test_a_huge_panorama_fits_into_little_memory(library: Library) -> None:
    """120 million pixels in a child that may take 700 MB: reduced before anything is converted."""
    Image.new("L", (30_000, 4_000), 90).save(library.root / "wide.png")
    library.settings = msgspec.structs.replace(library.settings, decode_memory_bytes=700 * 1024**2)
    with DecoderPool(library.settings, size=1) as pool:
        library.pool = pool
        library.index()
    record = library.all()[b"wide.png"]
    assert record.error is None
    assert (record.width, record.height) == (30_000, 4_000)
