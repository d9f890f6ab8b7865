"""How several rankings do on the same judgements: each by itself, and each against the first."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import Struct

from search.engine import SearchEngine
from search.evaluation.evaluate import Contrast, Evaluation, Measured, Searches, contrast


class EvaluationReport(Struct, frozen=True, kw_only=True):
    """What `medley eval --json` prints, and what came of an evaluation over HTTP."""

    evaluations: tuple[Evaluation, ...]
    contrasts: tuple[Contrast, ...]  # of each evaluation but the first, against the first
    unknown_paths: tuple[str, ...] = ()  # of a file of judgements: those that name no asset, or several


def ways_of(engine: SearchEngine, *, rerank: bool) -> list[tuple[str, Searches]]:
    """The rankings of an engine's space to be measured, by name: as it is, and if wanted with a second look."""
    active = engine.active_space
    ways: list[tuple[str, Searches]] = [(active.record.name, engine.tried(active=active))]
    if rerank:
        ways.append((f"{active.record.name} + {engine.second_look}", engine.tried(rerank=True, active=active)))
    return ways


def report(measured: Sequence[Measured], unknown_paths: Sequence[str] = ()) -> EvaluationReport:
    """Measurements on the same judgements, at least one; the first is what the others are held against."""
    return EvaluationReport(
        evaluations=tuple(each.evaluation for each in measured),
        contrasts=tuple(contrast(measured[0], each) for each in measured[1:]),
        unknown_paths=tuple(unknown_paths),
    )
