"""Sorts every error of ingestion into "try again later" and "never".

One pure function, so that the worker's choice between retry and quarantine can be read and tested in
one place. Knows exceptions and errno; knows no file, no clock, no catalogue.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import struct
from pathlib import Path

from search.errors import MediaError, MedleyError, PermanentMediaError, TransientMediaError

# What flaky mounts, full tables and busy machines answer; the same call may go through later.
_PASSING = frozenset(
    {
        errno.EIO,
        errno.ESTALE,
        errno.EAGAIN,
        errno.EINTR,
        errno.EBUSY,
        errno.ETIMEDOUT,
        errno.ENOENT,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOSPC,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    }
)


# Mistakes of a library that met what it did not expect.
_STUMBLES = (LookupError, AttributeError, TypeError, ArithmeticError, AssertionError, NameError, struct.error)
_CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE})


def sort_error(error: BaseException) -> MediaError:
    """`error` as a TransientMediaError or a PermanentMediaError, with a sentence for people.

    An OSError without errno is how Pillow says "damaged", so only known errno values are transient. Errors
    of Medley that are not about the media (a model that can't load, a busy database) are transient, too: the
    file is not to blame.
    """
    if isinstance(error, MediaError):
        return error
    if isinstance(error, MedleyError):
        return TransientMediaError(str(error))
    if isinstance(error, OSError) and error.errno in _PASSING:
        return TransientMediaError(f"can't be read now: {os.strerror(error.errno)}")
    if isinstance(error, PermissionError):
        return PermanentMediaError("can't be read: permission denied")
    if isinstance(error, MemoryError):
        return PermanentMediaError("needs more memory than the setting decode_memory_bytes allows")
    what = " ".join(str(error).split())[:300]
    if isinstance(error, _STUMBLES):
        # What such an error says is about the library's code: "'NoneType' object has no attribute 'width'".
        return PermanentMediaError(f"damaged: what reads such files stumbled over it ({type(error).__name__})")
    return PermanentMediaError(f"can't be decoded: {what or type(error).__name__}")


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
