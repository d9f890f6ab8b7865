"""A Ray cluster on this machine, kept by a process that does nothing else.

To start a machine, Ray's test kit forks and runs Python in the child before it becomes the machine's daemon. In a
process with the threads of a test run (decoders, models, Ray's own driver) such a child has crashed. The keeper has
none of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

SMALL: dict[str, Any] = {"object_store_memory": 100 * 1024**2, "include_dashboard": False}


class RayCluster:
    """A head without cores, and the machines that a test adds."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "support.ray_cluster"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = self._answer()
        self._alive: set[int] = set()

    def add(self, cores: int) -> int:
        """A machine with so many cores; returns its number."""
        machine = int(self._ask(f"add {cores}"))
        self._alive.add(machine)
        return machine

    def kill(self, machine: int) -> None:
        """End a machine as a power cut would."""
        self._alive.discard(machine)
        self._ask(f"kill {machine}")

    def kill_all(self) -> None:
        """All but the head."""
        for machine in list(self._alive):
            self.kill(machine)

    def close(self) -> None:
        """End the head as well."""
        assert self._keeper.stdin is not None
        assert self._keeper.stdout is not None
        self._keeper.stdin.close()
        self._keeper.wait(timeout=60)
        self._keeper.stdout.close()

    def _ask(self, line: str) -> str:
        assert self._keeper.stdin is not None
        self._keeper.stdin.write(f"{line}\n")
        self._keeper.stdin.flush()
        return self._answer()

    def _answer(self) -> str:
        assert self._keeper.stdout is not None
        line = self._keeper.stdout.readline().strip()
        assert line, "the process that keeps the Ray cluster has ended"
        return line


def keep() -> None:
    """Do what standard input says until it ends, and answer each line with one."""
    from ray.cluster_utils import Cluster

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what anything else prints is no answer
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
    machines: list[Any] = []
    print(cluster.address, file=answers, flush=True)
    for line in sys.stdin:
        verb, number = line.split()
        if verb == "add":
            machines.append(cluster.add_node(num_cpus=int(number), **SMALL))
            number = str(len(machines) - 1)
        else:
            cluster.remove_node(machines[int(number)], allow_graceful=False)
        print(number, file=answers, flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    keep()
