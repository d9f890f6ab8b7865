"""The files of models that other people made: found, fetched, checked, and never run as code.

Only safetensors weights and the configuration beside them are taken: pickles can run code when they are read, and
Python files are code. Knows folders and the hub; knows no model.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from msgspec import Struct

from search.errors import MedleyError, SpaceError
from search.settings import Settings
from search.spaces.weights import file_sha256

_TAKEN = ("*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
# Other forms of the same weights, each as large again.
_PASSED_OVER = ("onnx/*", "openvino/*", "original/*", "consolidated*", "*.py", "*.md")
_PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


class ModelFiles(Struct, frozen=True):
    """The files of a model."""

    folder: Path
    revision: str = ""  # commit on the hub; empty for a folder of this machine
    sha256: str = ""  # over all files that are read


def is_folder(model: str) -> bool:
    """Does the name mean a folder of this machine, not a model of the hub?"""
    return Path(model).expanduser().is_dir()


def find_files(model: str, settings: Settings, revision: str = "", error: type[MedleyError] = SpaceError) -> ModelFiles:
    """A folder's files, or the hub's in the model cache; fetched where they are not there yet. Raises `error`."""
    if is_folder(model):
        folder, commit = Path(model).expanduser().absolute(), ""
    else:
        folder = _fetched(model, settings, revision, error)
        commit = folder.name
    return ModelFiles(folder, commit, _checked(folder, model, error))


def _fetched(model: str, settings: Settings, revision: str, error: type[MedleyError]) -> Path:
    if model.startswith(("/", ".", "~")) or model.count("/") > 1:
        raise error(f"there is no folder {model}: name a folder that holds a model, or ORG/NAME of the hub")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        raise error(missing_extra()) from None
    wanted: dict[str, Any] = {
        "revision": revision or None,
        "cache_dir": settings.models / "hub",
        "allow_patterns": list(_TAKEN),
        "ignore_patterns": list(_PASSED_OVER),
    }
    try:
        if revision:
            try:
                return Path(snapshot_download(model, local_files_only=True, **wanted))
            except OSError:
                pass  # not on this machine yet
        return Path(snapshot_download(model, **wanted))
    except Exception as problem:  # noqa: BLE001 - the hub's client raises its own, its transport's and the system's
        raise error(f"the files of {model} can't be fetched: {_first_line(problem)}") from None


def _checked(folder: Path, model: str, error: type[MedleyError]) -> str:
    """sha256 in hex over the names and sums of all files that are read."""
    files = sorted(path for pattern in _TAKEN for path in folder.rglob(pattern) if not _is_passed_over(path, folder))
    weights = [path for path in files if path.suffix == ".safetensors"]
    if not weights:
        raise error(f"{model} holds no weights as safetensors, the only kind that Medley reads of foreign models")
    safe = {path.parent for path in weights}
    for path in folder.rglob("*"):
        if path.suffix in _PICKLES and path.parent not in safe and not _is_passed_over(path, folder):
            raise error(
                f"{path} is a pickle, which could run code: save the model again as safetensors "
                "(`save_pretrained` does)"
            )
    if (folder / "adapter_config.json").is_file():
        raise error(
            f"{model} is an adapter of another model: merge it (`merge_and_unload` of peft), save it, name that"
        )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(folder).as_posix()} {file_sha256(path)}\n".encode())
    return digest.hexdigest()


def _is_passed_over(path: Path, folder: Path) -> bool:
    inside = path.relative_to(folder)
    return inside.parts[0] in {"onnx", "openvino", "original", ".git", ".cache"} or path.name.startswith("consolidated")


def missing_extra() -> str:
    """What to say where the libraries are not installed."""
    return "models of sentence-transformers need an extra: pip install 'medley-search[encoders]'"


def why_not(model: str, problem: BaseException) -> str:
    """One line on why a model can't be loaded."""
    line = _first_line(problem)
    if "trust_remote_code" in str(problem) or "custom code" in str(problem):
        line = "it needs code of its own, which Medley never runs; look for a version that transformers knows by itself"
    return f"{model} can't be loaded: {line}"


def _first_line(problem: BaseException) -> str:
    return next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
