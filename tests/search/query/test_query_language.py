"""The query language: what each form means, where errors point, and that nothing crashes it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.paths import ROOT

from search.errors import QueryError
from search.query.conditions import (
    And,
    CameraContains,
    CapturedBefore,
    CapturedFrom,
    Compare,
    Condition,
    Field,
    InBox,
    InRadius,
    KindIs,
    LanguageIs,
    Not,
    Operator,
    Or,
    PathMatches,
    PlaceIs,
    SignalIs,
    SourceIs,
)
from search.query.parse import condition_of, parse_query, parse_reference
from search.results import Filters, Kind
from search.signals import Signal

DOCUMENT = ROOT / "docs" / "query-language.md"


def _parts(text: str) -> list[tuple[float, str | None]]:
    return [(part.weight, part.text or part.reference) for part in parse_query(text).parts]


def _condition(text: str) -> Condition | None:
    return condition_of(parse_query(text).filters)


def _documented() -> list[tuple[str, str]]:
    """(heading, first cell without backquotes) of every table row of the page, one per backquoted form."""
    rows, heading = [], ""
    for line in DOCUMENT.read_text("utf-8").splitlines():
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif line.startswith("| `"):
            rows += [(heading, form) for form in re.findall(r"`([^`]+)`", line.split("|")[1])]
    return rows


@pytest.mark.parametrize(("heading", "form"), [row for row in _documented() if row[0] != "Mistakes"])
def test_every_documented_query_is_understood(heading: str, form: str) -> None:
    query = parse_query(form)
    assert query.parts or query.phrases or query.filters.where
    assert (condition_of(query.filters) is not None) == (heading == "Filters")


def _mistakes() -> list[tuple[str, int, str]]:
    rows = re.findall(r"^\| `(.+)` \| (\d+): (.+) \|$", DOCUMENT.read_text("utf-8"), re.MULTILINE)
    return [(query, int(position), message) for query, position, message in rows]


@pytest.mark.parametrize(("text", "position", "message"), _mistakes())
def test_every_documented_mistake_points_at_its_character(text: str, position: int, message: str) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert caught.value.position == position
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sunset over a boat", [(1, "sunset over a boat")]),
        ("2*sunset + 0.5*boat - people", [(2, "sunset"), (0.5, "boat"), (-1, "people")]),
        ("2 * red sunset", [(2, "red sunset")]),
        ("dog -cat on the beach", [(-1, "cat"), (1, "dog on the beach")]),
        ("beach - 0.5*crowd of people", [(1, "beach"), (-0.5, "crowd of people")]),
        ("red car + 3*(snow at night)", [(1, "red car"), (3, "snow at night")]),
        ("dog -(black cat) outside", [(-1, "black cat"), (1, "dog outside")]),
        ("-0.5*people + beach", [(-0.5, "people"), (1, "beach")]),
        ("asset:42@12-17 - asset:7", [(1, "42@12-17"), (-1, "7")]),
        ("2*asset:42", [(2, "42")]),
        ("a well-known C++ song, 10:30, 1984", [(1, "a well-known C++ song, 10:30, 1984")]),
        ("DOG OR CAT", [(1, "DOG OR CAT")]),
        ("DO NOT ENTER", [(1, "DO NOT ENTER")]),
    ],
)
def test_words_signs_and_weights_make_parts(text: str, parts: list[tuple[float, str]]) -> None:
    assert _parts(text) == parts


def test_quoted_words_are_required_and_also_meant() -> None:
    query = parse_query('speech "ask  not" “what your”')
    assert query.phrases == ("ask not", "what your")
    assert [part.text for part in query.parts] == ["speech ask not what your"]


def test_unwanted_quoted_words_are_excluded_and_not_meant() -> None:
    query = parse_query('holiday -"happy birthday"')
    assert query.unwanted_phrases == ("happy birthday",)
    assert [(part.weight, part.text) for part in query.parts] == [(1, "holiday")]


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("kind:image", KindIs(Kind.IMAGE)),
        ("kind:video,audio", Or((KindIs(Kind.VIDEO), KindIs(Kind.AUDIO)))),
        ("signal:speech", SignalIs(Signal.SPEECH)),
        ("duration>1m30s", Compare(Field.DURATION, Operator.MORE, 90)),
        ("duration<=1:02:03", Compare(Field.DURATION, Operator.AT_MOST, 3723)),
        (
            "duration:10..20",
            And((Compare(Field.DURATION, Operator.AT_LEAST, 10), Compare(Field.DURATION, Operator.AT_MOST, 20))),
        ),
        ("size>=5MB", Compare(Field.SIZE, Operator.AT_LEAST, 5e6)),
        ("size<1KiB", Compare(Field.SIZE, Operator.LESS, 1024)),
        ("width=1920", Compare(Field.WIDTH, Operator.EQUAL, 1920)),
        ('camera:"iPhone 15"', CameraContains("iPhone 15")),
        ("place:paris", PlaceIs("paris")),
        ('place:"New York City, United States"', PlaceIs("New York City, United States")),
        ("path:2024/*.jpg", PathMatches("2024/*.jpg")),
        ("source:/media/photos", SourceIs("/media/photos")),
        ("language:EN", LanguageIs("en")),
        ("box:48.8,2.2,48.9,2.5", InBox(48.8, 2.2, 48.9, 2.5)),
        ("near:48.86,2.35,500m", InRadius(48.86, 2.35, 500)),
        ("near:-33.9,151.2,2", InRadius(-33.9, 151.2, 2000)),
        ("after:2024-07-14", CapturedFrom(1720915200)),
        ("before:2024-07-14", CapturedBefore(1720915200 + 86400)),
        ("before:2024-02", CapturedBefore(1709251200)),
        ("after:2024-07-14T02:00+02:00", CapturedFrom(1720915200, is_instant=True)),
        ("date:2023", And((CapturedFrom(1672531200), CapturedBefore(1704067200)))),
    ],
)
def test_a_filter_means_its_condition(text: str, condition: Condition) -> None:
    assert _condition(text) == condition


def test_not_binds_closest_then_and_then_or() -> None:
    image, video, canon = KindIs(Kind.IMAGE), KindIs(Kind.VIDEO), CameraContains("canon")
    assert _condition("kind:image OR kind:video AND NOT camera:canon") == Or((image, And((video, Not(canon)))))
    assert _condition("(kind:image OR kind:video) AND NOT camera:canon") == And((Or((image, video)), Not(canon)))
    assert _condition("NOT (kind:image OR camera:canon)") == Not(Or((image, canon)))
    assert _condition("kind:image camera:canon") == And((image, canon))
    assert _condition("-kind:image dog -camera:canon") == And((Not(image), Not(canon)))


def test_words_and_filters_mix_in_any_order() -> None:
    query = parse_query("kind:image dog AND NOT camera:canon on a beach")
    assert [part.text for part in query.parts] == ["dog on a beach"]
    assert condition_of(query.filters) == And((KindIs(Kind.IMAGE), Not(CameraContains("canon"))))


def test_typed_filters_and_those_in_the_text_are_all_required() -> None:
    query = parse_query("dog kind:image", filters=Filters(path=("*.jpg", "*.png"), where="size>1"))
    assert condition_of(query.filters) == And(
        (Or((PathMatches("*.jpg"), PathMatches("*.png"))), Compare(Field.SIZE, Operator.MORE, 1), KindIs(Kind.IMAGE))
    )


def test_attachments_are_weighed_where_named_and_count_once_where_not() -> None:
    first, second = np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.uint8)
    sound = np.zeros(16_000, np.float32)
    query = parse_query("0.5*image:2 - sound:1 at night", images=(first, second), sounds=(sound,), references=("7",))
    assert [(part.weight, part.text, part.reference) for part in query.parts if part.image is None][-1] == (
        1,
        None,
        "7",
    )
    assert [(part.weight, int(part.image[0, 0, 0])) for part in query.parts if part.image is not None] == [
        (0.5, 1),
        (1, 0),
    ]
    assert [part.weight for part in query.parts if part.sound is not None] == [-1]
    with pytest.raises(QueryError, match="image:3, but 2"):
        parse_query("image:3", images=(first, second))


def test_a_reference_names_an_asset_or_a_stretch_of_it() -> None:
    assert parse_reference("42").asset_id == 42
    stretch = parse_reference("42@1:05-1:30")
    assert (stretch.start_seconds, stretch.end_seconds) == (65, 90)
    assert stretch.touches(89, 95)
    assert stretch.touches(None, None)
    assert not stretch.touches(90.5, 95)
    with pytest.raises(QueryError, match="before it starts"):
        parse_reference("42@9-3")


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("kind:image,foo", 11),
        ("dog before:2024-02-31", 11),
        ("box:1,2,3", 4),
        ("box:1,2,91,4", 8),
        ("box:5,2,1,4", 4),
        ("near:1,2,far", 9),
        ("duration>soon", 9),
        ("size>5XB", 5),
        ("camera>canon", 6),
        ("a ) b", 2),
        ("(kind:image dog)", 12),
        ("((kind:image)", 0),
        ("asset:x", 6),
        ("asset:4@9-3", 10),
        ("0*dog", 0),
        ("dog + ", 4),
        ('dog ""', 4),
        ("kind:image OR dog", 11),
        ("duration:..", 9),
    ],
)
def test_an_error_points_at_the_character(text: str, position: int) -> None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    assert caught.value.position == position


def test_limits_are_named_with_their_setting() -> None:
    with pytest.raises(QueryError, match="max_query_characters"):
        parse_query("x" * 4001)
    with pytest.raises(QueryError, match="max_query_parts"):
        parse_query(" + ".join("x" * 33))
    with pytest.raises(QueryError, match="nested deeper"):
        parse_query("NOT " * 60 + "kind:image")


_FRAGMENTS = [
    *'()"“”+-*@:,.<>= \n',
    "AND ",
    "OR ",
    "NOT ",
    "kind:",
    "image",
    "asset:4",
    "@1-2",
    "2*",
    "duration>",
    "60",
]
_FRAGMENTS += ["path:", "*.jpg", "dog", "before:", "2024", "image:1", "knd:x", "é", "\x00", "near:1,2,3", "(kind:image"]


def _refused_at(text: str) -> int | None:
    with pytest.raises(QueryError) as caught:
        parse_query(text)
    return caught.value.position


@settings(max_examples=400, deadline=None)
@given(st.one_of(st.text(max_size=40), st.lists(st.sampled_from(_FRAGMENTS), max_size=14).map("".join)))
def test_any_text_is_understood_or_refused_at_a_character(text: str) -> None:
    try:
        query = parse_query(text)
    except QueryError:
        position = _refused_at(text)
        assert position is None or 0 <= position <= len(text)
    else:
        # What was understood survives a second reading: filters travel as text.
        condition_of(query.filters)
        assert all(part.text is None or part.text.strip() for part in query.parts)
