"""open_clip spaces, with small random checkpoints written to disk: every claim but the meaning of the vectors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.tiny_models import OPEN_CLIP, imported_open_clip, save_open_clip

from search.errors import SpaceError
from search.settings import Settings
from search.signals import Signal
from search.spaces import registry, specification
from search.spaces.inputs import fit
from search.spaces.space import Space, unit_rows
from search.spaces.specification import ClipSpecification

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_open_clip(tmp_path_factory.mktemp("tiny-clip"))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.load({}, home=tmp_path, device="cpu")


def opened(checkpoint: Path, settings: Settings) -> Space:
    wanted = ClipSpecification(model=f"local-dir:{checkpoint}")
    stored = specification.encode(registry.complete(wanted, settings))
    return registry.open_space(specification.decode(stored), settings)


@pytest.fixture
def space(checkpoint: Path, settings: Settings) -> Space:
    return opened(checkpoint, settings)


def photo(seed: int = 0, size: tuple[int, int] = (320, 240)) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 16, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.asarray((unit_rows(a) * unit_rows(b)).sum(axis=1))


def reference(checkpoint: Path, pictures: list[Image.Image]) -> np.ndarray:
    """open_clip as its documentation uses it: its own transform, float32."""
    import torch

    open_clip = imported_open_clip()
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{checkpoint}")
    with torch.inference_mode():
        encoded: torch.Tensor = model.eval().encode_image(torch.stack([transform(picture) for picture in pictures]))
        return encoded.numpy()


def test_pictures_agree_with_open_clips_own_transform(space: Space, checkpoint: Path) -> None:
    pictures = [photo(1), photo(2, (240, 320)), photo(3, (1280, 960)), photo(4, (96, 96))]
    ours = space.embed(Signal.IMAGE, [fit(picture, space.image_input) for picture in pictures])
    assert ours.dtype == np.float32
    assert cosine(ours, reference(checkpoint, pictures)).min() >= 0.995


def test_words_agree_with_open_clip_and_keep_their_order(space: Space, checkpoint: Path) -> None:
    import torch

    open_clip = imported_open_clip()
    words = ["a dog", "a photo of two people on a beach at sunset", "rain"]
    model = open_clip.create_model(f"local-dir:{checkpoint}")
    with torch.inference_mode():
        theirs = model.eval().encode_text(open_clip.get_tokenizer(f"local-dir:{checkpoint}")(words)).numpy()
    assert cosine(space.embed_query_text(words)[Signal.IMAGE], theirs).min() >= 0.999


@pytest.mark.models
def test_words_meet_words_by_meaning_and_pictures_by_clip(space: Space) -> None:
    passages = ["the train to Paris leaves from platform four", "mix the flour with three eggs " * 40]
    vectors = space.embed(Signal.SPEECH, passages)
    assert vectors.shape == (2, 64 + 384)
    query = space.embed_query_text(["when does my train go?"])[Signal.SPEECH]
    assert (query @ vectors.T).argmax() == 0
    picture = space.embed_query_image([np.asarray(photo())])
    assert picture[Signal.SPEECH].shape == (1, 64 + 384)
    assert not picture[Signal.SPEECH][:, 64:].any()


def test_the_fingerprint_follows_the_weights(
    space: Space, checkpoint: Path, settings: Settings, tmp_path: Path
) -> None:
    import shutil

    from safetensors.torch import load_file, save_file

    assert space.fingerprint.digest == opened(checkpoint, settings).fingerprint.digest
    other = tmp_path / "other"
    shutil.copytree(checkpoint, other)
    weights = load_file(other / "open_clip_model.safetensors")
    weights["text_projection"] += 1
    save_file(weights, other / "open_clip_model.safetensors")
    assert opened(other, settings).fingerprint.digest != space.fingerprint.digest


def test_exchanged_weights_are_refused(checkpoint: Path, settings: Settings, tmp_path: Path) -> None:
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(checkpoint, folder)
    space = opened(folder, settings)
    path = folder / "open_clip_model.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\1\2\3")
    with pytest.raises(SpaceError, match="sha256"):
        space.embed_query_text(["a dog"])


def test_a_checkpoint_of_a_known_architecture_can_be_a_path(
    checkpoint: Path, settings: Settings, tmp_path: Path
) -> None:
    open_clip = imported_open_clip()
    (tmp_path / "Tiny-Test-16.json").write_text(json.dumps(OPEN_CLIP))
    open_clip.add_model_config(tmp_path / "Tiny-Test-16.json")
    path = str(checkpoint / "open_clip_model.safetensors")
    complete = registry.complete(ClipSpecification(model="Tiny-Test-16", pretrained=path), settings)
    assert isinstance(complete, ClipSpecification)
    assert (complete.dimension, complete.side, complete.fit) == (64, 96, "crop")


def test_weights_that_nobody_has_are_explained(settings: Settings) -> None:
    with pytest.raises(SpaceError, match="laion2b_s34b_b79k"):
        registry.complete(ClipSpecification(model="ViT-B-32", pretrained="no_such_tag"), settings)


def test_batches_are_halved_when_memory_runs_out() -> None:
    import torch

    from search.spaces.device import in_batches

    sizes: list[int] = []

    def encode(batch: Sequence[int]) -> torch.Tensor:
        if len(batch) > 3:
            raise torch.OutOfMemoryError
        sizes.append(len(batch))
        return torch.tensor([[float(item), 1.0] for item in batch])

    rows = in_batches(list(range(1, 11)), encode)
    assert max(sizes) <= 3
    assert np.allclose(rows[:, 0] / rows[:, 1], range(1, 11))
