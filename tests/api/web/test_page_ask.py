"""Asking on the page: sources first, then an answer whose citations open, and what the library does not hold."""

from __future__ import annotations

import json
import re

import httpx
import pytest
from playwright.sync_api import Browser, Page, Route, expect
from support.service_world import World

from .conftest import opened

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


def test_the_strongest_hits_of_what_is_not_found_can_be_opened(page: Page, library: httpx.Client) -> None:
    hits = library.post("/v1/search", json={"text": "red", "filters": {"kind": ["image"]}}).json()["hits"]
    hits += library.post("/v1/search", json={"text": "train", "filters": {"kind": ["audio"]}}).json()["hits"][:1]
    answer = {"answer": "", "found": False, "citations": [], "closest": [], "hits": hits}
    page.route("**/v1/answers", lambda route: told(route, ("sources", {"hits": hits}), ("answer", answer)))
    page.goto("/#/ask")
    ask(page, "Who plays the tuba?")
    expect(page.locator("#turns .answer")).to_have_text("Your library does not hold the answer. These come closest:")
    sources = page.locator(".sources button")
    expect(sources).to_have_count(len(hits))
    title = page.locator("#viewer-title")
    for hit in (hits[0], hits[-1]):
        name = hit["asset"]["path"].rsplit("/", 1)[-1]
        sources.and_(page.get_by_title(name, exact=True)).click()
        expect(title).to_have_text(name)
        assert f"asset={hit['asset']['id']}" in page.url
        page.go_back()
        expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 760)])
@pytest.mark.parametrize("size", [(300, 600), (600, 200)])
def test_a_citation_of_a_screenshot_marks_its_line(
    browser: Browser, world: World, client: httpx.Client, width: int, height: int, size: tuple[int, int]
) -> None:
    asset_id = world.screenshot("receipt.png", ["Corner Cafe", "Coffee 4.50", "Total 12.50"], size)
    hit = client.post("/v1/search", json={"text": "total"}).json()["hits"][0]
    (segment_id,) = [moment["segment_id"] for moment in hit["moments"] if moment["signal"] == "text"]
    box = [0.1, 0.25, 0.7, 0.3]
    citation = {
        "number": 1, "asset_id": str(asset_id), "path": hit["asset"]["path"], "support": 0.9, "segment_id": segment_id,
        "signal": "text", "start_seconds": None, "end_seconds": None, "quote": "Total 12.50", "box": box, "page": None,
    }  # fmt: skip
    answer = {"answer": "It reads: Total 12.50 [1]", "found": True, "citations": [citation], "hits": [hit]}
    for page in opened(browser, str(client.base_url), width, height):
        page.route("**/v1/answers", lambda route: told(route, ("sources", {"hits": [hit]}), ("answer", answer)))
        page.goto("/#/ask")
        ask(page, "What was the total?")
        page.get_by_role("button", name="Open source 1").click()
        for _ in range(2):
            assert marked(page) == pytest.approx(box, abs=0.01)
            page.reload()  # the link can be kept
        page.get_by_role("button", name="Zoom in").click()
        expect(page.locator("#viewer .picture img")).to_have_attribute("src", re.compile("/content$"))
        assert marked(page) == pytest.approx(box, abs=0.01)


def marked(page: Page) -> list[float]:
    """What is marked in the picture that is looked at: left, top, right, bottom in parts of the picture as shown."""
    picture = page.locator("#viewer .picture img")
    expect(page.locator("#viewer .on-page")).to_be_visible()
    page.wait_for_function("() => document.querySelector('#viewer .picture img').naturalWidth > 0")
    outer, inner = picture.bounding_box(), page.locator("#viewer .on-page").bounding_box()
    assert outer
    assert inner
    natural = picture.evaluate("image => image.naturalWidth / image.naturalHeight")
    assert outer["width"] / outer["height"] == pytest.approx(natural, rel=0.02)
    left, top = (inner["x"] - outer["x"]) / outer["width"], (inner["y"] - outer["y"]) / outer["height"]
    return [left, top, left + inner["width"] / outer["width"], top + inner["height"] / outer["height"]]


def test_a_photo_found_by_what_it_shows_has_no_words_marked(
    browser: Browser, world: World, client: httpx.Client
) -> None:
    world.screenshot("paper.png", ["Corner Cafe"])
    for page in opened(browser, str(client.base_url)):
        page.goto("/#/search?q=paper&signal=image")
        page.locator(".tile button.cover").first.click()
        expect(page.locator("#viewer .picture img")).to_be_visible()
        expect(page.locator("#viewer .on-page")).to_be_hidden()
