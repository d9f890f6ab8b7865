"""The client of our own, sync and async, against a service."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

import anyio
import httpx
import pytest
from medley_client import AsyncMedley, Filters, Medley, MedleyError, Problem
from support.pictures import save_coloured
from support.service_world import World

from search.catalog import assets


@pytest.fixture
def medley(client: httpx.Client) -> Iterator[Medley]:
    with Medley(str(client.base_url)) as made:
        yield made


def test_it_searches_page_by_page_and_by_picture(world: World, medley: Medley) -> None:
    ids = [str(world.picture(f"{n}.png", "green", words=f"leaf {n}")) for n in range(5)]
    world.picture("rose.png", "red")
    result = medley.search("green", filters=Filters(kind=("image",)), limit=2)
    assert len(result.hits) == 2
    assert {hit.asset.id for hit in list(medley.search_all("green", page=2))[:5]} == set(ids)
    (hit,) = medley.search(images=[world.media / "rose.png"], limit=1).hits
    assert hit.asset.path.endswith("rose.png")
    assert medley.thumbnail(hit.moments[0].segment_id)[:4] == b"RIFF"
    assert medley.content(hit.asset.id) == (world.media / "rose.png").read_bytes()


def test_it_knows_files_sources_and_the_account(world: World, medley: Medley) -> None:
    asset_id = str(world.picture("a.png", "red", words="open at noon"))
    assert medley.asset(asset_id).path.endswith("a.png")
    assert [segment.text for segment in medley.segments(asset_id)] == [None, "open at noon"]
    assert [source.root for source in medley.sources()] == [str(world.media)]
    assert medley.status().assets.indexed == 1


def test_a_file_is_uploaded_over_connections_that_break(world: World, client: httpx.Client, tmp_path: Path) -> None:
    """Every second request is lost on its way, once with and once without having arrived."""
    file = save_coloured(tmp_path / "photo.jpg", 3)
    sent = 0

    class Breaking(httpx.HTTPTransport):
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            nonlocal sent
            if request.method != "PATCH":
                return super().handle_request(request)
            sent += 1
            if sent == 1:
                raise httpx.ConnectError("lost on the way there")
            answer = super().handle_request(request)
            answer.read()
            if sent == 2:
                raise httpx.ReadError("lost on the way back")
            return answer

    with Medley(str(client.base_url), transport=Breaking()) as medley:
        upload = medley.upload(file)
    assert upload.size_bytes == file.stat().st_size
    with world.database.read() as connection:
        path = assets.get_asset(connection, int(upload.asset_id)).path
    assert Path(path).read_bytes() == file.read_bytes()


def test_what_is_refused_says_why(medley: Medley) -> None:
    with pytest.raises(Problem, match="no asset 4242") as refused:
        medley.asset("4242")
    assert (refused.value.status, refused.value.kind) == (404, "not-found")
    with pytest.raises(Problem) as unclear:
        medley.search('"open')
    assert unclear.value.kind == "query"


def test_a_service_that_is_not_there_or_not_medley_is_an_error() -> None:
    with Medley("http://127.0.0.1:9") as nobody, pytest.raises(MedleyError, match="can't be reached"):
        nobody.status()
    other = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>"))
    with Medley(transport=other) as wrong, pytest.raises(MedleyError, match="does not answer as Medley does"):
        wrong.status()


def test_the_key_is_sent() -> None:
    def told(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"detail": request.headers["authorization"]})

    with (
        Medley(key="secret", transport=httpx.MockTransport(told)) as medley,
        pytest.raises(Problem, match="Bearer secret"),
    ):
        medley.status()


def test_the_async_client_does_the_same(world: World, client: httpx.Client, tmp_path: Path) -> None:
    asset_id = str(world.picture("a.png", "green", words="leaf"))
    file = save_coloured(tmp_path / "photo.jpg", 4)

    async def talk() -> None:
        async with AsyncMedley(str(client.base_url)) as medley:
            assert (await medley.search("green")).hits[0].asset.id == asset_id
            assert [hit.asset.id async for hit in medley.search_all("green", page=1)] == [asset_id]
            assert [segment.text async for segment in medley.segments(asset_id)] == [None, "leaf"]
            assert (await medley.upload(file)).size_bytes == file.stat().st_size
            with pytest.raises(Problem):
                await medley.asset("4242")

    anyio.run(talk)


def test_both_clients_have_the_same_methods() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        public = {name: method for name, method in vars(kind).items() if name[0] != "_"}
        return {name: list(inspect.signature(method).parameters) for name, method in public.items()}

    assert methods(Medley) == methods(AsyncMedley)
