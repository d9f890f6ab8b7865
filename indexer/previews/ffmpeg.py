"""Runs ffmpeg as a separate program, for excerpts that people look at and listen to.

ffmpeg-python compiles the command; it is run here, because that library has no time limit and lets a
full pipe of standard error block the program indefinitely. Knows processes and their limits; knows
nothing of what the output is for.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import ffmpeg

from indexer.decoding.probe import CONTAINER_OPTIONS
from search.errors import MediaError, PermanentMediaError, TransientMediaError, UnavailableError

_CHUNK_BYTES = 1 << 16
_LOOPBACK = "http://127.0.0.1:"
_ADDRESS = re.compile(rf"{re.escape(_LOOPBACK)}\S*?(?=[:\s]|$)")
_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "HOME", "TMPDIR")  # and so no credentials
_STDERR_BYTES = 2000
_MEMORY_BYTES = 4 * 1024**3  # address space; x264 at 4K takes about one


@cache
def program() -> str:
    """Path of ffmpeg: the system's, else the one inside imageio-ffmpeg. Raises UnavailableError."""
    path = shutil.which("ffmpeg")
    if path:
        return path
    import imageio_ffmpeg

    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise UnavailableError(f"there is no ffmpeg: {error}") from None


def source(address: str, start_seconds: float = 0.0, seconds: float | None = None) -> Any:
    """The input of an ffmpeg-python graph: an excerpt of a file that can't make ffmpeg open anything else.

    `address` is a path, or `http://127.0.0.1:...` of one file.
    """
    length = {} if seconds is None else {"t": seconds}
    start = {"ss": start_seconds} if start_seconds > 0 else {}
    if address.startswith(_LOOPBACK):
        return ffmpeg.input(address, **CONTAINER_OPTIONS | {"protocol_whitelist": "http,tcp"}, **start, **length)
    return ffmpeg.input(f"file:{Path(address).absolute()}", **CONTAINER_OPTIONS, **start, **length)


@contextmanager
def running(graph: Any, seconds: float) -> Iterator[Iterator[bytes]]:
    """Run a graph that writes to its standard output; yields an iterator of the pieces as they arrive.

    Killed after `seconds`, and when the block is left. Raises MediaError when ffmpeg fails.
    """
    quiet = graph.global_args("-hide_banner", "-loglevel", "error", "-nostdin")
    command = ffmpeg.compile(quiet, cmd=program(), overwrite_output=True)
    process = subprocess.Popen(
        command,
        env={name: os.environ[name] for name in _VARIABLES if name in os.environ},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    _limit(process, seconds)
    errors = _Drain(process.stderr)
    alarm = threading.Timer(seconds, _kill, [process])
    alarm.daemon = True
    alarm.start()
    began = time.monotonic()
    finished = False
    try:
        yield _pieces(process)
        finished = True
    finally:
        alarm.cancel()
        if not finished:
            _kill(process)
        status = process.wait()
        errors.join()
        if process.stdout:
            process.stdout.close()
    if status:
        raise _error(status, errors.tail, time.monotonic() - began, seconds)


def run(graph: Any, seconds: float) -> bytes:
    """Everything that a graph writes to its standard output; only for output known to be small."""
    with running(graph, seconds) as pieces:
        return b"".join(pieces)


def _pieces(process: subprocess.Popen[bytes]) -> Iterator[bytes]:
    assert process.stdout
    while piece := process.stdout.read(_CHUNK_BYTES):
        yield piece


def _limit(process: subprocess.Popen[bytes], seconds: float) -> None:
    """Limits on the child from outside: code between fork and exec is unsafe in a threaded process."""
    if sys.platform != "linux":
        return
    import resource

    cpu = int(seconds * (os.cpu_count() or 1)) + 1
    with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
        resource.prlimit(process.pid, resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        resource.prlimit(process.pid, resource.RLIMIT_CPU, (cpu, cpu))
        resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def _error(status: int, tail: str, took: float, allowed: float) -> MediaError:
    if took >= allowed:
        return PermanentMediaError(f"ffmpeg took longer than decode_timeout_seconds = {allowed:g}")
    if status == -signal.SIGKILL:
        return TransientMediaError("ffmpeg was killed")
    return PermanentMediaError(f"ffmpeg failed: {tail or f'status {status}'}")


class _Drain(threading.Thread):
    """Reads standard error while ffmpeg runs, and keeps the end of it."""

    def __init__(self, pipe: Any) -> None:
        super().__init__(daemon=True)
        self._pipe = pipe
        self._end = b""
        self.start()

    def run(self) -> None:
        while piece := self._pipe.read(_CHUNK_BYTES):
            self._end = (self._end + piece)[-_STDERR_BYTES:]
        self._pipe.close()

    @property
    def tail(self) -> str:
        """The last line, which says what went wrong."""
        lines = self._end.decode("utf-8", "replace").strip().splitlines()
        return _ADDRESS.sub("the file", lines[-1].strip()) if lines else ""
