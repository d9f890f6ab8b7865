"""Where the words of a page stand: label and value side by side, at both edges or one above the other, tables, chats.

A layout places lines as text recognition would find them; drawing.py draws them. Knows no font files and no questions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from msgspec import Struct

from training.reading.templates import Document, Spoken

# Mean width of a letter in parts of the font's size.
LETTER = 0.52
_WITH_STATUS = 0.4  # share of the screenshots
NO_ROW = -1  # of lines that answer nothing: titles, heads, prompts


class Placed(Struct, frozen=True):
    """A line of text on a page, in pixels."""

    text: str
    left: float
    top: float
    size: float
    row: int
    bubble: bool = False
    bold: bool = False

    @property
    def width(self) -> float:
        """About how wide it will be."""
        return len(self.text) * self.size * LETTER


class Page(Struct, frozen=True):
    """A page ready to be drawn."""

    width: int
    height: int
    lines: tuple[Placed, ...]
    style: str


def box_of(line: Placed, page: Page) -> tuple[float, float, float, float]:
    """Left, top, right, bottom in parts of the page, as text recognition gives them: as high as the letters are."""
    tall = any(letter.isupper() or letter.isdigit() or letter in "bdfhklt" for letter in line.text)
    deep = any(letter in "gjpqy,;()" for letter in line.text)
    top, bottom = (0.15 if tall else 0.35), (1.2 if deep else 1.0)
    return (
        line.left / page.width,
        (line.top + top * line.size) / page.height,
        min(1.0, (line.left + line.width) / page.width),
        (line.top + bottom * line.size) / page.height,
    )


def lay_out(document: Document, random: np.random.Generator, layout: str = "") -> Page:
    """The document in one of LAYOUTS that fit it."""
    if document.head or len(document.rows[0]) > 2:
        name = layout if layout in TABLES else str(random.choice(list(TABLES)))
        return TABLES[name](document, random)
    if document.style in ("receipt", "poster"):
        return LAYOUTS["edges" if document.style == "receipt" else "centred"](document, random)
    name = layout or str(random.choice(["inline", "edges", "stacked", "columns", "aligned"]))
    return LAYOUTS[name](document, random)


def _start(document: Document, random: np.random.Generator, width: int) -> tuple[list[Placed], float, float, float]:
    """Title, left margin, size of the text, and where to continue."""
    size = float(random.integers(22, 30))
    margin = float(random.integers(30, 80))
    title = Placed(document.title, margin, margin, size * random.uniform(1.2, 1.6), NO_ROW, bold=True)
    if title.width > width - 2 * margin:
        title = Placed(document.title, margin, margin, size, NO_ROW, bold=True)
    around = _surroundings(random, width, margin) if document.style == "screen" else []
    return [title, *around], margin, size, margin + 2.4 * size


def _surroundings(random: np.random.Generator, width: int, margin: float) -> list[Placed]:
    """A status bar, on some pages: a time and a share that answer nothing."""
    if random.random() >= _WITH_STATUS:
        return []
    clock, battery = f"{random.integers(6, 23)}:{random.integers(10, 59)}", f"{random.integers(5, 99)}%"
    top, size = max(2.0, margin - 30), 14.0
    return [Placed(clock, 20.0, top, size, NO_ROW), Placed(battery, width - 70.0, top, size, NO_ROW)]


def _inline(document: Document, random: np.random.Generator) -> Page:
    """Label: value, in one line."""
    width = 720
    lines, left, size, y = _start(document, random, width)
    step = size * random.uniform(1.5, 2.2)
    sign = str(random.choice([": ", " ", " - "], p=[0.7, 0.2, 0.1]))
    for row, cells in enumerate(document.rows):
        lines.append(Placed(sign.join(cells), left, y, size, row))
        y += step
    return _page(width, y, lines)


def _edges(document: Document, random: np.random.Generator) -> Page:
    """Label at the left edge, value at the right one."""
    width = 460 if document.style == "receipt" else 720
    lines, left, size, y = _start(document, random, width)
    size = min(size, 24)
    step = size * random.uniform(1.4, 2.4)
    for row, cells in enumerate(document.rows):
        lines += _spread(cells, row, left, width - left, y, size)
        y += step
    return _page(width, y, lines, document.style)


def _spread(cells: Sequence[str], row: int, left: float, right: float, y: float, size: float) -> list[Placed]:
    first = Placed(cells[0], left, y, size, row)
    if len(cells) == 1:
        return [first]
    last = Placed(cells[1], right - len(cells[1]) * size * LETTER, y, size, row)
    if last.left - first.left - first.width < size:
        last = Placed(cells[1], left, y, size, row)
        return [Placed(f"{cells[0]} {cells[1]}", left, y, size, row)]
    return [first, last]


def _aligned(document: Document, random: np.random.Generator) -> Page:
    """Labels in one column, values in the next."""
    width = 860
    lines, left, size, y = _start(document, random, width)
    longest = max(len(cells[0]) for cells in document.rows if len(cells) > 1) if _has_pairs(document) else 0
    second = left + longest * size * LETTER + size * random.uniform(1.5, 3)
    for row, cells in enumerate(document.rows):
        lines.append(Placed(cells[0], left, y, size, row))
        if len(cells) > 1:
            lines.append(Placed(cells[1], second, y, size, row))
        y += size * 1.8
    return _page(width, y, lines)


def _stacked(document: Document, random: np.random.Generator) -> Page:
    """A small label above each value."""
    width = 640
    lines, left, size, y = _start(document, random, width)
    small = size * random.uniform(0.62, 0.78)
    for row, cells in enumerate(document.rows):
        if len(cells) > 1:
            lines.append(Placed(cells[0], left, y, small, row))
            y += small * 1.4
        lines.append(Placed(cells[-1], left, y, size, row))
        y += size * random.uniform(1.7, 2.2)
    return _page(width, y, lines)


def _columns(document: Document, random: np.random.Generator) -> Page:
    """Small labels above values, two or three beside each other, as on tickets."""
    width = 1000
    lines, left, size, y = _start(document, random, width)
    small = size * random.uniform(0.62, 0.78)
    widest = max(len(cells[-1]) for cells in document.rows) * size * LETTER
    many = 3 if widest < (width - 2 * left) / 3.3 and random.random() < 0.5 else 2
    size = min(size, size * (width - 2 * left) / 2.1 / widest)
    for start in range(0, len(document.rows), many):
        for column, cells in enumerate(document.rows[start : start + many]):
            x = left + column * (width - 2 * left) / many
            if len(cells) > 1:
                lines.append(Placed(cells[0], x, y, small, start + column))
            lines.append(Placed(cells[-1], x, y + 1.4 * small, size, start + column))
        y += 1.4 * small + size * random.uniform(1.8, 2.6)
    return _page(width, y, lines)


def _centred(document: Document, random: np.random.Generator) -> Page:
    """Lines in the middle, of different sizes, as on posters."""
    width = 800
    lines, _, size, y = _start(document, random, width)
    for row, cells in enumerate(document.rows):
        large = size * float(random.choice([1, 1, 1.3, 1.6]))
        text = " ".join(cells)
        large = min(large, (width - 60) / (len(text) * LETTER))
        lines.append(Placed(text, (width - len(text) * large * LETTER) / 2, y, large, row))
        y += large * random.uniform(1.6, 2.4)
    return _page(width, y, lines, "poster")


def _table(document: Document, random: np.random.Generator) -> Page:
    """Columns under their heads."""
    size = 24.0
    cells = [document.head, *document.rows] if any(document.head) else list(document.rows)
    widths = [max(len(row[column]) for row in cells) * size * LETTER for column in range(len(cells[0]))]
    gap = size * random.uniform(1.5, 4)
    lines, left, _, y = _start(document, random, 900)
    for number, row in enumerate(cells, start=len(document.rows) - len(cells)):
        x = left
        for text, wide in zip(row, widths, strict=True):
            if text:
                lines.append(Placed(text, x, y, size, max(number, NO_ROW), bold=number < 0))
            x += wide + gap
        y += size * random.uniform(1.6, 2.0)
    width = int(left + sum(widths) + gap * len(widths) + left)
    return _page(max(width, int(lines[0].left + lines[0].width + left)), y, lines)


def chat(spoken: Spoken, title: str, random: np.random.Generator) -> Page:
    """Bubbles at both sides; long ones are broken into lines."""
    width, size = 640, float(random.integers(22, 27))
    letters = int(0.66 * width / (size * LETTER))
    lines = [Placed(title, 60.0, 24.0, size * 1.2, NO_ROW, bold=True)]
    y = 24 + 3 * size
    mine = bool(random.random() < 0.5)
    for row, (prompt, sentence) in enumerate(zip(spoken.prompts, spoken.sentences, strict=True)):
        for text, number in ((prompt, NO_ROW), (sentence, row)):
            if not text:
                continue
            mine = not mine if number == NO_ROW or prompt or random.random() < 0.5 else mine
            wrapped = _wrap(text, letters)
            wide = max(map(len, wrapped)) * size * LETTER
            x = width - 30 - wide if mine else 30.0
            for part in wrapped:
                lines.append(Placed(part, x, y, size, number, bubble=True))
                y += size * 1.3
            y += size * 1.3
    return _page(width, y, lines, "chat")


def _wrap(text: str, letters: int) -> list[str]:
    lines = [""]
    for word in text.split():
        if lines[-1] and len(lines[-1]) + 1 + len(word) > letters:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _has_pairs(document: Document) -> bool:
    return any(len(cells) > 1 for cells in document.rows)


def _page(width: int, bottom: float, lines: Sequence[Placed], style: str = "screen") -> Page:
    return Page(width, int(bottom + 60), tuple(lines), style)


Layout = Callable[[Document, np.random.Generator], Page]
LAYOUTS: dict[str, Layout] = {
    "inline": _inline,
    "edges": _edges,
    "aligned": _aligned,
    "stacked": _stacked,
    "columns": _columns,
    "centred": _centred,
}
TABLES: dict[str, Layout] = {"table": _table}
