"""The retrievers pass what their frameworks ask of every retriever, and work within them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from langchain_tests.integration_tests import RetrieversIntegrationTests
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import CitationQueryEngine
from llama_index.core.schema import MetadataMode
from medley_client import Medley
from medley_client.langchain import MedleyRetriever
from medley_client.llama_index import MedleyRetriever as NodeRetriever
from support.service_world import World

from search.catalog import captions, queue


@pytest.fixture
def url(world: World, client: httpx.Client, tmp_path: Path) -> str:
    """Of a service with a few pictures and a recording."""
    for colour in ("red", "green", "blue"):
        world.picture(f"{colour}.png", colour)
    talk = world.media / "talk.ogg"
    talk.write_bytes(b"OggS")
    world.recording(talk, [(62.0, 67.5, "the green harbour opens at noon"), (70.0, 74.0, "bring bread")])
    return str(client.base_url)


@pytest.mark.anyio
class TestLangChainRetriever(RetrieversIntegrationTests):
    """LangChain's standard tests."""

    @pytest.fixture(autouse=True)
    def _serve(self, url: str) -> None:
        self._url = url

    @pytest.fixture
    def anyio_backend(self) -> str:
        return "asyncio"

    @property
    def retriever_constructor(self) -> type[MedleyRetriever]:
        return MedleyRetriever

    @property
    def retriever_constructor_params(self) -> dict[str, Any]:
        return {"url": self._url}

    @property
    def retriever_query_example(self) -> str:
        return "green harbour"


def test_documents_say_where_they_stand(url: str) -> None:
    document = MedleyRetriever(url=url, k=2).invoke("green harbour opens at noon")[0]
    assert document.page_content == "the green harbour opens at noon"
    assert document.metadata["citation"] == "talk.ogg at 1:02-1:07"
    assert document.metadata["source"].endswith("@62-67.5")
    with Medley(url) as medley:
        assert document.metadata["matched"] is medley.search("green harbour opens at noon", limit=2).matched
    picture = MedleyRetriever(url=url, k=1).invoke("blue")[0]
    assert picture.page_content.startswith('Image blue.png. It matches "blue" with a probability of 0.')


def test_what_a_model_sees_is_told_as_what_seems_to_be(world: World, url: str) -> None:
    with world.database.write() as connection:
        claims = queue.claims_of(captions.claim_without_caption(connection, "test", 10, 60))
        captions.write_captions(connection, claims, dict.fromkeys(claims, "A man with a dog."))
    picture = MedleyRetriever(url=url, k=1).invoke("blue")[0]
    assert picture.page_content.startswith("Image blue.png. Seems to show: A man with a dog. It matches")
    assert picture.metadata["caption"] == "A man with a dog."


def test_a_picture_is_told_by_all_that_is_known_of_it(world: World, url: str) -> None:
    world.picture("wharf.png", "violet quay", words="Fresh herring", at=(48.8867, 2.3431))
    stop = world.document("stop.pdf", [["nothing"], ["the timetable of line four"]])
    found = MedleyRetriever(url=url, k=9).invoke("violet quay herring")
    shown = next(item for item in found if item.metadata["citation"] == "wharf.png")
    place = "Paris 18 Buttes-Montmartre, Paris, France"
    assert shown.page_content.startswith(f"Image wharf.png, {place}. Words in it: Fresh herring. It matches")
    assert shown.metadata["place"] == place
    page = MedleyRetriever(url=url, k=1).invoke("timetable of line four")[0]
    assert (page.metadata["asset_id"], page.metadata["citation"]) == (str(stop), "stop.pdf, page 2")
    node = NodeRetriever(url, similarity_top_k=1).retrieve("violet quay")[0].node
    read = node.get_content(metadata_mode=MetadataMode.LLM)
    assert f"place: {place}" in read
    assert "None" not in read


def test_what_only_comes_closest_can_be_left_out(url: str) -> None:
    assert MedleyRetriever(url=url).invoke("zebra crossing")
    assert MedleyRetriever(url=url, only_matches=True).invoke("zebra crossing") == []
    assert NodeRetriever(url, only_matches=True).retrieve("zebra crossing") == []


def test_a_query_engine_of_llama_index_cites_moments(url: str) -> None:
    """LlamaIndex has no standard tests for retrievers: its engine for cited answers runs over ours."""
    retriever = NodeRetriever(url, similarity_top_k=2)
    engine = CitationQueryEngine(retriever=retriever, llm=MockLLM(max_tokens=200))
    answer = engine.query("when does the green harbour open at noon?")
    best = answer.source_nodes[0]
    assert "the green harbour opens at noon" in best.node.get_content()
    assert best.node.metadata["citation"] == "talk.ogg at 1:02-1:07"
    assert "segment_id" not in best.node.get_content(metadata_mode=MetadataMode.LLM)
    assert 0 < (best.score or 0) <= 1


def test_nodes_come_awaited_too(url: str) -> None:
    async def find() -> list[str]:
        nodes = await NodeRetriever(url, similarity_top_k=3).aretrieve("green harbour")
        return [str(node.node.metadata["citation"]) for node in nodes]

    found = anyio.run(find)
    assert len(found) == 3
    assert "talk.ogg at 1:02-1:07" in found
