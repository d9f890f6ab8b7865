"""Searching and looking through the library in the page, as a person does."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Page, expect
from support.service_world import World

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def search(page: Page, text: str) -> None:
    page.get_by_role("combobox", name="Search your library").fill(text)
    page.get_by_role("button", name="Search", exact=True).click()
    expect(page.locator("#hits[aria-busy]")).to_have_count(0)


def test_words_find_photos_and_the_address_keeps_the_search(page: Page) -> None:
    page.goto("/")
    search(page, "red")
    expect(page.locator(".tile").first).to_contain_text("red-")
    expect(page).to_have_title("red – Medley")
    page.reload()
    expect(page.locator(".tile").first).to_contain_text("red-")


def test_without_a_query_the_library_stands_newest_first_with_its_months(page: Page) -> None:
    page.goto("/")
    covers = page.locator("#hits button.cover")
    expect(covers).to_have_count(5)
    names = [covers.nth(number).get_attribute("title") or "" for number in range(5)]
    assert names[0] == "red-1.jpg"
    assert names[-1].startswith("green-")
    months = page.get_by_role("navigation", name="Months of the library")
    months.get_by_role("button", name=re.compile("July 2021")).click()
    expect(covers).to_have_count(2)
    assert "until=2021-07" in page.url
    page.get_by_role("button", name="Back to the newest").click()
    expect(covers).to_have_count(5)


def test_filters_are_chosen_from_menus_and_stand_in_the_address(page: Page) -> None:
    page.goto("/")
    page.get_by_label("Date", exact=True).select_option("2021-07")
    expect(page.locator("#hits button.cover")).to_have_count(2)
    page.reload()
    expect(page.locator("#hits button.cover")).to_have_count(2)
    page.get_by_role("button", name="Clear filters").click()
    expect(page.locator("#hits button.cover")).to_have_count(5)
    page.get_by_text("Recordings", exact=True).click()
    expect(page.locator("#hits .row")).to_have_count(1)
    expect(page.locator("#hits button.cover")).to_have_count(0)


def test_words_of_time_are_shown_as_understood_and_can_be_taken_back(page: Page) -> None:
    page.goto("/#/search?q=red+in+December+2022")
    chip = page.locator(".understood")
    expect(chip).to_contain_text("date:2022-12")
    expect(page.locator(".tile").first).to_contain_text("red-")
    chip.get_by_role("button").click()
    expect(chip).to_have_count(0)
    assert "words=1" in page.url


def test_a_dropped_picture_is_a_chip_that_stays_until_it_is_taken_away(page: Page, world: World) -> None:
    page.goto("/")
    page.locator("#search-file").set_input_files(world.media / "blue.jpg")
    chips = page.locator("#attachments li")
    expect(chips).to_have_count(1)
    expect(page.locator(".tile").first).to_contain_text("blue.jpg")
    search(page, "red")
    expect(chips).to_have_count(1)
    page.reload()
    expect(chips).to_contain_text("blue.jpg")
    chips.get_by_role("button", name="Remove blue.jpg").click()
    expect(chips).to_have_count(0)


def test_a_mistake_in_a_query_and_a_service_that_is_gone_are_said_alike(page: Page) -> None:
    page.goto("/")
    search(page, "dog (")
    expect(page.locator("#search-message [role=alert]")).to_contain_text("parenthesis")
    expect(page.locator(".tile")).to_have_count(0)
    page.route("**/v1/search", lambda route: route.abort())
    search(page, "red")
    expect(page.locator("#search-message [role=alert]")).to_contain_text("does not answer")


def test_rows_are_even_whatever_the_mix_and_recordings_have_rows_of_their_own(page: Page, world: World) -> None:
    for number in range(30):
        name = f"wide-{number}.jpg"
        world.picture(name, "red")
        Image.new("RGB", (64, 48)).save(world.media / name)
    page.goto("/#/search?q=red")
    expect(page.locator("#hits .tile")).not_to_have_count(0)
    boxes = page.locator("#hits .tile .cover").evaluate_all(
        "covers => covers.map(cover => cover.getBoundingClientRect()).map(box => [box.top, box.height, box.right])"
    )
    rows: dict[int, list[list[float]]] = {}
    for box in boxes:
        rows.setdefault(round(box[0]), []).append(box)
    edges = [max(box[2] for box in row) for row in rows.values()]
    for row in rows.values():
        assert max(box[1] for box in row) - min(box[1] for box in row) < 1
        assert row[0][1] < 300, "no tile fills the window"
    assert max(edges[:-1]) - min(edges[:-1]) < 3, "full rows end at one edge"


def test_the_first_run_adds_a_folder_and_shows_it_being_read(
    empty_page: Page, client: httpx.Client, tmp_path: Path, world: World
) -> None:
    folder = tmp_path / "Pictures"
    folder.mkdir()
    for number in range(3):
        Image.new("RGB", (32, 24), (number * 40, 0, 0)).save(folder / f"{number}.jpg")
    page = empty_page
    page.goto("/")
    expect(page.get_by_role("heading", name="Begin with a folder")).to_be_visible()
    page.get_by_label("Folder to add").fill(str(folder))
    page.get_by_role("button", name="Add this folder").click()
    expect(page.get_by_role("heading", name="Your library is being read")).to_be_visible()
    expect(page.locator("#pulse")).to_contain_text("3 files left")
    assert [source["root"] for source in client.get("/v1/sources").json()["items"]][-1] == str(folder)


def test_folders_are_chosen_by_looking_through_them(empty_page: Page, tmp_path: Path) -> None:
    (tmp_path / "Pictures" / "Trip").mkdir(parents=True)
    page = empty_page
    page.goto("/")
    field = page.get_by_label("Folder to add")
    expect(field).to_be_visible()
    page.get_by_role("button", name="Home").click()
    expect(field).to_have_value(str(Path.home().resolve()))
    page.get_by_role("button", name="↑").click()
    expect(field).to_have_value(str(Path.home().resolve().parent))


def test_the_keyboard_reaches_everything(page: Page) -> None:
    page.goto("/#/search?q=red")
    expect(page.locator(".tile").first).to_be_visible()
    page.locator("body").press("/")
    expect(page.get_by_role("combobox", name="Search your library")).to_be_focused()
    page.locator(".tile button.cover").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_hits_are_judged_with_thumbs_and_taken_back(page: Page, client: httpx.Client) -> None:
    page.goto("/")
    expect(page.locator(".thumbs")).to_have_count(0)
    search(page, "red")
    first = page.locator(".tile").first
    right, wrong = (first.get_by_role("button", name=name, exact=True) for name in ("right", "wrong"))
    right.click()
    expect(right).to_have_attribute("aria-pressed", "true")
    (said,) = client.get("/v1/judgements").json()["items"]
    assert (said["query"], said["relevant"]) == ("red", 1)
    page.reload()
    expect(right).to_have_attribute("aria-pressed", "true")
    wrong.click()
    expect(right).to_have_attribute("aria-pressed", "false")
    wrong.click()
    expect(wrong).to_have_attribute("aria-pressed", "false")
    assert client.get("/v1/judgements").json()["items"] == []


def test_places_are_chosen_by_city_and_country(page: Page, world: World) -> None:
    world.picture("tower.jpg", "red", taken=datetime(2023, 7, 14, 10, tzinfo=UTC), at=(48.8584, 2.2945))
    world.picture("hill.jpg", "red", taken=datetime(2023, 7, 14, 11, tzinfo=UTC), at=(48.8867, 2.3431))
    world.picture("old.jpg", "red", taken=datetime(2023, 7, 14, 12, tzinfo=UTC), at=(43.2965, 5.3698))
    world.picture("sea.jpg", "blue", at=(0.2, -30.1))
    page.goto("/")
    heading = page.locator(".day", has_text="July 2023")
    expect(heading).to_contain_text("Marseille, Paris")
    menu = page.get_by_label("Place", exact=True)
    expect(menu.locator("optgroup")).to_have_count(2)
    menu.select_option(label="Paris (2)")
    expect(page.locator("#hits .tile")).to_have_count(2)
    assert "place=Paris%2C+France" in page.url
    menu.select_option(label="All of France (3)")
    expect(page.locator("#hits .tile")).to_have_count(3)
    menu.select_option(label="0.2° N, 30.1° W (1)")
    expect(page.locator("#hits .tile")).to_have_count(1)
    page.goto("/#/search?place=France&asset=" + str(world.picture("new.jpg", "red", at=(48.8584, 2.2945))))
    expect(page.locator("#viewer-facts")).to_contain_text("Paris, France (48.8584, 2.2945)")
    page.locator("#viewer-facts").get_by_role("link", name="Paris, France").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator("#hits .tile")).to_have_count(3)


def test_a_picture_dropped_on_the_page_is_searched_by(page: Page, world: World) -> None:
    page.goto("/")
    expect(page.locator("#hits .tile").first).to_be_visible()
    page.evaluate(
        """async (path) => {
            const bytes = await (await fetch(path)).blob();
            const transfer = new DataTransfer();
            transfer.items.add(new File([bytes], "dropped.jpg", { type: "image/jpeg" }));
            document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
        }""",
        f"v1/assets/{world.picture('new.jpg', 'green')}/content",
    )
    expect(page.locator("#attachments li")).to_contain_text("dropped.jpg")
    expect(page.locator("#attachments img")).to_be_visible()
    expect(page.locator(".tile").first).to_contain_text(re.compile("green-|new"))
    assert "file=" in page.url


def test_the_header_says_when_the_service_is_gone_and_claims_no_number(page: Page) -> None:
    page.goto("/")
    expect(page.locator("#pulse")).to_contain_text("6 files")
    page.route("**/v1/events", lambda route: route.abort())
    page.reload()
    expect(page.locator("#pulse")).to_have_text("no connection")
