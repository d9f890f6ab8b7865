"""Opens the store of a root, once for each process: which library reads which scheme, and what it needs.

A library that is not installed, an option that it does not take, a profile that is not there: all of it is said when
the store is first used, as StoreError.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import io
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import httpx

from indexer.sources.stores import http
from indexer.sources.stores.addresses import Address, is_store, parsed
from indexer.sources.stores.fsspec_store import FsspecFolder, FsspecStore, Opened
from indexer.sources.stores.profiles import Profile, profile_for
from indexer.sources.stores.s3 import S3Store
from indexer.sources.stores.store import Enter, Found, Store, StoredFile, opened
from search.errors import StoreError
from search.settings import Settings

# The extra of Medley, and the module, that a scheme needs.
_NEEDS = {
    "s3": ("s3", "boto3"),
    "gs": ("gcs", "gcsfs"),
    "az": ("azure", "adlfs"),
    "abfs": ("azure", "adlfs"),
    "webdav": ("webdav", "webdav4"),
    "webdavs": ("webdav", "webdav4"),
    "sftp": ("sftp", "sshfs"),
}
_OBJECT_STORES = frozenset({"gs", "az", "abfs"})
_SFTP_CONNECT_SECONDS = 15
_ALIVE_SECONDS = 15  # between two questions to a silent SSH server whether it is still there
_LOOK_SECONDS = 5.0  # between looks whether an archive has changed

_stores: dict[tuple[Path, str, str], Store] = {}
_lock = threading.Lock()


def open_store(settings: Settings, root: str, profile: str = "") -> Store:
    """The store at a root, opened once. Raises StoreError."""
    key = settings.home, root, profile
    with _lock:
        if key not in _stores:
            _stores[key] = _opened(settings.home, parsed(root), profile)
        return _stores[key]


def close_stores() -> None:
    """Close every store; each is opened anew at its next use, so that changed profiles count."""
    with _lock:
        while _stores:
            _stores.popitem()[1].close()


def _opened(home: Path, address: Address, name: str) -> Store:
    if address.inner:
        inner: Store | Path = (
            _opened(home, parsed(address.inner), name) if is_store(address.inner) else Path(address.inner)
        )
        return ArchiveStore(address, inner)
    profile = profile_for(home, address.root, name)
    extra, module = _NEEDS.get(address.scheme, ("", ""))
    if module and importlib.util.find_spec(module) is None:
        raise StoreError(f"{address.root}: reading it needs more packages: pip install 'medley-search[{extra}]'")
    match address.scheme:
        case "s3":
            return S3Store(address, profile)
        case "http" | "https":
            return http.HttpStore(address, profile)
        case "webdav" | "webdavs":
            return WebdavStore(address, profile)
        case "sftp":
            return FsspecFolder(address.root, lambda: _sftp(address, profile))
        case scheme:
            return FsspecFolder(address.root, lambda: _by_fsspec(address, profile), is_atomic=scheme in _OBJECT_STORES)


class WebdavStore(FsspecFolder):
    """A folder of a WebDAV server: listed as one, read as any web server is, with ranges."""

    def __init__(self, address: Address, profile: Profile) -> None:
        super().__init__(address.root, lambda: _webdav(address, profile))
        scheme = "https" if address.scheme == "webdavs" else "http"
        self._http = http.HttpStore(dataclasses.replace(address, scheme=scheme), profile, address.root)

    def read(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """As `Store.read`."""
        return self._http.read(file, start, end)

    def close(self) -> None:
        """As `Store.close`."""
        super().close()
        self._http.close()


def _webdav(address: Address, profile: Profile) -> Opened:
    from webdav4.fsspec import WebdavFileSystem

    scheme = "https" if address.scheme == "webdavs" else "http"
    options = dict(profile.options)
    auth = (
        (options.pop("username"), options.pop("password", "")) if "username" in options else options.pop("auth", None)
    )
    system = WebdavFileSystem(
        f"{scheme}://{address.authority}/",
        auth=tuple(auth) if isinstance(auth, list) else auth,
        timeout=httpx.Timeout(http.READ_SECONDS, connect=http.CONNECT_SECONDS),
        event_hooks={"response": [lambda response: http.stay_on(address, response)]},
        skip_instance_cache=True,
        **options,
    )
    return Opened(system, address.path, quoted=True)


def _sftp(address: Address, profile: Profile) -> Opened:
    from sshfs import SSHFileSystem

    options: dict[str, Any] = {
        "known_hosts": (),  # those of the user; None would believe any server
        "connect_timeout": _SFTP_CONNECT_SECONDS,
        "keepalive_interval": _ALIVE_SECONDS,
        "sftp_client_kwargs": {"path_errors": "surrogateescape"},
    }
    if address.user:
        options["username"] = address.user
    if address.port:
        options["port"] = address.port
    system = SSHFileSystem(address.host.strip("[]"), skip_instance_cache=True, **{**options, **profile.options})
    return Opened(system, f"/{address.path}")


def _by_fsspec(address: Address, profile: Profile) -> Opened:
    try:
        system, path = fsspec.url_to_fs(
            address.root, skip_instance_cache=True, use_listings_cache=False, **profile.options
        )
    except (ImportError, ValueError, TypeError) as error:
        reason = "is not known" if isinstance(error, ValueError) else "needs a package that is not installed"
        raise StoreError(f"{address.root}: the scheme {address.scheme!r} {reason}") from None
    return Opened(system, str(path))


class ArchiveStore(FsspecStore):
    """The files in a zip or tar file, which is in a folder or in another store; reopened when it changes."""

    def __init__(self, address: Address, inner: Store | Path) -> None:
        super().__init__(address.root, self._open_archive, is_atomic=True)
        self._kind = address.scheme
        self._inner = inner
        self._state: object = None
        self._looked_at = 0.0
        self._looking = threading.Lock()

    def files(self, enter: Enter, below: str = "") -> Iterator[Found]:
        """As `Store.files`."""
        self._look()
        return super().files(enter, below)

    def stat(self, name: str) -> StoredFile:
        """As `Store.stat`."""
        self._look()
        return super().stat(name)

    def check(self) -> None:
        """As `Store.check`: an archive that is there and can't be read is of no use either."""
        self._look()
        with self._system():
            pass

    def close(self) -> None:
        """As `Store.close`."""
        super().close()
        if not isinstance(self._inner, Path):
            self._inner.close()

    def _look(self) -> None:
        with self._looking:
            if time.monotonic() - self._looked_at < _LOOK_SECONDS:
                return
            state = self._archive_state()
            if state != self._state:
                super().close()
            self._state, self._looked_at = state, time.monotonic()

    def _archive_state(self) -> object:
        try:
            if isinstance(self._inner, Path):
                facts = self._inner.stat()
                return facts.st_size, facts.st_mtime_ns, facts.st_ino
            return self._inner.stat("")
        except OSError:
            raise StoreError(f"{self._root}: the archive is not there") from None

    def _open_archive(self) -> Opened:
        file: io.BufferedIOBase
        file = self._inner.open("rb") if isinstance(self._inner, Path) else opened(self._inner, self._inner.stat(""))
        try:
            return Opened(fsspec.filesystem(self._kind, fo=file, skip_instance_cache=True), "")
        except BaseException:
            file.close()
            raise
