"""S3, and what speaks like it (MinIO, Ceph, R2, B2, Google's interoperable endpoint).

Listed by pages of a thousand keys, read with ranges and only as the version that was listed. Requests that are
turned down for being too many are repeated ever more slowly by the library itself. Credentials come from a profile,
or from where AWS's own tools find them: environment, files, the machine's role.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any

from indexer.sources.stores.addresses import Address
from indexer.sources.stores.failures import telling
from indexer.sources.stores.profiles import Profile
from indexer.sources.stores.store import READ_BYTES, Enter, Found, StoredFile
from search.errors import PermanentMediaError, StoreError, TransientMediaError

CONNECT_SECONDS = 10
READ_SECONDS = 60
TRIES = 5  # of one request, by the library, each after a longer wait
_CONNECTIONS = 32
_PAGE = 1000  # keys, which is S3's own limit
_MOST_BESIDE = 5 * _PAGE  # keys that begin as a file's name does
_NANOSECONDS = 1_000_000_000
# fsspec's names, which people know from s3fs, to boto3's.
_CLIENT_OPTIONS = {
    "endpoint_url": "endpoint_url",
    "region": "region_name",
    "region_name": "region_name",
    "verify": "verify",
    "key": "aws_access_key_id",
    "secret": "aws_secret_access_key",
    "token": "aws_session_token",
}
_CONFIG_OPTIONS = ("addressing_style", "request_payer", "anon", "profile")


class S3Store:
    """A bucket, from a prefix on; or a single object."""

    is_atomic = True
    has_content_etags = True
    lists_by_folder = False

    def __init__(self, address: Address, profile: Profile) -> None:
        self._root = address.root
        self._bucket = address.authority
        self._key = address.path
        self._prefix = address.path + "/" if address.path else ""
        self._profile = profile
        self._lock = threading.Lock()
        self._made: Any = None

    def files(self, enter: Enter, below: str = "") -> Iterator[Found]:  # noqa: ARG002
        """As `Store.files`. `enter` is not asked: skipping a folder would cost more requests than it saves."""
        empty = True
        for entry in self._list(self._prefix + (below + "/" if below else "")):
            empty = False
            name = entry["Key"][len(self._prefix) :]
            if name and not name.endswith("/"):  # what consoles write to show a folder
                yield _stored(name, entry)
        if empty and self._key and not below:
            with suppress(FileNotFoundError):  # a prefix that nothing begins with is empty
                yield self.stat("")

    def beside(self, name: str, beginnings: Sequence[str]) -> list[StoredFile]:
        """As `Store.beside`."""
        folder = self._prefix + name[: len(name) - len(name.rpartition("/")[2])]
        listed = chain.from_iterable(islice(self._list(folder + beginning), _MOST_BESIDE) for beginning in beginnings)
        return [_stored(entry["Key"][len(self._prefix) :], entry) for entry in listed]

    def stat(self, name: str) -> StoredFile:
        """As `Store.stat`."""
        with telling(self._root), self._naming(name):
            answer = self._client().head_object(Bucket=self._bucket, Key=self._key_of(name), **self._payer())
            return StoredFile(
                name, answer["ContentLength"], _nanoseconds(answer["LastModified"]), answer["ETag"].strip('"')
            )

    def read(self, file: StoredFile, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """As `Store.read`."""
        stop = file.size_bytes if end is None else end
        if stop <= start:
            return
        wanted: dict[str, Any] = {} if (start, stop) == (0, file.size_bytes) else {"Range": f"bytes={start}-{stop - 1}"}
        if file.etag:
            wanted["IfMatch"] = f'"{file.etag}"'
        with telling(self._root), self._naming(file.name):
            answer = self._client().get_object(
                Bucket=self._bucket, Key=self._key_of(file.name), **wanted, **self._payer()
            )
            with answer["Body"] as body:
                while piece := body.read(READ_BYTES):
                    yield piece

    def check(self) -> None:
        """As `Store.check`."""
        with telling(self._root), self._naming(""):
            self._client().list_objects_v2(Bucket=self._bucket, Prefix=self._key, MaxKeys=1, **self._payer())

    def write(self, name: str, path: Path) -> StoredFile:
        """As `WritableStore.write`."""
        with telling(self._root), self._naming(name):
            self._client().upload_file(str(path), self._bucket, self._key_of(name))
        return self.stat(name)

    def delete(self, name: str) -> None:
        """As `WritableStore.delete`."""
        with telling(self._root), self._naming(name):
            self._client().delete_object(Bucket=self._bucket, Key=self._key_of(name))

    def close(self) -> None:
        """As `Store.close`."""
        with self._lock:
            if self._made is not None:
                self._made.close()
            self._made = None

    def _list(self, prefix: str) -> Iterator[dict[str, Any]]:
        with telling(self._root), self._naming(""):
            pages = self._client().get_paginator("list_objects_v2")
            for page in pages.paginate(
                Bucket=self._bucket, Prefix=prefix, PaginationConfig={"PageSize": _PAGE}, **self._payer()
            ):
                yield from page.get("Contents", ())

    def _key_of(self, name: str) -> str:
        return self._prefix + name if name else self._key

    def _payer(self) -> dict[str, str]:
        return {"RequestPayer": "requester"} if self._profile.options.get("request_payer") else {}

    def _client(self) -> Any:
        with self._lock:
            if self._made is None:
                self._made = _client(self._profile)
            return self._made

    def _naming(self, name: str) -> _Naming:
        return _Naming(self._root, self._bucket, name)


class _Naming:
    """Sorts what botocore raises for one object from what it raises for the bucket."""

    def __init__(self, root: str, bucket: str, name: str) -> None:
        self._root, self._bucket, self._name = root, bucket, name

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        answer = getattr(error, "response", None)
        if not isinstance(answer, dict):
            return
        code = str(answer.get("Error", {}).get("Code", ""))
        shown = f"{self._root}/{self._name}" if self._name else self._root
        if code == "NoSuchBucket":
            raise StoreError(f"{self._root}: there is no bucket {self._bucket}") from None
        if code in ("NoSuchKey", "404", "NotFound"):
            raise FileNotFoundError(shown) from None
        if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
            raise TransientMediaError(f"{shown}: changed while it was read") from None
        if code == "InvalidObjectState":
            raise PermanentMediaError(f"{shown}: is archived; restore it from the archive first") from None


def _client(profile: Profile) -> Any:
    import boto3
    from botocore import UNSIGNED
    from botocore.config import Config

    options = dict(profile.options)
    unknown = set(options) - set(_CLIENT_OPTIONS) - set(_CONFIG_OPTIONS)
    if unknown:
        raise StoreError(f"the profile {profile.name!r} holds {', '.join(sorted(unknown))}, which S3 does not know")
    given = {_CLIENT_OPTIONS[name]: value for name, value in options.items() if name in _CLIENT_OPTIONS}
    named = options.get("profile") or (profile.name if profile.name and not profile.options else None)
    config: dict[str, Any] = {
        "connect_timeout": CONNECT_SECONDS,
        "read_timeout": READ_SECONDS,
        "retries": {"mode": "adaptive", "total_max_attempts": TRIES},
        "max_pool_connections": _CONNECTIONS,
        "user_agent_extra": "medley",
    }
    if style := options.get("addressing_style"):
        config["s3"] = {"addressing_style": style}
    if options.get("anon"):
        config["signature_version"] = UNSIGNED
    session = boto3.Session(profile_name=named)
    if not session.region_name and not os.environ.get("AWS_REGION"):
        given.setdefault("region_name", "us-east-1")  # buckets elsewhere send us on to their own region
    return session.client("s3", config=Config(**config), **given)


def _stored(name: str, entry: dict[str, Any]) -> StoredFile:
    return StoredFile(name, entry["Size"], _nanoseconds(entry["LastModified"]), entry.get("ETag", "").strip('"'))


def _nanoseconds(time: datetime) -> int:
    return int(time.timestamp()) * _NANOSECONDS + time.microsecond * 1000
