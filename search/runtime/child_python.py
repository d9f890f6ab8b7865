"""How Medley starts another Python process of its own: never with code from the current folder.

`python -m package` looks into the current folder first, which may be anybody's. Children start with `-P`, through
`medley_search.py`, which refuses packages that are not Medley's. Knows no module that is started.
"""

from __future__ import annotations

import os
import site
import sys
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).absolute().parents[2]


def command(module: str, *arguments: str) -> list[str]:
    """The command line that runs a module of ours, as `python -m` would."""
    return [sys.executable, "-P", str(_ROOT / "medley_search.py"), module, *arguments]


def environment(base: Mapping[str, str]) -> dict[str, str]:
    """`base` with a PYTHONPATH that finds our packages, and holds no entry that depends on the current folder."""
    entries = [entry for entry in base.get("PYTHONPATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    if not _installed():  # a checkout: also for a parent that found it by its current folder
        entries.insert(0, str(_ROOT))
    kept = {key: value for key, value in base.items() if key != "PYTHONPATH"}
    return kept | ({"PYTHONPATH": os.pathsep.join(dict.fromkeys(entries))} if entries else {})


def _installed() -> bool:
    """In a folder of libraries, which Python finds by itself, and which must not come before its standard library."""
    return any(_ROOT.samefile(folder) for folder in _library_folders() if Path(folder).is_dir())


def _library_folders() -> list[str]:
    return [*site.getsitepackages(), site.getusersitepackages()]
