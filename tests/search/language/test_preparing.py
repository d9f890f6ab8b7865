"""The embedded model is made ready before anybody asks."""

from __future__ import annotations

import threading
from pathlib import Path

import gguf
import msgspec
import numpy as np
import pytest
from support.waiting import until

from search.errors import SpaceError
from search.language import backends, embedded_model
from search.settings import Settings
from search.spaces.weights import WeightFile


def test_only_the_embedded_model_needs_preparing_and_only_once(settings: Settings) -> None:
    assert backends.needs_preparing(settings)
    assert not backends.needs_preparing(msgspec.structs.replace(settings, llm="openai:some-model"))
    folder = settings.models / f"smollm2-135m-{embedded_model.GGUF.sha256[:12]}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert not backends.needs_preparing(settings)


def test_pages_are_read_with_it_whichever_model_phrases(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[Path] = []
    monkeypatch.setattr(embedded_model, "prepare", prepared.append)
    backends.prepare(msgspec.structs.replace(settings, llm="openai:some-model"))
    assert prepared == [settings.models]


def test_what_can_not_be_prepared_stops_nobody(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.models.parent.mkdir(parents=True, exist_ok=True)
    settings.models.write_text("a file where the folder should be")
    backends.prepare(settings)
    assert "can't be prepared" in caplog.text


def test_what_was_not_prepared_in_time_is_prepared_when_it_is_asked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And tells why that fails, until it does not: `medley setup` helps a server that runs."""
    begun, going, broken = threading.Semaphore(0), threading.Semaphore(0), True

    def convert(_source: Path, target: Path) -> None:
        begun.release()
        going.acquire()
        if broken:
            raise OSError("no space left")
        (target / "config.json").write_text("{}")

    monkeypatch.setattr(WeightFile, "find", lambda file: Path(file.path))
    monkeypatch.setattr(embedded_model, "convert", convert)
    model = backends.LocalModel(settings)
    assert [model.prepare_soon(), model.prepare_soon()] == ["", ""]
    begun.acquire()
    assert not begun.acquire(blocking=False)  # one at a time
    going.release()
    until(lambda: bool(embedded_model.failure(settings.models)))
    assert not model.ready
    broken = False
    going.release()

    def prepared() -> bool:
        problem = model.prepare_soon()
        assert "no space left" in problem
        assert str(settings.models) in problem
        return model.ready

    until(prepared)


def test_missing_weights_name_the_command_that_gets_them(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def missing(_: WeightFile) -> Path:
        raise SpaceError("x.gguf is missing: run `medley setup`")

    monkeypatch.setattr(WeightFile, "find", missing)
    backends.prepare(settings)  # as a command line does, which has no time for another attempt
    assert "run `medley setup`" in caplog.text
    assert "run `medley setup`" in backends.LocalModel(settings).prepare_soon()


def test_what_is_converted_is_to_the_byte_what_transformers_makes_of_the_file(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    small = _small_gguf(tmp_path / "small.gguf")
    (tmp_path / "ours").mkdir()
    embedded_model.convert(small, tmp_path / "ours")
    with embedded_model.quiet():
        theirs = AutoModelForCausalLM.from_pretrained(
            tmp_path, gguf_file=small.name, quantization_config=GgufConfig(dequantize=True)
        )
        theirs.bfloat16().save_pretrained(tmp_path / "theirs")
        AutoTokenizer.from_pretrained(tmp_path, gguf_file=small.name).save_pretrained(tmp_path / "theirs")
    ours = {path.name: path.read_bytes() for path in (tmp_path / "ours").iterdir()}
    assert ours == {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} < ours.keys()


def _small_gguf(path: Path) -> Path:
    """Two layers of random weights, in every way that the embedded model's weights are kept."""
    layers, width, inner, heads, key_heads, words = 2, 64, 96, 4, 2, [*"abcd", "ab", "cd", "<|im_start|>", "<|im_end|>"]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("small")
    writer.add_block_count(layers)
    writer.add_context_length(128)
    writer.add_embedding_length(width)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(key_heads)
    writer.add_rope_freq_base(100_000.0)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(words)
    writer.add_token_types([1] * 6 + [3] * 2)
    writer.add_token_merges(["a b", "c d"])
    writer.add_bos_token_id(6)
    writer.add_eos_token_id(7)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(7)
    writer.add_chat_template("{% for m in messages %}{{ m.content }}{% endfor %}")
    random = np.random.default_rng(1)
    shapes = {
        "attn_norm": (width,), "attn_q": (width, width), "attn_k": (width // heads * key_heads, width),
        "attn_v": (width // heads * key_heads, width), "attn_output": (width, width), "ffn_norm": (width,),
        "ffn_gate": (inner, width), "ffn_up": (inner, width), "ffn_down": (width, inner),
    }  # fmt: skip
    tensors = {"token_embd": (len(words), width), "output_norm": (width,)}
    tensors |= {f"blk.{layer}.{name}": shape for layer in range(layers) for name, shape in shapes.items()}
    for name, shape in tensors.items():
        kind = gguf.GGMLQuantizationType.Q8_0 if name == "token_embd" else gguf.GGMLQuantizationType.Q4_1
        values = random.standard_normal(shape, np.float32)
        if len(shape) == 1:
            writer.add_tensor(f"{name}.weight", values)
        else:
            writer.add_tensor(f"{name}.weight", gguf.quantize(values, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
