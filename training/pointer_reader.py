"""Train the pointer: the embedded language model reads a page and a question, and points at the line that answers.

    python -m training.pointer_reader --data ../shared/data --home HOME \
        --output search/language/weights/pointer-reader.safetensors

Exercises are made by rule without end (training/reading); templates kept for validation tell how it does on pages of
kinds that it has not seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from search.language import embedded_model
from search.language.reading.glosses import in_english
from search.language.reading.pointer_reader import LAYERS, Tokenize, open_tokenizer, parts_of, question_ids
from search.language.reading.reader import as_read
from search.runtime.token_batches import token_batches
from search.settings import Settings
from search.spaces.device import choose_device, choose_dtype
from search.spaces.torchvision_schemas import declare_missing
from training.pointer_network import PointerNetwork, Row
from training.pointing import certain_and_best, resume, save, take_step
from training.precision import add_device
from training.reading.curriculum import open_curriculum
from training.reading.exercises import PageTeacher

RANK = 16
BATCH_TOKENS = 1500
MADE_TOGETHER = 128  # exercises, of which those of similar length share a batch
RATE = 6e-4
TOLD_EVERY = 480  # seconds
Asked = Sequence[tuple[str, int]]


def rows_of(tokenize: Tokenize, exercises: Sequence[tuple[Sequence[str], Asked]]) -> list[Row]:
    """Pages with their questions; of a page that is too long the first part, with the questions that it answers."""
    rows = []
    for statements, asked in exercises:
        page, *_ = parts_of(tokenize, [as_read(statement, " ".join(statements)) for statement in statements])
        fit = [(text, right + 1) for text, right in asked if right < len(page.ends)]
        if fit:
            questions = [question_ids(tokenize, in_english(text)) for text, _ in fit]
            rows.append(Row(page, questions, [right for _, right in fit]))
    return rows


def batches(rows: Sequence[Row], random: np.random.Generator | None = None) -> Iterator[tuple[list[Row], Tensor]]:
    """Rows of similar length together, at most BATCH_TOKENS when padded, and their right columns `(questions,)`."""
    groups = token_batches([row.length for row in rows], 1, BATCH_TOKENS)
    for index in random.permutation(len(groups)) if random is not None else range(len(groups)):
        group = [rows[place] for place in groups[index]]
        yield group, torch.tensor([right for row in group for right in row.right])


@torch.no_grad()
def measure(network: PointerNetwork, rows: Sequence[Row]) -> dict[str, float]:
    """See `certain_and_best`."""
    told = [(network(batch).cpu(), wanted) for batch, wanted in batches(rows)]
    certain, best = certain_and_best([scores for scores, _ in told], [wanted for _, wanted in told])
    return {"certain": certain, "best": best}


def train(
    network: PointerNetwork,
    tokenize: Tokenize,
    teacher: PageTeacher,
    held: Mapping[str, Sequence[Row]],
    random: np.random.Generator,
    minutes: float,
    output: Path,
    rate: float = RATE,
) -> None:
    """Exercises until the time is over; the rate falls with it. Writes what is learnt so far every few minutes."""
    optimiser = torch.optim.AdamW([tensor for _, tensor in network.named()], lr=rate, weight_decay=0.01)
    began = told = time.monotonic()
    step, questions, losses, share = 0, 0, [], 0.0
    while share < 1:
        made = [(one.statements, one.asked) for one in teacher.exercises(MADE_TOGETHER)]
        for rows, wanted in batches(rows_of(tokenize, made), random):
            share = min(1.0, (time.monotonic() - began) / (60 * minutes))
            loss = functional.cross_entropy(network(rows), wanted.to(network.device))
            take_step(optimiser, loss, rate, step, share)
            step, questions = step + 1, questions + len(wanted)
            losses.append(loss.item())
            if time.monotonic() - told > TOLD_EVERY or share >= 1:
                told = time.monotonic()
                save(network.named(), output)
                print(f"{share:.2f} step {step} questions {questions} loss {np.mean(losses[-100:]):.3f}", flush=True)
                for kind, rows_held in held.items():
                    figures = measure(network, rows_held).items()
                    print(f"  {kind}: " + " ".join(f"{name} {value:.3f}" for name, value in figures), flush=True)
            if share >= 1:
                break


def open_network(home: Path, device: torch.device) -> tuple[PointerNetwork, Tokenize]:
    """The network over the embedded model as it is kept in a home, and its tokenizer."""
    declare_missing()
    from transformers import AutoModel

    where = embedded_model.prepare(home / "models")
    with embedded_model.quiet():
        decoder = AutoModel.from_pretrained(where, dtype=choose_dtype(device))
        decoder.layers = decoder.layers[:LAYERS]
    return PointerNetwork(decoder.to(device), RANK), open_tokenizer(where)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True, help="keeps the converted language model")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=70.0)
    parser.add_argument("--start", type=Path, help="what was learnt before, to go on from")
    parser.add_argument("--rate", type=float, default=RATE, help="of the optimiser, at its highest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2)
    add_device(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    teacher, lessons = open_curriculum(PageTeacher, options.data, random)
    network, tokenize = open_network(options.home, choose_device(Settings.load(device=options.device).device))
    held = {
        kind: rows_of(
            tokenize,
            [
                (page, [(lesson.question, lesson.right) for lesson in group])
                for page, group in groupby(sorted(some, key=lambda one: one.statements), key=lambda one: one.statements)
            ],
        )
        for kind, some in lessons.items()
    }
    if options.start:
        resume(network.named(), options.start)
    train(network, tokenize, teacher, held, random, options.minutes, options.output, options.rate)


if __name__ == "__main__":
    main()
