"""Answers measured: is the right source found, is the answer right, is every citation, and is "not found" said?

    python -m benchmarks.answers --data ../shared/data --home /tmp/medley-answers

Builds a library of about 10,000 segments once: every photo of the data by its vector in the active space, with
facts that the script gives each file, and what is said in the recordings. Media are not decoded again: this
measures retrieval and answering, not ingestion. `--model` takes any language model of the settings.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from PIL import Image

from benchmarks import questions
from benchmarks.questions import Question
from search.catalog import assets, queue, sources
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment
from search.engine import SearchEngine
from search.results import Answer, Filters
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import fit

BATCH = 200  # assets written in one transaction
READING_SECONDS = 6.0  # about the length of one reading


class Outcome(Struct, frozen=True):
    """What became of one question."""

    question: Question
    answer: Answer
    seconds: float
    cpu_seconds: float  # says more than the clock on a machine that others use too

    @property
    def source_found(self) -> bool:
        """Is a right source among the first five hits?"""
        return any(_name(hit.asset.path) in self.question.sources for hit in self.answer.hits[:5])

    @property
    def correct(self) -> bool:
        """Answered, with the words that were wanted, or (where any source will do) with a right source."""
        if not self.answer.found:
            return False
        if self.question.answer:
            return bool(re.search(self.question.answer, self.answer.answer))
        return any(self.citations)

    @property
    def citations(self) -> list[bool]:
        """For each citation: does it name a right source, or quote what was wanted?"""
        pattern = self.question.answer
        return [
            _name(citation.path) in self.question.sources or bool(pattern and re.search(pattern, citation.quote))
            for citation in self.answer.citations
        ]


def _name(path: str) -> str:
    name = path.rsplit("/", 1)[-1]
    return name.removesuffix(".flac").removesuffix(".wav")


def build(engine: SearchEngine, data: Path, vectors: Path | None) -> None:
    """Fill an empty library."""
    photos = questions.read_photos(data)
    rows = np.load(vectors) if vectors else _embed(engine, photos)
    said = questions.read_speech(data)
    names = list(said)
    spoken = engine.space.embed(Signal.SPEECH, [said[name] for name in names])
    space_id = engine.active_space.record.id
    results: dict[str, IndexedAsset] = {}
    for photo, row in zip(photos, rows, strict=True):
        path = f"{photo['set']}/{photo['name']}"
        results[path] = _photo(path, photo, row.astype(np.float32), space_id)
    for name, row in zip(names, spoken, strict=True):
        segment = NewSegment(
            signal="speech", start_seconds=0.0, end_seconds=READING_SECONDS, text=said[name], vectors={space_id: row}
        )
        facts = AssetFacts(duration_seconds=READING_SECONDS, language="en")
        results[f"speech/{name}.flac"] = IndexedAsset(
            asset_id=0, kind="audio", content_hash=name, facts=facts, segments=[segment]
        )
    _write(engine, results)


def _embed(engine: SearchEngine, photos: Sequence[Mapping[str, str]]) -> np.ndarray:
    """`(n, d)` vectors of all photos: some minutes on two cores."""
    rows = []
    for start in range(0, len(photos), 64):
        files = [photo["file"] for photo in photos[start : start + 64]]
        pictures = [fit(Image.open(file).convert("RGB"), engine.space.image_input) for file in files]
        rows.append(engine.space.embed(Signal.IMAGE, pictures))
    return np.concatenate(rows)


def _photo(path: str, photo: Mapping[str, str], vector: np.ndarray, space_id: int) -> IndexedAsset:
    stated = questions.facts_of(photo["name"])
    facts = AssetFacts(
        width=224,
        height=224,
        captured_at=stated.captured_at,
        camera=stated.camera,
        latitude=stated.latitude,
        longitude=stated.longitude,
    )
    segment = NewSegment(signal="image", vectors={space_id: vector})
    return IndexedAsset(asset_id=0, kind="image", content_hash=path, facts=facts, segments=[segment])


def _write(engine: SearchEngine, results: Mapping[str, IndexedAsset]) -> None:
    """Through the queue, as a worker would."""
    now = time.time()
    with engine.database.write() as connection:
        source = sources.add_source(connection, "/library", True)
        files = [FoundFile(path=path, path_bytes=path.encode(), size_bytes=1, modified_ns=1) for path in results]
        assets.sync_assets(connection, source.id, files, now)
    while True:
        with engine.database.write() as connection:
            claimed = queue.claim(connection, "benchmark", BATCH, 600.0, now)
            if not claimed:
                return
            done = [msgspec.structs.replace(results[asset.path], asset_id=asset.id) for asset in claimed]
            queue.finish(connection, queue.claims_of(claimed), done)


def ask_all(engine: SearchEngine, asked: Sequence[Question]) -> list[Outcome]:
    """Every question, timed."""
    outcomes = []
    for question in asked:
        began, began_cpu = time.perf_counter(), time.process_time()
        answer = engine.ask(question.text, Filters(), 8, None)
        outcomes.append(Outcome(question, answer, time.perf_counter() - began, time.process_time() - began_cpu))
    return outcomes


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The figures that are reported."""
    answerable = [outcome for outcome in outcomes if outcome.question.answerable]
    others = [outcome for outcome in outcomes if not outcome.question.answerable]
    citations = [right for outcome in answerable for right in outcome.citations]
    return {
        "questions": len(outcomes),
        "source_in_top_5": _mean([outcome.source_found for outcome in answerable]),
        "correct": _mean([outcome.correct for outcome in answerable]),
        "citation_precision": _mean(citations),
        "declined_of_answerable": _mean([not outcome.answer.found for outcome in answerable]),
        "declined_of_unanswerable": _mean([not outcome.answer.found for outcome in others]),
        "p50_seconds": float(np.median([outcome.seconds for outcome in outcomes])) if outcomes else None,
        "p50_cpu_seconds": float(np.median([outcome.cpu_seconds for outcome in outcomes])) if outcomes else None,
    }


def _mean(values: Sequence[bool]) -> float | None:
    return round(float(np.mean(values)), 3) if values else None


def by_kind(outcomes: Sequence[Outcome]) -> dict[str, dict[str, Any]]:
    """The same for each kind of question."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.question.kind].append(outcome)
    return {kind: summary(group) for kind, group in groups.items()}


def table(figures: Mapping[str, Mapping[str, Any]]) -> str:
    """As Markdown."""
    columns = list(next(iter(figures.values())))
    lines = ["| | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name, row in figures.items():
        cells = ["–" if row[c] is None else f"{row[c]:.3g}" for c in columns]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask everything; print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="folder of the library; filled when it is empty")
    parser.add_argument("--vectors", type=Path, help="(photos, d) .npy of the space, to save embedding them again")
    parser.add_argument("--part", choices=("validation", "test"), default="test")
    parser.add_argument("--kinds", nargs="*", help="only these kinds of questions")
    parser.add_argument("--model", default="embedded", help="as the setting llm")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--show", action="store_true", help="print what was asked and answered wrongly")
    options = parser.parse_args(arguments)
    settings = Settings.load(home=options.home, llm=options.model)
    new = not (options.home / "medley.sqlite").exists()
    engine = SearchEngine.open(settings)
    try:
        if new:
            build(engine, options.data, options.vectors)
            engine.close()
            engine = SearchEngine.open(settings)
        asked = [
            candidate
            for candidate in questions.all_questions(questions.read_photos(options.data))
            if candidate.part == options.part
        ]
        asked = [candidate for candidate in asked if not options.kinds or candidate.kind in options.kinds]
        engine.ask("Is anything here?", Filters(), 8, None)  # loads the model
        outcomes = ask_all(engine, asked)
    finally:
        engine.close()
    figures = {"all": summary(outcomes), **by_kind(outcomes)}
    print(table(figures))
    if options.show:
        for candidate in outcomes:
            if candidate.question.answerable != candidate.correct:
                print(f"- {candidate.question.kind}: {candidate.question.text} -> {candidate.answer.answer!r}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), "utf-8")


if __name__ == "__main__":
    main()
