"""The recipe for any pair: a tiny encoder of open_clip and a tiny language model, from photos to captions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tiny_models import save_llama, save_open_clip

from search.errors import LanguageModelError
from search.language.backends import open_language_model
from search.multimodal.adapter import Adapter
from search.multimodal.vision import open_senses
from search.settings import Settings
from training.multimodal import main

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models, and photos of one colour with captions that name it."""
    folder = tmp_path_factory.mktemp("recipe")
    save_open_clip(folder / "clip")
    save_llama(folder / "llama")
    (folder / "photos" / "plain").mkdir(parents=True)
    rows = []
    for number in range(16):
        colour = ("red", "blue")[number % 2]
        Image.new("RGB", (64, 48), colour).save(folder / "photos" / "plain" / f"{number}.png")
        captions = [f"a {colour} dog .", f"a dog on the {colour} beach ."]
        rows.append({"file": f"{number}.png", "captions": captions, "part": "validation" if number > 11 else "train"})
    (folder / "photos" / "plain.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def home(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home; the encoder is opened with the settings found there."""
    monkeypatch.setenv("MEDLEY_HOME", str(tmp_path))
    return tmp_path


def train(made: Path, output: Path, *more: str) -> Adapter:
    """A few steps; more of them if called again."""
    pair = ["--encoder", f"local-dir:{made / 'clip'}", "--model", str(made / "llama"), "--device", "cpu"]
    small = ["--layer", "1", "--rank", "2", "--tokens", "2", "--inner", "8", "--heads", "2", "--batch", "6"]
    steps = ["--crops", "1", "--decay-from", "30", "--save-every", "20", "--rate", "0.03"]
    where = ["--data", str(made), "--work", str(output.parent / "work"), "--output", str(output)]
    main([*pair, *small, *steps, *where, *more])
    return Adapter.load(output)


def test_the_first_stage_leaves_the_language_model_as_it_is(made: Path, home: Path) -> None:
    output = home / "adapter.safetensors"
    before, first, second = (train(made, output, "--align-steps", "3", "--steps", steps) for steps in ("0", "3", "6"))
    for name, update in first.below("layers.").items():
        assert np.array_equal(update, before.tensors[f"layers.{name}"])
        assert name.endswith(".a") or not update.any()
    assert not np.array_equal(first.tensors["resampler.query"], before.tensors["resampler.query"])
    assert all(update.any() for update in second.below("layers.").values())
    assert "--align-steps 3" in second.record.training["command"]


def test_what_was_trained_captions_pictures_through_the_settings(made: Path, home: Path) -> None:
    encoder, model = f"local-dir:{made / 'clip'}", str(made / "llama")
    settings = Settings.load(vision=True, sound=False, vision_encoder=encoder, llm=model, device="cpu")
    with pytest.raises(LanguageModelError, match=r"models/adapters: no .*VISION_ENCODER.*training\.multimodal"):
        open_senses(open_language_model(settings), settings)
    train(made, settings.adapters / "mine.safetensors", "--steps", "60", "--decay-from", "50")
    senses = open_senses(open_language_model(settings), settings)
    assert senses is not None
    pictures = [np.full((48, 64, 3), colour, np.uint8) for colour in ((255, 0, 0), (0, 0, 255))]
    red, blue = senses.vision.captions(pictures)
    assert "red" in red[0]
    assert "blue" in blue[0]

    other = Settings.load(vision=True, vision_encoder="ViT-B-32:openai", llm=model, device="cpu")
    with pytest.raises(LanguageModelError, match=r"mine\.safetensors is for local-dir:"):
        open_senses(open_language_model(other), other)
