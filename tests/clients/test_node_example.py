"""The example for Node finds something, where Node is installed."""

from __future__ import annotations

import os
import shutil
import subprocess

import httpx
import pytest
from support.paths import ROOT
from support.service_world import World

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="Node is not installed")
def test_the_example_for_node_searches(world: World, client: httpx.Client) -> None:
    world.picture("leaf.png", "green")

    def run(text: str) -> subprocess.CompletedProcess[str]:
        command = [str(NODE), str(ROOT / "clients" / "node" / "search.mjs"), text]
        variables = os.environ | {"MEDLEY_URL": str(client.base_url).rstrip("/")}
        return subprocess.run(command, env=variables, capture_output=True, text=True, check=False)

    found = run("green")
    assert found.returncode == 0, found.stderr
    assert "leaf.png" in found.stdout
    refused = run('"open')
    assert refused.returncode == 1
    assert "problem:query" in refused.stderr
