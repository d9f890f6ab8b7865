"""Train the resampler of sounds over the updates of a multimodal adapter.

    python -m training.multimodal_sounds --data ../data --work work --output sounds.safetensors
    python -m training.multimodal_sounds ... --start search/multimodal/weights/sounds-whisper--embedded.safetensors

The first of LLaVA's stages alone (arXiv 2304.08485): the language model and the adapter's low-rank updates stay as they
are, and only the resampler learns. It begins without the language model: for `--aim-steps` its tokens aim at the states
that the frozen lower layers make of a caption, so that the upper layers find words where they look for them. A step of
that costs a hundredth of one through the upper layers. Then captions, short answers and yes or no, with near misses,
through the frozen model.

With `--start` it goes on from an earlier file, for example when the adapter was trained further: `--aim-steps 0` and
a few dozen steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from search.arrays import Float32Array
from search.multimodal.adapter import SHIPPED, Adapter, AdapterRecord
from search.multimodal.low_rank import merge
from search.multimodal.model import resampler_of
from search.multimodal.sound_encoder import SoundMaps
from search.settings import Settings
from search.spaces.device import choose_device
from training.multimodal_data import Said, draw
from training.multimodal_network import TrainedDecoder, adapter_tensors, new_resampler
from training.multimodal_sounds_data import CAPTIONS, Sounds, lesson
from training.precision import add_device
from training.projector import load_model

CAPTION_PROMPT = "The sound:"
_WARMED_UP = 20  # steps
_AIM_RATE = 1e-3
_AIM_BATCH = 64
_TERMS = {
    "ESC-10": "CC BY 3.0",
    "UrbanSound8K (70 clips)": "CC BY-NC 3.0",
    "LJSpeech (22 readings)": "public domain",
    "silence, noise, tones and simple music": "synthesised by training/synthetic_sounds.py",
}


class Training:
    """The resampler being trained over an adapter's updates."""

    def __init__(
        self,
        options: argparse.Namespace,
        sounds: Sounds,
        base: Adapter,
        record: AdapterRecord,
        network: Any,
        words: Any,
    ) -> None:
        """`network` and `words`: the language model and its tokenizer."""
        self._options, self._sounds, self.record = options, sounds, record
        self._merge(network, base)
        self._lessons = {label: lesson(label) for label in CAPTIONS}
        told = list(self._lessons.values())
        self.decoder = TrainedDecoder(network, words, record.layer, None, record, told, base.tensors["words"].tolist())
        self._numbers = sounds.numbers(*options.parts)
        self._random = np.random.default_rng(options.seed)
        if options.start:
            self.resampler = resampler_of(Adapter.load(options.start), self.decoder.width).to(self.decoder.device)
        else:
            self.resampler = new_resampler(record, sounds.whole(self._numbers), self.decoder.typical_states(told))

    def _merge(self, network: Any, base: Adapter) -> None:
        for index, layer in enumerate(network.get_decoder().layers):
            if index >= self.record.layer:
                updates = base.below(f"layers.{index}.")
                merge(layer, {name: torch.from_numpy(held) for name, held in updates.items()})

    def aim(self) -> None:
        """Soft tokens towards what the lower layers make of the words of a caption, one after the other."""
        goals = {
            label: torch.stack([self._goal(caption) for caption in told.captions])
            for label, told in self._lessons.items()
        }
        scale = self.resampler.leave.weight.detach().clone() + 1e-3
        optimizer = torch.optim.AdamW(self.resampler.parameters(), lr=_AIM_RATE, weight_decay=0.05)
        self.resampler.train()
        for step in range(self._options.aim_steps):
            numbers = self._drawn(_AIM_BATCH)
            wanted = torch.stack([goals[self._sounds.labels[n]].mean(0) for n in numbers])
            soft = self._soft(self._sounds.any(numbers, self._random))
            loss = functional.mse_loss(soft / scale, wanted / scale)
            for group in optimizer.param_groups:
                group["lr"] = _AIM_RATE * min(1, (step + 1) / _WARMED_UP, (1.05 - step / self._options.aim_steps))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if step % 50 == 0:
                print(f"aim {step}: {loss.item():.3f}", flush=True)

    def _goal(self, caption: str) -> Tensor:
        """`(tokens, width)`: the states of the caption's words, from the start again where they are too few."""
        states = self.decoder.states_of(Said(self.record.caption, " " + caption))
        return states[torch.arange(self.record.tokens) % len(states)]

    def run(self) -> None:
        """Until the last step."""
        options, began, smooth, share = self._options, time.monotonic(), 0.0, 0.0
        optimizer = torch.optim.AdamW(
            self.resampler.parameters(), lr=options.rate, betas=(0.9, 0.98), weight_decay=0.05
        )
        validation = self._sounds.numbers("validation")
        for step in range(options.steps):
            self.resampler.train()
            for group in optimizer.param_groups:
                group["lr"] = options.rate * min(1, (step + 1) / _WARMED_UP, 2 * (1 - step / options.steps))
            numbers = self._drawn(options.batch)
            soft = self._soft(self._sounds.any(numbers, self._random))
            loss, tokens = self.decoder.loss(soft, [self._said(n) for n in numbers])
            optimizer.zero_grad()
            (loss / tokens).backward()
            nn.utils.clip_grad_norm_(self.resampler.parameters(), 1.0)
            optimizer.step()
            smooth, share = 0.9 * smooth + 0.1 * float(loss.item()) / tokens, 0.9 * share + 0.1
            if step % 5 == 0:
                told = f"step {step}: {smooth / share:.3f} nats a token, {time.monotonic() - began:.0f} s"
                print(told, flush=True)
            if (step + 1) % options.save_every == 0 and step + 1 < options.steps:
                self.adapter().save(options.output)
        self.adapter().save(options.output)
        print(f"{self.validate(validation):.4f} nats a token on validation", flush=True)

    def _soft(self, maps: Float32Array) -> Tensor:
        soft: Tensor = self.resampler(torch.from_numpy(maps).to(self.decoder.device))
        return soft

    def _drawn(self, count: int) -> np.ndarray:
        """Recordings, each label as often as the others: some have 65, some 7."""
        labels = self._sounds.labels[self._numbers]
        weights = 1.0 / np.array([(labels == label).sum() for label in labels])
        drawn: np.ndarray = self._random.choice(self._numbers, count, p=weights / weights.sum())
        return drawn

    def _said(self, number: int) -> list[Said]:
        told = self._lessons[self._sounds.labels[number]]
        return draw(told, self.record.caption, self.record.question, 1, True, self._random)

    @torch.no_grad()
    def validate(self, numbers: np.ndarray) -> float:
        """Nats a token over the first caption of each recording; `numbers (n,) int64` of `Sounds`."""
        self.resampler.eval()
        total, count = 0.0, 0
        for at in range(0, len(numbers), self._options.batch):
            block = numbers[at : at + self._options.batch]
            captions = [self._lessons[self._sounds.labels[n]].captions[0] for n in block]
            soft = self._soft(self._sounds.whole(block))
            loss, tokens = self.decoder.loss(soft, [[Said(self.record.caption, f" {words}")] for words in captions])
            total, count = total + float(loss.item()), count + tokens
        return total / count

    def adapter(self) -> Adapter:
        """As it is used; typical are one recording of each label."""
        labels = self._sounds.labels[self._numbers]
        firsts = [int(self._numbers[np.flatnonzero(labels == label)[0]]) for label in sorted(set(labels))]
        tensors = adapter_tensors(self.resampler, self._sounds.whole(firsts), self.decoder.words)
        return Adapter(self.record, tensors)


def record_of(options: argparse.Namespace, base: Adapter) -> AdapterRecord:
    """What the resampler is for, and how it came to be."""
    told = ("tokens", "inner", "aim_steps", "steps", "batch", "rate", "copies")
    command = " ".join(f"--{name.replace('_', '-')} {getattr(options, name)}" for name in told)
    parts = " ".join(options.parts)
    return AdapterRecord(
        encoder=SoundMaps.identity,
        encoder_name="whisper",
        model=base.record.model,
        layer=base.record.layer,
        rank=base.record.rank,
        tokens=options.tokens,
        inner=options.inner,
        heads=options.heads,
        caption=CAPTION_PROMPT,
        question=base.record.question,
        over=base.updates_identity,
        training={**_TERMS, "parts": parts, "command": f"python -m training.multimodal_sounds {command}"},
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with sounds/*.jsonl and speech/*.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="encoder states are kept here")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--base", type=Path, help="the adapter with the updates; default: the shipped one")
    parser.add_argument("--start", type=Path, help="an earlier file to go on from")
    parser.add_argument("--parts", nargs="+", default=["train"], choices=("train", "validation"))
    parser.add_argument("--tokens", type=int, default=8, help="soft tokens of a sound")
    parser.add_argument("--inner", type=int, default=256)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--copies", type=int, default=2, help="changed copies of each recording, beside it")
    parser.add_argument("--aim-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--batch", type=int, default=16, help="recordings")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--save-every", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    add_device(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the file at every save."""
    options = parse(arguments)
    torch.manual_seed(options.seed)
    base = Adapter.load(options.base or SHIPPED)
    settings = Settings.load(device=options.device)
    sounds = Sounds(options.data, SoundMaps.load(settings), options.work, options.copies, options.seed)
    network, tokenizer = load_model(base.record.model, choose_device(settings.device))
    training = Training(options, sounds, base, record_of(options, base), network, tokenizer)
    training.aim()
    training.run()


if __name__ == "__main__":
    main()
