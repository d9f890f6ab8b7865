"""Train the reader: which statement of a page or memo answers a question, if any?

    nice -n 19 python -m training.reader --data ../shared/data --output search/language/weights/reader.safetensors

The shipped sentence encoder reads question and statements together, with low-rank adapters in its upper layers; the
score of a statement is a linear function of the mean of its tokens' last states. Lessons are made by rule without end
(training/reading); templates kept for validation tell how it does on pages of kinds that it has not seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional

from search.language.reading.glosses import in_english
from search.language.reading.reader import as_read, encode
from search.settings import Settings
from search.spaces.device import choose_device
from search.spaces.weights import MINILM, MINILM_TOKENIZER
from training.pointing import certain_and_best, resume, save, take_step
from training.precision import add_device, autocast
from training.reader_network import ADAPTED, FIRST_ADAPTED, ReaderNetwork
from training.reading.curriculum import open_curriculum
from training.reading.lessons import Lesson, Teacher

RANK = 32
BATCH = 32
BUCKET = 16  # batches sorted by length together, so that little is padded
RATE = 6e-4


def batches(
    lessons: Sequence[Lesson], tokenizer: Tokenizer, device: torch.device
) -> Iterator[tuple[list[Tensor], Tensor]]:
    """Inputs `(n, length)` of the network and the right columns `(n,)`, lessons of similar length together."""
    read = []
    for lesson in lessons:
        statements = [as_read(statement, " ".join(lesson.statements)) for statement in lesson.statements]
        read.append(encode(tokenizer, in_english(lesson.question), statements))
    for start in range(0, len(read), BUCKET * BATCH):
        order = sorted(range(start, min(len(read), start + BUCKET * BATCH)), key=lambda i: len(read[i].ids))
        groups = [order[i : i + BATCH] for i in range(0, len(order), BATCH)]
        for group in sorted(groups, key=lambda rows: rows[0] * 7919 % 1009):
            longest = max(len(read[i].ids) for i in group)
            inputs = [torch.zeros(len(group), longest, dtype=torch.long) for _ in range(4)]
            inputs[3] -= 1
            for row, i in enumerate(group):
                length = len(read[i].ids)
                for tensor, values in zip(
                    inputs, (read[i].ids, read[i].kinds, [1] * length, read[i].owners), strict=True
                ):
                    tensor[row, :length] = torch.tensor(values)
            wanted = torch.tensor([lessons[i].right + 1 for i in group])
            yield [tensor.to(device) for tensor in inputs], wanted.to(device)


def most(lessons: Sequence[Lesson]) -> int:
    """Statements of the longest lesson."""
    return max(len(lesson.statements) for lesson in lessons)


@torch.no_grad()
def measure(network: ReaderNetwork, lessons: Sequence[Lesson], tokenizer: Tokenizer) -> dict[str, float]:
    """Shares: answered rightly and wrongly of what is answered somewhere, declined of what is not.

    `certain`: see `certain_and_best`.
    """
    scores, columns = [], []
    for inputs, wanted in batches(lessons, tokenizer, network.device):
        scores.append(network(*inputs, most(lessons)))
        columns.append(wanted)
    chosen, right = torch.cat(scores).argmax(1), torch.cat(columns)
    there = right > 0
    answerable, nowhere = max(1, int(there.sum())), max(1, int((~there).sum()))
    return {
        "certain": certain_and_best(scores, columns)[0],
        "right": int(((chosen == right) & there).sum()) / answerable,
        "wrong": int(((chosen != right) & (chosen > 0) & there).sum()) / answerable,
        "declined": int(((chosen == 0) & ~there).sum()) / nowhere,
    }


def train(
    network: ReaderNetwork,
    teacher: Teacher,
    held: Mapping[str, Sequence[Lesson]],
    tokenizer: Tokenizer,
    minutes: float,
    output: Path,
    rate: float = RATE,
) -> None:
    """Lessons until the time is over; the rate falls with it. Writes what is learnt so far every few minutes."""
    told_now(network, held, tokenizer, "before")
    optimiser = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=0.01)
    began = told = time.monotonic()
    step, losses = 0, []
    while (share := (time.monotonic() - began) / (60 * minutes)) < 1:
        lessons = teacher.lessons(BUCKET * BATCH)
        for inputs, wanted in batches(lessons, tokenizer, network.device):
            share = min(1.0, (time.monotonic() - began) / (60 * minutes))
            with autocast(device=network.device):
                scores = network(*inputs, most(lessons)).float()
            loss = functional.cross_entropy(scores, wanted)
            take_step(optimiser, loss, rate, step, share)
            step += 1
            losses.append(loss.item())
            if share >= 1:
                break
        if time.monotonic() - told > 150 or share >= 1:
            told = time.monotonic()
            save(learnt(network), output)
            told_now(network, held, tokenizer, f"{share:.2f} step {step} loss {np.mean(losses[-200:]):.3f}")


def told_now(network: ReaderNetwork, held: Mapping[str, Sequence[Lesson]], tokenizer: Tokenizer, stage: str) -> None:
    """Print how it does on lessons of unseen kinds."""
    for kind, lessons in held.items():
        figures = " ".join(f"{name} {value:.3f}" for name, value in measure(network, lessons, tokenizer).items())
        print(f"{stage}; {kind}: {figures}", flush=True)


def learnt(network: ReaderNetwork) -> Iterator[tuple[str, Tensor]]:
    """What is trained, by the names that ship: `(rank, in)` and `(out, rank)`, and two vectors `(width,)`."""
    yield from (("statement", network.statement), ("nowhere", network.nowhere))
    for number, layer in enumerate(network.encoder[FIRST_ADAPTED:], start=FIRST_ADAPTED):
        for name, part in zip(ADAPTED, layer.adapted, strict=True):
            yield f"encoder.layer.{number}.{name}.down", part.down
            yield f"encoder.layer.{number}.{name}.up", part.up


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=18.0)
    parser.add_argument("--start", type=Path, help="adapters to go on from")
    parser.add_argument("--rate", type=float, default=RATE, help="of the optimiser, at its highest")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    add_device(parser)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    random = np.random.default_rng(options.seed)
    tokenizer = Tokenizer.from_file(str(MINILM_TOKENIZER.find()))
    tokenizer.no_padding()
    teacher, held = open_curriculum(Teacher, options.data, random)
    device = choose_device(Settings.load(device=options.device).device)
    network = ReaderNetwork({name: tensor.to(device) for name, tensor in load_file(MINILM.find()).items()}, RANK)
    if options.start:
        resume(learnt(network), options.start)
    train(network, teacher, held, tokenizer, options.minutes, options.output, options.rate)


if __name__ == "__main__":
    main()
