"""Train a projector for any pair of embedding space and causal language model.

    python -m training.projector --captions captions.txt.gz --photos flickr8k.jsonl \
        --model embedded --output projector.safetensors

Stage one of LLaVA-style training (arXiv 2304.08485): both models stay frozen, the projector learns
to make the model say a caption. It needs no pictures: an item's vector is stood in for by the vector of
the caption, or of another caption of the same photo, plus noise that covers the gap between
text and pictures (CapDec, arXiv 2211.00575). With --pictures it also learns from the photos.

The hidden units are words and the second layer starts as the model's own word embeddings, so the first
layer is fitted without the language model, in a minute or two; `--minutes` of training through the
language model refine both layers (0: stop after the first fit).
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from search.language.projector import Projector, ProjectorRecord
from search.language.prompts import CAPTION, COMMA, END_OF_CAPTION, PICTURE
from training.precision import add_device
from training.projector_data import Caption, Examples, collect, common_words, typical_items, words_of

MAX_TOKENS = 26  # of a caption; longer ones are cut
MAX_NOISE = 1.6  # length of the noise beside the unit vector: down to a cosine of 0.53
BATCH = 64
SHUFFLE = 50  # batches sorted by length together, so that little is padded
FIT_BATCH = 512
FIT_RATE = 3e-3
TYPICAL = 16  # items that tell a caption's prior; with 8 the true caption was among five of 100 a tenth less often


class Layers(nn.Module):
    """search.language.projector.Projector as torch trains it."""

    def __init__(self, words: torch.Tensor, usual: torch.Tensor, typical: torch.Tensor, soft_tokens: int) -> None:
        """`words (n, width)`: starting rows of the second layer; `usual (n,)`: subtracted before words compete.

        `typical (r, d)` is only kept: items whose captions tell how likely a caption is after any picture.
        """
        super().__init__()
        self.widen = nn.Linear(typical.shape[1], len(words))
        nn.init.zeros_(self.widen.weight)
        nn.init.zeros_(self.widen.bias)
        self.narrow = nn.Parameter(words.float().clone())
        self.usual: torch.Tensor
        self.typical: torch.Tensor
        self.register_buffer("usual", usual.float())
        self.register_buffer("typical", typical.float())
        self.soft_tokens = soft_tokens
        self.names: tuple[str, ...] = ()

    def logits(self, vectors: torch.Tensor) -> torch.Tensor:
        """`(n, d)` -> `(n, words)`."""
        active: torch.Tensor = self.widen(vectors * math.sqrt(vectors.shape[1]))
        return active

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """`(n, d)` -> `(n, soft_tokens, width)`."""
        active, chosen = (self.logits(vectors) - self.usual).topk(self.soft_tokens, dim=1)
        # Choosing has no gradient: a factor of one stands in for it, whose slope is that of the activity.
        gate = 1 + active - active.detach()
        return self.narrow[chosen] * gate[..., None]

    def export(self, record: ProjectorRecord) -> Projector:
        """The same map, as Medley uses it."""
        held = {name: tensor.detach().float().cpu().numpy() for name, tensor in self.state_dict().items()}
        return Projector(record, held)


class WordEmbeddings(Protocol):
    """What the first layer needs of a language model."""

    def embedding(self, word: str) -> torch.Tensor:
        """`(width,)`: the model's own vector of a word."""
        ...


class FrozenModel:
    """A frozen causal model: loss of captions after soft tokens."""

    def __init__(self, model: Any, tokenizer: Any, captions: Sequence[Caption], compile_layers: bool) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.device: torch.device = model.device
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        self.words = model.get_input_embeddings().weight
        self.before, self.after = (torch.tensor(self.ids(text)) for text in (PICTURE, CAPTION))
        self.comma = self.words[self.ids(COMMA)].mean(0)
        end = self.ids(END_OF_CAPTION)
        tokens = tokenizer([" " + caption.text for caption in captions], add_special_tokens=False).input_ids
        self.tokens = [row[:MAX_TOKENS] + end for row in tokens]
        # The softmax runs over the tokens that captions use: a fifth of the vocabulary.
        used = torch.unique(torch.tensor([token for row in self.tokens for token in row]))
        self.place = torch.full((len(self.words),), -1)
        self.place[used] = torch.arange(len(used))
        self.head = model.get_output_embeddings().weight[used]
        for layer in model.get_decoder().layers if compile_layers else ():
            for part in (layer.mlp, layer.input_layernorm, layer.post_attention_layernorm):
                part.compile(dynamic=True)

    def ids(self, text: str) -> list[int]:
        """The text's tokens, without special ones."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids

    def embedding(self, word: str) -> torch.Tensor:
        """`(width,)`: the mean over the word's tokens, most often one."""
        embedded: torch.Tensor = self.words[self.ids(" " + word)]
        return embedded.float().mean(0)

    def loss(self, soft: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """Negative log-likelihood of each caption, `(n,)`, in nats a token."""
        longest = max(len(self.tokens[row]) for row in rows)
        ids = torch.zeros(len(rows), longest, dtype=torch.long)
        real = torch.zeros(len(rows), longest)
        for index, row in enumerate(rows):
            ids[index, : len(self.tokens[row])] = torch.tensor(self.tokens[row])
            real[index, : len(self.tokens[row])] = 1
        # As search.language.prompts.picture does: commas between soft tokens.
        commas = self.comma.expand(*soft.shape[:2], -1)
        listed = torch.stack([soft.to(self.words.dtype), commas], dim=2).flatten(1, 2)[:, :-1]
        before, after = (self.words[part].expand(len(rows), -1, -1) for part in (self.before, self.after))
        inputs = torch.cat([before, listed, after, self.words[ids[:, :-1]]], dim=1)
        # Padding stands at the end, where a causal model can't see it: no mask is needed.
        hidden = self.model.get_decoder()(inputs_embeds=inputs, use_cache=False).last_hidden_state
        logits = functional.linear(hidden[:, -longest:], self.head)
        targets, real = self.place[ids].clamp(min=0).to(self.device), real.to(self.device)
        each = functional.cross_entropy(logits.flatten(0, 1).float(), targets.flatten(), reduction="none")
        return (each.view(len(rows), longest) * real).sum(1) / real.sum(1)


def batches(frozen: FrozenModel, examples: Examples, random: np.random.Generator) -> Iterator[list[int]]:
    """Rows of captions for ever, each batch of similar lengths."""
    while True:
        order = random.permutation(len(examples.captions))
        for start in range(0, len(order), BATCH * SHUFFLE):
            block = sorted(order[start : start + BATCH * SHUFFLE], key=lambda row: len(frozen.tokens[row]))
            groups = [block[at : at + BATCH] for at in range(0, len(block), BATCH)]
            for index in random.permutation(len(groups)):
                yield groups[index]


def disturbed(examples: Examples, rows: Sequence[int], random: np.random.Generator) -> torch.Tensor:
    """Stand-ins for the vectors of what the captions describe: `(n, d) float32`, unit rows."""
    chosen = [random.choice(examples.captions[row].rows) for row in rows]
    vectors: np.ndarray = examples.vectors[chosen].astype(np.float32)
    noise = random.standard_normal(vectors.shape).astype(np.float32) / math.sqrt(vectors.shape[1])
    vectors += noise * random.uniform(0, MAX_NOISE, (len(rows), 1)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return torch.from_numpy(vectors)


def first_fit(layers: Layers, examples: Examples, words: Sequence[str], options: argparse.Namespace) -> None:
    """The first layer learns which words the caption holds. No language model is needed."""
    random = np.random.default_rng(options.seed)
    column_of = {word: index for index, word in enumerate(words)}
    held = [
        [column_of[word] for word in set(words_of(caption.text)) if word in column_of] for caption in examples.captions
    ]
    useful = np.array([row for row, words_held in enumerate(held) if words_held])
    optimizer = torch.optim.AdamW(layers.widen.parameters(), lr=FIT_RATE, weight_decay=0.01)
    total = int(options.passes * len(useful)) // FIT_BATCH
    for step in range(total):
        rows = random.choice(useful, FIT_BATCH).tolist()
        logs = layers.logits(disturbed(examples, rows, random)).log_softmax(1)
        at = [(index, word) for index, row in enumerate(rows) for word in held[row]]
        lines, columns = torch.tensor(at).T
        share = torch.tensor([1 / len(held[row]) for row in rows])[lines]
        loss = -(logs[lines, columns] * share).sum() / len(rows)
        for group in optimizer.param_groups:
            group["lr"] = FIT_RATE * min(1, (step + 1) / 20) * (1 - step / total)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 50 == 0:
            print(f"first fit {step}/{total}: {loss.item():.3f} nats a word", flush=True)


def train(
    layers: Layers, frozen: FrozenModel, examples: Examples, options: argparse.Namespace, save: Callable[[int], None]
) -> None:
    """Adam with a learning rate that falls over the time given, so that a slow machine ends in time too."""
    random = np.random.default_rng(options.seed + 1)
    optimizer = torch.optim.AdamW(layers.parameters(), lr=options.rate, weight_decay=0.0)
    began = reported = time.monotonic()
    smooth, seen = 0.0, 0.0
    for step, rows in enumerate(batches(frozen, examples, random)):
        done = (time.monotonic() - began) / (60 * max(options.minutes, 1e-9))
        if done >= 1 or step == options.steps:
            return save(step)
        for group in optimizer.param_groups:
            group["lr"] = options.rate * min(1, (step + 1) / 20) * (0.02 + 0.98 * math.cos(math.pi / 2 * done) ** 2)
        loss = frozen.loss(layers(disturbed(examples, rows, random).to(frozen.device)), rows).mean()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(layers.parameters(), 1.0)
        optimizer.step()
        smooth, seen = 0.95 * smooth + 0.05 * loss.item(), 0.95 * seen + 0.05
        if time.monotonic() - reported > options.report_seconds:
            reported = time.monotonic()
            print(f"{done:6.1%}  step {step}  loss {smooth / seen:.3f}", flush=True)
            save(step)


def embedded_folder() -> str:
    """The folder of the embedded model, made ready."""
    from search.language.embedded_model import prepare
    from search.settings import Settings

    return str(prepare(Settings.load().models))


def load_model(name: str, device: torch.device) -> tuple[Any, Any]:
    """`embedded`, or any causal model of transformers by name or folder; bfloat16 where the device multiplies it."""
    from search.spaces.device import choose_dtype
    from search.spaces.torchvision_schemas import declare_missing

    declare_missing()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = embedded_folder() if name == "embedded" else name
    # Never float16, in which small gradients vanish.
    dtype = torch.bfloat16 if choose_dtype(device) is torch.bfloat16 else torch.float32
    # "eager" because the backward pass of fused attention takes half of a step at these lengths.
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager")
    return model.to(device).eval(), AutoTokenizer.from_pretrained(folder)


def start_layers(frozen: WordEmbeddings, examples: Examples, options: argparse.Namespace) -> Layers:
    """The model's own words into the second layer; the first layer knows nothing yet."""
    words, counts = common_words(examples.captions)
    usual = options.lift * torch.log(torch.tensor(counts, dtype=torch.float) / sum(counts))
    rows = torch.stack([frozen.embedding(word) for word in words])
    layers = Layers(rows, usual, typical_of(examples), options.soft_tokens)
    layers.names = tuple(words)
    return layers


def typical_of(examples: Examples) -> torch.Tensor:
    """`(r, d)`: of pictures where there are some, else of what stands for them."""
    return torch.from_numpy(typical_items(examples.vectors[-examples.pictures :], TYPICAL))


def resume_layers(path: Path, examples: Examples) -> Layers:
    """Continue from a projector that was trained before, perhaps for older weights of the space."""
    projector = Projector.load(path)
    tensors = {name: torch.from_numpy(tensor) for name, tensor in projector.tensors().items()}
    tensors["typical"] = typical_of(examples)
    layers = Layers(tensors["narrow"], tensors["usual"], tensors["typical"], projector.record.soft_tokens)
    layers.load_state_dict(tensors)
    layers.names = projector.record.words
    return layers


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--captions", type=Path, nargs="*", default=[], help="text files, a caption a line")
    parser.add_argument("--photos", type=Path, help="JSON lines with file, captions (several each) and part")
    parser.add_argument("--pictures", action="store_true", help="also learn from the photos themselves")
    parser.add_argument("--space", default='{"implementation":"starter"}', help="specification, as spaces list shows")
    parser.add_argument("--space-name", default="starter", help="as stored in the record")
    parser.add_argument("--model", default="embedded", help="embedded, or a transformers name or folder")
    parser.add_argument("--model-name", default="", help="as stored in the record; default: --model")
    parser.add_argument("--start", type=Path, help="continue from this projector (with --passes 0: as it is)")
    parser.add_argument("--soft-tokens", type=int, default=12)
    parser.add_argument("--passes", type=float, default=3, help="over the captions, in the first fit")
    parser.add_argument("--lift", type=float, default=0.3, help="how much rare words are preferred, 0 to 1")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--minutes", type=float, default=0, help="of training through the language model")
    parser.add_argument("--steps", type=int, default=-1, help="at most, through the language model")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compile", action="store_true", help="compile layers: twice as fast, needs a C++ compiler")
    parser.add_argument("--work", type=Path, default=Path("projector-work"), help="vectors are kept here")
    parser.add_argument("--report-seconds", type=float, default=60)
    parser.add_argument("--output", type=Path, required=True)
    add_device(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the projector with its record at every report."""
    from search.settings import Settings
    from search.spaces.device import choose_device
    from search.spaces.registry import open_space
    from search.spaces.specification import decode

    options = parse(arguments)
    torch.manual_seed(options.seed)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    settings = Settings.load(device=options.device)
    space = open_space(decode(options.space), settings)
    examples = collect(options.captions, options.photos, options.pictures, options.work, lambda: space)
    device = choose_device(settings.device)
    frozen = FrozenModel(*load_model(options.model, device), examples.captions, options.compile)
    layers = resume_layers(options.start, examples) if options.start else start_layers(frozen, examples, options)
    first_fit(layers, examples, layers.names, options)  # small enough for the CPU
    layers.to(device)
    print(f"{len(examples.captions)} captions, {sum(p.numel() for p in layers.parameters())} weights", flush=True)

    def save(steps: int) -> None:
        record = ProjectorRecord(
            space=options.space_name,
            model=options.model_name or options.model,
            soft_tokens=layers.soft_tokens,
            words=layers.names,
            fingerprint=space.fingerprint.pictures,
            training=f"{len(examples.captions)} captions; {steps} steps of {BATCH}; pictures: {options.pictures}",
        )
        options.output.parent.mkdir(parents=True, exist_ok=True)
        layers.export(record).save(options.output)

    save(0)
    if options.minutes:
        train(layers, frozen, examples, options, save)


if __name__ == "__main__":
    main()
