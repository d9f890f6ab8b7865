"""Without a question: the library newest first, by filters alone, with its months and what it can be filtered by."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.service_world import World


@pytest.fixture
def library(world: World, client: httpx.Client) -> httpx.Client:
    """Five pictures of three months, in no order."""
    for name, day in {
        "b": "2022-12-24",
        "d": "2021-07-01",
        "a": "2023-01-05",
        "c": "2022-12-01",
        "e": "2021-07-01",
    }.items():
        path = world.media / ("trip" if name in "bc" else ".") / f"{name}.jpg"
        path.parent.mkdir(exist_ok=True)
        world.picture(str(path.relative_to(world.media)), "red", taken=datetime.fromisoformat(day).replace(tzinfo=UTC))
    return client


def names(found: dict[str, Any]) -> list[str]:
    return [Path(hit["asset"]["path"]).name[0] for hit in found["hits"]]


def test_an_empty_search_is_the_library_newest_first(library: httpx.Client) -> None:
    answer = library.post("/v1/search", json={}).json()
    assert names(answer) == ["a", "b", "c", "e", "d"]
    assert answer["matched"]
    assert answer["hits"][1]["asset"]["dated_at"].startswith("2022-12-24")
    assert answer["hits"][0]["moments"][0]["thumbnail"]


def test_pages_hold_everything_once(library: httpx.Client) -> None:
    seen: list[str] = []
    cursor = None
    while True:
        page = library.post("/v1/search", json={"limit": 2, "cursor": cursor}).json()
        seen += names(page)
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == ["a", "b", "c", "e", "d"]
    cursor = library.post("/v1/search", json={"limit": 2}).json()["next_cursor"]
    other = library.post("/v1/search", json={"text": "kind:image", "cursor": cursor})
    assert other.status_code in (400, 422)


def test_filters_alone_are_a_query(library: httpx.Client) -> None:
    def found(**body: object) -> list[str]:
        return names(library.post("/v1/search", json=body).json())

    assert found(text="date:2022-12") == ["b", "c"]
    assert found(text="December 2022") == ["b", "c"]
    assert found(text="December 2022", dates=False) != ["b", "c"]
    assert found(filters={"path": ["trip/*"], "before": "2022-12-10"}) == ["c"]
    assert found(text="kind:video") == []


def test_words_of_time_are_told_back(library: httpx.Client) -> None:
    answer = library.post("/v1/search", json={"text": "red in December 2022", "fold_copies": False}).json()
    assert sorted(names(answer)) == ["b", "c"]
    assert answer["query"]["times"] == [{"words": "in December 2022", "filter": "date:2022-12"}]


def test_the_months_and_what_there_is_to_filter_by(library: httpx.Client, world: World) -> None:
    months = library.get("/v1/timeline").json()["items"]
    assert months == [
        {"month": "2023-01", "count": 1},
        {"month": "2022-12", "count": 2},
        {"month": "2021-07", "count": 2},
    ]
    filtered = library.get("/v1/timeline", params={"where": "after:2022"}).json()["items"]
    assert [month["month"] for month in filtered] == ["2023-01", "2022-12"]
    facets = library.get("/v1/facets").json()
    assert facets["kinds"] == [{"value": "image", "count": 5}]
    assert facets["folders"] == [
        {"value": str(world.media), "count": 3},
        {"value": str(world.media / "trip"), "count": 2},
    ]


def test_places_have_names_to_filter_by(client: httpx.Client, world: World) -> None:
    world.picture("tower.jpg", "red", at=(48.8584, 2.2945))
    world.picture("hill.jpg", "red", at=(48.8867, 2.3431))
    world.picture("gate.jpg", "green", at=(52.5163, 13.3777))
    world.picture("sea.jpg", "blue", at=(0.2, -30.1))
    world.picture("nowhere.jpg", "blue")
    places = client.get("/v1/facets").json()["places"]
    assert [(place["name"], place["count"]) for place in places[:1]] == [("Paris, France", 2)]
    assert {place["name"] for place in places} == {"Paris, France", "Berlin, Germany", None}

    def found(where: str) -> list[str]:
        hits = client.post("/v1/search", json={"text": where, "fold_copies": False}).json()["hits"]
        return sorted(Path(hit["asset"]["path"]).stem for hit in hits)

    assert found("place:paris") == found('place:"Paris, France"') == found("place:FR") == ["hill", "tower"]
    assert found("place:Berlín") == ["gate"]  # as it is called in Spanish
    assert found("place:montmartre") == ["hill"]
    assert found('place:"18ème arrondissement"') == ["hill"]
    assert found("NOT place:paris") == ["gate", "nowhere", "sea"]
    (hit,) = client.post("/v1/search", json={"text": "place:berlin"}).json()["hits"]
    assert hit["asset"]["place"] == "Berlin, Germany"
    assert client.get(f"/v1/assets/{hit['asset']['id']}").json()["place"] == "Berlin, Germany"
