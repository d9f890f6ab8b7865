"""Which folders and stores may become sources over HTTP, and which folders people may look through to choose one.

Stores: those below an address of the setting `allowed_stores`. Folders: where the setting `allowed_roots` names some,
those below them, by their real path. Without it the person at this machine (loopback, and no key configured) may take
any folder that the service can read, and nobody else may take any.
"""

from __future__ import annotations

import os
from pathlib import Path

from api.http.auth import LOOPBACK, Caller
from indexer.sources.stores.addresses import is_store, parsed
from indexer.sources.stores.profiles import is_below
from search.errors import AccessError, SettingsError, UsageError
from search.settings import Settings

NEEDS_STORES = "set allowed_stores to the addresses that may be added, such as MEDLEY_ALLOWED_STORES=s3://photos/"
NEEDS_SETTING = "set allowed_roots to the folders that may be added, such as MEDLEY_ALLOWED_ROOTS=/srv/media"


def roots_for(caller: Caller, settings: Settings) -> tuple[Path, ...]:
    """The folders below which this caller may add sources; the whole disk is `/`, none is empty."""
    if settings.allowed_roots:
        return tuple(Path(os.path.realpath(root)) for root in settings.allowed_roots)
    return (Path("/"),) if caller is LOOPBACK else ()


def checked(text: str, caller: Caller, settings: Settings) -> str:
    """The real path of a root that a caller names. Raises AccessError and UsageError.

    Paths outside and paths that do not exist are refused alike, so that callers can't explore the disk.
    The real path is what gets stored: a link that is changed afterwards leads nowhere new.
    """
    if is_store(text):
        return _checked_store(text, caller, settings)
    allowed = roots_for(caller, settings)
    if not allowed:
        raise AccessError(f"no folder may be added over HTTP yet: {NEEDS_SETTING}")
    if not settings.allowed_roots and (text == "~" or text.startswith("~/")):
        text = os.path.expanduser(text)  # noqa: PTH111
    if "\0" in text or not os.path.isabs(text):  # noqa: PTH117
        raise UsageError("root must be the absolute path of a folder or file")
    real = Path(os.path.realpath(text))
    if not any(real.is_relative_to(root) for root in allowed):
        raise AccessError("this root is not below a folder of the setting allowed_roots")
    if not real.exists():
        raise UsageError(f"there is nothing at {text}")
    if not os.access(real, os.R_OK):
        raise UsageError(f"{text} can't be read by the service")
    return str(real)


def _checked_store(text: str, caller: Caller, settings: Settings) -> str:
    """An address as it is kept. Names of hosts are compared as they are written: what they lead to was allowed."""
    address = parsed(text)
    if address.inner and not is_store(address.inner):
        return parsed(f"{address.scheme}::{checked(address.inner, caller, settings)}").root
    if not settings.allowed_stores:
        raise AccessError(f"no store may be added over HTTP: {NEEDS_STORES}")
    inner = parsed(address.inner) if address.inner else address
    if not any(is_below(inner.root, allowed_root(allowed)) for allowed in settings.allowed_stores):
        raise AccessError("this address is not below one of the setting allowed_stores")
    return address.root


def allowed_root(text: str) -> str:
    """An address of the setting, as roots are kept. Raises SettingsError for one that names no bucket or host."""
    try:
        return parsed(text).root
    except UsageError as error:
        raise SettingsError(f"allowed_stores: {error}") from None
