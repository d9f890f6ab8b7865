"""A process ends with the status of its command, whatever its threads in the background are doing."""

from __future__ import annotations

import subprocess
import sys

import pytest

# Threads that go in and out of C++ all the time, as one does that loads a model.
COMMAND = """
import atexit, io, sys, threading
import medley_search, torch
import api.cli

def busy():
    layer, rows = torch.nn.Linear(64, 64), torch.randn(64, 64)
    while True:
        torch.save(layer(rows), io.BytesIO())
        started.set()

def main():
    atexit.register(print, "closed")
    for _ in range(3):
        threading.Thread(target=busy, daemon=True).start()
    started.wait()
    {ending}

started = threading.Event()
api.cli.main = main
medley_search.main()
"""


@pytest.mark.parametrize(
    ("ending", "status"),
    [("pass", 0), ("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(3)", 3), ("raise ValueError('wrong')", 1)],
)
def test_threads_in_the_background_do_not_bring_the_process_down(ending: str, status: int) -> None:
    child = [sys.executable, "-c", COMMAND.format(ending=ending)]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == status, ended.stderr
    assert ended.stdout == "closed\n", "what is closed at the end is still closed"
    assert "terminate called" not in ended.stderr
    assert ("ValueError: wrong" in ended.stderr) == (status == 1)
