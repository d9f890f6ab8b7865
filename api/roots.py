"""Which folders may become sources over HTTP: those below the setting `allowed_roots`, by their real path."""

from __future__ import annotations

import os
from pathlib import Path

from search.errors import AccessError, UsageError
from search.settings import Settings


def checked(text: str, settings: Settings) -> str:
    """The real path of a root that a caller names. Raises AccessError and UsageError.

    A path outside and a path that does not exist are refused alike, so that nobody can explore the disk.
    The real path is what gets stored: a link that is changed afterwards leads nowhere new.
    """
    if "://" in text:
        raise AccessError("sources by URL can only be added on the command line")
    if "\0" in text or not os.path.isabs(text):  # noqa: PTH117
        raise UsageError("root must be an absolute path")
    allowed = [Path(os.path.realpath(root)) for root in settings.allowed_roots]
    real = Path(os.path.realpath(text))
    if not any(real.is_relative_to(root) for root in allowed):
        raise AccessError("this root is not below a folder of the setting allowed_roots")
    if not real.exists():
        raise UsageError("there is nothing at this root")
    return str(real)
