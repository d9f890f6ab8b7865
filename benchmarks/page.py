"""How smoothly the page scrolls: `python -m benchmarks.page --url http://127.0.0.1:8000`.

It loads the newest 2,000 files of the library in headless Chromium (without a GPU: all is drawn by the processor),
scrolls through them by a third of the window's height each frame, and prints the time between frames, what layout and
script took, and how far things moved by themselves. Frames compete with whatever else runs: the load is printed, too.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys

import numpy as np
from playwright.sync_api import CDPSession, sync_playwright

_SCROLL = """async (frames) => {
    const times = [];
    let last = await new Promise(requestAnimationFrame);
    for (let frame = 0; frame < frames; frame += 1) {
        scrollBy(0, innerHeight / 3);
        const now = await new Promise(requestAnimationFrame);
        times.push(now - last);
        last = now;
    }
    return times;
}"""
_SHIFT = """window.shift = 0;
new PerformanceObserver((list) => list.getEntries().forEach((entry) => {
    if (!entry.hadRecentInput) window.shift += entry.value;
})).observe({ type: "layout-shift", buffered: true });"""


def main() -> int:
    """Measure, and print a table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--url", default="http://127.0.0.1:8000")
    arguments.add_argument("--files", type=int, default=2000)
    arguments.add_argument("--frames", type=int, default=300)
    given = arguments.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    if chromium is None:
        print("no Chromium on this machine (Debian: apt-get install chromium)", file=sys.stderr)
        return 1
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.add_init_script(_SHIFT)
        page.goto(given.url)
        page.wait_for_selector("#hits .tile")
        count, before = page.locator("#hits .tile").count(), -1
        while before < count < given.files:
            page.evaluate("scrollTo(0, document.body.scrollHeight)")
            page.wait_for_function(
                "count => document.querySelectorAll('#hits .tile').length > count"
                " || document.querySelector('#more').hidden",
                arg=count,
            )
            count, before = page.locator("#hits .tile").count(), count
        page.evaluate("scrollTo(0, 0)")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")
        start = _metrics(session)
        times = np.array(page.evaluate(_SCROLL, given.frames))
        end = _metrics(session)
        spent = {name: (end[name] - start[name]) / given.frames * 1000 for name in ("Layout", "RecalcStyle", "Script")}
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {count} tiles, {given.frames} frames")
        print("| between frames | median | 95 % | longest | layout | style | script | layout shift |")
        print("|---|---|---|---|---|---|---|---|")
        figures = [f"{value:.1f} ms" for value in (*np.percentile(times, (50, 95, 100)), *spent.values())]
        print(f"| | {' | '.join(figures)} | {page.evaluate('window.shift'):.3f} |")
        browser.close()
    return 0


def _metrics(session: CDPSession) -> dict[str, float]:
    """Seconds so far, by what they were spent on."""
    told = session.send("Performance.getMetrics")["metrics"]
    return {one["name"].removesuffix("Duration"): one["value"] for one in told if one["name"].endswith("Duration")}


if __name__ == "__main__":
    sys.exit(main())
