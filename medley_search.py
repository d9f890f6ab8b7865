"""Starts Medley, or a child process of it, with Medley's own packages or not at all.

Packages called `search`, `indexer`, `api` and `migrations` lie in many folders of this world. Python takes the first
that it meets, so one in the current folder or on PYTHONPATH could run in the place of Medley's. This file looks where
each would come from before any of them is imported. Knows the standard library only.

The script `medley` calls `main`. Children are started as `python -P medley_search.py MODULE ARGUMENT...`
(`search.runtime.child_python`).
"""

from __future__ import annotations

import atexit
import importlib.util
import os
import runpy
import sys
from contextlib import suppress
from pathlib import Path

PACKAGES = ("search", "indexer", "api", "migrations")
ROOT = Path(__file__).absolute().parent
_FAILURE = 1


def main() -> None:
    """Entry point of the script `medley` and of `python -m api`."""
    refuse_foreign_packages()
    ending = _Ending()
    atexit.register(ending.leave)  # before all others, so it runs after them
    from api.cli import main as medley  # noqa: PLC0415 - only after the packages were looked at

    with ending:
        medley()


class _Ending:
    """Leaves the process when everything is closed, before the interpreter takes itself apart.

    A thread in the background that is inside C++ at that moment (a model that is still being loaded when somebody
    presses Ctrl-C) would end the process with "terminate called without an active exception".
    """

    def __init__(self) -> None:
        self._status = _FAILURE

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        status = error.code if isinstance(error, SystemExit) else error
        if status is None:
            self._status = 0
        elif isinstance(status, int):
            self._status = status

    def leave(self) -> None:
        """Never returns."""
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):  # its reader is gone, or it is closed
                stream.flush()
        os._exit(self._status)


def refuse_foreign_packages() -> None:
    """Exit with status 1 and a plain message if one of our packages would come from elsewhere than this file."""
    for name in PACKAGES:
        folder = _folder(name)
        if folder is None or not folder.parent.samefile(ROOT):
            found = f"would come from {folder}" if folder else "is missing"
            print(f"medley: the package {name!r} {found}, but Medley's is in {ROOT}.", file=sys.stderr)
            print("Start elsewhere, take that folder off PYTHONPATH, or reinstall medley-search.", file=sys.stderr)
            sys.exit(_FAILURE)


def _folder(package: str) -> Path | None:
    """Where the package would be imported from, without importing it."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if spec.origin is None:  # a folder without __init__.py
        places = list(spec.submodule_search_locations or ())
        return Path(places[0]).absolute() if places else None
    return Path(spec.origin).absolute().parent


def _run_module(name: str, arguments: list[str]) -> None:
    refuse_foreign_packages()
    sys.argv[1:] = arguments
    runpy.run_module(name, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _run_module(sys.argv[1], sys.argv[2:])
