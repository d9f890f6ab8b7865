"""An MCP client finds, asks and looks over `/mcp`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from scripted_engine import ScriptedEngine
from service_world import World

from search.settings import Settings


def talk(client: httpx.Client, conversation: Callable[[Client], Awaitable[Any]]) -> Any:
    """Hold a conversation with the service by the official client."""

    async def run() -> Any:
        async with Client(f"{client.base_url}/mcp") as agent:
            return await conversation(agent)

    return anyio.run(run)


@pytest.fixture
def world(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(settings, sqlite_url, tmp_path / "media", ScriptedEngine)
    yield world
    world.service.close()


@pytest.fixture
def leaf(world: World) -> int:
    world.picture("rose.png", "red")
    return world.picture("leaf.png", "green")


def test_an_agent_sees_the_three_tools(world: World, client: httpx.Client) -> None:
    async def names(agent: Client) -> set[str]:
        return {tool.name for tool in (await agent.list_tools()).tools}

    assert talk(client, names) == {"search", "ask", "look"}


def test_an_agent_searches_and_looks_at_what_it_found(world: World, client: httpx.Client, leaf: int) -> None:
    async def find_and_look(agent: Client) -> tuple[dict, Any]:
        found = await agent.call_tool("search", {"query": "green", "limit": 1})
        result = json.loads(found.content[0].text)
        segment_id = result["hits"][0]["moments"][0]["segment_id"]
        return result, await agent.call_tool("look", {"segment_id": segment_id})

    result, look = talk(client, find_and_look)
    assert result["hits"][0]["asset_id"] == str(leaf)
    described, picture = look.content
    assert json.loads(described.text)["asset"]["path"].endswith("leaf.png")
    assert picture.mime_type == "image/webp"


def test_an_agent_asks_and_gets_citations_or_hears_that_there_is_no_answer(world: World, client: httpx.Client) -> None:
    async def ask(agent: Client) -> list[Any]:
        questions = ("when is noon?", "who?", "broken")
        return [await agent.call_tool("ask", {"question": question}) for question in questions]

    told, unknown, broken = talk(client, ask)
    answer = json.loads(told.content[0].text)
    assert (answer["found"], answer["answer"]) == (True, "At noon. [1]")
    assert {"number", "asset_id", "segment_id", "start_seconds", "quote"} <= set(answer["citations"][0])
    assert json.loads(unknown.content[0].text) == {"answer": "", "found": False, "citations": []}
    assert broken.is_error
    assert "the model is not there" in broken.content[0].text


def test_an_agent_is_told_what_it_did_wrong(world: World, client: httpx.Client) -> None:
    async def mistakes(agent: Client) -> list[Any]:
        return [
            await agent.call_tool("search", {"query": '"open'}),
            await agent.call_tool("look", {"segment_id": 4242}),
        ]

    unclear, missing = talk(client, mistakes)
    assert unclear.is_error
    assert "quote" in unclear.content[0].text
    assert missing.is_error
    assert "4242" in missing.content[0].text
