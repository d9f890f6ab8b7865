"""The resampler of sounds is trained over frozen updates, and what is said of a label is balanced."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from search.multimodal.adapter import Adapter, AdapterRecord
from search.multimodal.low_rank import linear_parts
from search.spaces.torchvision_schemas import declare_missing
from training.multimodal_sounds import Training, parse
from training.multimodal_sounds_data import CAPTIONS, NEAR, THINGS, asks, lesson

declare_missing()
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402  after the schemas are declared

WIDTH, LAYER, TOKENS, PLACES, CHANNELS = 32, 1, 3, 6, 5


class Letters:
    """A tokenizer whose tokens are bytes."""

    bos_token_id, eos_token_id = 1, 2

    def __call__(self, text: str, **_: object) -> Any:
        return type("Encoded", (), {"input_ids": [3 + byte % 60 for byte in text.encode()]})()


class Recordings:
    """Two labels that no map could confuse, as `Sounds`."""

    labels = np.array(["rain", "siren"] * 8)

    def numbers(self, *parts: str) -> np.ndarray:
        return np.arange(0 if "train" in parts else 12, 12 if "train" in parts else 16)

    def whole(self, numbers: np.ndarray) -> np.ndarray:
        random = np.random.default_rng(0)
        sides = np.where(self.labels[np.asarray(numbers)] == "rain", 1.0, -1.0)
        noise = random.normal(size=(len(sides), PLACES, CHANNELS)) * 0.1
        return np.asarray(sides[:, None, None] + noise, np.float32)

    def any(self, numbers: np.ndarray, _random: np.random.Generator) -> np.ndarray:
        return self.whole(numbers)


def training(tmp_path: Path, **changed: Any) -> Training:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=64, hidden_size=WIDTH, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3,
    )  # fmt: skip
    network = LlamaForCausalLM(config).eval()
    tensors: dict[str, np.ndarray] = {"words": np.arange(64, dtype=np.int32)}
    for name, part in linear_parts(network.get_decoder().layers[LAYER]):
        tensors[f"layers.{LAYER}.{name}.a"] = torch.randn(2, part.in_features).numpy()
        tensors[f"layers.{LAYER}.{name}.b"] = torch.randn(part.out_features, 2).numpy() * 0.1
    plain = AdapterRecord(encoder="eyes", model="tiny", layer=LAYER, rank=2, tokens=4, inner=8, heads=2)
    base = Adapter(plain, tensors)
    record = AdapterRecord(
        encoder="ears", model="tiny", layer=LAYER, rank=2, tokens=TOKENS, inner=8, heads=2, over=base.updates_identity
    )
    options = parse(["--data", "-", "--work", "-", "--output", str(tmp_path / "sounds.safetensors"), "--batch", "8"])
    options = Namespace(**{**vars(options), "steps": 40, "aim_steps": 20, "rate": 5e-3, "save_every": 40, **changed})
    return Training(options, Recordings(), base, record, network, Letters())  # type: ignore[arg-type]


def test_the_loss_of_recordings_that_were_not_trained_on_falls_and_the_file_is_written(tmp_path: Path) -> None:
    trained = training(tmp_path)
    before = trained.validate(np.arange(12, 16))
    trained.aim()
    trained.run()
    assert trained.validate(np.arange(12, 16)) < before - 0.1
    assert not list(trained.decoder.updates.parameters())  # they are merged: only the resampler learns
    written = Adapter.load(tmp_path / "sounds.safetensors")
    assert written.tensors["typical"].shape == (2, TOKENS, WIDTH)  # one of each label
    assert not written.below("layers.")


def test_it_goes_on_from_an_earlier_file(tmp_path: Path) -> None:
    first = training(tmp_path, steps=5)
    first.run()
    loss = first.validate(np.arange(12, 16))
    again = training(tmp_path, start=tmp_path / "sounds.safetensors")
    assert again.validate(np.arange(12, 16)) == pytest.approx(loss, rel=0.02)  # but for eight bits


def test_yes_and_no_are_asked_as_often_and_never_of_the_same_thing() -> None:
    for label in CAPTIONS:
        said = lesson(label).exchanges
        yes = [exchange.question for exchange in said if exchange.answer == "Yes."]
        no = [exchange.question for exchange in said if exchange.answer == "No."]
        assert not set(yes) & set(no)
        assert len(no) == len(NEAR[label])
        assert len(yes) == (len(no) if label in THINGS else 0)
    assert asks("children playing") == "Are there children?"
    assert asks("siren") == "Is there a siren?"
