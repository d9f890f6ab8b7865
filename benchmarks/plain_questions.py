"""Questions in people's own words about plain pages and memos: what benchmarks made by rule don't show.

    python -m benchmarks.plain_questions --folder /tmp/medley-plain [--show]

Pages are drawn in one font, memos spoken by espeak-ng, indexed with the command line, and asked about
(`answers_data/plain.toml`). It is a development set: weights have been chosen on it (docs/benchmarks/answers.md).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont

from benchmarks.answer_lines import index
from benchmarks.answer_sources import HERE, VOICES, speak
from search.engine import SearchEngine
from search.settings import Settings

SIZE = (820, 1150)  # pixels
MARGIN, PITCH = 60, 58
HEADING, TEXT = 36, 25


class Page(Struct, frozen=True):
    """A page: rows of one cell at the left edge, or of two, one at each."""

    name: str
    rows: tuple[tuple[str, ...], ...]


class Memo(Struct, frozen=True):
    """What is spoken."""

    name: str
    words: str


class Asked(Struct, frozen=True):
    """A question, and words of which one must stand in its answer; none: the library does not hold it."""

    text: str
    answers: tuple[str, ...]


class Plain(Struct, frozen=True):
    """The file."""

    pages: tuple[Page, ...]
    memos: tuple[Memo, ...]
    questions: tuple[Asked, ...]


def draw(page: Page) -> Image.Image:
    """Black on white, the first row as a heading."""
    image = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(image)
    for number, cells in enumerate(page.rows):
        font = ImageFont.load_default(TEXT if number else HEADING)
        height = MARGIN + PITCH * number
        pen.text((MARGIN, height), cells[0], fill="black", font=font)
        for cell in cells[1:]:
            pen.text((SIZE[0] - MARGIN, height), cell, fill="black", font=font, anchor="ra")
    return image


def make(plain: Plain, folder: Path) -> None:
    """Write the media and index them. Raises FileNotFoundError without espeak-ng."""
    media = folder / "media"
    media.mkdir(parents=True)
    for page in plain.pages:
        draw(page).save(media / f"{page.name}.png")
    for memo, voice in zip(plain.memos, VOICES, strict=False):
        speak(memo.words, media / f"{memo.name}.wav", voice)
    index(folder, folder / "home")


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is not there, ask everything, print the counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="keeps media and library")
    parser.add_argument("--show", action="store_true", help="print what was not answered rightly")
    options = parser.parse_args(arguments)
    plain = msgspec.toml.decode((HERE / "plain.toml").read_bytes(), type=Plain)
    if not (options.folder / "home").is_dir():
        make(plain, options.folder)
    counts = {"right": 0, "wrong": 0, "declined": 0, "rightly declined": 0, "answered though there is nothing": 0}
    engine = SearchEngine.open(Settings.load(home=options.folder / "home"))
    try:
        for asked in plain.questions:
            answer = engine.ask(asked.text)
            held = any(words in answer.answer.lower() for words in asked.answers)
            if not asked.answers:
                outcome = "answered though there is nothing" if answer.found else "rightly declined"
            elif answer.found:
                outcome = "right" if held else "wrong"
            else:
                outcome = "declined"
            counts[outcome] += 1
            if options.show and outcome not in {"right", "rightly declined"}:
                print(f"{outcome}: {asked.text} {answer.answer if answer.found else ''}")
    finally:
        engine.close()
    print(counts)


if __name__ == "__main__":
    main()
