"""Damaged files of every format that ends in one of two ways: indexed, or set aside with a reason that helps people."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
from PIL import Image
from support import media
from support.library import Library
from support.pictures import landscape

from chaos.report import Row
from indexer.decoding.decoder import DecoderPool
from indexer.segmenting.segmenter import PictureMaker
from search.catalog.database import Database
from search.catalog.states import AssetStatus
from search.settings import Settings

PROMISE = "the indexer lives; each file is indexed, or has a reason in people's words, or is counted by its kind"
DECODERS = 2
_PICTURES = {
    "jpg": "JPEG", "png": "PNG", "gif": "GIF", "webp": "WEBP", "tif": "TIFF", "bmp": "BMP", "avif": "AVIF",
    "jp2": "JPEG2000", "ico": "ICO", "tga": "TGA", "ppm": "PPM",
}  # fmt: skip
_SOUNDS = ("mp3", "flac", "ogg", "opus", "m4a", "aiff", "wma")
_CLIPS = ("mp4", "mkv", "webm", "mov", "avi", "ts", "mpg")
# Words of a library's code, or of Python, that tell a person nothing.
_UNHELPFUL = re.compile(r"NoneType|object has no attribute|out of range|Traceback|unpack|0x[0-9a-f]{6,}|^\W*$")


def attack(folder: Path, url: str, *, files: int, seconds: float) -> Row:
    """Index up to `files` damaged files, in rounds, for about `seconds`; a wrong one is kept in `folder`/wrong."""
    began = time.monotonic()
    dice = random.Random(files)
    seeds = _seeds(folder / "seeds")
    settings = Settings.load(environment={}, home=folder / "home", decode_timeout_seconds=20.0)
    settings.make_home()
    broken: list[str] = []
    done = 0
    database = Database.open(url)
    database.migrate()
    with DecoderPool(settings, size=DECODERS) as pool:
        library = Library(database, settings, folder / "media", pool)
        library.makers = (PictureMaker,)
        while done < files and time.monotonic() - began < seconds:
            batch = min(len(seeds) * 4, files - done)
            for number in range(done, done + batch):
                seed = seeds[number % len(seeds)]
                damaged = dice.choice(DAMAGES)(bytearray(seed.read_bytes()), dice)
                (library.root / f"{number}{seed.suffix}").write_bytes(damaged)
            done += batch
            library.index()
        broken += _unaccounted(library, done)
        broken += _without_reason(library, folder / "wrong")
    database.close()
    kinds = len({seed.suffix for seed in seeds})
    return Row(
        attack="damaged files",
        on="decoders",
        amount=f"{done} files of {kinds} formats",
        seconds=time.monotonic() - began,
        promise=PROMISE,
        broken=tuple(broken),
    )


def _unaccounted(library: Library, done: int) -> list[str]:
    counts = library.counts()
    skipped = sum(msgspec.json.decode(library.state().skipped, type=dict[str, int]).values())
    told = counts.indexed + counts.quarantined + skipped
    if counts.pending + counts.working or told != done:
        return [f"of {done}: {counts.indexed} indexed, {counts.quarantined} quarantined, {skipped} counted as no media"]
    return []


def _without_reason(library: Library, wrong: Path) -> list[str]:
    found = []
    for name, asset in library.all().items():
        reason = asset.error or ""
        if asset.status == AssetStatus.QUARANTINED and (not reason or _UNHELPFUL.search(reason)):
            wrong.mkdir(exist_ok=True)
            (wrong / name.decode()).write_bytes(Path(asset.path).read_bytes())
            found.append(f"{name.decode()}: {reason!r}")
    return found[:5]


def _seeds(folder: Path) -> list[Path]:
    """One small file of each format, made here."""
    folder.mkdir(parents=True)
    made: list[Path] = []
    for suffix, kind in _PICTURES.items():
        path = folder / f"picture.{suffix}"
        size = (64, 64) if suffix == "ico" else (96, 72)
        landscape(1, *size).save(path, kind)
        made.append(path)
    animated = folder / "animated.gif"
    frames: list[Image.Image] = [landscape(seed, 40, 30) for seed in range(4)]
    frames[0].save(animated, save_all=True, append_images=frames[1:])
    made.append(animated)
    wav = media.write_wav(folder / "sound.wav", media.tone(1.0))
    made.append(wav)
    for suffix in _SOUNDS:
        made.append(folder / f"sound.{suffix}")
        media.ffmpeg("-i", wav, *(["-ar", "48000"] if suffix == "opus" else []), made[-1])
    clip = media.colour_clip(folder / "clip.mp4", ["red", "blue"], 0.5)
    made.append(clip)
    for suffix in _CLIPS[1:]:
        made.append(folder / f"clip.{suffix}")
        rate = ["-r", "25"] if suffix == "mpg" else []
        media.ffmpeg("-i", clip, *rate, made[-1])
    return made


def _flip(data: bytearray, dice: random.Random) -> bytes:
    for _ in range(dice.randint(1, 40)):
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    return bytes(data)


def _flip_header(data: bytearray, dice: random.Random) -> bytes:
    for _ in range(dice.randint(1, 8)):
        data[dice.randrange(min(len(data), 256))] = dice.randrange(256)
    return bytes(data)


def _cut(data: bytearray, dice: random.Random) -> bytes:
    return bytes(data[: dice.randrange(1, len(data))])


def _hole(data: bytearray, dice: random.Random) -> bytes:
    start = dice.randrange(len(data))
    end = min(len(data), start + dice.randint(1, 4096))
    data[start:end] = bytes(end - start)
    return bytes(data)


def _noise(data: bytearray, dice: random.Random) -> bytes:
    start = dice.randrange(len(data))
    noise = np.random.default_rng(dice.randrange(1 << 30)).bytes(dice.randint(1, 2048))
    data[start : start + len(noise)] = noise
    return bytes(data)


def _twice(data: bytearray, dice: random.Random) -> bytes:
    start = dice.randrange(len(data))
    piece = data[start : start + dice.randint(1, 8192)]
    at = dice.randrange(len(data))
    return bytes(data[:at] + piece + data[at:])


def _large_number(data: bytearray, dice: random.Random) -> bytes:
    at = dice.randrange(max(1, len(data) - 4))
    data[at : at + 4] = dice.choice([b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\0", b"\x80\0\0\0"])
    return bytes(data)


DAMAGES: tuple[Callable[[bytearray, random.Random], bytes], ...] = (
    _flip, _flip_header, _cut, _hole, _noise, _twice, _large_number,
)  # fmt: skip
