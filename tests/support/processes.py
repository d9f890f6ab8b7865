"""Real `medley` processes for tests: started on free ports, always ended."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

from support.paths import ROOT
from support.waiting import until

#: converted language models, which pytest keeps between runs: a conversion takes some seconds
MODELS = ROOT / ".pytest_cache" / "d" / "models"


def share_models(home: Path) -> None:
    """The home's converted models are those of all tests, if it has none."""
    models = home / "models"
    if not models.exists():
        MODELS.mkdir(parents=True, exist_ok=True)
        models.symlink_to(MODELS, target_is_directory=True)


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a process whose home is `home`, with these settings and no others but `vision`, which is off.

    Homes that exist share one converted language model. One that does not is made by the process, model and all.
    """
    if home.is_dir():
        share_models(home)
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MEDLEY_")}
    given = {f"MEDLEY_{name.upper()}": value for name, value in {"vision": "false", **settings}.items()}
    return {**kept, "OMP_NUM_THREADS": "1", "MEDLEY_HOME": str(home), **given}


def medley(arguments: list[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    command = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(command, env=dict(environment), capture_output=True, text=True, timeout=240)


@contextmanager
def started(
    arguments: list[str], environment: Mapping[str, str], log: Path, wrapper: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that runs until the block ends; what it says goes to `log`. `wrapper` is a command that runs it."""
    command = [*wrapper, sys.executable, "-m", "api", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=dict(environment), stderr=output)
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
def running_service(
    environment: Mapping[str, str], log: Path, worker: bool = False, wrapper: Sequence[str] = ()
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """`medley serve` on a free port, and a client to it."""
    arguments = ["serve", "--port", "0", "--with-worker" if worker else "--no-worker"]
    with _listening(arguments, environment, log, wrapper) as (client, process):
        yield client, process


@contextmanager
def running_encoders(
    environment: Mapping[str, str], log: Path, port: int = 0
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    """`medley encode`, and a client to it."""
    with _listening(["encode", "--port", str(port)], environment, log) as (client, process):
        yield client, process


@contextmanager
def _listening(
    arguments: list[str], environment: Mapping[str, str], log: Path, wrapper: Sequence[str] = ()
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes]]]:
    with started(arguments, environment, log, wrapper) as process:

        def listening() -> str:
            return "".join(re.findall(r"listens? on (http://\S+)", log.read_text())[:1])

        address = until(listening, 120, lambda: log.read_text())
        with httpx.Client(base_url=address, timeout=60) as client:
            yield client, process
