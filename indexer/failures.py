"""Sorts every error of ingestion into "try again later", "never", and "the machine's fault".

One pure function, so that the worker's choice between retry and quarantine can be read and tested in
one place. Knows exceptions and errno; knows no file, no clock, no catalogue.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import signal
import struct
from pathlib import Path

from search.errors import MachineError, MediaError, MedleyError, PermanentMediaError, TransientMediaError

# What flaky mounts answer; the same call may go through later.
_PASSING = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EINTR,
        errno.EBUSY,
        errno.ETIMEDOUT,
        errno.ENOENT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)
# What a machine answers that has no more of something: processes, memory, open files, room on its disk.
_SHORT = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT})
# How libraries without an error of their own for it say that there is no memory, or no thread to be had for want of it.
_SHORT_OF_MEMORY = re.compile(
    r"can(?:not|'t| not) (?:start new thread|allocate|reserve)|(?:not enough|out of|insufficient) memory"
    r"|bad[ _]alloc|unable to allocate|failed to (?:allocate|map segment)|pthread_create"
    r"|resource temporarily unavailable|could not create a (?:primitive|memory)",
    re.IGNORECASE,
)


# Mistakes of a library that met what it did not expect.
_STUMBLES = (LookupError, AttributeError, TypeError, ArithmeticError, AssertionError, NameError, struct.error)
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE})


def sort_error(error: BaseException) -> MediaError:
    """`error` as a TransientMediaError, a PermanentMediaError or a MachineError, with a sentence for people.

    An OSError without errno is how Pillow says "damaged", so only known errno values are transient. Errors
    of Medley that are not about the media (a model that can't load, a busy database), and what the machine has too
    little of, are a MachineError: the file is not to blame. A decoder's child has memory of its own for each file,
    so its parent knows better (`indexer.decoding.decoder`).
    """
    if isinstance(error, MachineError):
        return error
    if lacks_memory(error):
        return MachineError("this machine has no memory left for it")
    if isinstance(error, MediaError):
        return error
    if isinstance(error, MedleyError):
        return MachineError(str(error))
    if isinstance(error, OSError) and error.errno in _SHORT:
        return MachineError(f"this machine could not work on it: {os.strerror(error.errno)}")
    if isinstance(error, ImportError):
        return MachineError(f"this machine could not load what reads such files: {_words(error)}")
    if isinstance(error, OSError) and error.errno in _PASSING:
        return TransientMediaError(f"can't be read now: {os.strerror(error.errno)}")
    if isinstance(error, PermissionError):
        return PermanentMediaError("can't be read: permission denied")
    if isinstance(error, _STUMBLES):
        # What such an error says is about the library's code: "'NoneType' object has no attribute 'width'".
        return PermanentMediaError(f"damaged: what reads such files stumbled over it ({type(error).__name__})")
    return PermanentMediaError(f"can't be decoded: {_words(error)}")


def lacks_memory(error: BaseException) -> bool:
    """Whether it, or what it was raised for, says that no memory or no thread was to be had, in whatever words."""
    link: BaseException | None = error
    while link is not None:
        number = link.errno if isinstance(link, OSError) else None
        if isinstance(link, MemoryError) or number == errno.ENOMEM:
            return True
        # Medley's own words, and those of the system, may hold the name of a file.
        if number is None and not isinstance(link, MedleyError) and _SHORT_OF_MEMORY.search(str(link)):
            return True
        link = link.__cause__ or link.__context__
    return False


def _words(error: BaseException) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def how_it_died(status: int) -> str:
    """The end of a decoder process with this exit status, for people."""
    if status == -signal.SIGXCPU:
        return "it computed longer than the setting decode_timeout_seconds allows"
    if -status in _CRASHES:
        return (
            f"the decoder crashed ({signal.Signals(-status).name}): the file is damaged, or needs more memory than "
            "the setting decode_memory_bytes or this machine allows"
        )
    return f"the decoder was ended by {signal.Signals(-status).name}" if status < 0 else f"the decoder ended ({status})"


def shown(name: str | bytes | Path) -> str:
    r"""A file name as valid Unicode, for people and databases; bytes that are not UTF-8 appear as `\xNN`."""
    with contextlib.suppress(UnicodeEncodeError):
        name = os.fsencode(name)
    if isinstance(name, bytes):
        return name.decode("utf-8", "backslashreplace")
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")
