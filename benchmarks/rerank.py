"""Reranking measured: does a second look by the language model rank better, what does it cost, how fast is it?

    python -m benchmarks.rerank quality --data ../shared/data --home /tmp/medley-answers
    python -m benchmarks.rerank speed

`quality`: nDCG@10 and R@1 before and after, per kind of evidence, over the library of benchmarks/answers.py; blends
are fitted on the validation part and reported on the test part (`--write` stores them). `speed`: one query
against 50 passages, beside the plain loop: one passage at a time, all logits.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks import questions
from benchmarks.catalog import clocked
from search.catalog import embeddings
from search.engine import SearchEngine
from search.language import prompts
from search.language.backends import open_language_model
from search.language.llm import Request
from search.language.picture_captions import open_reader
from search.language.question_planning import sought
from search.language.reranker import WEIGHTS, Blend, RerankerWeights, logit
from search.results import Part, Query
from search.settings import Settings
from search.signals import Signal
from training.logistic import logistic

POOL = 20  # hits of each query that are reranked
ROUNDS = 5
PASSAGES = 50


class Ranked(Struct, frozen=True):
    """One query's hits: log-odds of retrieval, gains of the model, and which are right; each `(n,)`."""

    retrieval: np.ndarray
    gains: np.ndarray
    right: np.ndarray


def ndcg(scores: np.ndarray, right: np.ndarray, at: int = 10) -> float:
    """With gains of 0 and 1."""
    order = np.argsort(-scores, kind="stable")[:at]
    discount = 1 / np.log2(np.arange(2, at + 2))
    best = discount[: min(at, int(right.sum()))].sum()
    return float((right[order] * discount[: len(order)]).sum() / best) if best else 0.0


def first(scores: np.ndarray, right: np.ndarray) -> float:
    """R@1."""
    return float(right[np.argsort(-scores, kind="stable")[0]])


def fitted(queries: Sequence[Ranked]) -> Blend:
    """The blend that tells right from wrong; a falling weight is set to nothing."""
    features = np.concatenate([np.column_stack([q.retrieval, q.gains]) for q in queries])
    retrieval, gain, bias = logistic(features, np.concatenate([q.right for q in queries]))
    return Blend(retrieval=max(float(retrieval), 0.0), gain=max(float(gain), 0.0), bias=float(bias))


def compared(queries: Sequence[Ranked], blend: Blend) -> dict[str, float]:
    """Before, after, and by the model alone."""
    before = [q.retrieval for q in queries]
    after = [blend.probability(q.retrieval, q.gains) for q in queries]
    alone = [q.gains for q in queries]
    figures = {"queries": float(len(queries))}
    for name, scores in (("before", before), ("after", after), ("alone", alone)):
        pairs = [(score, q.right) for score, q in zip(scores, queries, strict=True) if q.right.any()]
        figures[f"ndcg10_{name}"] = float(np.mean([ndcg(*pair) for pair in pairs]))
        figures[f"r1_{name}"] = float(np.mean([first(*pair) for pair in pairs]))
    return figures


def quality(options: argparse.Namespace) -> dict[str, Any]:
    """Fit on validation, report on test."""
    settings = Settings.load(home=options.home)
    engine = SearchEngine.open(settings)
    model = open_language_model(settings)
    reader = open_reader(model, engine.active_space.space.fingerprint)
    groups: dict[tuple[str, str], list[Ranked]] = {}
    began = time.perf_counter()
    for question in questions.all_questions(questions.read_photos(options.data)):
        kind = {"spoken": "words", "moment": "words", "seen": "pictures", "place": "pictures"}.get(question.kind)
        if kind is None:
            continue
        hits = engine.search(Query(parts=(Part(text=question.text),), limit=POOL, text=question.text)).hits
        wanted = (Signal.SPEECH, Signal.TEXT) if kind == "words" else (Signal.IMAGE, Signal.FRAME)
        hits = tuple(hit for hit in hits if hit.moments[0].signal in wanted)
        right = np.array([hit.asset.path.rsplit("/", 1)[-1].removesuffix(".flac") in question.sources for hit in hits])
        if len(hits) < 2:
            continue
        if kind == "words":
            gains = _passages(model, question.text, [hit.moments[0].text or "" for hit in hits])
        elif reader:
            vectors = _vectors(engine, [hit.moments[0].segment_id for hit in hits])
            gains = reader.gains(sought(question.text), vectors)
        else:
            continue
        odds = logit(np.array([hit.relevance for hit in hits]))
        groups.setdefault((kind, question.part), []).append(Ranked(odds, gains, right))
    seconds = time.perf_counter() - began
    engine.close()
    figures: dict[str, Any] = {"seconds": seconds}
    blends: dict[str, Blend] = {}
    for kind in ("words", "pictures"):
        if (kind, "validation") not in groups or (kind, "test") not in groups:
            continue
        blend = fitted(groups[kind, "validation"])
        figures[kind] = compared(groups[kind, "test"], blend)
        won = figures[kind]["ndcg10_after"] > figures[kind]["ndcg10_before"] + 0.005
        blends[kind] = msgspec.structs.replace(blend, wins=won)
    if options.write:
        _write(blends)
    return figures


def _vectors(engine: Any, ids: Sequence[int]) -> np.ndarray:
    with engine.database.read() as connection:
        held, rows = embeddings.vectors_of(connection, engine.active_space.record.id, ids)
    row_of = {int(segment): row for row, segment in enumerate(held)}
    return np.stack([rows[row_of[segment]] for segment in ids]).astype(np.float32)


def _passages(model: Any, query: str, texts: Sequence[str]) -> np.ndarray:
    target = prompts.asked(query)
    words = [prompts.NO_WORDS, *(prompts.passage(text) for text in texts)]
    prior, *given = model.score((prompts.PASSAGE,), [Request((passage, prompts.ASKED), target) for passage in words])
    return np.array([likelihood.per_token - prior.per_token for likelihood in given])


def _write(blends: Mapping[str, Blend]) -> None:
    old = msgspec.json.decode(WEIGHTS.read_bytes(), type=RerankerWeights)
    WEIGHTS.write_bytes(
        msgspec.json.format(msgspec.json.encode(msgspec.structs.replace(old, **blends)), indent=1) + b"\n"
    )


def speed(options: argparse.Namespace) -> dict[str, Any]:
    """Ours and the plain loop, interleaved."""
    settings = Settings.load(home=options.home, threads=options.threads)
    model = open_language_model(settings)
    texts = [f"{sentence} Reading {n}." for n, sentence in zip(range(PASSAGES), _sentences(options.data), strict=False)]
    query = "When did they begin to print books with letters of metal?"
    loop = plain_loop(settings)
    mine, other = _passages(model, query, texts), loop(query, texts)
    ours, plain = [], []
    for _ in range(ROUNDS):
        ours.append(clocked(lambda: _passages(model, query, texts)))
        plain.append(clocked(lambda: loop(query, texts)))
    overlap = len(set(np.argsort(-mine)[:10]) & set(np.argsort(-other)[:10])) / 10
    (wall, cpu), (plain_wall, plain_cpu) = np.median(ours, axis=0).tolist(), np.median(plain, axis=0).tolist()
    return {
        "passages": len(texts),
        "overlap_top_10": overlap,
        "wall_seconds": {"ours": wall, "plain": plain_wall, "times": plain_wall / wall},
        "cpu_seconds": {"ours": cpu, "plain": plain_cpu, "times": plain_cpu / cpu},
    }


def _sentences(data: Path) -> list[str]:
    said = list(questions.read_speech(data).values())
    return [said[n % len(said)] for n in range(PASSAGES)]


def plain_loop(settings: Settings) -> Callable[[str, Sequence[str]], np.ndarray]:
    """One passage at a time, the whole prompt each time, logits of every position."""
    import torch

    from search.language.embedded_model import prepare
    from search.spaces.device import choose_dtype
    from search.spaces.torchvision_schemas import declare_missing

    declare_missing()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = prepare(settings.models)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=choose_dtype(torch.device("cpu"))).eval()

    @torch.inference_mode()
    def score(query: str, texts: Sequence[str]) -> np.ndarray:
        target = tokenizer(prompts.asked(query)).input_ids
        scores = []
        for text in (prompts.NO_WORDS, *(prompts.passage(text) for text in texts)):
            ids = tokenizer(prompts.PASSAGE + text + prompts.ASKED).input_ids + target
            logs = model(torch.tensor([ids])).logits.float().log_softmax(-1)[0]
            segment_positions = torch.arange(len(ids) - len(target) - 1, len(ids) - 1)
            scores.append(float(logs[segment_positions, torch.tensor(target)].mean()))
        return np.array(scores[1:]) - scores[0]

    return score


def main(arguments: Sequence[str] | None = None) -> None:
    """Print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("quality", "speed"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="store the fitted blends in the package")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    figures = quality(options) if options.what == "quality" else speed(options)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
