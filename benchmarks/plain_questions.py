"""Questions in people's own words about plain pages and memos: what benchmarks made by rule don't show.

    python -m benchmarks.plain_questions --folder FOLDER --set test [--show]
    python -m benchmarks.plain_questions --folder FOLDER --set development --spans spans.jsonl

Pages are drawn in one font, memos spoken by espeak-ng, indexed with the command line, and asked about. Five sets
(`answers_data/`), each with a library of its own: weights are chosen on "plain", "development" and "more" alone.
An answer is right if its first citation quotes one of the expected words.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import cycle
from pathlib import Path

import msgspec
from msgspec import Struct
from PIL import Image, ImageDraw, ImageFont

from benchmarks.answer_lines import confidence, index, reliability, reliability_table, texts_of, write_spans
from benchmarks.answer_sources import HERE, VOICES, speak
from search.engine import SearchEngine
from search.language.evidence import Span
from search.results import Answer
from search.settings import Settings

SETS = {
    "plain": "plain.toml",
    "development": "plain_development.toml",
    "more": "plain_more.toml",
    "test": "plain_test.toml",
    "fresh": "plain_fresh.toml",
}
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
    for memo, voice in zip(plain.memos, cycle(VOICES), strict=False):
        speak(memo.words, media / f"{memo.name}.wav", voice)
    index(folder, folder / "home")


def outcome(asked: Asked, answer: Answer) -> str:
    """What became of a question."""
    if not asked.answers:
        return "answered though there is nothing" if answer.found else "rightly declined"
    if not answer.found:
        return "declined"
    return "right" if _held(asked, answer.citations[0].quote) else "wrong"


def _held(asked: Asked, words: str) -> bool:
    return any(answer in words.lower() for answer in asked.answers)


def _with_spans(questions: Sequence[Asked]) -> Iterator[tuple[str, bool, Callable[[Span], bool]]]:
    for asked in questions:
        yield asked.text, bool(asked.answers), partial(_answers, asked)


def _answers(asked: Asked, span: Span) -> bool:
    return _held(asked, span.words)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make what is not there, ask everything, print the counts and the calibration."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="keeps media and library")
    parser.add_argument("--set", choices=SETS, default="plain", help="of pages and questions  [default: plain]")
    parser.add_argument("--show", action="store_true", help="print what was not answered rightly")
    parser.add_argument("--spans", type=Path, help="write what training/span_scoring.py fits to, ask nothing")
    options = parser.parse_args(arguments)
    plain = msgspec.toml.decode((HERE / SETS[options.set]).read_bytes(), type=Plain)
    folder = options.folder / options.set
    if not (folder / "home").is_dir():
        make(plain, folder)
    engine = SearchEngine.open(Settings.load(home=folder / "home", vision=False))
    try:
        text = " ".join(texts_of(engine).values())
        questions = [asked for asked in plain.questions if not asked.answers or _held(asked, text)]
        print(f"{len(plain.questions)} questions, the text read of {len(plain.questions) - len(questions)} is another")
        if options.spans:
            write_spans(engine, _with_spans(questions), options.spans)
            return
        counts: Counter[str] = Counter()
        said: list[tuple[float, bool]] = []
        for asked in questions:
            answer = engine.ask(asked.text)
            became = outcome(asked, answer)
            counts[became] += 1
            if answer.found:
                said.append((confidence(answer), became == "right"))
            if options.show and became not in {"right", "rightly declined"}:
                quotes = [citation.quote for citation in answer.citations[:1]]
                print(f"{became}: {asked.text} {quotes if answer.found else ''}")
    finally:
        engine.close()
    print(f"{dict(counts)}\n\n{reliability_table(*reliability(said))}")


if __name__ == "__main__":
    main()
