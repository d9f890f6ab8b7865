"""Train a multimodal adapter for any pair of image encoder and causal language model.

    python -m training.multimodal --data ../data --work work --output adapter.safetensors
    python -m training.multimodal --encoder ViT-B-32:laion2b_s34b_b79k --model ORG/NAME ...

LLaVA's stages (arXiv 2304.08485): captions first, and from `--instruct-from` on also questions made by rule. With
`--align-steps` the first of these steps train the resampler alone, as there, and the language model stays as it is;
without it, as for the adapter that ships, the low-rank updates are trained from the first step. Soft tokens enter
before layer `--layer`; what the frozen layers below make of a text is the same for every picture, so it is computed
once and kept, and half of the model needs no gradient. Captions of a photo share its soft tokens: they stand in one
row, and can't see each other.

Resumable: every `--save-every` steps the state is kept in the work folder, and the same command goes on from there. The
learning rate is constant until `--decay-from` and falls to nothing at `--steps`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from search.arrays import Float32Array
from search.language.embedded_model import NAME as EMBEDDED
from search.multimodal.adapter import STARTER, Adapter, AdapterRecord
from search.multimodal.map_encoder import MapEncoder, open_map_encoder
from search.multimodal.model import resampler_of
from search.settings import Settings
from search.spaces.device import choose_device
from training.multimodal_data import Lesson, Maps, batches, draw, read_lessons
from training.multimodal_network import TrainedDecoder, adapter_tensors, new_resampler
from training.precision import add_device
from training.projector import load_model

_WARMED_UP = 60  # steps
_TYPICAL = 64  # captioned photos whose tokens tell a text's prior
_VALIDATED = 96  # photos
_TERMS = {
    "flickr8k": "research, non-commercial",
    "visual7w": "none stated",
    "guarani": "MIT",
    "sports100, har15, sun8, corel1k, weather5, houses, caltech101": "none stated (research sets)",
    "dreambooth": "CC BY 4.0",
}


class Training:
    """The adapter being trained, its optimizer and its state on disk."""

    def __init__(
        self,
        options: argparse.Namespace,
        maps: Maps,
        lessons: Sequence[Lesson],
        record: AdapterRecord,
        device: torch.device,
    ) -> None:
        self._options, self._maps, self._lessons, self.record = options, maps, lessons, record
        network, tokenizer = load_model(options.model, device)
        self.decoder = TrainedDecoder(network, tokenizer, options.layer, options.rank, record, lessons)
        if options.start:
            earlier = Adapter.load(options.start)
            updates = earlier.below("layers.").items()
            self.decoder.load_updates({name: torch.from_numpy(held) for name, held in updates})
            self.resampler = resampler_of(earlier, self.decoder.width).to(device)
        else:
            sample = maps.whole([lesson.path for lesson in lessons[:600]])
            captioned = [lesson for lesson in lessons if lesson.captions][:20]
            self.resampler = new_resampler(record, sample, self.decoder.typical_states(captioned))
        self._random = np.random.default_rng(options.seed)
        trained = [parameter for parameter in self.decoder.updates.parameters() if parameter.requires_grad]
        self._optimizer = torch.optim.AdamW(
            [
                {"params": trained, "lr": options.rate, "weight_decay": 0.0},
                {"params": self.resampler.parameters(), "lr": 1.4 * options.rate, "weight_decay": 0.02},
            ],
            betas=(0.9, 0.98),
        )
        self._rates = [group["lr"] for group in self._optimizer.param_groups]
        self._begin = (options.align_steps, 0)  # the step at which each group does
        self._instruct_from: int = max(options.instruct_from, options.align_steps)
        self.step = 0
        self._state = options.work / "state.pt"
        if self._state.is_file():
            self._resume()

    def run(self, validation: Sequence[Lesson]) -> None:
        """Until the last step."""
        options, began, smooth, share = self._options, time.monotonic(), 0.0, 0.0
        for numbers in batches(self._lessons, options.batch, self._random):
            if self.step >= options.steps:
                break
            lessons = [self._lessons[number] for number in numbers]
            # Lessons of like length stand together: some batches hold labels and questions alone.
            if not self._instructs and not any(lesson.captions for lesson in lessons):
                continue
            loss = self._learn(lessons)
            smooth, share = 0.97 * smooth + 0.03 * loss, 0.97 * share + 0.03
            if self.step % 20 == 0:
                print(
                    f"step {self.step}: {smooth / share:.3f} nats a token, {time.monotonic() - began:.0f} s", flush=True
                )
            if self.step % options.save_every == 0:
                self.save()
                print(f"step {self.step}: {self.validate(validation):.4f} on validation photos", flush=True)
        self.save()

    @property
    def _instructs(self) -> bool:
        """Are there questions in this step?"""
        return self.step >= self._instruct_from

    def _learn(self, lessons: Sequence[Lesson]) -> float:
        options = self._options
        self.resampler.train()
        for group, rate, begin in zip(self._optimizer.param_groups, self._rates, self._begin, strict=True):
            left = (options.steps - self.step) / max(1, options.steps - options.decay_from)
            group["lr"] = rate * min(1, (self.step - begin + 1) / _WARMED_UP, left)
            # Without gradients a group is left out of the step.
            for parameter in group["params"]:
                parameter.requires_grad_(self.step >= begin)
        said = [
            draw(lesson, self.record.caption, self.record.question, options.captions, self._instructs, self._random)
            for lesson in lessons
        ]
        kept = [number for number, targets in enumerate(said) if targets]
        soft = self._soft(self._maps.any([lessons[number].path for number in kept], self._random))
        total, tokens = self.decoder.loss(soft, [said[number] for number in kept])
        (total / tokens).backward()
        nn.utils.clip_grad_norm_([p for group in self._optimizer.param_groups for p in group["params"]], 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.step += 1
        return float(total.item()) / tokens

    @torch.no_grad()
    def validate(self, lessons: Sequence[Lesson]) -> float:
        """Nats a token over all captions of validation photos."""
        self.resampler.eval()
        total, count = 0.0, 0
        for at in range(0, len(lessons), self._options.batch):
            block = lessons[at : at + self._options.batch]
            said = [
                draw(lesson, self.record.caption, "", len(lesson.captions), False, self._random) for lesson in block
            ]
            soft = self._soft(self._maps.whole([lesson.path for lesson in block]))
            loss, tokens = self.decoder.loss(soft, said)
            total, count = total + float(loss.item()), count + tokens
        return total / count

    def _soft(self, maps: Float32Array) -> torch.Tensor:
        soft: torch.Tensor = self.resampler(torch.from_numpy(maps).to(self.decoder.device))
        return soft

    def save(self) -> None:
        """The state to resume from, and the adapter as it is now."""
        state = {
            "updates": self.decoder.named_updates(),
            "resampler": self.resampler.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
        }
        part = self._state.with_suffix(".part")
        torch.save(state, part)
        part.rename(self._state)
        self._options.output.parent.mkdir(parents=True, exist_ok=True)
        self.adapter().save(self._options.output)

    def _resume(self) -> None:
        state = torch.load(self._state, map_location="cpu", weights_only=True)  # each part goes where it is used
        self.decoder.load_updates(state["updates"])
        self.resampler.load_state_dict(state["resampler"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step = int(state["step"])
        print(f"goes on from step {self.step}", flush=True)

    def adapter(self) -> Adapter:
        """As it is used."""
        captioned = [lesson.path for lesson in self._lessons if lesson.captions]
        spread = np.linspace(0, len(captioned) - 1, _TYPICAL).astype(int)
        typical = self._maps.whole([captioned[i] for i in spread])
        tensors = adapter_tensors(self.resampler, typical, self.decoder.words)
        tensors |= {f"layers.{name}": held.numpy() for name, held in self.decoder.named_updates().items()}
        return Adapter(self.record, tensors)


def record_of(options: argparse.Namespace, encoder: MapEncoder) -> AdapterRecord:
    """What the adapter is for, and how it came to be."""
    told = (
        "encoder", "model", "layer", "rank", "tokens", "batch", "captions", "rate", "steps", "align_steps",
        "instruct_from", "decay_from",
    )  # fmt: skip
    command = " ".join(f"--{name.replace('_', '-')} {getattr(options, name)}" for name in told)
    return AdapterRecord(
        encoder=encoder.identity,
        encoder_name=options.encoder_name or options.encoder,
        model=options.model_name or options.model,
        layer=options.layer,
        rank=options.rank,
        tokens=options.tokens,
        inner=options.inner,
        heads=options.heads,
        training={**_TERMS, "part": "train", "command": f"python -m training.multimodal {command}"},
    )


def parse(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with photos/*.jsonl")
    parser.add_argument("--work", type=Path, required=True, help="maps and the state are kept here")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="an adapter of this pair to go on from")
    parser.add_argument("--encoder", default=STARTER, help="starter, or an open_clip model as MODEL:PRETRAINED")
    parser.add_argument("--model", default=EMBEDDED, help="embedded, or a transformers name or folder")
    parser.add_argument("--encoder-name", default="", help="where it is used: the setting vision_encoder; as --encoder")
    parser.add_argument("--model-name", default="", help="where it is used: the setting llm; default: as --model")
    parser.add_argument("--layer", type=int, default=15, help="before which soft tokens enter")
    parser.add_argument("--rank", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=16, help="soft tokens of a picture")
    parser.add_argument("--inner", type=int, default=512)
    parser.add_argument("--heads", type=int, default=8)
    parser.add_argument("--crops", type=int, default=3, help="random crops of each photo, beside the whole")
    parser.add_argument("--batch", type=int, default=24, help="photos")
    parser.add_argument("--captions", type=int, default=3, help="of a photo at a time")
    parser.add_argument("--rate", type=float, default=7e-4)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--align-steps", type=int, default=0, help="first steps, in which only the resampler learns")
    parser.add_argument("--instruct-from", type=int, default=1200, help="step at which questions begin")
    parser.add_argument("--decay-from", type=int, default=1400)
    parser.add_argument("--save-every", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    add_device(parser)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, and write the adapter at every save."""
    options = parse(arguments)
    torch.manual_seed(options.seed)
    settings = Settings.load(device=options.device)
    encoder = open_map_encoder(options.encoder, settings)
    lessons = read_lessons(options.data, "train", options.seed)
    validation = [
        candidate for candidate in read_lessons(options.data, "validation", options.seed) if candidate.captions
    ][:_VALIDATED]
    paths = list(dict.fromkeys(lesson.path for lesson in (*lessons, *validation)))
    maps = Maps(paths, encoder, options.work, options.crops)
    training = Training(options, maps, lessons, record_of(options, encoder), choose_device(settings.device))
    training.run(validation)


if __name__ == "__main__":
    main()
