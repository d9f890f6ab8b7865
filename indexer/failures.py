"""Sorts every error of ingestion into "try again later" and "never".

One pure function, so that the worker's choice between retry and quarantine can be read and tested in
one place. Knows exceptions and errno; knows no file, no clock, no catalogue.
"""

from __future__ import annotations

import contextlib
import errno
import os
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


def sort_error(error: BaseException) -> MediaError:
    """`error` as a TransientMediaError or a PermanentMediaError, with a sentence for people.

    An OSError without errno is Pillow's way to say "damaged", so only known errno values pass. Errors
    of Medley that are not about the media (a model that can't load, a busy database) are transient: the
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
    return PermanentMediaError(f"can't be decoded: {what or type(error).__name__}")


def shown(name: str | bytes | Path) -> str:
    """A file name as valid Unicode for people and databases; bytes that are no UTF-8 appear as \\xNN."""
    with contextlib.suppress(UnicodeEncodeError):
        name = os.fsencode(name)
    if isinstance(name, bytes):
        return name.decode("utf-8", "backslashreplace")
    return str(name).encode("utf-8", "backslashreplace").decode("utf-8")
