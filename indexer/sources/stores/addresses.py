"""How stores are written: `s3://bucket/prefix`, `sftp://user@host/folder`, `zip::s3://bucket/photos.zip`.

A root is kept as it is written here, so it never holds a password, a token or a signature. Knows no store.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from search.errors import UsageError

ARCHIVES = ("zip", "tar")
_ARCHIVE_SUFFIXES = {"zip": (".zip", ".cbz"), "tar": (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")}
_STORE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)(?:://|::)")
_SAME = {"s3a": "s3", "gcs": "gs", "dav": "webdav", "davs": "webdavs", "ssh": "sftp", "abfss": "abfs", "azure": "az"}
_NOT_A_PLACE = frozenset(
    {"file", "local", "simplecache", "filecache", "blockcache", "cached", "reference", "generic", "data", "dask"}
)
#: schemes whose authority is the name of a machine that is called
HOSTED = frozenset({"http", "https", "webdav", "webdavs", "sftp", "ftp", "smb"})


def is_store(root: str | bytes) -> bool:
    """Is this root (or a path below it) in a store, and not a folder of this machine?"""
    return _STORE.match(os.fsdecode(root)) is not None


def is_archive_file(path: Path) -> bool:
    """Does a local file of this name hold other files?"""
    return any(path.name.lower().endswith(suffixes) for suffixes in _ARCHIVE_SUFFIXES.values())


def archive_root(path: Path) -> str:
    """The root of the files in a local archive. Raises UsageError where the name is not a path to one."""
    for kind, suffixes in _ARCHIVE_SUFFIXES.items():
        if path.name.lower().endswith(suffixes):
            return f"{kind}::{path}"
    raise UsageError(
        f"{path} is not named like an archive ({', '.join(s for v in _ARCHIVE_SUFFIXES.values() for s in v)})"
    )


@dataclass(frozen=True)
class Address:
    """A root, taken apart."""

    scheme: str  # s3, https, sftp, zip, ...
    authority: str = ""  # a bucket, or [user@]host[:port]
    path: str = ""  # below it, without slashes at its ends
    inner: str = ""  # of an archive: where it lies, a root or a local path

    @property
    def root(self) -> str:
        """As it is kept."""
        if self.inner:
            return f"{self.scheme}::{self.inner}"
        return f"{self.scheme}://{self.authority}" + (f"/{self.path}" if self.path else "")

    @property
    def host(self) -> str:
        """Without user and port."""
        host = self.authority.rpartition("@")[2]
        return host.partition("]")[0] + "]" if host.startswith("[") else host.partition(":")[0]

    @property
    def user(self) -> str:
        """Empty where none is named."""
        return self.authority.rpartition("@")[0]

    @property
    def port(self) -> int | None:
        """None where none is named."""
        behind = self.authority.rpartition("@")[2].removeprefix(self.host)
        return int(behind[1:]) if behind else None


def parsed(text: str) -> Address:
    """The address of a root. Raises UsageError, whose message contains no secret."""
    match = _STORE.match(text)
    if match is None:
        raise UsageError("this is not the address of a store, such as s3://bucket/prefix")
    scheme = match[1].lower()
    scheme = _SAME.get(scheme, scheme)
    if scheme in ARCHIVES:
        return _archive(scheme, text[match.end(1) :])
    rest = text[match.end() :]
    if "::" in text[: match.end()] or "::" in rest:
        raise UsageError("only archives may stand in front of another address, as in zip::s3://bucket/photos.zip")
    if scheme in _NOT_A_PLACE:
        raise UsageError(f"{scheme}: is not a place of its own; name the folder itself")
    authority, _, path = rest.partition("/")
    _refuse_secrets(authority, path if scheme not in ("s3", "gs", "az", "abfs") else "")
    if not authority and scheme != "memory":
        raise UsageError(
            f"{scheme}:// needs a {'host' if scheme in HOSTED else 'bucket'}, as in {scheme}://name/folder"
        )
    if scheme in HOSTED:
        path = unquote(path)
        user, at, host = authority.rpartition("@")
        authority = user + at + host.lower()
        if re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[^:\[\]]+)(:\d{1,5})?", host) is None:
            raise UsageError(f"{scheme}://: this is not a host name and port")
    if scheme == "memory":
        path, authority = "/".join(part for part in (authority, path) if part), ""
        return Address(scheme, "", path.strip("/"))
    if "\0" in path or any(part in (".", "..") for part in path.split("/")):
        raise UsageError("an address holds no . or .. and no zero byte")
    return Address(scheme, authority, path.rstrip("/") if scheme in ("s3", "gs", "az") else path.strip("/"))


def _archive(kind: str, rest: str) -> Address:
    """`zip::INNER`, or as fsspec writes it, `zip://::INNER` and `zip:///local/path`."""
    inner = rest.removeprefix("://").removeprefix("*").removeprefix("::")
    if not inner or ("::" in inner and not is_store(inner)):
        raise UsageError(f"name the archive, as in {kind}::s3://bucket/photos.{kind} or {kind}::/media/photos.{kind}")
    if inner.startswith("file:///"):
        inner = unquote(inner.removeprefix("file://"))
    if not is_store(inner):
        return Address(kind, inner=os.path.abspath(inner))  # noqa: PTH100 - as folders are kept: a link stays one
    address = parsed(inner)
    if address.inner:
        raise UsageError("an archive inside an archive is not opened")
    return Address(kind, inner=address.root)


def _refuse_secrets(authority: str, path: str) -> None:
    user = authority.rpartition("@")[0]
    if ":" in user:
        raise UsageError(
            "a password does not belong in an address, which is shown and kept: put it into a profile of stores.toml "
            "and name that with --profile"
        )
    if "?" in path or "#" in path or "?" in authority or "#" in authority:
        raise UsageError("an address holds no ? and no #: tokens and signatures belong into a profile of stores.toml")
