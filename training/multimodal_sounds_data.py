"""What the resampler of sounds learns from: labelled recordings, what can be said of each, and their encoder states.

States are computed once, of each recording and of changed copies, and kept as float16 in a work folder. Knows the
data's layout and the encoder; knows no language model.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from search.arrays import Float32Array
from search.multimodal.sound_encoder import SoundMaps
from search.spaces.inputs import Waveform
from training.instructions import Exchange
from training.multimodal_data import Lesson
from training.sounds import changed, recordings
from training.synthetic_sounds import synthetic

# Folds of training/sounds.py: clips of one recording lie in one of them.
PARTS = {"train": (0, 1), "validation": (2,), "test": (3,)}
_TOGETHER = 8

# Sentences that describe a label, the one that measures it first.
CAPTIONS: dict[str, tuple[str, ...]] = {
    "dog bark": ("A dog is barking.", "A barking dog."),
    "rain": ("Rain is falling.", "It is raining heavily."),
    "sea waves": ("Waves are breaking on a beach.", "The sea with its waves."),
    "baby cry": ("A baby is crying.", "A crying infant."),
    "clock tick": ("A clock is ticking.", "The ticking of a clock."),
    "person sneeze": ("A person is sneezing.", "Somebody sneezes."),
    "helicopter": ("A helicopter is flying.", "The blades of a helicopter."),
    "chainsaw": ("A chainsaw is cutting wood.", "A chainsaw is running."),
    "rooster": ("A rooster is crowing.", "A crowing rooster."),
    "fire crackling": ("A fire is crackling.", "Wood is burning in a fire."),
    "air conditioner": ("An air conditioner is humming.", "The hum of an air conditioner."),
    "car horn": ("A car is honking its horn.", "A car horn."),
    "children playing": ("Children are playing outside.", "Children shout and laugh."),
    "drilling": ("Somebody is drilling.", "A drill is running."),
    "engine idling": ("An engine is idling.", "The engine of a car is running."),
    "gun shot": ("A gun is fired.", "A gun shot."),
    "jackhammer": ("A jackhammer is breaking the road.", "A jackhammer is hammering."),
    "siren": ("A siren is wailing.", "The siren of an ambulance."),
    "street music": ("Musicians are playing in the street.", "A band is playing music."),
    "speech": ("A person is speaking.", "Somebody is reading aloud."),
    "silence": ("Nothing can be heard.", "It is silent."),
    "noise": ("A hissing noise.", "Nothing but noise."),
    "tone": ("An electronic beep.", "A beeping tone."),
    "synthetic music": ("Electronic music is playing.", "A melody on a synthesizer."),
}
# The thing that makes the sound, with its article: what questions are about.
THINGS: dict[str, str] = {
    "dog bark": "a dog",
    "rain": "rain",
    "sea waves": "surf",
    "baby cry": "a baby",
    "clock tick": "a clock",
    "person sneeze": "a sneeze",
    "helicopter": "a helicopter",
    "chainsaw": "a chainsaw",
    "rooster": "a rooster",
    "fire crackling": "a fire",
    "air conditioner": "an air conditioner",
    "car horn": "a car horn",
    "children playing": "children",
    "drilling": "a drill",
    "engine idling": "an engine",
    "gun shot": "a gun",
    "jackhammer": "a jackhammer",
    "siren": "a siren",
    "street music": "music",
    "speech": "a voice",
    "noise": "a noise",
    "tone": "a beep",
    "synthetic music": "music",
}
# What is taken for each other: "no" is learned and measured on these, and never asked of what may be there as well.
NEAR: dict[str, tuple[str, ...]] = {
    "dog bark": ("rooster", "person sneeze"),
    "rain": ("sea waves", "fire crackling"),
    "sea waves": ("rain", "air conditioner"),
    "baby cry": ("children playing", "siren", "dog bark"),
    "clock tick": ("fire crackling", "gun shot"),
    "person sneeze": ("dog bark", "baby cry"),
    "helicopter": ("chainsaw", "engine idling", "air conditioner"),
    "chainsaw": ("drilling", "engine idling", "helicopter"),
    "rooster": ("dog bark", "baby cry"),
    "fire crackling": ("rain", "clock tick"),
    "air conditioner": ("rain", "helicopter"),
    "car horn": ("siren", "rooster"),
    "children playing": ("baby cry", "dog bark"),
    "drilling": ("chainsaw", "jackhammer"),
    "engine idling": ("helicopter", "chainsaw"),
    "gun shot": ("fire crackling", "drilling"),
    "jackhammer": ("drilling", "gun shot"),
    "siren": ("car horn", "baby cry"),
    "street music": ("siren", "helicopter"),
    "speech": ("dog bark", "rain"),
    "silence": ("rain", "dog bark", "siren"),
    "noise": ("engine idling", "siren"),
    "tone": ("siren", "rooster"),
    "synthetic music": ("siren", "dog bark"),
}
ANIMALS = {"dog bark": "A dog.", "rooster": "A rooster."}
HEARD = "What can be heard?"
ANIMAL = "What animal can be heard?"


class Sounds:
    """Recordings with their labels and folds, and the encoder's maps of each: as it is, and `copies` changed ones."""

    def __init__(self, data: Path, encoder: SoundMaps, work: Path, copies: int, seed: int) -> None:
        self._data, self._seed = data, seed
        listing = work / f"recordings-{seed}.json"
        if not listing.is_file():
            work.mkdir(parents=True, exist_ok=True)
            listing.write_text(json.dumps([(label, int(fold)) for label, fold, _ in self._sources]), "utf-8")
        known = json.loads(listing.read_text("utf-8"))
        self.labels = np.array([label for label, _ in known])
        self.folds = np.array([fold for _, fold in known])
        kinds = ["whole", *(f"copy{number}" for number in range(1, copies + 1))]
        digest = zlib.crc32("\n".join([encoder.identity, str(seed), *self.labels]).encode())
        self._kept = [self._maps(work / f"{kind}-{digest:08x}.npy", kind, encoder) for kind in kinds]

    @cached_property
    def _sources(self) -> list[tuple[str, int, Waveform]]:
        """Decoded and synthesised only where something is not kept yet: it takes half a minute."""
        return [*recordings(self._data), *synthetic(np.random.default_rng(self._seed))]

    def _maps(self, file: Path, kind: str, encoder: SoundMaps) -> np.ndarray:
        if not file.is_file():
            _write(file, [waveform for _, _, waveform in self._sources], kind, encoder)
        return np.asarray(np.load(file, mmap_mode="r"))

    def numbers(self, *parts: str) -> np.ndarray:
        """`(n,) int64`: which recordings lie in these parts."""
        return np.flatnonzero(np.isin(self.folds, [fold for part in parts for fold in PARTS[part]]))

    def whole(self, numbers: Sequence[int] | np.ndarray) -> Float32Array:
        """`(len(numbers), places, channels)`."""
        return self._kept[0][numbers].astype(np.float32)

    def any(self, numbers: Sequence[int] | np.ndarray, random: np.random.Generator) -> Float32Array:
        """As `whole`, of each recording or one of its copies, begun at any time: a sound goes round in its window."""
        chosen = random.integers(len(self._kept), size=len(numbers))
        turns = random.integers(self._kept[0].shape[1], size=len(numbers))
        maps = [
            np.roll(self._kept[kind][n], turn, axis=0) for kind, turn, n in zip(chosen, turns, numbers, strict=True)
        ]
        return np.stack(maps).astype(np.float32)


def lesson(label: str) -> Lesson:
    """What can be said of any sound with this label."""
    captions = CAPTIONS[label]
    exchanges = (
        [Exchange(HEARD, f"{THINGS[label].capitalize()}.")] if label in THINGS else [Exchange(HEARD, "Nothing.")]
    )
    exchanges.append(Exchange(ANIMAL, ANIMALS.get(label, "None.")))
    if label in THINGS:
        exchanges += [Exchange(asks(label), "Yes.")] * len(NEAR[label])  # as often as no
    exchanges += [Exchange(asks(other), "No.") for other in NEAR[label]]
    return Lesson(Path(label), captions, tuple(exchanges))


def asks(label: str) -> str:
    """The question whether a label's thing can be heard."""
    thing = THINGS[label]
    return f"{'Are' if thing == 'children' else 'Is'} there {thing}?"


def _write(file: Path, waveforms: Sequence[Waveform], kind: str, encoder: SoundMaps) -> None:
    random = np.random.default_rng(zlib.crc32(kind.encode()))
    parts = []
    for at in range(0, len(waveforms), _TOGETHER):
        block = waveforms[at : at + _TOGETHER]
        parts.append(encoder.maps(block if kind == "whole" else [changed(waveform, random) for waveform in block]))
        if at % 80 == 0:
            print(f"states, {kind}: {at}/{len(waveforms)}", flush=True)
    part = file.with_suffix(".part")
    with part.open("wb") as out:
        np.save(out, np.concatenate(parts))
    part.rename(file)
