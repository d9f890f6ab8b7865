"""One file is one asset: sources that hold the same files are one source.

A folder and one below it, a link to it, one file of it: whatever was added first, the files are known once,
under the widest source, and keep their ids. Knows the catalogue and what a walk comes to; scans nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from indexer.sources.folder_files import own_folders
from indexer.sources.ignoring import Ignoring
from indexer.sources.stores.addresses import is_store, parsed
from indexer.sources.walk import reaches
from search.catalog import sources
from search.catalog.database import Connection, Database
from search.catalog.records import SourceRecord
from search.settings import Settings


@dataclass(frozen=True)
class Added:
    """What became of a root that was to be added."""

    source: SourceRecord
    inside: str | None = None  # the root lies in the source, which calls it so: nothing else had to be added
    merged: tuple[SourceRecord, ...] = ()  # sources that lie in this one and are parts of it now


def add(
    database: Database,
    settings: Settings,
    root: str,
    recursive: bool | None = None,
    watched: bool | None = None,
    excludes: str | None = None,
    profile: str | None = None,
) -> Added:
    """Make an absolute root or a store's a source, or find the one that has its files already. Raises CatalogError.

    None leaves the flags of a known source as they were; a new one is recursive and watched.
    """
    with database.write() as connection:
        known = sources.list_sources(connection)
        real = _real_root(root)
        same = next((source for source in known if _real(source) == real), None)
        if same is None:
            holder = next((source for source in known if _holds(source, real, settings)), None)
            if holder is not None:
                return Added(holder, inside=_name_in(holder, real))
        source = sources.add_source(
            connection, same.root if same else root, recursive, watched, excludes, profile=profile
        )
        return Added(source, merged=_absorb(connection, source, known, settings))


def merge_overlapping(database: Database, settings: Settings) -> tuple[SourceRecord, ...]:
    """Merge what overlaps already, as catalogues of earlier versions do; gives the sources that are gone."""
    gone: list[SourceRecord] = []
    with database.write() as connection:
        for source in sources.list_sources(connection):
            if source not in gone:
                gone += _absorb(connection, source, sources.list_sources(connection), settings)
    return tuple(gone)


def _absorb(
    connection: Connection, source: SourceRecord, known: Sequence[SourceRecord], settings: Settings
) -> tuple[SourceRecord, ...]:
    inner = [
        other
        for other in known
        if other.id != source.id
        and (_real(other) == _real(source) or _holds(source, _real(other), settings))
        and _keeps(other, settings) == _keeps(source, settings)  # uploads stay by themselves
    ]
    for other in inner:
        sources.merge_source(connection, other.id, source.id, _name_in(source, _real(other)))
    return tuple(inner)


def _holds(source: SourceRecord, real: str, settings: Settings) -> bool:
    root = _real(source)
    if is_store(real) or is_store(root):
        return _holds_stored(source, root, real)
    if root == real or not Path(real).is_relative_to(root):
        return False
    return reaches(os.fsencode(real), os.fsencode(root), source.recursive, own_folders(source, settings))


def _holds_stored(source: SourceRecord, root: str, real: str) -> bool:
    """By their addresses: whether there is anything is for a scan to find out."""
    if not source.recursive or not real.startswith(root + "/"):
        return False
    ignoring = Ignoring(os.fsencode(root), source.excludes.splitlines())
    steps = real[len(root) + 1 :].split("/")
    above = (os.fsencode(f"{root}/{'/'.join(steps[: count + 1])}") for count in range(len(steps)))
    return not any(ignoring.ignores(path, is_folder=True) for path in above)


def _keeps(source: SourceRecord, settings: Settings) -> object:
    """Sources that differ in this are never merged: uploads are not part of the folder around them."""
    if is_store(source.root):
        return bool(settings.upload_store) and source.root == parsed(settings.upload_store).root
    return own_folders(source, settings)


def _name_in(source: SourceRecord, real: str) -> str:
    """What the source calls a path below its real root."""
    if is_store(real):
        return real
    inside = os.path.relpath(real, _real(source))
    return source.root if inside == "." else os.path.join(source.root, inside)


def _real(source: SourceRecord) -> str:
    return _real_root(source.root)


def _real_root(root: str) -> str:
    return root if is_store(root) else os.path.realpath(root)
