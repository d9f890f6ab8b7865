"""Real `medley` processes for tests: started on free ports, always ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import httpx

T = TypeVar("T")


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a process whose home is `home`, with these settings and no others."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDLEY_")}
    given = {f"MEDLEY_{name.upper()}": value for name, value in settings.items()}
    return {**kept, "OMP_NUM_THREADS": "1", "MEDLEY_HOME": str(home), **given}


def medley(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=240)


@contextmanager
def started(arguments: list[str], environment: Mapping[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until the block ends; what it says goes to `log`."""
    with log.open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "api", *arguments], env=dict(environment), stderr=output)
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextmanager
def serving(
    environment: Mapping[str, str], log: Path, worker: bool = False
) -> Iterator[tuple[httpx.Client, subprocess.Popen]]:
    """`medley serve` on a free port, and a client to it."""
    with started(["serve", "--port", "0", "--with-worker" if worker else "--no-worker"], environment, log) as process:
        found = until(lambda: re.search(r"listens on (http://\S+)", log.read_text()), 120, lambda: log.read_text())
        with httpx.Client(base_url=found[1], timeout=60) as client:
            yield client, process


def until(check: Callable[[], T], seconds: float, explain: Callable[[], object] = lambda: "") -> T:
    """What `check` gives, as soon as it is true. Fails after so many seconds."""
    deadline = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < deadline, f"waited {seconds} s in vain: {explain()}"
        time.sleep(0.05)
    return found
