"""Decoding in killable child processes, so that no file can crash, hang or flood a worker.

`Decoder` owns one child; `DecoderPool` lends children to threads. Items stream through a pipe that
holds little, so a child waits for its reader and never runs ahead. The parent kills a child that is
silent for too long. Knows processes and pipes; knows nothing of formats, segments or the catalogue.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import tempfile
import threading
from collections.abc import Generator
from multiprocessing.connection import Connection, Pipe
from typing import Self

from indexer.decoding import wire
from indexer.decoding.items import DecodedItem, DecodeRequest, Limits
from indexer.failures import how_it_died, shown
from search.errors import MachineError, MediaError, PermanentMediaError, TransientMediaError, UnavailableError
from search.runtime import child_python
from search.settings import Settings

_ERRORS: dict[wire.Fault, type[MediaError]] = {
    wire.Fault.FILE: PermanentMediaError,
    wire.Fault.PASSING: TransientMediaError,
    wire.Fault.MACHINE: MachineError,
}
Items = Generator[DecodedItem, None, None]
START_SECONDS = 60.0  # for a child to load its libraries on a loaded machine
FILES_PER_CHILD = 1000  # then a fresh one, in case a library leaks
_STDERR_TAIL_BYTES = 400


def limits_of(settings: Settings) -> Limits:
    """The limits of one file, as the settings say."""
    return Limits(**{name: getattr(settings, name) for name in Limits.__dataclass_fields__})


class _ChildDied(Exception):
    """The child ended without reporting anything; the message says how."""

    def __init__(self, how: str, *, by_file: bool) -> None:
        super().__init__(how)
        self.by_file = by_file


class _LacksMemory(Exception):
    """The child ran out of memory, and reported it before it was ended."""


class Decoder:
    """One child process. Not thread-safe: one file at a time."""

    def __init__(self, memory_bytes: int) -> None:
        """Start the child. Raises UnavailableError."""
        self.files = 0
        self.has_room = False  # whether it got all the memory that one file may take
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child
        parent, child = Pipe(duplex=True)
        self._connection: Connection = parent
        command = child_python.command("indexer.decoding.child", str(child.fileno()), str(memory_bytes))
        with child:
            # A session of its own, so that Ctrl-C reaches only the worker, and a kill also ends a child's ffmpeg.
            try:
                self._process = subprocess.Popen(
                    command,
                    env=_child_environment(),
                    pass_fds=[child.fileno()],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=self._stderr,
                    start_new_session=True,
                )
            except OSError as error:
                parent.close()
                self._stderr.close()
                raise UnavailableError(f"a decoder process can't be started: {error.strerror or error}") from None
        try:
            ready = self._receive(START_SECONDS)
        except (_ChildDied, TimeoutError) as error:
            self.kill()
            raise UnavailableError(f"a decoder process did not start: {error or 'no answer'}") from None
        self.has_room = isinstance(ready, wire.Ready) and ready.has_room

    @property
    def pid(self) -> int:
        """Process id of the child."""
        return self._process.pid

    def decode(self, request: DecodeRequest) -> Items:
        """Items of one file. The child is dead afterwards unless the file was decoded to its end.

        Raises MediaError, _ChildDied, _LacksMemory.
        """
        self.files += 1
        deadline = request.limits.decode_timeout_seconds
        finished = False
        try:
            self._send(request)
            while not isinstance(message := self._receive(deadline), wire.Done):
                if isinstance(message, wire.Failed):
                    if message.fault is wire.Fault.MEMORY:
                        raise _LacksMemory  # unfinished: memory that a library leaked would be missing for the next
                    finished = True
                    raise _ERRORS[message.fault](f"{shown(request.path)}: {message.reason}")
                assert not isinstance(message, DecodeRequest | wire.Ready)
                yield message
            finished = True
        except TimeoutError:
            raise PermanentMediaError(
                f"{shown(request.path)}: its decoder was silent for more than decode_timeout_seconds = {deadline:g}"
            ) from None
        finally:
            if not finished:  # also when the reader stopped in the middle
                self.kill()

    @property
    def alive(self) -> bool:
        """Can it take another file?"""
        return self._process.poll() is None and self.files < FILES_PER_CHILD

    def interrupt(self) -> None:
        """End the child from another thread; the decoding thread notices and cleans up."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGKILL)

    def kill(self) -> None:
        """End the child and whatever it started, and wait for it."""
        self._end_group()
        self._process.wait()
        self._connection.close()
        self._stderr.close()

    def _end_group(self) -> None:
        # Only before the child is reaped: its process id may belong to another program afterwards.
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _send(self, request: DecodeRequest) -> None:
        try:
            self._connection.send_bytes(wire.encode(request))
        except (BrokenPipeError, ConnectionResetError):
            raise self._death() from None

    def _receive(self, seconds: float) -> wire.Message:
        try:
            if not self._connection.poll(seconds):
                raise TimeoutError
            return wire.decode(self._connection.recv_bytes(wire.MAX_MESSAGE_BYTES))
        except (EOFError, ConnectionResetError):
            raise self._death() from None

    def _death(self) -> _ChildDied:
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)  # leaves it to be reaped
        self._end_group()
        status = self._process.wait()
        self._stderr.seek(max(0, self._stderr.seek(0, os.SEEK_END) - _STDERR_TAIL_BYTES))
        tail = " ".join(self._stderr.read().decode("utf-8", "replace").split())
        how = how_it_died(status)
        # SIGKILL comes from outside: a person, or a machine without memory.
        return _ChildDied(f"{how} ({tail})" if tail else how, by_file=status not in (-signal.SIGKILL, -signal.SIGTERM))


class DecoderPool:
    """Lends at most `size` children to threads, each for one file at a time. Thread-safe."""

    def __init__(self, settings: Settings, size: int | None = None) -> None:
        self.size = size or settings.decode_processes or os.cpu_count() or 1
        self._memory_bytes = settings.decode_memory_bytes
        self._slots = threading.BoundedSemaphore(self.size)
        self._idle: queue.LifoQueue[Decoder] = queue.LifoQueue()
        self._lent: set[Decoder] = set()

    def decode(self, request: DecodeRequest) -> Items:
        """Items of one file in time order, Facts first; waits for a free child.

        Raises MediaError when the file can't be decoded, UnavailableError when no child can be started.
        """
        with self._slots:
            try:
                yield from self._attempt(request)
            except _ChildDied as death:
                reason = f"{shown(request.path)}: crashed its decoder: {death}"
                raise self._blamed(reason) if death.by_file else MachineError(reason) from None
            except _LacksMemory:
                needs = "needs more memory than the setting decode_memory_bytes allows"
                raise self._blamed(f"{shown(request.path)}: {needs}") from None

    def _attempt(self, request: DecodeRequest) -> Items:
        decoder = self._take()
        self._lent.add(decoder)
        is_fresh, has_begun = decoder.files == 0, False
        try:
            for item in decoder.decode(request):
                has_begun = True
                yield item
        except (_ChildDied, _LacksMemory) as end:
            if is_fresh or has_begun or (isinstance(end, _ChildDied) and not end.by_file):
                raise
            # An earlier file may have damaged the child: this one is blamed only if a fresh child fails too.
            self._lent.discard(decoder)
            decoder = Decoder(self._memory_bytes)
            self._lent.add(decoder)
            yield from decoder.decode(request)
        finally:
            self._lent.discard(decoder)
            if decoder.alive:
                self._idle.put(decoder)
            else:
                decoder.kill()

    def _blamed(self, reason: str) -> MediaError:
        """The end of a file that took all memory or crashed: its own fault only where a fresh child has room for it."""
        try:
            fresh = Decoder(self._memory_bytes)
        except UnavailableError as error:
            return MachineError(f"{reason}; or this machine has too little memory: {error}")
        self._idle.put(fresh)
        if fresh.has_room:
            return PermanentMediaError(reason)
        return MachineError(
            f"{reason}; or this machine has too little memory: it does not give a decoder the "
            f"{self._memory_bytes:,} bytes that decode_memory_bytes allows"
        )

    def _take(self) -> Decoder:
        with contextlib.suppress(queue.Empty):
            while True:
                decoder = self._idle.get_nowait()
                if decoder.alive:
                    return decoder
                decoder.kill()
        return Decoder(self._memory_bytes)

    def interrupt(self) -> None:
        """End all decoding that is going on: its callers get a TransientMediaError."""
        for decoder in list(self._lent):
            decoder.interrupt()

    def close(self) -> None:
        """End all idle children; those that are lent end with their file."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._idle.get_nowait().kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _child_environment() -> dict[str, str]:
    """One thread for the numeric libraries: each would map gigabytes of address space per core."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    secrets = ("MEDLEY_", "PG", "AWS_", "GOOGLE_", "GCS", "AZURE_", "FSSPEC_", "SSH_", "BOTO")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(secrets)}
    return {**child_python.environment(kept), **threads, "PYTHONDONTWRITEBYTECODE": "1"}
