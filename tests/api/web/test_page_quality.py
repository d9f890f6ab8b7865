"""What holds for every view: accessible, light, still while it loads, quick to scroll, right on phones."""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect
from support.media import film
from support.paths import ROOT
from support.service_world import World

from api.keys import new_key
from search.catalog import keys

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WEB = ROOT / "api" / "web"
SCRIPT_BUDGET_BYTES = 150_000
FIRST_PAINT_BUDGET_MS = 1000
LAYOUT_SHIFT_BUDGET = 0.1
ROOMS = ("base", "parts", "views")  # each imports from itself and from those before it
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
VIEWS = ("search", "search?q=red", "search?q=red&asset=1", "search?kind=audio&asset=6", "ask", "library", "settings")


def imports_of(file: Path) -> list[Path]:
    match = re.findall(r'^(?:import|export) .*?from "(\..*?)";', file.read_text(), re.MULTILINE | re.DOTALL)
    return [(file.parent / name).resolve().relative_to(WEB) for name in match]


def test_imports_go_one_way_and_never_in_a_circle() -> None:
    arrows = {file.relative_to(WEB): imports_of(file) for file in WEB.rglob("*.js")}
    assert len(arrows) > 20
    for file, targets in arrows.items():
        for target in targets:
            assert target in arrows, f"{file} imports {target}, which is not there"
            if file.name != "main.js":
                assert ROOMS.index(target.parts[0]) <= ROOMS.index(file.parts[0]), f"{file} imports {target}"
                assert target.parts[0] != "views", f"{file} imports the view {target}: views are opened by main.js"

    def visit(file: Path, above: tuple[Path, ...]) -> None:
        assert file not in above, f"a circle: {' -> '.join(map(str, (*above, file)))}"
        for target in arrows[file]:
            visit(target, (*above, file))

    visit(Path("main.js"), ())


def test_the_scripts_are_small_and_come_from_here() -> None:
    assert sum(file.stat().st_size for file in WEB.rglob("*.js")) < SCRIPT_BUDGET_BYTES
    assert not re.search(r"https?://", "".join(file.read_text() for file in WEB.rglob("*.js")))


def test_every_view_is_accessible(page: Page) -> None:
    found = {}
    for view in VIEWS:
        page.goto("about:blank")
        page.goto(f"/#/{view}")
        settled(page, view)
        found[view] = broken(page)
    assert {view: wrong for view, wrong in found.items() if wrong} == {}


def test_every_form_and_what_opens_is_accessible(page: Page, world: World) -> None:
    world.copy(world.media / "blue.jpg", "blue")
    filmed = world.video(film(world.media / "film.webm"), [(0.0, 5.0, "green"), (5.0, 10.0, "red")], ["good evening"])
    bill = world.document("bill.pdf", [["Invoice 7", "Total 12 EUR"]])
    found: dict[str, list[str]] = {}

    def also(state: str, view: str, reach: Callable[[], None]) -> None:
        page.goto("about:blank")
        page.goto(f"/#/{view}")
        reach()
        found[state] = broken(page)

    def excludes() -> None:
        page.locator("#sources summary", has_text="Leaves nothing more out").click()
        expect(page.get_by_label("What to leave out, one pattern a line").first).to_be_visible()

    def folder_picker() -> None:
        page.locator("#sources summary", has_text="Add a folder").click()
        page.get_by_role("button", name="Home").click()
        expect(page.get_by_role("button", name="↑")).to_be_visible()
        page.get_by_text("Leave something out").click()

    def save_form() -> None:
        page.get_by_role("button", name="Save this search").click()
        expect(page.get_by_role("textbox", name="Name of the saved search")).to_be_visible()

    def copies() -> None:
        page.get_by_role("button", name="Look for copies").click()
        page.locator("#copies summary").first.click()
        expect(page.locator("#copies .sides > li").nth(1)).to_be_visible()

    def captions() -> None:
        expect(page.locator("#viewer track[kind=captions]")).to_have_count(1)
        page.locator("#viewer .line").hover()
        expect(page.locator("#viewer .preview")).to_be_visible()

    def mistake() -> None:
        expect(page.locator("#search-message [role=alert]")).to_be_visible()

    def chips() -> None:
        expect(page.locator("#attachments li")).to_have_count(1)
        expect(page.locator(".understood")).to_be_visible()
        expect(page.locator("#hits .tile").first).to_be_visible()

    also("what a folder leaves out", "library", excludes)
    also("the folder picker", "library", folder_picker)
    also("saving a search", "search?q=red", save_form)
    also("copies side by side", "library", copies)
    also("a video with captions", f"search?asset={filmed}&at=5.0", captions)
    also("a document", f"search?asset={bill}&page=1", lambda: expect(page.locator(".paper img")).to_be_visible())
    also("a mistake", "search?q=dog+(", mistake)
    also("chips", "search?q=red+in+December+2022&like=1", chips)
    assert {state: wrong for state, wrong in found.items() if wrong} == {}


def broken(page: Page) -> list[str]:
    """What axe finds wrong in the page as it stands, light and dark."""
    wrong = []
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        wrong += [f"{scheme}: {one['id']}: {one['nodes'][0]['html']}" for one in found]
    return wrong


def test_the_first_run_and_the_key_are_accessible(empty_page: Page, world: World) -> None:
    page = empty_page
    page.goto("/")
    expect(page.get_by_label("Folder to add")).to_be_visible()
    assert broken(page) == []
    with world.database.write() as connection:
        keys.create_key(connection, "guest", new_key()[1], "read")
    page.goto("about:blank")
    page.goto("/")
    expect(page.get_by_role("heading", name="This library needs a key")).to_be_visible()
    assert broken(page) == []


def settled(page: Page, view: str) -> None:
    """Wait for what the view shows last."""
    last = {
        "search": "#hits > li", "search?q=red": "#hits > li", "search?q=red&asset=1": "#viewer-facts dd",
        "search?kind=audio&asset=6": "#viewer .following li", "ask": "#question", "library": "#failures p",
        "settings": "#keys p",
    }  # fmt: skip
    expect(page.locator(last[view]).first).to_be_visible()


def test_it_fits_a_phone(page: Page) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    wide = {}
    for view in VIEWS:
        page.goto("about:blank")
        page.goto(f"/#/{view}")
        settled(page, view)
        wide[view] = page.evaluate("document.documentElement.scrollWidth")
    assert {view: width for view, width in wide.items() if width > 360} == {}


def test_it_paints_soon(page: Page) -> None:
    page.goto("/")
    page.wait_for_function("() => performance.getEntriesByName('first-contentful-paint').length")
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    # Generous on a shared machine: the budget is for a loopback that has nothing else to do.
    assert paint < 5 * FIRST_PAINT_BUDGET_MS


@pytest.mark.parametrize("view", ["search?q=red", "search"])
def test_nothing_jumps_while_results_come_in(page: Page, world: World, view: str) -> None:
    for number in range(40):
        world.picture(f"many/{number}.jpg", "red")
    page.add_init_script(
        "window.shift = 0; new PerformanceObserver(list => list.getEntries().forEach(entry => {"
        " if (!entry.hadRecentInput) window.shift += entry.value; })).observe({type: 'layout-shift', buffered: true});"
    )
    page.goto(f"/#/{view}")
    expect(page.locator("#hits .tile img").first).to_be_visible()
    expect(page.locator("#hits[aria-busy]")).to_have_count(0)
    page.wait_for_function(
        "() => [...document.querySelectorAll('#hits img')].slice(0, 6).every(image => image.complete)"
    )
    assert page.evaluate("window.shift") < LAYOUT_SHIFT_BUDGET


MANY = 2000


@pytest.fixture
def many(page: Page, library: httpx.Client) -> Page:
    """A search with 2,000 hits, each with a picture of its own, in pages of 250."""
    hit = library.post("/v1/search", json={"text": "red"}).json()["hits"][0]

    def answer(route: Route) -> None:
        first = int(json.loads(route.request.post_data or "")["cursor"] or 0)
        until = min(first + 250, MANY)
        hits = [
            hit
            | {
                "asset": hit["asset"] | {"id": str(1000 + number), "width": 40 + number % 50, "height": 50},
                "moments": [hit["moments"][0] | {"thumbnail": f"/v1/segments/{1000 + number}/thumbnail"}],
            }
            for number in range(first, until)
        ]
        more = {"next_cursor": str(until) if until < MANY else None, "matching": MANY}
        route.fulfill(json={"query": {"parts": [1]}, "hits": hits, "matched": True, "took_seconds": 0.1} | more)

    picture = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(picture, "PNG")
    page.route("**/v1/search", answer)
    page.route(re.compile(r"/v1/segments/\d{4}/thumbnail"), lambda route: route.fulfill(body=picture.getvalue()))
    page.goto("/#/search?q=green")
    expect(page.locator("#hits .tile").first).to_be_visible()
    page.evaluate(
        """async (many) => {
            const tiles = document.getElementById("hits").getElementsByClassName("tile");
            while (tiles.length < many) {
                scrollTo(0, document.body.scrollHeight);
                await new Promise(requestAnimationFrame);
            }
        }""",
        MANY,
    )
    return page


def test_of_two_thousand_hits_only_those_in_sight_cost_anything(many: Page) -> None:
    """Frames can't be timed on a busy machine; what they have to do can be counted."""
    session = many.context.new_cdp_session(many)
    session.send("Performance.enable")

    def counted() -> dict[str, float]:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return {metric["name"]: metric["value"] for metric in metrics}

    elements = "document.getElementsByTagName('*').length"
    many.evaluate("scrollTo(0, 0)")
    made, before = many.evaluate(elements), counted()
    steps = 60
    for_each = many.evaluate(
        """async (steps) => {
            const laidOut = [];
            for (let step = 0; step < steps; step += 1) {
                scrollBy(0, 400);
                await new Promise(requestAnimationFrame);
                laidOut.push([...document.querySelectorAll("#hits img")].filter(
                    (image) => image.checkVisibility({ contentVisibilityAuto: true })).length);
            }
            return laidOut;
        }""",
        steps,
    )
    after = counted()
    assert max(for_each) < 150, "what is out of sight is not laid out"
    assert after["LayoutCount"] - before["LayoutCount"] <= 3 * steps
    assert many.evaluate(elements) == made, "scrolling makes no elements"


def test_it_can_be_installed(page: Page, library: httpx.Client) -> None:
    page.goto("/")
    manifest = library.get("/web/manifest.webmanifest").json()
    for icon in manifest["icons"]:
        assert library.get(f"/web/{icon['src']}").status_code == 200
    assert {icon["sizes"] for icon in manifest["icons"]} >= {"192x192", "512x512"}
    assert page.locator("link[rel=manifest]").get_attribute("href") == "web/manifest.webmanifest"


def test_it_works_below_a_path_behind_a_proxy(browser: Browser, library: httpx.Client) -> None:
    with below_path(str(library.base_url)) as address:
        page = browser.new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/medley/")
        expect(page.locator("#hits button.cover").first).to_be_visible()
        page.locator("#hits button.cover").first.click()
        expect(page.locator("#viewer-facts dd").first).to_be_visible()
        page.goto(f"{address}/medley/#/library")
        expect(page.locator("#figures")).to_contain_text("6")
        assert [url for url in asked if "/medley/" not in url] == []
        page.close()


@contextmanager
def below_path(upstream: str) -> Iterator[str]:
    """A proxy that serves what is at `upstream` below /medley/."""

    class Proxy(BaseHTTPRequestHandler):
        def forward(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "origin")}
            path = self.path.removeprefix("/medley")
            with httpx.stream(self.command, upstream + path, content=body, headers=headers, timeout=30) as answer:
                self.send_response(answer.status_code)
                for name, value in answer.headers.items():
                    if name not in ("transfer-encoding", "connection"):
                        self.send_header(name, value)
                self.end_headers()
                try:
                    for piece in answer.iter_raw():
                        self.wfile.write(piece)
                        self.wfile.flush()
                except (BrokenPipeError, ConnectionResetError, httpx.HTTPError):
                    return

        do_GET = do_POST = do_DELETE = forward  # noqa: N815

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
