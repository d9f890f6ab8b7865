"""An MCP client finds, asks and looks over `/mcp`."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest
from mcp import Client
from service_world import World


def talk(client: httpx.Client, conversation: Callable[[Client], Awaitable[Any]]) -> Any:
    """Hold a conversation with the service by the official client."""

    async def run() -> Any:
        async with Client(f"{client.base_url}/mcp") as agent:
            return await conversation(agent)

    return anyio.run(run)


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
