"""What a walk leaves out, and how much of it: other programs' folders, excluded files, and files that are not media.

Patterns are gitignore's, read by pathspec. Knows names and the few files that say what to ignore; opens no media.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import PurePath

from pathspec import GitIgnoreSpec

from indexer.failures import shown
from search.errors import UsageError

IGNORE_FILE = b".medleyignore"
NO_MEDIA_FILE = b".nomedia"  # what Android's gallery and its apps put into folders that are not to be shown
LINKS_OUT = "links out of the source"
_MAX_IGNORE_BYTES = 256 * 1024
_NAMED_LINKS = 20  # that lead out of a source or nowhere, by name; the rest are counted

# Thumbnails, trash, snapshots and other programs' own affairs: indexing them would only repeat the library. In any
# case, because file systems and their users don't agree on one.
_OTHERS = [
    ".git/",
    ".svn/",
    ".hg/",
    ".cache/",
    ".venv/",
    "node_modules/",
    "__pycache__/",
    "lost+found/",
    ".thumbnails/",
    ".thumbs/",
    ".thumb/",
    "@eadir/",
    ".@__thumb/",
    ".picasaoriginals/",
    "*.lrdata/",
    ".photostructure/",
    "*.photoslibrary/resources/",
    "*.photoslibrary/thumbnails/",
    "*.aplibrary/thumbnails/",
    "*.migratedphotolibrary/thumbnails/",
    "#recycle/",
    "@recycle/",
    "$recycle.bin/",
    "recycler/",
    "recycled/",
    ".trash/",
    ".trashes/",
    ".trash-*/",
    ".dtrash/",
    ".trashed-*",
    ".pending-*",
    "#snapshot/",
    "@recently-snapshot/",
    ".snapshot/",
    ".snapshots/",
    "~snapshot/",
    ".zfs/",
    "@tmp/",
    ".@qsync/",
    "@sharebin/",
    ".stversions/",
    ".stfolder/",
    ".sync/",
    ".dropbox.cache/",
    ".spotlight-v100/",
    ".fseventsd/",
    ".documentrevisions-v100/",
    ".temporaryitems/",
    ".appledouble/",
    "__macosx/",
    "._*",
]
_SYSTEM = ["system volume information/"]


def _escaped(pattern: str) -> str:
    return f"\\{pattern}" if pattern.startswith("#") else pattern


_DEFAULT = GitIgnoreSpec.from_lines([_escaped(pattern) for pattern in (*_OTHERS, *_SYSTEM)])


class Ignoring:
    """Decides for one walk of one root, and counts what it leaves out by reason."""

    def __init__(
        self, root: bytes, excludes: Sequence[str] = (), read: Callable[[bytes, int], bytes] | None = None
    ) -> None:
        """`read` gives up to that many bytes of a file, or raises OSError; without it files are local ones."""
        self._read = read or _read
        self._root = root.rstrip(b"/")
        self._excludes = GitIgnoreSpec.from_lines(excludes)
        self._files: dict[bytes, GitIgnoreSpec] = {}  # by folder
        self.skipped: Counter[str] = Counter()
        self.links: list[str] = []

    def enter(self, folder: bytes, names: frozenset[bytes]) -> bool:
        """Read the ignore files of a folder with these entries; False if the whole folder is left out."""
        # In any case: memory cards and phones' shared storage don't tell cases apart.
        if any(name.lower() == NO_MEDIA_FILE for name in names):
            self.skipped["folders with .nomedia"] += 1
            return False
        self._files.pop(folder, None)
        if IGNORE_FILE in names and (lines := self._lines(os.path.join(folder, IGNORE_FILE))):
            self._files[folder] = GitIgnoreSpec.from_lines(lines)
        return True

    def ignores(self, path: bytes, *, is_folder: bool) -> str | None:
        """Say why an entry is left out, or None. What people write can take back what is left out by default."""
        inside = path[len(self._root) + 1 :]
        told = self._told(path, inside, is_folder)
        if told is not None:
            return told or None
        text = _text(inside, is_folder).lower()
        if not _DEFAULT.match_file(text):
            return None
        name = shown(inside.rpartition(b"/")[2])
        return f"{name} folders" if is_folder else "files of other programs"

    def _told(self, path: bytes, inside: bytes, is_folder: bool) -> str | None:
        """Say the reason, "" for what is to be taken, None where nothing is said; the nearest file's word counts."""
        folder = os.path.dirname(path)
        while self._files and len(folder) >= len(self._root):
            if (spec := self._files.get(folder)) is not None:
                verdict = spec.check_file(_text(path[len(folder) + 1 :], is_folder)).include
                if verdict is not None:
                    return "excluded by .medleyignore" if verdict else ""
            folder = os.path.dirname(folder)
        verdict = self._excludes.check_file(_text(inside, is_folder)).include
        return None if verdict is None else "excluded" if verdict else ""

    def _lines(self, path: bytes) -> list[str]:
        with suppress(OSError, ValueError):
            lines = self._read(path, _MAX_IGNORE_BYTES).decode("utf-8-sig", "surrogateescape").splitlines()
            GitIgnoreSpec.from_lines(lines)  # raises for an invalid pattern
            return lines
        return []

    def count(self, reason: str) -> None:
        """Something was left out."""
        self.skipped[reason] += 1

    def count_other(self, name: bytes) -> None:
        """Count a file that is not media, by its kind."""
        suffix = PurePath(shown(name)).suffix.lower().removeprefix(".")
        self.skipped[f"{suffix} files" if suffix.isalnum() and len(suffix) <= 8 else "other files"] += 1

    def count_link(self, path: bytes, target: bytes) -> None:
        """Count a link that leads out of the source, to a file or a folder."""
        self._count_link(LINKS_OUT, path, target, "lies outside")

    def count_broken_link(self, path: bytes, target: bytes) -> None:
        """Count a link that leads to nothing."""
        self._count_link("broken links", path, target, "is not there")

    def _count_link(self, reason: str, path: bytes, target: bytes, why: str) -> None:
        self.skipped[reason] += 1
        if len(self.links) < _NAMED_LINKS:
            self.links.append(f"{shown(path)} is a link to {shown(target)}, which {why}")


def checked_patterns(patterns: Sequence[str]) -> str:
    """Patterns as they are kept: one a line. Raises UsageError for anything that is not a pattern."""
    lines = [line.strip() for pattern in patterns for line in pattern.splitlines() if line.strip()]
    try:
        GitIgnoreSpec.from_lines(lines)
    except ValueError as error:
        raise UsageError(f"no pattern as in a .gitignore: {error}") from None
    return "\n".join(dict.fromkeys(lines))


def _text(inside: bytes, is_folder: bool) -> str:
    return os.fsdecode(inside) + ("/" if is_folder else "")


def _read(path: bytes, count: int) -> bytes:
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(handle, "rb") as file:
        return file.read(count)
