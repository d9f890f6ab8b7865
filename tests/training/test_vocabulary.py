"""Words that train the starter: forms, synonyms, wide words, phrases, absence of people, and translations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.photos import Photo
from training.vocabulary import LIKELY, Entries, Vocabulary

DOG = ("a brown dog runs", "brown dog running on the beach", "dogs at the beach", "a beach", "sand")
BOY = ("a boy on a bicycle", "boys ride", "a child rides a bike", "the boy smiles", "a bike on the road")


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    photos = [Photo(Path(f"{number}.jpg"), "flickr8k", "train", str(number), None, DOG) for number in range(12)]
    photos += [Photo(Path(f"{number}.jpg"), "flickr8k", "train", str(number), None, BOY) for number in range(12, 24)]
    photos.append(Photo(Path("air.jpg"), "sports100", "train", "label dog", "dog racing", ("dog racing",) * 5))
    parallel = [{"en": "a dog runs", "de": "ein Hund läuft"}, {"en": "the dog sleeps", "de": "der Hund schläft"}]
    return Vocabulary(photos, [*parallel, {"en": "a boy runs", "de": "ein Junge läuft"}])


def likely(entries: Entries, text: str) -> np.ndarray:
    return np.asarray(entries.likely[entries.targets[entries.texts.index(text)]])


def test_all_forms_of_a_word_are_right_for_the_same_photos(vocabulary: Vocabulary) -> None:
    entries = vocabulary.entries()
    assert vocabulary.base("dogs") == "dog"
    np.testing.assert_array_equal(likely(entries, "dog"), likely(entries, "dogs"))
    assert likely(entries, "dog")[0] == LIKELY[3]
    assert likely(entries, "dog")[12] == 0


def test_a_synonym_and_a_wide_word_are_right_where_the_word_is(vocabulary: Vocabulary) -> None:
    entries = vocabulary.entries()
    assert likely(entries, "bicycle")[12] >= LIKELY[2]
    assert likely(entries, "animal")[0] > 0
    assert likely(entries, "people")[12] > 0


def test_a_label_says_for_certain_what_it_names(vocabulary: Vocabulary) -> None:
    assert likely(vocabulary.entries(), "dog")[24] == 1


def test_a_phrase_is_likeliest_where_one_caption_holds_all_of_it(vocabulary: Vocabulary) -> None:
    assert likely(vocabulary.entries(), "brown dog")[0] == LIKELY[2]


def test_no_people_are_in_photos_whose_captions_name_none(vocabulary: Vocabulary) -> None:
    nobody = likely(vocabulary.entries(), "no people")
    assert nobody[0] == 1
    assert nobody[12] == 0
    assert nobody[24] == 0  # a label does not say who else is there


def test_words_that_stand_together_in_parallel_sentences_are_translations(vocabulary: Vocabulary) -> None:
    assert vocabulary.translations["dog"]["de"][0] == "hund"
    entries = vocabulary.entries()
    np.testing.assert_array_equal(likely(entries, "hund"), likely(entries, "dog"))


def test_what_is_left_out_is_in_no_query(vocabulary: Vocabulary) -> None:
    texts = vocabulary.entries(frozenset({"dog"})).texts
    assert not [text for text in texts if "dog" in text.split() or "hund" in text]
