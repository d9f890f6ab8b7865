"""Asking on the page: sources first, then an answer whose citations open, and what the library does not hold."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from playwright.sync_api import Page, Route, expect
from support.service_world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def told(route: Route, *events: tuple[str, object]) -> None:
    """Answer with these server-sent events, as the service does."""
    body = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    route.fulfill(body=body, content_type="text/event-stream")


def ask(page: Page, question: str) -> None:
    page.get_by_label("Your question").fill(question)
    page.get_by_role("button", name="Ask", exact=True).click()


def test_an_answer_has_citations_that_open_at_their_second(page: Page, library: httpx.Client, world: World) -> None:
    hits = library.post("/v1/search", json={"text": "train", "filters": {"kind": ["audio"]}}).json()["hits"]
    (moment,) = [one for one in hits[0]["moments"] if one["start_seconds"] == 3.0]
    citation = {
        "number": 1, "asset_id": hits[0]["asset"]["id"], "path": hits[0]["asset"]["path"], "support": 0.93,
        "segment_id": moment["segment_id"], "signal": "speech", "start_seconds": 3.0, "end_seconds": 5.0,
        "quote": "the train leaves at ten",
    }  # fmt: skip
    answer = {"answer": "The train leaves at ten. [1]", "found": True, "citations": [citation], "hits": hits}
    page.route(
        "**/v1/answers",
        lambda route: told(route, ("sources", {"hits": hits}), ("text", {"text": "The train"}), ("answer", answer)),
    )
    page.goto("/#/ask")
    expect(page.get_by_label("Your question")).to_be_focused()
    ask(page, "When does the train leave?")
    expect(page.get_by_role("heading", name="When does the train leave?")).to_be_visible()
    expect(page.locator(".citations li")).to_contain_text("talk.wav 0:03–0:05 · support 93 %")
    page.get_by_role("button", name="Open source 1").click()
    page.wait_for_function("() => Math.abs(document.querySelector('#viewer audio').currentTime - 3) < 1.9")
    assert re.search(r"#/ask\?asset=\d+&at=3\.0", page.url)
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".citations li")).to_have_count(1)


def test_what_the_library_does_not_hold_is_said_and_so_is_a_service_that_is_gone(page: Page) -> None:
    page.route("**/v1/answers", lambda route: told(route, ("answer", {"found": False, "hits": []})))
    page.goto("/#/ask")
    ask(page, "Who was there?")
    expect(page.locator("#turns .answer")).to_have_text("Your library does not hold the answer.")
    page.unroute("**/v1/answers")
    page.route("**/v1/answers", lambda route: route.abort())
    ask(page, "And now?")
    expect(page.locator("#turns [role=alert]")).to_contain_text("does not answer")
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator("#turns li")).to_have_count(0)


def test_lines_that_come_closest_can_be_opened(page: Page, library: httpx.Client) -> None:
    hit = library.post("/v1/search", json={"text": "train", "filters": {"kind": ["audio"]}}).json()["hits"][0]
    line = {
        "number": 1, "asset_id": hit["asset"]["id"], "path": hit["asset"]["path"], "support": 0.3, "start_seconds": 3.0,
        "segment_id": hit["moments"][0]["segment_id"], "signal": "speech", "end_seconds": 5.0, "quote": "at ten",
    }  # fmt: skip
    answer = {"answer": "", "found": False, "citations": [], "closest": [line], "hits": [hit]}
    page.route("**/v1/answers", lambda route: told(route, ("sources", {"hits": [hit]}), ("answer", answer)))
    page.goto("/#/ask")
    ask(page, "When do we go?")
    expect(page.locator("#turns .answer")).to_contain_text("These lines come closest:")
    expect(page.locator(".citations li")).to_contain_text("support 30 %")
    page.locator(".citations button").click()
    expect(page.get_by_role("dialog")).to_have_count(1)
