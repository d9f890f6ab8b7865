"""Copies go to a trash folder and come back; nothing is ever removed that would be missed."""

from __future__ import annotations

from pathlib import Path

import httpx
import msgspec
import pytest
from support.service_world import World

from search.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, allow_removal=True)


@pytest.fixture
def pair(world: World) -> tuple[str, str]:
    return str(world.picture("one.jpg", "red")), str(world.picture("copies/two.jpg", "red"))


def test_a_copy_goes_to_the_trash_and_comes_back_searchable(
    world: World, client: httpx.Client, pair: tuple[str, str]
) -> None:
    keep, gone = pair
    before = (world.media / "copies" / "two.jpg").read_bytes()
    (item,) = client.post("/v1/trash", json={"assets": [gone], "keep": [keep]}).json()["items"]
    assert not (world.media / "copies" / "two.jpg").exists()
    assert client.get(f"/v1/assets/{gone}").json()["status"] == "missing"
    assert [one["id"] for one in client.get("/v1/trash").json()["items"]] == [item["id"]]
    assert client.post(f"/v1/trash/{item['id']}/restore").status_code == 200
    assert (world.media / "copies" / "two.jpg").read_bytes() == before
    assert client.get(f"/v1/assets/{gone}").json()["status"] == "indexed"
    assert client.get("/v1/trash").json()["items"] == []


def test_what_would_be_missed_stays(world: World, client: httpx.Client, pair: tuple[str, str]) -> None:
    keep, gone = pair
    for body in (
        {"assets": [gone], "keep": [gone]},
        {"assets": [gone], "keep": ["999"]},
        {"assets": [gone], "keep": []},
    ):
        assert client.post("/v1/trash", json=body).status_code >= 400
    (world.media / "copies" / "two.jpg").write_bytes(b"changed meanwhile")
    refused = client.post("/v1/trash", json={"assets": [gone], "keep": [keep]})
    assert "changed since" in refused.json()["detail"]
    (world.media / "one.jpg").unlink()
    assert client.post("/v1/trash", json={"assets": [gone], "keep": [keep]}).status_code >= 400
    assert (world.media / "copies" / "two.jpg").exists()


def test_a_place_that_is_taken_by_now_is_not_overwritten(
    world: World, client: httpx.Client, pair: tuple[str, str]
) -> None:
    keep, gone = pair
    (item,) = client.post("/v1/trash", json={"assets": [gone], "keep": [keep]}).json()["items"]
    (world.media / "copies" / "two.jpg").write_bytes(b"another")
    assert client.post(f"/v1/trash/{item['id']}/restore").status_code == 400
    assert (world.media / "copies" / "two.jpg").read_bytes() == b"another"
    assert client.post("/v1/trash/../../etc/restore").status_code == 404
    assert client.post("/v1/trash/nothing/restore").status_code == 404


class TestWithoutTheSetting:
    @pytest.fixture
    def settings(self, settings: Settings) -> Settings:
        return msgspec.structs.replace(settings, allow_removal=False)

    def test_nothing_is_removed(self, world: World, client: httpx.Client, pair: tuple[str, str]) -> None:
        keep, gone = pair
        assert client.post("/v1/trash", json={"assets": [gone], "keep": [keep]}).status_code == 403
        assert Path(world.media / "copies" / "two.jpg").exists()
        assert client.get("/v1/session").json()["features"].count("trash") == 0
