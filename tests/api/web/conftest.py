"""What tests of the page share: a real service with a small library, a real headless Chromium."""

from __future__ import annotations

import os
import shutil
import wave
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright
from support.service_world import World

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
# The closed network of a test machine must not be asked for updates and the like.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
         "--disable-component-update", "--disable-sync"]  # fmt: skip

_PATIENCE = 60_000  # ms: on a machine that does ten other things a page is slow, but not wrong
expect.set_options(timeout=_PATIENCE)


# For a module, not for the session: while the browser is open, Playwright's event loop counts as running in this
# thread, so no test outside this folder could start a loop of its own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        reason = "no Chromium on this machine (Debian: apt-get install chromium)"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def library(world: World, client: httpx.Client) -> httpx.Client:
    """Photos of three colours and two months, one with words, and a recording with passages."""
    for number in range(2):
        world.picture(f"red-{number}.jpg", "red", taken=datetime(2022, 12, 24 + number, tzinfo=UTC))
        world.picture(f"green-{number}.jpg", "green", taken=datetime(2021, 7, 1, tzinfo=UTC))
    world.picture("blue.jpg", "blue", words="harbour of copenhagen", taken=datetime(2022, 12, 24, tzinfo=UTC))
    talk = tone(world.media / "talk.wav")
    world.recording(talk, [(0.0, 2.0, "good morning"), (3.0, 5.0, "the train leaves at ten")])
    return client


@pytest.fixture
def empty_page(browser: Browser, world: World, client: httpx.Client) -> Iterator[Page]:
    """The page of a service without anything in its library."""
    client.delete(f"/v1/sources/{world.source.id}").raise_for_status()
    yield from opened(browser, str(client.base_url))


@pytest.fixture
def phone(browser: Browser, library: httpx.Client) -> Iterator[Page]:
    """The page of the library on a small screen that is touched."""
    yield from opened(browser, str(library.base_url), 390, 760, touch=True)


@pytest.fixture
def page(browser: Browser, library: httpx.Client) -> Iterator[Page]:
    """The page of the library."""
    yield from opened(browser, str(library.base_url))


def opened(
    browser: Browser, base_url: str, width: int = 1280, height: int = 800, touch: bool = False
) -> Iterator[Page]:
    """A page, which must neither raise an error nor ask anybody else for anything."""
    context = browser.new_context(base_url=base_url, viewport={"width": width, "height": height}, has_touch=touch)
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.set_default_timeout(_PATIENCE)
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((base_url, "blob:", "data:")) else problems.append(request.url),
    )
    page.on("console", lambda said: problems.append(said.text) if "Content Security Policy" in said.text else None)
    yield page
    context.close()
    assert not problems


def tone(path: Path) -> Path:
    """Six seconds of a tone, as a WAV file."""
    path.parent.mkdir(exist_ok=True)
    seconds = np.arange(16_000 * 6) / 16_000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((np.sin(2 * np.pi * 440 * seconds) * 9_000).astype("<i2").tobytes())
    return path
