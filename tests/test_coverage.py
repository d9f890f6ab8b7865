"""Coverage: how many of a query's words a passage holds, whatever their endings."""

from __future__ import annotations

import pytest

from search.coverage import Coverage, stem

VOICEMAIL = "Our train to Paris leaves at nine fifteen from platform four. Do not forget the parties' umbrellas."


@pytest.mark.parametrize(
    ("terms", "share"),
    [
        (["train", "leave"], 1.0),
        (["trains", "leaving", "Paris"], 1.0),
        (["train", "lisbon"], 0.5),
        (["umbrella", "party", "platforms", "berlin"], 0.75),
        (["rain", "form", "art"], 0.0),
        (["(", "[a-z]+"], 0.0),
        ([], 0.0),
    ],
)
def test_a_word_counts_in_all_its_english_forms_and_only_as_a_word(terms, share):
    assert Coverage(terms).of(VOICEMAIL) == pytest.approx(share)


def test_without_text_there_is_nothing_to_hold():
    assert Coverage(["train"]).of(None) == Coverage(["train"]).of("") == 0.0


def test_a_word_asked_twice_counts_once():
    assert Coverage(["train", "trains", "lisbon"]).of(VOICEMAIL) == 0.5


@pytest.mark.parametrize("word", ["zug", "buch", "bus", "東京"])
def test_what_has_no_english_ending_stays(word):
    assert stem(word) == word
