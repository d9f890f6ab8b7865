"""The library and the settings in the page: what failed, copies, uploads, and what a key may not do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from support.catalog_world import claims_held
from support.service_world import World

from api.keys import SCOPES, new_key
from search.catalog import assets, keys, queue, sources
from search.catalog.models import asset
from search.catalog.records import FoundFile
from search.settings import Settings

from .conftest import opened

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, allow_removal=True)


def test_the_library_shows_its_account(page: Page) -> None:
    page.goto("/#/library")
    expect(page).to_have_title("Library – Medley")
    expect(page.locator("#figures")).to_contain_text("6")
    expect(page.locator("#sources")).to_contain_text("media")


def test_what_a_folder_leaves_out_is_seen_and_changed(page: Page, world: World, client: httpx.Client) -> None:
    page.goto("/#/library")
    page.locator("#sources summary", has_text="Leaves nothing more out").click()
    page.get_by_label("What to leave out, one pattern a line").first.fill("drafts/\n\n*.tmp.jpg")
    page.get_by_role("button", name="Keep, and look again").click()
    expect(page.locator("#sources summary", has_text="Leaves out drafts/, *.tmp.jpg")).to_be_visible()
    (source,) = client.get("/v1/sources").json()["items"]
    assert source["excludes"] == ["drafts/", "*.tmp.jpg"]
    page.locator("#sources summary", has_text="Leaves out drafts/").click()
    page.get_by_label("What to leave out, one pattern a line").first.fill("")
    page.get_by_role("button", name="Keep, and look again").click()
    expect(page.locator("#sources summary", has_text="Leaves nothing more out")).to_be_visible()


def test_what_scans_left_out_is_counted_in_words(page: Page, world: World) -> None:
    skipped = {"xlsx files": 3, "links out of the source": 1, "@eaDir folders": 2}
    with world.database.write() as connection:
        sources.keep_skipped(connection, world.source.id, skipped)
    page.goto("/#/library")
    said = "Left out: 3 XLSX files, 2 @eaDir folders, 1 link out of the source."
    expect(page.locator("#holds").get_by_text(said)).to_be_visible()


def test_a_choice_of_a_folder_with_signs_of_globs_in_its_name_finds_it(page: Page, world: World) -> None:
    world.picture("trip [1] *new*/a.jpg", "red")
    page.goto("/#/search")
    page.get_by_label("Folder").select_option(label="trip [1] *new* (1)")
    expect(page.locator("#hits .tile")).to_have_count(1)


def test_what_was_read_in_part_is_listed_and_opens(page: Page, world: World) -> None:
    page.goto("/#/library")
    expect(page.locator("#notes")).to_contain_text("all of every searchable file is searched")
    with world.database.write() as connection:
        words = {"note": "it lasts 2 seconds, although its header says 9", "note_kinds": "length"}
        connection.execute(asset.update().where(asset.c.path.endswith("talk.wav")).values(words))
    page.reload()
    page.locator("#notes summary", has_text="Of 1 file: lengths that differ").click()
    expect(page.locator("#notes li")).to_contain_text("although its header says 9")
    page.locator("#notes").get_by_role("link", name="talk.wav").click()
    expect(page.locator("#viewer-title")).to_contain_text("talk.wav")


def test_failures_are_grouped_in_peoples_words(page: Page, world: World) -> None:
    reasons = {"a.jpg": "can't be decoded: image file is truncated", "b.jpg": "is empty", "c.jpg": "is empty"}
    for name, reason in reasons.items():
        path = world.media / name
        with world.database.write() as connection:
            file = FoundFile(path=str(path), path_bytes=bytes(path), size_bytes=0, modified_ns=1)
            assets.sync_assets(connection, world.source.id, [file])
            (claimed,) = queue.claim(connection, "test", 1, 60)
            queue.quarantine(connection, claims_held(connection, "test"), claimed.id, reason)
    page.goto("/#/library")
    expect(page.locator("#failures summary")).to_have_text(["2 files are empty", "1 file is damaged"])
    page.locator("#failures summary").first.click()
    expect(page.locator("#failures details").first).to_contain_text("Copy them again")
    expect(page.locator("#failures details").first).to_contain_text("b.jpg")


def test_copies_stand_side_by_side_and_go_to_the_trash_and_back(page: Page, world: World) -> None:
    world.copy(world.media / "blue.jpg", "blue")
    page.goto("/#/library")
    page.get_by_role("button", name="Look for copies").click()
    group = page.locator("#copies details").filter(has_text="the same bytes").first
    group.locator("summary").click()
    expect(group.locator(".sides > li")).to_have_count(2)
    expect(group.locator(".sides > li").first).to_contain_text("64 × 48")
    group.get_by_role("button", name="Move the others to the trash").click()
    expect(group).to_contain_text("1 file moved to Medley's trash")
    assert len(list(world.media.glob("*.jpg"))) == 5
    group.get_by_role("button", name="Undo").click()
    # The page looks again once the file is back; until then the message stands there.
    expect(page.locator("#copies")).not_to_contain_text("moved to Medley's trash")
    expect(page.locator("#copies")).not_to_contain_text("In the trash")
    assert len(list(world.media.glob("*.jpg"))) == 6


def test_uploading_several_reports_each_and_goes_on_after_an_error(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.docx").write_text("not media")
    for shade in (90, 91):
        Image.new("RGB", (20, 20), (shade, shade, 0)).save(tmp_path / f"{shade}.png")
    page.goto("/#/library")
    page.locator("#account input[type=file]").set_input_files(
        [tmp_path / "90.png", tmp_path / "notes.docx", tmp_path / "91.png"]
    )
    outcomes = page.locator(".uploads .outcome")
    expect(outcomes.nth(0)).to_have_text("uploaded")
    expect(outcomes.nth(1)).to_have_class("outcome warning")
    expect(outcomes.nth(2)).to_have_text("uploaded")
    expect(page.locator("#account")).to_contain_text("2 files uploaded")


def test_without_keys_the_page_says_where_the_first_one_is_made(page: Page) -> None:
    page.goto("/#/settings")
    expect(page.locator("#keys")).to_contain_text("medley keys create")
    expect(page.get_by_role("button", name="Make a key")).to_have_count(0)


def test_a_page_that_is_open_asks_for_the_first_key(page: Page, world: World) -> None:
    page.goto("/#/settings")
    expect(page.locator("#keys")).to_contain_text("medley keys create")
    key, key_hash = new_key()
    with world.database.write() as connection:
        keys.create_key(connection, "guest", key_hash, "read")
    page.get_by_role("link", name="Library").click()
    expect(page.get_by_role("heading", name="This library needs a key")).to_be_visible()
    page.get_by_role("textbox", name="Key").fill("medley_wrong")
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.locator("#key-message")).not_to_be_empty()
    page.get_by_role("textbox", name="Key").fill(key)
    page.get_by_role("button", name="Open", exact=True).click()
    expect(page.get_by_role("heading", name="This library needs a key")).to_be_hidden()
    expect(page.locator("#figures")).to_contain_text("6")


class TestReadOnlyKey:
    @pytest.fixture
    def key(self, world: World) -> str:
        key, key_hash = new_key()
        with world.database.write() as connection:
            keys.create_key(connection, "guest", key_hash, "read")
        return key

    @pytest.fixture
    def guest(self, browser: Browser, library: httpx.Client, key: str) -> Iterator[Page]:
        for page in opened(browser, str(library.base_url)):
            page.goto("/")
            page.get_by_role("textbox", name="Key").fill(key)
            page.get_by_role("button", name="Open", exact=True).click()
            yield page

    def test_sees_everything_and_is_offered_nothing_it_may_not_do(self, guest: Page) -> None:
        assert SCOPES["read"] == {"read"}
        expect(guest.locator("#hits button.cover").first).to_be_visible()
        guest.goto("/#/library")
        expect(guest.locator("#figures")).to_contain_text("6")
        for name in ("Remove", "Add this folder", "Look again", "Upload files"):
            expect(guest.get_by_role("button", name=name)).to_have_count(0)
        expect(guest.locator("input[type=file]:not(#search-file)")).to_have_count(0)

    def test_signs_out(self, guest: Page) -> None:
        expect(guest.locator("#hits button.cover").first).to_be_visible()
        guest.goto("/#/settings")
        guest.get_by_role("button", name="Sign out").click()
        expect(guest.get_by_role("heading", name="This library needs a key")).to_be_visible()
