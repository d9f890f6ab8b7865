"""What a person sees when choosing a folder to add: places to start from, and the folders in each.

Lists only what may become a source (api/http/allowed_roots.py decides); opens no file.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from api.schemas import FolderEntry, FolderListing
from indexer.decoding.probe import looks_like_media
from indexer.failures import shown

#: entries looked at in one folder to count its media; a folder with more says "at least"
MOST_ENTRIES = 5000
_USUAL_PLACES = ("", "Pictures", "Videos", "Music", "Documents", "Downloads", "Desktop")
_MOUNTS = ("/Volumes", "/media", "/mnt", "/run/media")


def places(allowed: Sequence[Path]) -> list[FolderEntry]:
    """Where to begin: home and what people keep in it, then other drives; or the allowed folders themselves."""
    if list(allowed) != [Path("/")]:
        return [_entry(root, str(root)) for root in allowed if root.is_dir()]
    home = Path.home()
    usual = [home / name for name in _USUAL_PLACES]
    drives = [drive for mount in _MOUNTS for drive in _folders_in(Path(mount))]
    folders = [path for path in (*usual, *drives) if path.is_dir() and os.access(path, os.R_OK)]
    return [_entry(path, "Home" if path == home else path.name) for path in folders]


def listing(path: Path, allowed: Sequence[Path]) -> FolderListing:
    """The folders in one that is allowed. Raises OSError."""
    parent = path.parent
    inside = any(parent.is_relative_to(root) for root in allowed) and parent != path
    return FolderListing(
        path=shown(os.fsencode(path)),
        parent=str(parent) if inside else None,
        folders=[_entry(folder, folder.name) for folder in _folders_in(path)],
        media=_media_in(path),
    )


def _entry(path: Path, name: str) -> FolderEntry:
    return FolderEntry(name=shown(os.fsencode(name)), path=str(path), readable=os.access(path, os.R_OK | os.X_OK))


def _folders_in(path: Path) -> list[Path]:
    try:
        with os.scandir(path) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry)]
    except OSError:
        return []
    return [path / name for name in sorted(names, key=lambda name: (name.casefold(), name))]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False


def _media_in(path: Path) -> int:
    with os.scandir(path) as entries:
        return sum(looks_like_media(os.fsencode(entry.name)) for entry in _first(entries, MOST_ENTRIES))


def _first(entries: Iterable[os.DirEntry[str]], most: int) -> Iterable[os.DirEntry[str]]:
    return (entry for entry, _ in zip(entries, range(most), strict=False))
