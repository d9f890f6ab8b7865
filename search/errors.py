"""Every error that Medley raises on purpose.

    MedleyError                  base: a plain sentence for a person, never a stack trace
    ├── UsageError               the caller asked for something that makes no sense
    │   ├── SettingsError        a setting is unknown or has a wrong value
    │   └── QueryError           a query can't be understood; knows the character
    ├── NotFoundError            the thing named does not exist
    ├── AccessError              the caller may not do this
    ├── MediaError               a media file can't be made searchable
    │   ├── PermanentMediaError  it never will be: quarantine it
    │   └── TransientMediaError  trying again later may help
    │       └── MachineError     this machine lacked something for it: never counts against the file
    ├── StoreError               a bucket, server or archive that holds files can't be used now
    ├── CatalogError             the database refused, or holds a state we don't understand
    │   └── CatalogLostError     the database went away in the middle: try the same again
    ├── SpaceError               an embedding space can't be used (weights missing, fingerprint differs)
    ├── PartitionError           a vector index is damaged or does not fit its space
    ├── LanguageModelError       a language model can't be used
    └── UnavailableError         a part of the service is not ready or overloaded: try again

A message names the file, the number, the limit, and the setting that changes the limit.
"""

from __future__ import annotations


class MedleyError(Exception):
    """Base of all errors meant to be read by a person."""

    #: stable suffix of the problem document's ``type``; see api/http/problems.py
    slug = "error"


class UsageError(MedleyError):
    """The caller asked for something that makes no sense."""

    slug = "usage"


class SettingsError(UsageError):
    """A setting is unknown or has a value that it can't have."""

    slug = "settings"


class QueryError(UsageError):
    """A query can't be understood.

    ``position`` is the index of the offending character in the query text, where known.
    """

    slug = "query"

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position


class NotFoundError(MedleyError):
    """The thing named does not exist."""

    slug = "not-found"


class AccessError(MedleyError):
    """The caller may not do this."""

    slug = "access"


class MediaError(MedleyError):
    """A media file can't be made searchable."""

    slug = "media"


class PermanentMediaError(MediaError):
    """The file can never be made searchable as it is: quarantine it with this reason."""


class TransientMediaError(MediaError):
    """The file can't be read now; trying again later may help."""


class MachineError(TransientMediaError):
    """The machine lacked memory, threads, open files or a library for it; that never counts against the file."""


class StoreError(MedleyError):
    """A bucket, server or archive that holds files can't be used now; its files stay as they are known."""

    slug = "store"


class CatalogError(MedleyError):
    """The database refused, or holds a state that this version does not understand."""

    slug = "catalog"


class CatalogLostError(CatalogError):
    """The database went away in the middle, as at its restart; the same work may be tried again from its start."""


class SpaceError(MedleyError):
    """An embedding space can't be used: weights missing or changed, fingerprint differs."""

    slug = "space"


class PartitionError(MedleyError):
    """A vector index is damaged or does not fit its space; it is rebuilt from the catalogue."""

    slug = "partition"


class LanguageModelError(MedleyError):
    """A language model can't be loaded or did not answer."""

    slug = "language-model"


class UnavailableError(MedleyError):
    """A part of the service is not ready or is overloaded; trying again helps."""

    slug = "unavailable"
