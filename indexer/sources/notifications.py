"""What buckets post when an object was made, changed or removed: which objects to look at.

S3's own form (AWS, MinIO, Ceph and others), also inside the envelope of SNS, and EventBridge's. A notice only says
where to look: the object is asked for as it is now, so notices may come late, twice or in any order.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote_plus

import msgspec
from msgspec import Struct, field

from indexer.sources.stores.addresses import is_store, parsed
from search.catalog.records import SourceRecord
from search.errors import UsageError

MOST_RECORDS = 1000  # in one notice; S3 itself puts few into one


class _Named(Struct, frozen=True):
    name: str = ""


class _Object(Struct, frozen=True):
    key: str = ""


class _S3(Struct, frozen=True):
    bucket: _Named = _Named()
    object: _Object = _Object()


class _Record(Struct, frozen=True):
    s3: _S3 = _S3()


class _Notice(Struct, frozen=True):
    """Any of the forms: what is absent is empty."""

    records: list[_Record] = field(name="Records", default_factory=list)
    type: str = field(name="Type", default="")  # SNS's
    message: str = field(name="Message", default="")
    source: str = ""  # EventBridge's
    detail: _S3 = _S3()


def paths_of(body: bytes, source: SourceRecord) -> list[bytes]:
    """The paths in this source that a notification is about; other buckets and prefixes are left out.

    Raises UsageError for anything but a bucket notification.
    """
    if not is_store(source.root) or parsed(source.root).scheme != "s3":
        raise UsageError(f"source {source.id} is not a bucket: only buckets send notifications")
    bucket = f"s3://{parsed(source.root).authority}/"
    addresses = [bucket + key for name, key in _objects(body) if f"s3://{name}/" == bucket]
    inside = [address for address in addresses if address == source.root or address.startswith(source.root + "/")]
    return [address.encode() for address in dict.fromkeys(inside) if not address.endswith("/")]


def _objects(body: bytes) -> Sequence[tuple[str, str]]:
    """Bucket and key of each."""
    try:
        notice = msgspec.json.decode(body, type=_Notice)
        if notice.type == "Notification":
            notice = msgspec.json.decode(notice.message, type=_Notice)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise UsageError("this is not a bucket notification: docs/sources.md lists the formats") from None
    if notice.type == "SubscriptionConfirmation":
        raise UsageError("confirm the subscription at AWS itself: no address in a notice is visited")
    if len(notice.records) > MOST_RECORDS:
        raise UsageError(f"a notice holds at most {MOST_RECORDS} records")
    # S3's own notices quote keys as forms do, EventBridge's do not.
    objects = [(record.s3.bucket.name, unquote_plus(record.s3.object.key)) for record in notice.records]
    if notice.source == "aws.s3":
        objects.append((notice.detail.bucket.name, notice.detail.object.key))
    return [(bucket, key) for bucket, key in objects if bucket and key]
