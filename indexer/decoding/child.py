"""What runs inside a decoder's child process: one request after another, until the pipe closes.

Started by `indexer.decoding.decoder` with the arguments FD and MEMORY_BYTES. Knows the decoders and the
resource limits; must know neither torch, nor a database, nor a model: it starts in a third of a second
and holds nothing that a hostile file could reach.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys
from collections.abc import Iterator
from multiprocessing.connection import Connection

from indexer.decoding import images, wire
from indexer.decoding.items import DecodedItem, DecodeRequest
from indexer.decoding.probe import Content, probe
from indexer.failures import lacks_memory, shown, sort_error
from search.errors import MachineError, MediaError, PermanentMediaError
from search.runtime.room import has_room

_MAX_OPEN_FILES = 256
_STARTING_BYTES = 64 * 1024**2  # of address space that a child may use up before its first file
_MAX_WRITTEN_BYTES = 16 * 1024**2  # only standard error is ever written to a file


def main(arguments: list[str]) -> int:
    """Serve requests on the inherited connection; 0 when the parent has closed it."""
    connection: Connection = Connection(int(arguments[0]))
    memory_bytes = int(arguments[1])
    limit_process(memory_bytes)
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        connection.send_bytes(wire.encode(wire.Ready(_has_room(memory_bytes))))
        while True:
            request = wire.decode(connection.recv_bytes())
            assert isinstance(request, DecodeRequest)
            _serve(connection, request)
    return 0


def limit_process(memory_bytes: int) -> None:
    """Limit what this process can take, beyond what its libraries have mapped so far."""
    pages = int(open("/proc/self/statm").read().split()[0]) if sys.platform == "linux" else 0  # noqa: PTH123, SIM115 - one read, many times a second
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: _MAX_OPEN_FILES,
        resource.RLIMIT_FSIZE: _MAX_WRITTEN_BYTES,
    }
    if pages:
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + memory_bytes
    for which, wanted in limits.items():
        hard = resource.getrlimit(which)[1]
        value = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(which, (value, value))


def _has_room(memory_bytes: int) -> bool:
    """Whether the memory that one file may take is available now, apart from what starting takes."""
    return has_room(memory_bytes - min(memory_bytes // 4, _STARTING_BYTES))


def _serve(connection: Connection, request: DecodeRequest) -> None:
    try:
        _allow_cpu_seconds(request.limits.decode_timeout_seconds)
        for item in decode(request):
            connection.send_bytes(wire.encode(item))
            _allow_cpu_seconds(request.limits.decode_timeout_seconds)
    except (BrokenPipeError, ConnectionResetError):
        raise
    except Exception as error:  # noqa: BLE001 - every error of every decoder is sorted here
        media_error = sort_error(error)
        reason = shown(str(media_error).removeprefix(f"{request.path}: "))
        connection.send_bytes(wire.encode(wire.Failed(reason, _fault(error, media_error))))
    else:
        connection.send_bytes(wire.encode(wire.Done()))


def _fault(error: Exception, sorted_error: MediaError) -> wire.Fault:
    if lacks_memory(error):
        return wire.Fault.MEMORY
    if isinstance(sorted_error, MachineError):
        return wire.Fault.MACHINE
    return wire.Fault.FILE if isinstance(sorted_error, PermanentMediaError) else wire.Fault.PASSING


def _allow_cpu_seconds(seconds: float) -> None:
    """Let the kernel end this process if it computes for this long without sending anything.

    The parent kills a silent child too; this one also works when the parent is gone.
    """
    used = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(used + seconds * (os.cpu_count() or 1)) + 2
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Everything in one file, with the decoder for its contents. Raises MediaError."""
    size = request.path.stat().st_size
    if size > request.limits.max_file_bytes:
        limit = request.limits.max_file_bytes
        raise PermanentMediaError(f"has {size:,} bytes; the setting max_file_bytes allows {limit:,}")
    match probe(request.path):
        case Content.IMAGE:
            yield from images.decode(request)
        case Content.RAW:
            yield from images.decode_raw(request)
        case Content.PDF:
            from indexer.decoding.documents import pdf  # loads PDFium, which few children need

            yield from pdf.decode(request)
        case Content.TEXT:
            from indexer.decoding.documents import text_file  # reads subtitles, which loads ffmpeg's libraries

            yield from text_file.decode(request)
        case _:
            from indexer.decoding import (
                video,  # loads ffmpeg's libraries, which children that see only images never need
            )

            yield from video.decode(request)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
