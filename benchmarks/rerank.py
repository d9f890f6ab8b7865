"""Reranking measured: does a second look by the language model rank better, what does it cost, how fast is it?

    python -m benchmarks.rerank quality --data ../shared/data --home /tmp/medley-answers
    python -m benchmarks.rerank looks --data ../shared/data --home /tmp/medley-looks [--by vectors]
    python -m benchmarks.rerank speed

`quality`: nDCG@10 and R@1 before and after, per kind of evidence, over the library of benchmarks/answers.py; blends
are fitted on the validation part and reported on the test part (`--write` stores them). `looks`: the same of a look
at pictures themselves, over Flickr8k's photos of each part among sounds, recordings and videos: chosen for captions
that describe enough, and reported for three words of one and single words as well; `--by vectors` does it by the tokens
of their vectors. `speed`: one query against 50 passages, beside the plain loop: one passage at a time, all logits.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct

from benchmarks import questions
from benchmarks.catalog import clocked
from benchmarks.everyday import words_of
from benchmarks.everyday_library import build
from indexer.decoding.decoder import DecoderPool
from indexer.previews.picture_files import PreviewPictures
from indexer.previews.previews import Previews
from indexer.previews.sound_files import LibrarySounds
from indexer.sources.places import Places
from search.catalog import embeddings
from search.engine import SearchEngine
from search.language import prompts
from search.language.backends import open_language_model
from search.language.lexical import EMPTY, content
from search.language.llm import Request
from search.language.looking import Looker
from search.language.picture_captions import open_reader
from search.language.question_planning import sought
from search.language.reranker import WEIGHTS, Blend, RerankerWeights, describes, logit
from search.multimodal.vision import open_senses
from search.results import Part, Query
from search.settings import Settings
from search.signals import Signal
from search.spaces.specification import newest_starter
from training.logistic import logistic
from training.photos import Photo, read_photos

GAINS = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0)  # weights of a look, beside one of the log-odds of retrieval
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


def chosen(queries: Sequence[Ranked]) -> Blend:
    """The blend of GAINS that ranks best. One answer among twenty tells a logistic model little of retrieval."""
    blends = [Blend(retrieval=1.0, gain=gain, bias=0.0) for gain in GAINS]
    return max(blends, key=lambda blend: compared(queries, blend)["ndcg10_after"])


def compared(queries: Sequence[Ranked], blend: Blend) -> dict[str, float]:
    """Before, after, and by the model alone; of queries whose hits hold something right."""
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


def looks(options: argparse.Namespace) -> dict[str, Any]:
    """The weight is chosen on captions of the validation part and reported on the test part."""
    known, asked = (
        _looked_at(options.data, options.home / part, part, options.queries, options.by)
        for part in ("validation", "test")
    )
    blend = chosen(known["captions"])
    figures: dict[str, Any] = {"blend": msgspec.to_builtins(blend)}
    for part, groups in (("validation", known), ("test", asked)):
        figures |= {f"{part}, {kind}": compared(queries, blend) for kind, queries in groups.items()}
    if options.write and options.by == "looks":
        told = figures["test, captions"]
        won = told["ndcg10_after"] > told["ndcg10_before"] + 0.005
        _write({"looks": msgspec.structs.replace(blend, wins=won)})
    return figures


def _looked_at(data: Path, folder: Path, part: str, most: int, by: str) -> dict[str, list[Ranked]]:
    """By kind of query so many, with their hits in a library of a part's photos."""
    photos = [photo for photo in read_photos(data) if photo.set == "flickr8k" and photo.part == part]
    settings = Settings.load({}, home=folder / "home", settle_seconds=0.0)
    build(data, folder, msgspec.structs.replace(settings, vision=False), newest_starter(), photos)
    groups: dict[str, list[Ranked]] = {}
    with DecoderPool(settings, 1) as decoders, closing(SearchEngine.open(settings)) as engine:
        model, space = open_language_model(settings), engine.active_space.space
        reader, senses = open_reader(model, space.fingerprint), open_senses(model, settings)
        assert reader is not None
        assert senses is not None
        files = Places(engine.database, settings)
        pictures = PreviewPictures(engine.database, Previews(settings, decoders.decode), files)
        sounds = LibrarySounds(settings, engine.database, files, decoders.decode)
        looker = Looker(senses, space, pictures, sounds)
        for kind, queries in _queries(photos).items():
            for text, wanted in queries[:: max(1, len(queries) // most)][:most]:
                hits = engine.search(Query(parts=(Part(text=text),), limit=POOL, text=text)).hits
                hits = tuple(hit for hit in hits if hit.moments[0].signal is Signal.IMAGE)
                right = np.array([Path(hit.asset.path).name.partition("-")[2] in wanted for hit in hits], bool)
                if not right.any() or right.all():
                    continue
                if by == "looks":
                    told = looker.fits(sought(text), hits)
                    gains = np.array([told.get(place, 0.0) for place in range(len(hits))])
                else:
                    gains = reader.gains(sought(text), _vectors(engine, [hit.moments[0].segment_id for hit in hits]))
                odds = logit(np.array([hit.relevance for hit in hits]))
                groups.setdefault(kind, []).append(Ranked(odds, gains, right))
    return groups


def _queries(photos: Sequence[Photo]) -> dict[str, list[tuple[str, frozenset[str]]]]:
    """By kind: queries, and the names of the photos that are right for them."""
    names = [photo.path.name for photo in photos]
    captions = [(photo.sentences[0], frozenset((name,))) for photo, name in zip(photos, names, strict=True)]
    captions = [(caption, own) for caption, own in captions if describes(caption)]
    held = [[content(sentence) for sentence in photo.sentences] for photo in photos]

    def telling(words: Set[str]) -> frozenset[str]:
        return frozenset(name for name, told in zip(names, held, strict=True) if any(words <= one for one in told))

    short = []
    for photo in photos:
        said = re.findall(r"[\w'-]+", photo.sentences[1])
        three = " ".join([word for word in said if word.lower() not in EMPTY][:3])
        short.append((three, telling(content(three))))
    words = words_of([[re.findall(r"[^\W\d_]+", sentence.lower()) for sentence in one.sentences] for one in photos])
    single = [
        (one.text, frozenset(name for name, right in zip(names, one.right, strict=True) if right)) for one in words
    ]
    return {"captions": captions, "three words": short, "single words": single}


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
    parser.add_argument("what", choices=("quality", "looks", "speed"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--queries", type=int, default=100, help="of each kind, for looks")
    parser.add_argument("--by", choices=("looks", "vectors"), default="looks", help="what tells how well words fit")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="store the fitted blends in the package")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    figures = {"quality": quality, "looks": looks, "speed": speed}[options.what](options)
    text = json.dumps(figures, indent=1)
    print(text)
    if options.json:
        options.json.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
