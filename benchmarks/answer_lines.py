"""Answers that find the line, measured end to end: media are made, indexed as a person would, and asked about.

    python -m benchmarks.answer_lines --data ../shared/data --folder /tmp/medley-answer-lines --part test

The part "development" is what a seed that no test is taken from may be used for: all but the kinds kept for the test.
The folder keeps media, questions and library; a second run only asks. Right is an answer that quotes the words wanted
from a right source. Questions
whose words the library's text does not hold (misheard, unreadable) are counted, not scored.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from benchmarks.answer_sources import Item, write
from search.engine import SearchEngine
from search.language.evidence import Span, spoken_spans
from search.language.lexical import content, numbers, overlap
from search.language.reading.pointer_reader import LazyPointerReader
from search.language.reading.reader import LazyReader
from search.language.span_scoring import SpanScorer
from search.results import Answer, Filters
from search.settings import Settings
from search.signals import Signal

ALIKE = 0.8  # of letters: words that were heard or read a little differently are the same
BINS = 10
PARTS = ("validation", "test", "development")
TEXT = ("page", "table", "chat", "memo")  # kinds of questions that words answer
LACKING_WORDS = ("row", "absent", "key", "subject", "fact")


class Outcome(Struct, frozen=True):
    """What became of one question."""

    item: Item
    answer: Answer
    seconds: float
    cpu_seconds: float  # says more than the clock on a machine that others use too

    @property
    def source_found(self) -> bool:
        """Is a right source among the first five hits?"""
        return any(_name(hit.asset.path) in self.item.sources for hit in self.answer.hits[:5])

    @property
    def correct(self) -> bool:
        """Do the first words said hold what was wanted, from a right source?"""
        if not self.answer.found or not self.item.answerable:
            return False
        first = self.answer.citations[0]
        if _name(first.path) not in self.item.sources:
            return False
        return not self.item.answer or holds(self.item.answer, f"{first.quote} {self.answer.answer.split(' [1]')[0]}")


def holds(wanted: str, text: str) -> bool:
    """Whether the text holds the words, as a listener or reader would find them."""
    plain, held = (" ".join(re.findall(r"\w+", part.lower())) for part in (wanted, text))
    if plain in held or plain.replace(" ", "") in held.replace(" ", ""):
        return True
    if any(letter.isdigit() for letter in wanted) and numbers(wanted):
        return numbers(wanted) <= numbers(text)
    return overlap(content(wanted), content(text)) == 1.0 or _alike(plain, held)


def _alike(wanted: str, held: str) -> bool:
    words, many = held.split(), len(wanted.split())
    runs = (" ".join(words[i : i + many]) for i in range(max(1, len(words) - many + 1)))
    return any(SequenceMatcher(None, wanted, run, autojunk=False).ratio() >= ALIKE for run in runs)


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _belongs(item: Item, part: str) -> bool:
    """Pages and memos of kinds learnt are new with each seed: for development those of the test part serve, too."""
    if part != "development":
        return item.part == part
    words = item.kind in TEXT or item.lacks in LACKING_WORDS
    return item.part == "validation" or (words and not item.unseen)


def index(folder: Path, home: Path) -> None:
    """Index the media with the command line, as a person would."""
    environment = {**os.environ, "MEDLEY_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "api", "index", "-r", str(folder / "media")], env=environment, check=True)


def texts_of(engine: SearchEngine) -> dict[str, str]:
    """What each file's text holds, by its name."""
    texts: dict[str, str] = defaultdict(str)
    with engine.database.read() as connection:
        rows = connection.exec_driver_sql(
            "SELECT asset.path, segment.text FROM segment JOIN asset ON asset.id = segment.asset_id "
            "WHERE segment.text IS NOT NULL ORDER BY segment.id"
        )
        for path, text in rows:
            texts[_name(path)] += f" {text}"
    return texts


def held_by_text(engine: SearchEngine, items: Sequence[Item]) -> list[bool]:
    """Of each question: does the library's text hold the words wanted? True where no words are wanted."""
    texts = texts_of(engine)
    return [item.kind not in TEXT or any(holds(item.answer, texts[name]) for name in item.sources) for item in items]


def ask_all(engine: SearchEngine, items: Sequence[Item]) -> list[Outcome]:
    """Every question, timed."""
    outcomes = []
    for item in items:
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = engine.ask(item.text, Filters(), 8, None)
        outcomes.append(Outcome(item, answer, time.perf_counter() - began, time.process_time() - began_cpu))
    return outcomes


def write_spans(engine: SearchEngine, asked: Iterable[tuple[str, bool, Callable[[Span], bool]]], file: Path) -> None:
    """What training/span_scoring.py fits to: the features of every statement that could answer, and which ones do.

    Of everything that an answer is read from, as `ask` reads it. `asked`: questions, whether the library holds an
    answer, and whether a span is one.
    """

    def embed(texts: Sequence[str]) -> np.ndarray:
        return engine.space.embed(Signal.SPEECH, texts)

    scorer = SpanScorer(LazyReader(math.inf), LazyPointerReader(engine.settings), embed)
    with file.open("w", encoding="utf-8") as out:
        for text, answerable, answers in asked:
            plan, hits, details = engine.sources(text)
            spans = spoken_spans(plan.question, hits, details)
            chosen, features = scorer.candidates(plan.question, spans, plan.expects)
            row = {
                "question": plan.question,
                "answerable": answerable,
                "features": features.round(4).tolist(),
                "right": [answerable and answers(span) for span in chosen],
                "words": [span.words for span in chosen],
            }
            out.write(json.dumps(row) + "\n")


def with_words(items: Sequence[Item]) -> Iterator[tuple[str, bool, Callable[[Span], bool]]]:
    """The questions that words could answer, for `write_spans`."""

    def answers(item: Item, span: Span) -> bool:
        return span.name in item.sources and holds(item.answer, span.words)

    for item in items:
        if item.kind in TEXT or item.lacks in LACKING_WORDS:
            yield item.text, item.answerable, partial(answers, item)


def summary(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    """The figures that are reported."""
    answerable = [outcome for outcome in outcomes if outcome.item.answerable]
    others = [outcome for outcome in outcomes if not outcome.item.answerable]
    return {
        "questions": len(outcomes),
        "source_in_top_5": _mean([outcome.source_found for outcome in answerable]),
        "correct": _mean([outcome.correct for outcome in answerable]),
        "wrong_with_citation": _mean([outcome.answer.found and not outcome.correct for outcome in answerable]),
        "declined_of_answerable": _mean([not outcome.answer.found for outcome in answerable]),
        "declined_of_unanswerable": _mean([not outcome.answer.found for outcome in others]),
        "p50_seconds": round(float(np.median([outcome.seconds for outcome in outcomes])), 2) if outcomes else None,
        "p50_cpu_seconds": round(float(np.median([outcome.cpu_seconds for outcome in outcomes])), 2)
        if outcomes
        else None,
    }


def _mean(values: Sequence[bool]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None


def groups(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """By kind of question, by language, by what is lacking, and by whether such sources were trained with."""
    by_kind: dict[str, list[Outcome]] = {"all": list(outcomes)}
    text = [outcome for outcome in outcomes if outcome.item.kind in TEXT]
    by_kind["text, kinds trained with"] = [outcome for outcome in text if not outcome.item.unseen]
    by_kind["text, kinds nothing was trained with"] = [outcome for outcome in text if outcome.item.unseen]
    by_kind["text, questions in English"] = [outcome for outcome in text if outcome.item.language == "en"]
    by_kind["text, questions in de, fr, es"] = [outcome for outcome in text if outcome.item.language != "en"]
    for outcome in outcomes:
        by_kind.setdefault(outcome.item.kind, []).append(outcome)
        if outcome.item.lacks:
            by_kind.setdefault(f"unanswerable: {outcome.item.lacks}", []).append(outcome)
    return by_kind


def confidence(answer: Answer) -> float:
    """The answer's own confidence: the support of its first citation; 0 without one."""
    return answer.citations[0].support if answer.citations else 0.0


def reliability(said: Sequence[tuple[float, bool]]) -> tuple[float, list[tuple[float, float, int]]]:
    """Expected calibration error of what is answered, and (mean confidence, share right, count) of each tenth.

    `said`: of each answer its confidence, and whether it is right.
    """
    rows = []
    for low in np.arange(BINS) / BINS:
        held = [(c, right) for c, right in said if low <= c < low + 1 / BINS or (c >= 1 and low + 1 / BINS >= 1)]
        if held:
            rows.append((float(np.mean([c for c, _ in held])), float(np.mean([right for _, right in held])), len(held)))
    error = sum(abs(c - right) * count for c, right, count in rows) / max(1, len(said))
    return round(error, 3), rows


def reliability_table(error: float, rows: Sequence[tuple[float, float, int]]) -> str:
    """What `reliability` gives, as Markdown."""
    lines = [f"ECE {error}\n", "| said | right | answers |", "|---|---|---|"]
    return "\n".join([*lines, *(f"| {said:.2f} | {right:.2f} | {count} |" for said, right, count in rows)])


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """As Markdown."""
    columns = list(next(iter(figures.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in figures.items():
        lines.append(f"| {name} | " + " | ".join("–" if row[c] is None else f"{row[c]:.3g}" for c in columns) + " |")
    return "\n".join(lines)


def show(outcome: Outcome) -> str:
    """One line about what went wrong."""
    cited = [f"{_name(citation.path)}: {citation.quote}" for citation in outcome.answer.citations[:1]]
    item, sure = outcome.item, confidence(outcome.answer)
    return f"- {item.kind} {item.text!r} wants {item.answer!r}: {sure:.2f} {cited}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make, index, ask; print tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="for media, questions and the library")
    parser.add_argument("--home", type=Path, help="of the library  [default: FOLDER/home]")
    parser.add_argument("--part", choices=PARTS, default="validation")
    parser.add_argument("--seed", type=int, default=7, help="of media and questions, where FOLDER has none yet")
    parser.add_argument("--kinds", nargs="*", help="only these kinds of questions")
    parser.add_argument("--sample", type=int, help="ask only that many, drawn at random")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--spans", type=Path, help="write what training/span_scoring.py fits to, ask nothing")
    parser.add_argument("--show", action="store_true", help="print what was answered wrongly")
    options = parser.parse_args(arguments)
    items = [item for item in write(options.folder, options.data, options.seed) if _belongs(item, options.part)]
    items = [item for item in items if not options.kinds or item.kind in options.kinds]
    if options.sample:
        drawn = np.random.default_rng(0).permutation(len(items))[: options.sample]
        items = [items[i] for i in sorted(drawn)]
    home = options.home or options.folder / "home"
    if not home.exists():
        index(options.folder, home)
    engine = SearchEngine.open(Settings.load(home=home, vision=False))
    try:
        held = held_by_text(engine, items)
        engine.ask("Is anything here?", Filters(), 8, None)  # loads the models
        scored = [item for item, there in zip(items, held, strict=True) if there]
        if options.spans:
            write_spans(engine, with_words(scored), options.spans)
            return
        outcomes = ask_all(engine, scored)
    finally:
        engine.close()
    figures = {name: summary(group) for name, group in groups(outcomes).items() if group}
    print(f"{len(items)} questions, {len(items) - sum(held)} of them not held by the library's text\n")
    print(table(figures))
    error, rows = reliability([(confidence(o.answer), o.correct) for o in outcomes if o.answer.found])
    print(f"\n{reliability_table(error, rows)}")
    if options.show:
        print(
            "\n".join(
                show(outcome)
                for outcome in outcomes
                if (outcome.item.answerable or outcome.answer.found) and not outcome.correct
            )
        )
    if options.json:
        options.json.write_text(json.dumps({"figures": figures, "ece": error, "reliability": rows}, indent=1), "utf-8")


if __name__ == "__main__":
    main()
