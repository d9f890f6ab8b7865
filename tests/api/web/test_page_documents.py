"""Documents on the page: a viewer that opens at the cited page with the words marked, and text by its lines."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect
from support.service_world import World

from .conftest import opened

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def documents(browser: Browser, world: World, client: httpx.Client) -> Iterator[Page]:
    world.document("lease.pdf", [["Lease agreement"], ["The rent is 1,240 pounds", "Two months of notice"], ["Pets"]])
    world.text_file("notes.txt", 7, ["The plumber comes", "on Thursday"])
    yield from opened(browser, str(client.base_url))


def test_a_hit_opens_at_its_page_with_the_words_marked(documents: Page) -> None:
    page = documents
    page.goto("/#/search?q=rent+pounds")
    expect(page.locator(".tile .badge").first).to_have_text("page 2 of 3")
    page.locator(".tile button.cover").first.click()
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("spinbutton", name="Page")).to_have_value("2")
    expect(viewer.locator(".paper img")).to_have_attribute("src", re.compile(r"/pages/2\?size=1600"))
    mark, picture = viewer.locator(".on-page"), viewer.locator(".paper img")
    expect(mark).to_be_visible()
    page.wait_for_function("document.querySelector('.paper img').naturalWidth > 0")
    inner, outer = mark.bounding_box(), picture.bounding_box()
    assert inner is not None
    assert outer is not None
    assert inner["width"] / outer["width"] == pytest.approx(0.8, abs=0.03)
    assert re.search(r"page=2", page.url)
    page.reload()
    expect(viewer.get_by_role("spinbutton", name="Page")).to_have_value("2")
    expect(viewer.locator(".on-page")).to_be_visible()


def test_pages_are_turned_by_buttons_and_by_number(documents: Page) -> None:
    page = documents
    page.goto("/#/search?q=rent+pounds")
    page.locator(".tile button.cover").first.click()
    viewer = page.get_by_role("dialog")
    viewer.get_by_role("button", name="Next page").click()
    expect(viewer.locator(".paper img")).to_have_attribute("alt", "Page 3 of lease.pdf")
    expect(viewer.get_by_role("button", name="Next page")).to_be_disabled()
    expect(viewer.locator(".on-page")).to_be_hidden()
    viewer.get_by_role("spinbutton", name="Page").fill("1")
    viewer.get_by_role("spinbutton", name="Page").press("Enter")
    expect(viewer.locator(".paper img")).to_have_attribute("alt", "Page 1 of lease.pdf")
    viewer.get_by_role("button", name="page 2", exact=True).first.click()
    expect(viewer.locator(".on-page")).to_be_visible()


def test_a_text_file_opens_with_the_lines_marked(documents: Page) -> None:
    page = documents
    page.goto("/#/search?q=plumber+thursday")
    page.locator("#hits .row button").first.click()
    marked = page.get_by_role("dialog").locator(".lines .found")
    expect(marked).to_have_count(2)
    expect(marked.first).to_have_text("The plumber comes")
