"""Decoding in child processes: nothing in a file can crash, hang or flood the one who asked."""

from __future__ import annotations

import errno
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import msgspec
import numpy as np
import psutil
import pytest
from PIL import Image
from support.paths import ROOT
from support.pictures import save_coloured
from support.waiting import until

from indexer.decoding import wire
from indexer.decoding.decoder import Decoder, DecoderPool, limits_of
from indexer.decoding.items import Decoded, DecodeRequest, Facts, Note, Part, PictureItem, Promised, SoundItem
from indexer.failures import how_it_died, shown, sort_error
from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.errors import (
    CatalogError,
    MachineError,
    PermanentMediaError,
    SpaceError,
    TransientMediaError,
    UnavailableError,
)
from search.results import Kind
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import ImageInput

SQUARE = ImageInput(side=64, fit="squash")
VIDEO = ROOT / "demo" / "media" / "space_documentary.mp4"


def request(path: Path, settings: Settings) -> DecodeRequest:
    return DecodeRequest(path, limits_of(settings), {1: SQUARE})


@pytest.fixture
def pool(settings: Settings) -> Iterator[DecoderPool]:
    with DecoderPool(settings, size=2) as pool:
        yield pool


@pytest.fixture
def endless(tmp_path: Path) -> Path:
    """A file that never ends to be read: a pipe that nobody writes to."""
    path = tmp_path / "endless.png"
    os.mkfifo(path)
    return path


def test_a_picture_comes_back_from_another_process(pool: DecoderPool, settings: Settings, tmp_path: Path) -> None:
    path = save_coloured(tmp_path / "a.jpg", 1)
    facts, _, picture = pool.decode(request(path, settings))
    assert isinstance(facts, Facts)
    assert isinstance(picture, PictureItem)
    assert facts.kind is Kind.IMAGE
    assert picture.pictures[1].shape == (64, 64, 3)
    assert picture.pictures[1].flags.writeable


def test_names_may_be_any_bytes(pool: DecoderPool, settings: Settings, tmp_path: Path) -> None:
    for name in (b"new\nline.jpg", b"\xff\xfe.jpg", "ünï 中.jpg".encode(), b"-rf .jpg", b"$(reboot).jpg"):
        path = tmp_path / os.fsdecode(name)
        save_coloured(path, 1)
        assert len(list(pool.decode(request(path, settings)))) == 3
        path.write_bytes(b"no image\n")
        with pytest.raises(PermanentMediaError) as caught:
            list(pool.decode(request(path, settings)))
        str(caught.value).encode("utf-8")  # can be shown and stored


def test_children_are_used_again_after_an_error_of_a_file(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    good = save_coloured(tmp_path / "good.jpg", 1)
    decoder = Decoder(settings.decode_memory_bytes)
    for _ in range(3):
        with pytest.raises(PermanentMediaError, match=r"bad\.jpg"):
            list(decoder.decode(request(tmp_path / "bad.jpg", settings)))
        assert len(list(decoder.decode(request(good, settings)))) == 3
    assert decoder.alive
    decoder.kill()


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_blames_the_file_and_the_next_one_is_decoded(
    settings: Settings, endless: Path, tmp_path: Path, how: int
) -> None:
    with DecoderPool(settings, size=1) as pool, a_child_gets(how, endless):
        good = save_coloured(tmp_path / "good.jpg", 1)
        with pytest.raises(
            PermanentMediaError, match=rf"endless\.png: crashed its decoder: .*{signal.Signals(how).name}"
        ):
            list(pool.decode(request(endless, settings)))
        assert len(list(pool.decode(request(good, settings)))) == 3


def decoder_children() -> dict[int, psutil.Process]:
    """The decoders this process has started, by process id; those that have ended don't count."""
    found = {}
    for child in psutil.Process().children():
        with suppress(psutil.NoSuchProcess):  # it may end, or be a zombie of another test, while we look
            if "indexer.decoding.child" in child.cmdline():
                found[child.pid] = child
    return found


@contextmanager
def a_child_gets(how: int, pipe: Path) -> Iterator[None]:
    """A signal for the child that is started inside, once it waits for what the pipe says."""
    before = decoder_children()

    def send() -> None:
        (child,) = until(lambda: [child for pid, child in decoder_children().items() if pid not in before], 60)
        end = until(lambda: writing_end(pipe), 60)
        assert end is not None
        child.send_signal(how)
        os.close(end)

    thread = threading.Thread(target=send)
    thread.start()
    yield
    thread.join()


def writing_end(pipe: Path) -> int | None:
    """The pipe, open for writing; nothing as long as nobody reads it."""
    with suppress(OSError):
        return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
    return None


def test_a_kill_from_outside_is_not_the_files_fault(settings: Settings, endless: Path) -> None:
    with (
        DecoderPool(settings, size=1) as pool,
        a_child_gets(signal.SIGKILL, endless),
        pytest.raises(MachineError, match="SIGKILL"),
    ):
        list(pool.decode(request(endless, settings)))


def test_silence_is_ended_by_the_deadline(settings: Settings, endless: Path) -> None:
    impatient = msgspec.structs.replace(settings, decode_timeout_seconds=0.3)
    with DecoderPool(impatient, size=1) as pool:
        began = time.monotonic()
        with pytest.raises(PermanentMediaError, match=r"endless\.png.*decode_timeout_seconds = 0\.3"):
            list(pool.decode(request(endless, impatient)))
        assert time.monotonic() - began < 20


def test_memory_is_limited(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "wide.png"
    Image.new("RGB", (6000, 6000), (1, 2, 3)).save(path)
    small = msgspec.structs.replace(settings, decode_memory_bytes=64 * 1024**2)
    with DecoderPool(small, size=1) as pool, pytest.raises(PermanentMediaError, match="decode_memory_bytes"):
        list(pool.decode(request(path, small)))
    with DecoderPool(settings, size=1) as pool:
        assert len(list(pool.decode(request(path, settings)))) == 3


_WITH_LIMIT = """
import resource, sys
from pathlib import Path
import msgspec
from indexer.decoding.decoder import DecoderPool, limits_of
from indexer.decoding.items import DecodeRequest
from search.errors import MediaError
from search.settings import Settings
from search.spaces.inputs import ImageInput

limit_bytes, paths = int(sys.argv[1]), [Path(name) for name in sys.argv[2:]]
settings = Settings.load(environment={}, home=paths[0].parent)
resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
with DecoderPool(settings, size=1) as pool:
    for path in paths:
        try:
            items = list(pool.decode(DecodeRequest(path, limits_of(settings), {1: ImageInput(side=64, fit="squash")})))
            print(path.name, len(items), "items")
        except MediaError as error:
            print(path.name, type(error).__name__)
"""


def test_no_file_is_blamed_where_the_machine_gives_a_decoder_less_than_a_file_may_take(
    settings: Settings, tmp_path: Path
) -> None:
    save_coloured(tmp_path / "small.png", 1)
    Image.new("RGB", (6000, 6000), (1, 2, 3)).save(tmp_path / "wide.png")
    decoder = Decoder(settings.decode_memory_bytes)
    started_bytes = psutil.Process(decoder.pid).memory_info().vms
    decoder.kill()
    limit_bytes = started_bytes + 64 * 1024**2  # the wide picture alone has more
    names = ["wide.png", "small.png", "wide.png"]
    told = subprocess.run(
        [sys.executable, "-P", "-c", _WITH_LIMIT, str(limit_bytes), *(str(tmp_path / name) for name in names)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert told.stdout.splitlines() == ["wide.png MachineError", "small.png 3 items", "wide.png MachineError"]


@pytest.mark.parametrize("how", [signal.SIGSEGV, signal.SIGABRT])
def test_a_crash_is_not_the_files_fault_where_a_decoder_has_no_room(
    settings: Settings, endless: Path, how: int
) -> None:
    more_than_any_machine_has = msgspec.structs.replace(settings, decode_memory_bytes=2**47)
    with (
        DecoderPool(more_than_any_machine_has, size=1) as pool,
        a_child_gets(how, endless),
        pytest.raises(MachineError, match="decode_memory_bytes"),
    ):
        list(pool.decode(request(endless, settings)))


def test_whoever_walks_away_leaves_no_process_behind(settings: Settings) -> None:
    decoder = Decoder(settings.decode_memory_bytes)
    items = decoder.decode(request(VIDEO, settings))
    next(items)
    items.close()
    assert not psutil.pid_exists(decoder.pid)


def test_a_child_runs_no_further_than_its_reader(settings: Settings) -> None:
    """It waits at a full pipe instead of filling the memory with what nobody has read."""
    decoder = Decoder(settings.decode_memory_bytes)
    items = decoder.decode(request(VIDEO, settings))
    next(items)
    child = psutil.Process(decoder.pid)

    def stands_still() -> bool:
        before = child.cpu_times().user
        time.sleep(0.5)  # the measure itself: how much it works in half a second
        return bool(child.cpu_times().user - before < 0.1)

    until(stands_still)
    rest = list(items)
    assert sum(isinstance(item, SoundItem) for item in rest) > 0
    decoder.kill()


def test_a_child_ends_with_its_parent(settings: Settings) -> None:
    code = (
        "import os, sys\n"
        "from indexer.decoding.decoder import Decoder\n"
        "decoder = Decoder(1 << 30)\n"
        "print(decoder.pid, flush=True)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    parent = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    child = int(parent.stdout)
    until(lambda: not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE)


def test_a_child_knows_no_secrets(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEDLEY_DATABASE_URL", "postgresql://user:password@host/db")
    decoder = Decoder(settings.decode_memory_bytes)
    environment = psutil.Process(decoder.pid).environ()
    decoder.kill()
    assert not any("password" in value for value in environment.values())


def test_a_child_that_cannot_start_says_so(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(UnavailableError, match="did not start"):
        Decoder(settings.decode_memory_bytes)


def test_two_children_work_beside_each_other(pool: DecoderPool, settings: Settings, tmp_path: Path) -> None:
    paths = [save_coloured(tmp_path / f"{number}.jpg", number) for number in range(12)]
    decoded: list[int] = []
    before = decoder_children()

    def decode_some(some: list[Path]) -> None:
        decoded.extend(len(list(pool.decode(request(path, settings)))) for path in some)

    threads = [threading.Thread(target=decode_some, args=(paths[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert decoded == [3] * 12
    assert len(decoder_children().keys() - before.keys()) <= 2


class TestMessages:
    @pytest.mark.parametrize(
        "message",
        [
            wire.Ready(has_room=True),
            wire.Done(),
            wire.Failed("no", wire.Fault.FILE),
            Facts(Kind.IMAGE, AssetFacts(width=3, perceptual_hash=b"\0" * 8), Promised({Part.PICTURE: 3}, 1.5)),
            Decoded(part=Part.PICTURE, count=2, share=0, why="an animation"),
            Note(NoteKind.WORDS, "some were left out"),
        ],
    )
    def test_they_arrive_as_they_were(self, message: wire.Message) -> None:
        assert wire.decode(wire.encode(message)) == message

    def test_arrays_keep_shape_and_type(self) -> None:
        sent = PictureItem(Signal.FRAME, {7: np.arange(24, dtype=np.uint8).reshape(2, 4, 3)}, 1.5, None)
        arrived = wire.decode(wire.encode(sent))
        assert isinstance(arrived, PictureItem)
        assert (arrived.pictures[7] == sent.pictures[7]).all()
        assert arrived.start_seconds == 1.5

    @pytest.mark.parametrize("data", [b"", b"\xff", b"\x03", b"\x02\x01", b"\x05" + b"\xc1" * 20])
    def test_nonsense_from_a_child_is_an_error_and_no_code(self, data: bytes) -> None:
        with pytest.raises(UnavailableError):
            wire.decode(data)


class TestSorting:
    @pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOENT])
    def test_what_may_pass_is_tried_again(self, number: int) -> None:
        assert type(sort_error(OSError(number, "x"))) is TransientMediaError

    @pytest.mark.parametrize(
        "error",
        [
            OSError("image file is truncated"),
            PermissionError(errno.EACCES, "x"),
            ValueError("bad"),
            SyntaxError("broken PNG file"),
            PermanentMediaError("x"),
        ],
    )
    def test_what_the_file_says_of_itself_is_final(self, error: Exception) -> None:
        assert isinstance(sort_error(error), PermanentMediaError)

    @pytest.mark.parametrize(
        "error",
        [
            AttributeError("'NoneType' object has no attribute 'width'"),
            IndexError("index out of range"),
            KeyError(256),
            TypeError("unsupported operand"),
            ZeroDivisionError("division by zero"),
            struct.error("unpack requires a buffer of 4 bytes"),
            AssertionError(),
        ],
    )
    def test_a_librarys_own_mistakes_are_not_told_as_reasons(self, error: Exception) -> None:
        sorted_error = sort_error(error)
        assert isinstance(sorted_error, PermanentMediaError)
        assert str(sorted_error).startswith("damaged")
        assert not str(error) or str(error) not in str(sorted_error)

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT])
    def test_a_crash_is_told_in_words_with_the_setting_that_may_help(self, number: signal.Signals) -> None:
        told = how_it_died(-number)
        assert "crashed" in told
        assert "decode_memory_bytes" in told

    def test_no_file_is_blamed_for_the_catalogue(self) -> None:
        assert isinstance(sort_error(CatalogError("busy")), MachineError)

    # What libraries really said under limits on address space, threads and open files.
    @pytest.mark.parametrize(
        "error",
        [
            MemoryError(),
            av.error.MemoryError(errno.ENOMEM, "Cannot allocate memory"),
            RuntimeError("can't start new thread"),
            RuntimeError("mkl_malloc: failed to allocate memory"),
            RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: not enough memory"),
            RuntimeError("could not create a primitive"),
            Exception("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code ... std::bad_alloc"),
            ImportError("libtorch_cpu.so: failed to map segment from shared object"),
            OSError("libgomp.so.1: cannot allocate memory in static TLS block"),
            ModuleNotFoundError("No module named 'imagecodecs'"),
            *(
                OSError(number, "x")
                for number in (errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOSPC)
            ),
            UnavailableError("a decoder process did not start"),
            SpaceError("the speech model can't be loaded"),
        ],
    )
    def test_no_file_is_blamed_for_what_the_machine_lacks(self, error: Exception) -> None:
        assert isinstance(sort_error(error), MachineError)

    def test_no_file_is_blamed_for_memory_that_was_lacking_behind_another_error(self) -> None:
        def read() -> None:
            try:
                raise MemoryError
            except MemoryError:
                raise PermanentMediaError("is a TIFF that can't be read") from None

        with pytest.raises(PermanentMediaError) as caught:
            read()
        assert isinstance(sort_error(caught.value), MachineError)

    def test_a_files_name_is_no_lack_of_memory(self) -> None:
        assert isinstance(sort_error(PermanentMediaError("out of memory.jpg: damaged")), PermanentMediaError)
        assert type(sort_error(FileNotFoundError(errno.ENOENT, "x", "out of memory.jpg"))) is TransientMediaError

    def test_names_can_always_be_shown(self) -> None:
        assert shown(b"a\xff.jpg") == "a\\xff.jpg"
        assert shown(Path(os.fsdecode(b"a\xff.jpg"))) == "a\\xff.jpg"
        assert shown("ü\n") == "ü\n"
