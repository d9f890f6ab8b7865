"""The viewer: an address of its own, neighbours, zoom, a player at its moment with words that follow."""

from __future__ import annotations

import re

import httpx
import pytest
from playwright.sync_api import Page, expect
from support.media import film
from support.service_world import World

from search.catalog import captions, queue

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_a_photo_opens_under_an_address_of_its_own_and_back_closes_it(page: Page) -> None:
    page.goto("/#/search?q=red")
    page.locator(".tile button.cover").first.click()
    viewer = page.get_by_role("dialog")
    expect(viewer.get_by_role("heading", name=re.compile("red-"))).to_be_visible()
    assert re.search(r"asset=\d+", page.url)
    expect(viewer.get_by_role("heading", name="Why this matched")).to_be_visible()
    expect(viewer.locator("meter").first).to_be_visible()
    page.go_back()
    expect(viewer).to_have_count(0)
    assert page.url.endswith("q=red")
    page.go_forward()
    expect(viewer).to_be_visible()
    page.reload()
    expect(viewer.get_by_role("heading", name=re.compile("red-"))).to_be_visible()
    viewer.get_by_role("button", name="Close").click()
    expect(viewer).to_have_count(0)


def test_what_a_model_sees_in_a_picture_is_said_to_seem_so(page: Page, library: httpx.Client, world: World) -> None:
    """Also to people who can't see that it is wrong."""
    hits = library.post("/v1/search", json={"text": "red"}).json()["hits"]
    with world.database.write() as connection:
        claims = queue.claims_of(captions.claim_without_caption(connection, "test", 10, 60))
        captions.write_captions(connection, claims, dict.fromkeys(claims, "Two dogs."))
    seeming = f"{hits[0]['asset']['path'].rsplit('/')[-1]}; seems to show: Two dogs."
    page.goto("/#/search?q=red")
    cover = page.locator(".tile button.cover").first
    expect(cover).to_have_attribute("aria-label", re.compile(re.escape(seeming)))
    expect(cover.locator("img")).to_have_attribute("alt", seeming)
    cover.click()
    expect(page.locator("#viewer .picture img")).to_have_attribute("alt", seeming)
    expect(page.locator("#viewer dt", has_text="Seems to show")).to_have_count(1)


def test_arrow_keys_and_buttons_go_to_the_neighbours(page: Page) -> None:
    page.goto("/")
    page.locator("#hits button.cover").first.click()
    title = page.locator("#viewer-title")
    expect(title).to_have_text("red-1.jpg")
    page.keyboard.press("ArrowRight")
    expect(title).not_to_have_text("red-1.jpg")
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("red-1.jpg")
    page.get_by_role("button", name="Previous").click()
    expect(title).to_have_text("talk.wav")
    expect(page.get_by_role("button", name="Previous")).to_be_hidden()
    page.get_by_role("button", name="Next").click()
    expect(title).to_have_text("red-1.jpg")
    page.go_back()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_a_photo_zooms_to_the_pixels_of_the_original(page: Page) -> None:
    page.goto("/")
    page.locator("#hits button.cover").first.click()
    page.get_by_role("button", name="Zoom in").click()
    image = page.locator("#viewer .picture img")
    expect(image).to_have_attribute("src", re.compile("/content$"))
    assert image.evaluate("image => image.clientWidth * devicePixelRatio") == 64
    page.get_by_role("button", name="Fit to window").click()
    assert image.evaluate("image => image.clientWidth") > 64


def test_more_like_this_is_a_chip_in_the_search(page: Page) -> None:
    page.goto("/#/search?q=red")
    page.locator(".tile button.cover").first.click()
    page.get_by_role("button", name="More like this").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#attachments li")).to_contain_text("like this")
    assert re.search(r"like=\d+", page.url)
    expect(page.get_by_role("combobox", name="Search your library")).to_have_value("red")
    expect(page.locator(".tile").first).to_be_visible()


def test_a_question_can_be_asked_about_what_is_looked_at(page: Page) -> None:
    page.goto("/#/search?q=red")
    page.locator(".tile button.cover").first.click()
    page.get_by_role("button", name="Ask about this").click()
    expect(page.locator("#about li")).to_have_count(1)
    expect(page.get_by_label("Your question")).to_be_focused()


def test_the_link_can_be_copied(page: Page) -> None:
    page.goto("/#/search?q=red")
    page.locator(".tile button.cover").first.click()
    page.get_by_role("button", name="Copy link").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.url


def test_a_recording_opens_at_the_moment_that_is_said_and_its_words_follow(page: Page) -> None:
    page.goto("/#/search?q=when+does+the+train+leave&kind=audio")
    row = page.locator(".row").first
    expect(row).to_contain_text("the train leaves at ten")
    row.get_by_role("button", name="0:03–0:05").click()
    page.wait_for_function("() => Math.abs(document.querySelector('#viewer audio').currentTime - 3) < 1.9")
    expect(page.locator("#viewer .line button").first).to_be_visible()
    passages = page.locator("#viewer .following li")
    expect(passages.filter(has_text="the train leaves")).to_have_attribute("aria-current", "true")
    passages.filter(has_text="good morning").get_by_role("button").click()
    expect(passages.filter(has_text="good morning")).to_have_attribute("aria-current", "true")


def test_a_video_plays_from_its_moment_with_captions_and_pictures_on_its_line(
    page: Page, world: World, library: httpx.Client
) -> None:
    asset = world.video(film(world.media / "film.webm"), [(0.0, 5.0, "green"), (5.0, 10.0, "red")], ["good evening"])
    page.goto(f"/#/search?q=red&kind=video&asset={asset}&at=5.0")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#viewer video')].some(video => !video.paused && video.currentTime >= 5)"
    )
    expect(page.locator("#viewer video track[kind=captions]")).to_have_count(1)
    assert "good evening" in library.get(f"/v1/assets/{asset}/subtitles?format=vtt").text
    line = page.locator("#viewer .line").bounding_box()
    assert line
    page.mouse.move(line["x"] + line["width"] * 0.75, line["y"] + line["height"] / 2)
    expect(page.locator("#viewer .preview img")).to_have_attribute("src", re.compile(r"/segments/\d+/thumbnail"))
    expect(page.locator("#viewer .preview")).to_contain_text("0:07")


def test_a_swipe_goes_to_the_neighbour(phone: Page) -> None:
    page = phone
    page.goto("/")
    page.locator("#hits button.cover").first.tap()
    title = page.locator("#viewer-title")
    expect(title).to_have_text("red-1.jpg")
    expect(page.get_by_role("button", name="Next")).to_be_visible()
    session = page.context.new_cdp_session(page)

    def swipe(start: int, end: int) -> None:
        # Chromium hands a touch on only to what it has painted: two frames after a change that has been.
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        session.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [{"x": start, "y": 200}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchMove", "touchPoints": [{"x": end, "y": 205}]})
        session.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})

    swipe(300, 100)
    expect(title).not_to_have_text("red-1.jpg")
    swipe(100, 300)
    expect(title).to_have_text("red-1.jpg")
