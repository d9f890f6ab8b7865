"""Pages as pictures. Knows fonts and colours; knows no questions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from training.reading.layouts import Page, Placed

_FOLDER = Path("/usr/share/fonts")
_FONTS = ("DejaVuSans.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf", "Liberation*-Regular.ttf")
# Paper and ink.
_THEMES = (
    ("#ffffff", "#111111"),
    ("#f7f3e8", "#2a2a2a"),
    ("#10141c", "#eef2f7"),
    ("#e9f1fb", "#10243e"),
    ("#1f2a24", "#e6f0e8"),
)
_BUBBLE = ("#dcf8c6", "#111111")


def find_fonts() -> list[Path]:
    """Upright text fonts of the machine. Raises FileNotFoundError."""
    fonts = {font.name: font for name in _FONTS for font in sorted(_FOLDER.rglob(name))}
    if not fonts:
        raise FileNotFoundError(
            f"none of {', '.join(_FONTS)} is in {_FOLDER}: install fonts-liberation and fonts-dejavu"
        )
    return [fonts[name] for name in sorted(fonts)]


def draw(page: Page, fonts: Sequence[Path], random: np.random.Generator) -> Image.Image:
    """The page in one of the fonts and themes."""
    upright = [font for font in fonts if ("Mono" in font.name) == (page.style == "receipt")] or list(fonts)
    font = str(upright[int(random.integers(len(upright)))])
    paper, ink = _THEMES[0] if page.style == "receipt" else _THEMES[int(random.integers(len(_THEMES)))]
    picture = Image.new("RGB", (page.width, page.height), paper)
    pen = ImageDraw.Draw(picture)
    shrink = min(1.0, *(_fit(line, font) for line in page.lines))
    for line in page.lines:
        if line.bubble:
            box = (line.left - 10, line.top - 6, line.left + line.width + 10, line.top + line.size * 1.3)
            pen.rectangle(box, fill=_BUBBLE[0])
    for line in page.lines:
        shape = ImageFont.truetype(font, max(12, round(line.size * shrink)))
        pen.text((line.left, line.top), line.text, font=shape, fill=_BUBBLE[1] if line.bubble else ink)
    return picture


def _fit(line: Placed, font: str) -> float:
    """By how much the line must shrink to be as wide as its layout says."""
    return line.width / ImageFont.truetype(font, round(line.size)).getlength(line.text)
