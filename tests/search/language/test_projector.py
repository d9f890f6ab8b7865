"""The projector: what it takes and gives, its file, and that its recipe teaches something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.language_world import WordModel, embed

from search.errors import LanguageModelError
from search.language.picture_captions import PictureReader
from search.language.projector import WEIGHTS, Projector, ProjectorRecord, file_name, find_projector
from search.settings import Settings
from search.signals import Signal
from search.spaces.registry import open_space
from search.spaces.space import Fingerprint
from search.spaces.specification import StarterSpecification, newest_starter
from training import projector as recipe
from training.projector_data import Examples, collect, photo_captions, read_captions, tidy, typical_items

WORDS, DIMENSION, WIDTH = 12, 6, 8


@pytest.fixture
def projector() -> Projector:
    random = np.random.default_rng(1)
    tensors = {
        "widen.weight": random.standard_normal((WORDS, DIMENSION)),
        "widen.bias": np.zeros(WORDS),
        "usual": np.zeros(WORDS),
        "narrow": random.standard_normal((WORDS, WIDTH)),
        "typical": unit(2),
    }
    return Projector(
        ProjectorRecord(space="starter", model="embedded", soft_tokens=3, words=tuple("abcdefghijkl")), tensors
    )


def space(weights: str = "any") -> Fingerprint:
    return Fingerprint(
        space="starter", models=(("image", weights),), preprocessing="", dtype="float32", dimensions=(("image", 6),)
    )


def unit(n: int) -> np.ndarray:
    rows = np.random.default_rng(2).standard_normal((n, DIMENSION)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))


def test_an_item_becomes_a_few_tokens_as_wide_as_the_model(projector: Projector) -> None:
    soft = projector.project(unit(5))
    assert soft.shape == (5, 3, WIDTH)
    assert soft.dtype == np.float32
    assert (projector.dimension, projector.width) == (DIMENSION, WIDTH)


def test_the_words_behind_the_tokens_can_be_read(projector: Projector) -> None:
    (words,) = projector.words(unit(1))
    rows = [projector.tensors()["narrow"]["abcdefghijkl".index(word)] for word in words]
    assert np.array_equal(np.stack(rows), projector.project(unit(1))[0])


def test_items_do_not_depend_on_their_neighbours(projector: Projector) -> None:
    rows = unit(4)
    assert np.array_equal(projector.project(rows)[2], projector.project(rows[2:3])[0])


@pytest.mark.parametrize("shape", [(3,), (2, 5), (1, 2, 6)])
def test_vectors_of_another_shape_are_refused(projector: Projector, shape: tuple[int, ...]) -> None:
    with pytest.raises(LanguageModelError, match="takes vectors of 6"):
        projector.project(np.zeros(shape, np.float32))


def test_saved_and_loaded_it_is_the_same(projector: Projector, tmp_path: Path) -> None:
    path = tmp_path / file_name("starter", "embedded")
    projector.save(path)
    loaded = find_projector(space(), "embedded", tmp_path)
    assert loaded is not None
    assert loaded.record == projector.record
    assert np.allclose(loaded.project(unit(3)), projector.project(unit(3)), atol=1e-2)


def test_a_pair_that_nobody_trained_has_none() -> None:
    assert find_projector(space(), "some/other-model") is None


def test_versions_of_a_space_that_see_pictures_alike_share_one(projector: Projector, tmp_path: Path) -> None:
    models = (("text", "a"), ("image", "b"))
    trained = msgspec.structs.replace(space(), models=models, preprocessing="text: centred; image: squash 260")
    record = msgspec.structs.replace(projector.record, fingerprint=trained.pictures)
    Projector(record, projector.tensors()).save(tmp_path / file_name("starter", "embedded"))
    of_words = {"models": (("text", "other"), ("image", "b")), "preprocessing": "text: as it is; image: squash 260"}
    assert find_projector(msgspec.structs.replace(trained, **of_words), "embedded", tmp_path) is not None
    for of_pictures in (
        {"models": (("text", "a"), ("image", "other"))},
        {"preprocessing": "text: centred; image: squash 224"},
    ):
        assert find_projector(msgspec.structs.replace(trained, **of_pictures), "embedded", tmp_path) is None


def test_one_that_was_trained_for_other_weights_of_the_space_is_not_used(
    projector: Projector, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record = msgspec.structs.replace(projector.record, fingerprint=space("old weights").digest)
    Projector(record, projector.tensors()).save(tmp_path / file_name("starter", "embedded"))
    assert find_projector(space("old weights"), "embedded", tmp_path) is not None
    with caplog.at_level("INFO"):
        assert find_projector(space("new weights"), "embedded", tmp_path) is None
    assert "trained for another starter space" in caplog.text


@pytest.mark.parametrize("content", [b"", b"junk" * 10, b"\xff" * 100])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "projector-x.safetensors"
    path.write_bytes(content)
    with pytest.raises(LanguageModelError, match=r"projector-x\.safetensors"):
        Projector.load(path)


@pytest.mark.parametrize("version", [StarterSpecification(), StarterSpecification(version=2), newest_starter()])
def test_the_shipped_one_fits_every_version_of_the_starter_and_the_embedded_model(
    version: StarterSpecification, settings: Settings
) -> None:
    starter = open_space(version, settings)
    shipped = find_projector(starter.fingerprint, "embedded")
    assert shipped is not None
    assert (shipped.dimension, shipped.width) == (384, 576)
    assert (WEIGHTS / file_name("starter", "embedded")).stat().st_size < 10 * 1024**2
    assert shipped.record.training
    assert shipped.record.fingerprint == starter.fingerprint.pictures


def test_a_reader_describes_pictures_and_tells_how_well_words_fit(projector: Projector) -> None:
    reader = PictureReader(WordModel("A dog runs. And more"), projector)
    (described,) = reader.describe(unit(1))
    assert described.words == "A dog runs. And more"
    assert reader.gains("a dog", unit(4)).shape == (4,)


def test_a_captions_prior_is_what_typical_pictures_give_it(projector: Projector) -> None:
    """A model that likes a caption behind any picture learns nothing from this one."""
    tensors = {**projector.tensors(), "typical": unit(4)}
    reader = PictureReader(WordModel(), Projector(projector.record, tensors))
    gains = reader.gains("a dog", unit(4))
    assert gains.min() < 0 < gains.max()
    assert np.mean(np.exp(gains)) == pytest.approx(1, abs=1e-3)  # of probabilities, not of logarithms


# The recipe.


def test_captions_of_all_corpora_are_spelled_alike() -> None:
    assert tidy("a dog 's ball , in the grass .") == "A dog's ball, in the grass."
    assert tidy(" . ") == ""


class WordSpace:
    """Texts and pictures by their words; here a "picture" is never asked for."""

    def embed_query_text(self, texts: list[str]) -> dict[Signal, np.ndarray]:
        return {Signal.IMAGE: embed(texts)}


def write_corpus(folder: Path) -> tuple[Path, Path]:
    captions, photos = folder / "captions.txt", folder / "photos.jsonl"
    animals, segment_positions = ("dog", "cat", "horse", "bird"), ("beach", "street", "garden", "kitchen")
    lines = [f"a {animal} in the {offset} ." for animal in animals for offset in segment_positions] * 25
    captions.write_text("\n".join(lines), "utf-8")
    rows = [
        {"file": "a.jpg", "captions": ["A dog.", "The dog on a beach."], "part": part} for part in ("train", "test")
    ]
    photos.write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return captions, photos


def test_examples_take_the_training_part_and_keep_their_vectors(tmp_path: Path) -> None:
    captions, photos = write_corpus(tmp_path)
    assert len(read_captions([captions])) == 400
    examples = collect([captions], photos, False, tmp_path / "work", WordSpace)
    assert len(examples.captions) == 402
    assert examples.captions[-1].rows == (400, 401)  # either caption may stand for the photo
    again = collect([captions], photos, False, tmp_path / "work", lambda: pytest.fail("embedded twice"))
    assert np.array_equal(again.vectors, examples.vectors)


def test_typical_items_are_unit_rows_apart_from_each_other() -> None:
    blocks = np.repeat(np.eye(DIMENSION)[:3], 40, axis=0)
    noise = np.random.default_rng(0).standard_normal(blocks.shape) / 20
    centres = typical_items((blocks + noise).astype(np.float16), 3)
    assert np.allclose(np.linalg.norm(centres, axis=1), 1, atol=1e-3)
    assert sorted(np.abs(centres).argmax(1)) == [0, 1, 2]


class Words:
    """What the first fit needs of a language model: an embedding for each word."""

    def embedding(self, word: str) -> Any:
        import torch

        return torch.from_numpy(embed([word])[0])


def test_the_first_fit_teaches_which_words_an_item_shows(tmp_path: Path) -> None:
    captions, _ = write_corpus(tmp_path)
    examples = collect([captions], None, False, tmp_path / "work", WordSpace)
    options = recipe.parse(["--output", str(tmp_path / "p.safetensors"), "--soft-tokens", "2", "--passes", "100"])
    layers = recipe.start_layers(Words(), examples, options)
    recipe.first_fit(layers, examples, layers.names, options)
    projector = layers.export(ProjectorRecord(space="words", model="words", soft_tokens=2))
    (soft,) = projector.project(embed(["A horse in the garden."]))
    near = {name: float((soft @ embed([name])[0]).max()) for name in ("horse", "garden", "dog", "kitchen")}
    assert min(near["horse"], near["garden"]) > 0.99 > max(near["dog"], near["kitchen"])


def test_training_through_a_model_lowers_its_loss(tmp_path: Path, tiny_frozen: Any) -> None:
    import torch

    captions, _ = write_corpus(tmp_path)
    examples = collect([captions], None, False, tmp_path / "work", WordSpace)
    frozen = recipe.FrozenModel(tiny_frozen[0], tiny_frozen[1], examples.captions, compile_layers=False)
    torch.manual_seed(0)
    layers = recipe.Layers(torch.randn(9, WIDTH), torch.zeros(9), torch.zeros(1, 64), 2)
    rows = list(range(64))
    vectors = torch.from_numpy(examples.vectors[rows].astype(np.float32))
    before = frozen.loss(layers(vectors), rows).mean().item()
    options = recipe.parse(["--output", str(tmp_path / "p"), "--minutes", "5", "--steps", "60", "--rate", "0.05"])
    saved: list[int] = []
    recipe.train(layers, frozen, examples, options, saved.append)
    assert saved[-1] == 60
    assert frozen.loss(layers(vectors), rows).mean().item() < before


@pytest.fixture
def tiny_frozen() -> tuple[Any, Any]:
    """A Llama of random weights over letters, with the least of a tokenizer."""
    from search.spaces.torchvision_schemas import declare_missing

    declare_missing()
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=128,
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
    )

    class Encoded:
        def __init__(self, ids: Any) -> None:
            self.input_ids = ids

    def tokenizer(text: str | list[str], add_special_tokens: bool = False) -> Encoded:
        ids = [[ord(c) % 128 for c in one] for one in ([text] if isinstance(text, str) else text)]
        return Encoded(ids[0] if isinstance(text, str) else ids)

    return LlamaForCausalLM(config).float().eval(), tokenizer


def test_photos_stand_for_each_of_their_captions() -> None:
    captions = photo_captions([{"captions": ["one", "", "two"]}, {"captions": ["three"]}], start=10)
    assert [(caption.text, caption.rows) for caption in captions] == [
        ("One.", (10, 11)),
        ("Two.", (10, 11)),
        ("Three.", (12,)),
    ]
    assert isinstance(Examples(captions, np.zeros((13, 2))), Examples)
