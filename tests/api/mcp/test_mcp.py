"""An agent works through a library step by step over `/mcp`, by the official client."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import TextContent
from support.scripted_engine import ScriptedEngine
from support.service_world import World

from api.keys import hash_of
from api.mcp.library import MOST_CHARACTERS, Library
from search.catalog import keys
from search.errors import CatalogError
from search.settings import Settings


def talk(client: httpx.Client, conversation: Callable[[Client], Awaitable[Any]]) -> Any:
    """Hold a conversation with the service by the official client."""

    async def run() -> Any:
        async with Client(f"{client.base_url}/mcp") as agent:
            return await conversation(agent)

    return anyio.run(run)


async def told(agent: Client, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a tool tells, read."""
    answer = await agent.call_tool(tool, arguments)
    first = answer.content[0]
    assert isinstance(first, TextContent)
    assert not answer.is_error, first.text
    return dict(json.loads(first.text))


@pytest.fixture
def world(settings: Settings, sqlite_url: str, tmp_path: Path) -> Iterator[World]:
    world = World(settings, sqlite_url, tmp_path / "media", ScriptedEngine)
    yield world
    world.service.close()


@pytest.fixture
def leaf(world: World) -> int:
    world.picture("rose.png", "red")
    return world.picture("leaf.png", "green")


def test_an_agent_is_told_that_captions_may_be_wrong(world: World, client: httpx.Client) -> None:
    async def told(agent: Client) -> set[str]:
        return {tool.name for tool in (await agent.list_tools()).tools if "may be wrong" in (tool.description or "")}

    assert talk(client, told) == {"browse", "search", "look"}  # whose answers hold captions


def test_an_agent_sees_the_tools(world: World, client: httpx.Client) -> None:
    async def names(agent: Client) -> set[str]:
        return {tool.name for tool in (await agent.list_tools()).tools}

    assert talk(client, names) == {
        "sources",
        "browse",
        "search",
        "look",
        "neighbours",
        "transcript",
        "ask",
        "saved_searches",
        "save_search",
    }


def test_an_agent_learns_what_there_is_and_goes_through_it(world: World, client: httpx.Client) -> None:
    for month in (5, 6, 7):
        for day in (1, 2):
            taken = datetime(2024, month, day, tzinfo=UTC)
            world.picture(f"{month}-{day}.png", "red" if day == 1 else "green", taken=taken)

    async def explore(agent: Client) -> list[dict[str, Any]]:
        there = await told(agent, "sources")
        first = await told(agent, "browse", after="2024-06", limit=3)
        second = await told(agent, "browse", after="2024-06", limit=3, cursor=first["next_cursor"])
        june = await told(agent, "browse", after="2024-06", before="2024-06")
        return [there, first, second, june]

    there, first, second, june = talk(client, explore)
    assert there["files"] == {"searchable": 6, "waiting": 0}
    assert there["sources"][0]["searchable"] == 6
    assert (there["from"], there["to"]) == ("2024-05", "2024-07")
    assert (first["count"], first["months"]) == (4, {"2024-07": 2, "2024-06": 2})
    paths = [Path(hit["path"]).name for hit in (*first["assets"], *second["assets"])]
    assert paths == ["7-2.png", "7-1.png", "6-2.png", "6-1.png"]
    assert "next_cursor" not in second
    assert june["count"] == 2


def test_an_agent_sees_what_stands_around_a_moment(world: World, client: httpx.Client) -> None:
    talk_file = world.media / "talk.ogg"
    talk_file.write_bytes(b"OggS")
    world.recording(talk_file, [(float(n), n + 1.0, f"passage {n}") for n in range(6)])
    for day in (1, 2, 3):
        world.picture(f"{day}.png", "blue", taken=datetime(2024, 5, day, tzinfo=UTC))

    async def around(agent: Client) -> list[dict[str, Any]]:
        (said,) = (await told(agent, "search", query="passage 3", limit=1, kinds=["audio"]))["hits"]
        moment = next(item for item in said["moments"] if item["text"] == "passage 3")
        shown = (await told(agent, "browse", after="2024-05-02", before="2024-05-02"))["assets"][0]["moments"][0]
        return [
            await told(agent, "neighbours", segment_id=moment["segment_id"], count=2),
            await told(agent, "neighbours", segment_id=shown["segment_id"]),
        ]

    spoken, taken = talk(client, around)
    assert [item["text"] for item in spoken["before"]] == ["passage 1", "passage 2"]
    assert [item["text"] for item in spoken["after"]] == ["passage 4", "passage 5"]
    assert [Path(item["path"]).name for item in taken["before"]] == ["1.png"]
    assert Path(taken["after"][0]["path"]).name == "3.png"
    assert taken["after"][0]["segment_id"]


def test_an_agent_walks_through_the_pages_of_a_document(world: World, client: httpx.Client) -> None:
    world.document("letter.pdf", [[f"words of page {n}"] for n in range(1, 6)])

    async def walk(agent: Client) -> list[dict[str, Any]]:
        (hit,) = (await told(agent, "search", query="words page 3", limit=1, kinds=["document"]))["hits"]
        start = next(one for one in hit["moments"] if one.get("page") == 3)
        first = await told(agent, "neighbours", segment_id=start["segment_id"], count=3)
        return [first, await told(agent, "neighbours", segment_id=first["after"][-1]["segment_id"], count=8)]

    first, second = talk(client, walk)
    pages = [one["page"] for one in first["before"]], [one["page"] for one in first["after"]]
    assert (pages[0][0], pages[1][-1]) in {(1, 4), (2, 4), (2, 5)}
    assert pages == (sorted(pages[0]), sorted(pages[1]))
    assert [one["page"] for one in second["after"]][-1] == 5
    assert {one["page"] for one in second["before"]} >= {2, 3}
    assert "start_seconds" not in first["moment"]  # what is not known is not told


def test_an_agent_reads_a_stretch_and_a_whole_recording_page_by_page(world: World, client: httpx.Client) -> None:
    talk_file = world.media / "talk.ogg"
    talk_file.write_bytes(b"OggS")
    passages = [(n * 10.0, n * 10.0 + 9, f"passage {n} " + "word " * 60) for n in range(100)]
    asset_id = str(world.recording(talk_file, passages))

    async def read(agent: Client) -> tuple[list[str], list[str]]:
        stretch = await told(agent, "transcript", asset_id=asset_id, start_seconds=95, end_seconds=105)
        lines, cursor = [], None
        while True:
            page = await told(agent, "transcript", asset_id=asset_id, cursor=cursor)
            lines += page["lines"]
            cursor = page.get("next_cursor")
            if cursor is None:
                return texts(stretch["lines"]), texts(lines)

    def texts(lines: list[dict[str, Any]]) -> list[str]:
        return [" ".join(line["text"].split()[:2]) for line in lines]

    stretch, whole = talk(client, read)
    assert stretch == ["passage 9", "passage 10"]
    assert whole == [f"passage {n}" for n in range(100)]


def test_an_agent_keeps_a_search_if_its_key_may_write(world: World, client: httpx.Client) -> None:
    async def keep(agent: Client) -> tuple[dict[str, Any], dict[str, Any], Any]:
        kept = await told(agent, "save_search", name="Leaves", query="green leaf", kinds=["image"])
        there = await told(agent, "saved_searches")
        return kept, there, await agent.call_tool("save_search", {"name": "", "query": "green"})

    kept, there, nameless = talk(client, keep)
    assert [item["name"] for item in there["saved_searches"]] == ["Leaves"]
    assert there["saved_searches"][0]["saved_search_id"] == kept["saved_search_id"]
    assert nameless.is_error
    view = client.get(f"/v1/saved-searches/{kept['saved_search_id']}").json()
    assert (view["text"], view["filters"]) == ("green leaf", {"kind": ["image"]})


def test_a_key_that_reads_alone_keeps_no_search(world: World, client: httpx.Client) -> None:
    with world.database.write() as connection:
        keys.create_key(connection, "reader", hash_of("secret-key"), "read")

    async def refused() -> Any:
        async with httpx2.AsyncClient(headers={"authorization": "Bearer secret-key"}) as http:
            transport = streamable_http_client(f"{client.base_url}/mcp", http_client=http)
            async with Client(transport) as agent:
                return await agent.call_tool("save_search", {"name": "Leaves", "query": "green"})

    answer = anyio.run(refused)
    assert answer.is_error
    assert "'write'" in answer.content[0].text


def test_every_answer_is_small_whatever_the_library_holds(world: World, client: httpx.Client) -> None:
    folder = "/".join(["deep" * 20] * 6)
    long = "green words " * 2000
    for n in range(40):
        world.picture(f"{folder}/{n}-{'name' * 30}.png", "green", words=f"{n} {long}")
    talk_file = world.media / "talk.ogg"
    talk_file.write_bytes(b"OggS")
    asset_id = str(world.recording(talk_file, [(float(n), n + 1.0, f"{n} {long}") for n in range(30)]))

    async def everything(agent: Client) -> dict[str, int]:
        hits = (await told(agent, "search", query="green", limit=15))["hits"]
        segment_id = hits[0]["moments"][0]["segment_id"]
        calls: dict[str, dict[str, Any]] = {
            "sources": {},
            "search": {"query": "green", "limit": 15},
            "browse": {"limit": 15},
            "look": {"segment_id": segment_id},
            "neighbours": {"segment_id": segment_id, "count": 8},
            "transcript": {"asset_id": asset_id},
            "saved_searches": {},
            "ask": {"question": "what is green?"},
        }
        return {name: len(json.dumps(await told(agent, name, **call))) for name, call in calls.items()}

    sizes = talk(client, everything)
    assert max(sizes.values()) <= MOST_CHARACTERS, sizes


def test_an_agent_works_through_a_library_in_steps(world: World, client: httpx.Client) -> None:
    """From knowing nothing to a saved search, each step by what the one before told."""
    for day in range(1, 8):
        paris = (48.8867, 2.3431) if day % 2 else None
        world.picture(f"{day}.png", "green boat", taken=datetime(2024, 7, day, tzinfo=UTC), at=paris)
    world.picture("winter.png", "white snow", taken=datetime(2024, 1, 3, tzinfo=UTC))
    talk_file = world.media / "talk.ogg"
    talk_file.write_bytes(b"OggS")
    said = [(n * 10.0, n * 10.0 + 9, f"passage {n} of the harbour talk") for n in range(20)]
    world.recording(talk_file, said)

    async def work(agent: Client) -> None:
        there = await told(agent, "sources")
        assert there["kinds"] == {"image": 8, "audio": 1}
        (source,) = there["sources"]
        (place,) = there["places"]
        city = place["name"].split(",")[0].lower()

        july: list[dict[str, Any]] = []
        page: dict[str, Any] = {"next_cursor": None}
        while "next_cursor" in page:
            page = await told(
                agent, "browse", after="2024-07", before="2024-07", where=f"place:{city}", kinds=["image"],
                source_id=source["source_id"], limit=3, cursor=page["next_cursor"],
            )  # fmt: skip
            assert page["count"] == 4
            july += page["assets"]
        assert [Path(asset["path"]).name for asset in july] == ["7.png", "5.png", "3.png", "1.png"]
        assert all(asset["place"].lower().startswith(city) for asset in july)

        asked: dict[str, Any] = {"query": "green boat after:2024-07", "kinds": ["image"]}
        found = await told(agent, "search", **asked, limit=3)
        rest = await told(agent, "search", **asked, limit=15, cursor=found["next_cursor"])
        ids = [hit["asset_id"] for hit in (*found["hits"], *rest["hits"])]
        assert len(ids) == len(set(ids)) == 7
        moment = found["hits"][0]["moments"][0]["segment_id"]
        looked = await agent.call_tool("look", {"segment_id": moment})
        assert [part.type for part in looked.content] == ["text", "image"]
        around = await told(agent, "neighbours", segment_id=moment, count=2)
        assert around["before"] or around["after"]
        assert all(entry["asset_id"] != around["asset"]["asset_id"] for entry in around["before"] + around["after"])

        heard = (await told(agent, "search", query="passage 7 harbour talk", kinds=["audio"], limit=1))["hits"][0]
        passage = next(item for item in heard["moments"] if "passage 7 " in item["text"])
        stretch = await told(
            agent, "transcript", asset_id=heard["asset_id"],
            start_seconds=passage["start_seconds"] - 10, end_seconds=passage["end_seconds"] + 10,
        )  # fmt: skip
        assert [line["text"].split()[1] for line in stretch["lines"]] == ["6", "7", "8"]

        answer = await told(agent, "ask", question="when is noon?")
        assert answer["found"]
        assert answer["citations"]
        kept = await told(agent, "save_search", name="Boats", query="green boat", kinds=["image"])
        assert 0 < kept["relevance_needed"] < 1
        assert 0 < kept["best_relevance_now"] <= 1
        listed = (await told(agent, "saved_searches"))["saved_searches"]
        assert [item["saved_search_id"] for item in listed] == [kept["saved_search_id"]]

    talk(client, work)


def test_progress_is_told_while_models_load(world: World, client: httpx.Client) -> None:
    world.picture("leaf.png", "green")
    world.space.delay_seconds = 2.5
    heard: list[tuple[float, str | None]] = []

    async def listen(progress: float, total: float | None, message: str | None) -> None:
        heard.append((progress, message))

    async def search(agent: Client) -> Any:
        return await agent.call_tool("search", {"query": "green"}, progress_callback=listen)

    result = talk(client, search)
    assert not result.is_error
    assert len(heard) >= 2
    assert heard[0][0] < heard[1][0]
    assert "models are loaded" in (heard[0][1] or "")


def test_an_agent_searches_and_looks_at_what_it_found(world: World, client: httpx.Client, leaf: int) -> None:
    async def find_and_look(agent: Client) -> tuple[dict[str, Any], Any]:
        found = await agent.call_tool("search", {"query": "green", "limit": 1})
        [told] = found.content
        assert isinstance(told, TextContent)
        result = json.loads(told.text)
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
    assert json.loads(unknown.content[0].text) == {
        "answer": "",
        "found": False,
        "citations": [],
        "closest_lines": [],
        "closest": [],
    }
    assert broken.is_error
    assert "the model is not there" in broken.content[0].text


def test_an_agent_asks_about_assets_alone(world: World, client: httpx.Client, leaf: int) -> None:
    async def ask(agent: Client) -> list[Any]:
        return [
            await agent.call_tool("ask", {"question": "when is noon?", "assets": assets})
            for assets in (["77@1-2"], [], "77")
        ]

    missing, nothing, wrong = talk(client, ask)
    assert missing.is_error
    assert missing.content[0].text == "there is no asset 77@1-2"  # they reach the engine
    over_http = client.post("/v1/answers", json={"question": "when is noon?", "assets": []}).json()
    assert json.loads(nothing.content[0].text)["found"] is over_http["found"] is False  # of nothing
    assert "`assets` must be a list of at most 100, each text or left out" in wrong.content[0].text


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


def _wrong_values(wanted: dict[str, Any]) -> list[Any]:
    """Values that a JSON schema does not allow, of every kind."""
    if "anyOf" in wanted:
        choices = [choice for choice in wanted["anyOf"] if choice.get("type") != "null"]
        return [value for value in _wrong_values(choices[0]) if value is not None]
    fitting: dict[str, Any] = {
        "integer": (int, float),
        "number": (int, float),
        "string": str,
        "boolean": bool,
        "array": list,
    }
    # What agents mean by "3" and "yes" is read as what it is; so is JSON in text, where a list is wanted.
    values: list[Any] = [{"a": 1}, [[1]], None, "nonsense", 3.5, ["nonsense"], 10**400]
    kind = fitting.get(wanted.get("type", ""), ())
    wrong = [value for value in values if not isinstance(value, kind)]
    wrong += [wanted["minimum"] - 1] if "minimum" in wanted else []
    wrong += [wanted["maximum"] + 1] if "maximum" in wanted else []
    wrong += ["x" * (wanted["maxLength"] + 1)] if "maxLength" in wanted else []
    if wanted.get("type") == "array":
        wrong += [[None], [{"a": 1}]]
        wrong += [["nonsense"]] if "$ref" in wanted["items"] else []
        wrong += [["1"] * (wanted["maxItems"] + 1)] if "maxItems" in wanted else []
    return wrong


_FITTING = {"string": "x", "integer": 1, "number": 1.0, "boolean": True}
_INTERNAL = re.compile(
    r"pydantic|validation error|Error executing|Traceback|_type\b|_parsing|Arguments\b|NoneType|\w+Error\b|<class"
)


def test_every_wrong_argument_of_every_tool_is_told_in_plain_words(world: World, client: httpx.Client) -> None:
    async def mistakes(agent: Client) -> int:
        tried = 0
        for tool in (await agent.list_tools()).tools:
            properties = tool.input_schema["properties"]
            needed = {name: _FITTING[properties[name]["type"]] for name in tool.input_schema.get("required", ())}
            calls = [
                ({**needed, name: value}, name) for name in properties for value in _wrong_values(properties[name])
            ]
            calls += [({key: needed[key] for key in needed if key != name}, name) for name in needed]
            for arguments, name in calls:
                answer = await agent.call_tool(tool.name, arguments)
                (content,) = answer.content
                assert isinstance(content, TextContent)
                assert answer.is_error, (tool.name, arguments, content.text[:200])
                assert f"`{name}`" in content.text, (tool.name, arguments, content.text)
                assert "must be" in content.text
                assert not _INTERNAL.search(content.text), content.text
                assert len(content.text) < 400
                tried += 1
        return tried

    assert talk(client, mistakes) > 100


def test_an_agent_is_told_which_tools_there_are(world: World, client: httpx.Client) -> None:
    answer = talk(client, lambda agent: agent.call_tool("find", {}))
    assert answer.is_error
    assert answer.content[0].text.startswith("there is no tool 'find'; there are sources, browse, search")


def test_an_agent_is_not_told_where_the_catalogue_is(
    world: World, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "connection to server at 10.1.2.3 failed"

    def broken(*_: object) -> None:
        raise CatalogError(secret)

    monkeypatch.setattr(Library, "describe", broken)
    answer = talk(client, lambda agent: agent.call_tool("sources", {}))
    assert answer.is_error
    assert answer.content[0].text == "the catalogue can't be read or written right now"

    def mistaken(*_: object) -> None:
        raise KeyError(secret)

    monkeypatch.setattr(Library, "describe", mistaken)
    answer = talk(client, lambda agent: agent.call_tool("sources", {}))
    assert answer.is_error
    assert answer.content[0].text == "sources failed by a mistake of Medley's; its log says more"


def test_absurd_values_are_no_mistakes_of_ours(world: World, client: httpx.Client) -> None:
    absurd: dict[str, list[Any]] = {
        "string": ["", "\x00", "\ud7ff" * 2000, "(" * 2000, "9" * 40, "-1", "2024-13"],
        "integer": [2**31, 2**63, 10**30],
        "number": [1e308, 0.0],
        "boolean": [True],
    }

    async def tries(agent: Client) -> None:
        for tool in (await agent.list_tools()).tools:
            properties = tool.input_schema["properties"]
            needed = {name: _FITTING[properties[name]["type"]] for name in tool.input_schema.get("required", ())}
            for name, wanted in properties.items():
                kinds = {choice.get("type") for choice in wanted.get("anyOf", [wanted])}
                for value in [value for kind, values in absurd.items() if kind in kinds for value in values]:
                    answer = await agent.call_tool(tool.name, {**needed, name: value})
                    told = answer.content[0]
                    assert isinstance(told, TextContent)
                    assert "mistake of Medley's" not in told.text, (tool.name, name, value)
                    assert not answer.is_error or not _INTERNAL.search(told.text), told.text

    talk(client, tries)
