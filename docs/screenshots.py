"""The pictures in docs/images: the page as it is, of the demo's media, wide and narrow, light and dark.

`python -m docs.screenshots` makes a library of its own in a temporary folder, indexes it, serves it on loopback and
takes them (about two minutes; it needs Chromium). Look at each before you commit it.
"""

from __future__ import annotations

import io
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from PIL import Image
from PIL.ExifTags import GPS, IFD, Base
from playwright.sync_api import Browser, Page, expect, sync_playwright

from demo.run import LIBRARY, MEDLEY, build_library

IMAGES = Path(__file__).parent / "images"
WIDE, NARROW = (1200, 760), (390, 760)
_SECONDS = 120
_RECORDED = 1_640_000_000  # epoch seconds: the recordings' time, before all photos
# When and where the demo's photos were taken is not known; so that there is something to see, they get a journey.
_JOURNEY: tuple[tuple[str, str, tuple[float, float] | None, str], ...] = (
    ("holiday_2007.jpg", "2024:07:14 10:20:00", (39.9999, 116.2755), "Summer/palace.jpg"),
    ("garden.jpg", "2024:07:14 11:05:00", (39.9990, 116.2700), "Summer/dahlia.jpg"),
    ("IMG_0042.png", "2024:07:15 08:30:00", (48.8867, 2.3431), "Summer/breakfast.jpg"),
    ("pet_2019.png", "2024:07:15 18:00:00", (48.8584, 2.2945), "Summer/cat.jpg"),
    ("garage.png", "2023:12:24 15:00:00", (52.4987, 13.4030), "Winter/garage.jpg"),
    ("texture_lawn.png", "2023:12:24 15:10:00", (52.5163, 13.3777), "Winter/lawn.jpg"),
    ("texture_wall.png", "2023:12:24 15:20:00", (52.5163, 13.3777), "Winter/wall.jpg"),
    ("DSC_1101.jpg", "2023:05:02 06:00:00", (28.5728, -80.6490), "Cape/rocket.jpg"),
    ("portrait_01.png", "2023:05:02 12:00:00", (28.5728, -80.6490), "Cape/commander.jpg"),
    ("night_sky.jpg", "2023:05:02 23:00:00", None, "Cape/galaxies.jpg"),
    ("telescope_07.png", "2023:05:02 23:30:00", None, "Cape/moon.jpg"),
    ("scan_coins.png", "2022:10:03 09:00:00", None, "Scans/coins.jpg"),
    ("scanned_page.png", "2022:10:03 09:10:00", None, "Scans/page.jpg"),
)


def make_library(folder: Path) -> None:
    """The demo's media with dates and places, and two copies."""
    build_library()
    for name, taken, at, new in _JOURNEY:
        target = folder / new
        target.parent.mkdir(parents=True, exist_ok=True)
        exif = Image.Exif()
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = taken
        if at is not None:
            exif.get_ifd(IFD.GPSInfo).update(_degrees(*at))
        with Image.open(LIBRARY / "photos" / name) as image:
            image.convert("RGB").save(target, quality=90, exif=exif)
            if name == "garage.png":
                image.convert("RGB").resize((image.width // 2, image.height // 2)).save(
                    folder / "Winter" / "small.jpg", exif=exif
                )
    shutil.copyfile(folder / "Summer" / "palace.jpg", folder / "Summer" / "palace (1).jpg")
    (folder / "Recordings").mkdir()
    for media in sorted(LIBRARY.iterdir()):
        if media.is_file():
            copy = shutil.copyfile(media, folder / "Recordings" / media.name)
            os.utime(copy, (_RECORDED, _RECORDED))


def _degrees(latitude: float, longitude: float) -> dict[int, object]:
    def parts(angle: float) -> tuple[float, float, float]:
        return (abs(angle), 0.0, 0.0)

    return {
        GPS.GPSLatitudeRef: "S" if latitude < 0 else "N",
        GPS.GPSLatitude: parts(latitude),
        GPS.GPSLongitudeRef: "W" if longitude < 0 else "E",
        GPS.GPSLongitude: parts(longitude),
    }


@contextmanager
def serving(home: Path) -> Iterator[str]:
    """The service with this home, on a free port; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"MEDLEY_HOME": str(home), "MEDLEY_ALLOW_REMOVAL": "true"}
    service = subprocess.Popen([MEDLEY, "serve", "--port", str(port), "--no-worker"], env=environment)
    try:
        until = time.monotonic() + _SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health/ready"):
            if time.monotonic() > until or service.poll() is not None:
                raise SystemExit("the service did not become ready")
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        service.terminate()
        service.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5):
            return True
    except OSError:
        return False


def shoot(
    browser: Browser,
    address: str,
    name: str,
    look: Callable[[Page], None],
    size: tuple[int, int] = WIDE,
    scheme: Literal["light", "dark"] = "light",
) -> None:
    """Open the page, do `look`, and keep what is seen then."""
    context = browser.new_context(
        base_url=address,
        viewport={"width": size[0], "height": size[1]},
        color_scheme=scheme,
        has_touch=size == NARROW,
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(_SECONDS * 1000)
    look(page)
    page.wait_for_function(
        "() => [...document.images].filter(image => image.checkVisibility() && image.getBoundingClientRect().top < "
        "innerHeight && image.getBoundingClientRect().bottom > 0).every(image => image.complete && image.naturalWidth)"
    )
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        small = picture.convert("RGB").quantize(colors=200, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        small.save(IMAGES / f"{name}.png", optimize=True)
    context.close()
    print(f"{name}.png: {(IMAGES / f'{name}.png').stat().st_size // 1000} kB")


def library(page: Page) -> None:
    """The library, newest first."""
    page.goto("/")
    expect(page.locator("#hits .tile").first).to_be_visible()


def search(page: Page) -> None:
    """What was found."""
    page.goto("/#/search?q=a+rocket+before+its+launch")
    expect(page.locator("#hits .tile").first).to_be_visible()
    expect(page.locator("#hits[aria-busy]")).to_have_count(0)


def viewer(page: Page) -> None:
    """A video at its moment, with the picture under the pointer."""
    search(page)
    page.locator("#hits button.cover", has_text="0:").first.click()
    expect(page.locator("#viewer .following li").first).to_be_visible()
    page.wait_for_function("() => document.querySelector('#viewer video').currentTime > 0")
    page.evaluate("document.querySelector('#viewer video').pause()")
    line = page.locator("#viewer .line").bounding_box()
    assert line is not None
    page.mouse.move(line["x"] + line["width"] * 0.75, line["y"] + line["height"] / 2)
    expect(page.locator("#viewer .preview img")).to_be_visible()


def photo(page: Page) -> None:
    """A photo with its facts."""
    page.goto("/#/search?place=Paris%2C+France")
    page.locator("#hits button.cover").first.click()
    expect(page.locator("#viewer-facts dd").first).to_be_visible()
    page.wait_for_function("() => document.querySelector('#viewer .picture img').src.includes('size=')")
    page.locator("#viewer-facts dd").first.evaluate(
        "(dd, path) => { dd.textContent = path; }", "/home/anna/Pictures/Summer"
    )


def ask(page: Page) -> None:
    """A question and its answer."""
    page.goto("/#/ask")
    expect(page.locator("#pulse")).to_contain_text("files")  # the page is alive
    page.get_by_label("Your question").fill("What colour is the spacesuit?")
    page.get_by_role("button", name="Ask", exact=True).click()
    expect(page.locator("#turns .answer sup, #turns .answer a, #turns .answer button").first).to_be_visible()
    page.locator("#question").blur()


def copies(page: Page) -> None:
    """Copies side by side."""
    page.goto("/#/library")
    page.get_by_role("button", name="Look for copies").click()
    group = page.locator("#copies details").first
    group.locator("summary").click()
    expect(group.locator(".sides > li").nth(1)).to_be_visible()
    group.locator("dd").evaluate_all(
        "facts => facts.forEach(dd => { dd.textContent = dd.textContent.replace(/^\\/\\S*\\/anna/, '/home/anna'); })"
    )
    page.locator("#copies").evaluate("part => scrollTo(0, part.offsetTop - 70)")


def first_run(page: Page) -> None:
    """Where a new library begins: the folders of the person's home."""
    page.goto("/")
    page.get_by_role("button", name="Pictures").click()
    expect(page.get_by_role("button", name="Summer")).to_be_visible()
    page.locator(".chooser").evaluate(
        """chooser => {
            const short = (text) => text.replace(/\\/\\S*\\/anna/, "/home/anna"); // not the temporary folder it is in
            chooser.querySelector("input").value = short(chooser.querySelector("input").value);
            chooser.querySelector("p.help").textContent = short(chooser.querySelector("p.help").textContent);
        }"""
    )


def main() -> None:
    """Take them all."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on this machine (Debian: apt-get install chromium)")
    expect.set_options(timeout=_SECONDS * 1000)
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        media, home = Path(scratch) / "anna" / "Pictures", Path(scratch) / "home"
        make_library(media)
        (media.parent / "Videos").mkdir()
        os.environ["HOME"] = str(media.parent)
        with serving(Path(scratch) / "new") as address:
            shoot(browser, address, "page-first-run", first_run)
        subprocess.run([MEDLEY, "index", str(media)], env=os.environ | {"MEDLEY_HOME": str(home)}, check=True)
        with serving(home) as address:
            shoot(browser, address, "page-library", library)
            shoot(browser, address, "page-search", search)
            shoot(browser, address, "page-viewer", viewer, scheme="dark")
            shoot(browser, address, "page-photo", photo)
            shoot(browser, address, "page-ask", ask)
            shoot(browser, address, "page-copies", copies)
            shoot(browser, address, "page-phone", library, NARROW, "dark")
            shoot(browser, address, "page-phone-search", search, NARROW)
            shoot(browser, address, "page-phone-viewer", viewer, NARROW, "dark")
        browser.close()


if __name__ == "__main__":
    main()
