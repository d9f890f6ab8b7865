"""Saved searches on the page: kept with a click, one click away, and told of while the page is open."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect
from support.service_world import World

from search.alerts.matcher import Matcher

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_more_saved_searches_than_a_page_are_reached_and_come_forward_with_news(
    page: Page, world: World, client: httpx.Client
) -> None:
    for number in range(120):
        body = {"name": f"Number {number:03}", "text": "red" if number == 119 else "blue", "relevance": 0.01}
        client.post("/v1/saved-searches", json=body).raise_for_status()
    page.goto("/#/search")
    saved = page.get_by_role("list", name="Saved searches")
    more = saved.get_by_role("button", name="More saved searches")
    expect(saved.get_by_role("link")).to_have_count(50)
    world.picture("new.png", "red")
    matcher = Matcher(world.settings, world.database, lambda: world.engine.active_space)
    while matcher.step():
        continue
    expect(page.locator("#news")).to_contain_text("1 new file in “Number 119”: new.png")
    expect(saved.get_by_role("link").first).to_contain_text("Number 119 1 new")
    more.click()
    expect(saved.get_by_role("link")).to_have_count(101)
    more.click()
    expect(saved.get_by_role("link")).to_have_count(120)
    expect(more).to_have_count(0)


def test_a_search_is_saved_told_of_and_forgotten(page: Page, world: World, client: httpx.Client) -> None:
    page.goto("/#/search?q=red&kind=image")
    page.get_by_role("button", name="Save this search").click()
    page.get_by_role("textbox", name="Name of the saved search").fill("Red things")
    page.get_by_role("button", name="Save", exact=True).click()
    chip = page.get_by_role("list", name="Saved searches").get_by_role("link", name="Red things")
    expect(chip).to_be_visible()
    client.patch("/v1/saved-searches/1", json={"relevance": 0.01}).raise_for_status()  # few files, so nothing is sure
    page.goto("/#/library")
    page.goto("/#/search")
    world.picture("new.png", "red")
    matcher = Matcher(world.settings, world.database, lambda: world.engine.active_space)
    while matcher.step():
        continue
    expect(page.locator("#news")).to_contain_text("1 new file in “Red things”: new.png")
    expect(chip).to_contain_text("1 new")
    chip.click()
    assert re.search(r"q=red\+kind%3Aimage", page.url)
    expect(page.locator("#hits .tile").first).to_be_visible()
    expect(chip).not_to_contain_text("new")
    page.get_by_role("button", name="Forget the saved search Red things").click()
    expect(chip).to_have_count(0)


def test_a_search_that_even_its_best_file_would_not_raise_is_offered_a_lower_bar(
    page: Page, world: World, client: httpx.Client
) -> None:
    world.picture("red.png", "red")
    world.picture("blue.png", "blue")
    page.goto("/#/search?q=red")
    page.get_by_role("button", name="Save this search").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#news")).to_contain_text("the best one here has")
    page.get_by_role("button", name=re.compile(r"Tell me from \d+ % on")).click()
    expect(page.locator("#news")).to_contain_text(re.compile(r"You are told of new files that match with \d+ %\.$"))
    (saved,) = client.get("/v1/saved-searches").json()["items"]
    assert 0 < saved["relevance"] < 0.5
