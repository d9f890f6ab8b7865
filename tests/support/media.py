"""Small real recordings and videos for tests, made by the ffmpeg that ships with imageio-ffmpeg."""

from __future__ import annotations

import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from PIL import Image

from indexer.decoding.completeness import Account, Completeness
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import DecodeRequest, Facts, PictureItem, SoundItem
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, ImageInput

FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SIDE = 64
COLOURS = {"red": (220, 30, 30), "green": (30, 180, 40), "blue": (40, 60, 220), "white": (235, 235, 235)}


def ffmpeg(*arguments: str | Path) -> None:
    """Run ffmpeg; a failure shows what it said."""
    command = [FFMPEG, "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr


def write_wav(path: Path, waveform: np.ndarray, rate: int = SAMPLE_RATE_HZ) -> Path:
    """16-bit WAV of `(n,)` or `(n, channels)` floats."""
    data = (np.clip(waveform, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if data.ndim == 1 else data.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(data.tobytes())
    return path


def tone(seconds: float, hertz: float = 440.0, rate: int = SAMPLE_RATE_HZ) -> np.ndarray:
    """A sine of half amplitude."""
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def colour_clip(path: Path, colours: Sequence[str], seconds_each: float = 2.0, *arguments: str | Path) -> Path:
    """A video that shows one textured colour after the other; `arguments` go before the output's name."""
    pattern = (np.indices((120, 160)).sum(axis=0) // 10 % 2)[..., None] * 25
    frames = path.parent / f"{path.stem}-frames"
    frames.mkdir()
    for number, colour in enumerate(colours):
        texture = pattern if colour in COLOURS else 0 * pattern
        picture = np.clip(np.array(COLOURS.get(colour, (0, 0, 0))) + texture, 0, 255)
        Image.fromarray(picture.astype(np.uint8)).save(frames / f"{number}.png")
    source: list[str | Path] = ["-framerate", str(1 / seconds_each), "-i", frames / "%d.png"]
    options = arguments or ("-r", "10", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
    ffmpeg(*source, *options, path)
    return path


def request(path: Path, settings: Settings, **changes: Any) -> DecodeRequest:
    """A request for everything in a file, with pictures of SIDE pixels."""
    return DecodeRequest(path, limits_of(settings), {1: ImageInput(SIDE, "squash")}, **changes)


def facts_of(items: Sequence[object]) -> Facts:
    """The first item, which must be the facts."""
    assert isinstance(items[0], Facts)
    return items[0]


def sound_of(items: Sequence[object]) -> np.ndarray:
    """The whole sound track; checks that its pieces follow each other."""
    pieces = [item for item in items if isinstance(item, SoundItem)]
    offset = 0
    for piece in pieces:
        assert abs(piece.start_seconds * SAMPLE_RATE_HZ - offset) < 1
        offset += len(piece.waveform)
    return np.concatenate([piece.waveform for piece in pieces]) if pieces else np.zeros(0, np.float32)


def frames_of(items: Sequence[object]) -> list[PictureItem]:
    """The frames."""
    return [item for item in items if isinstance(item, PictureItem)]


def account_of(items: Sequence[object], **asked: Any) -> Account:
    """What is said of a file of which these items came; `asked` of the request, beside pictures and sound."""
    request = DecodeRequest(Path("a"), limits_of(Settings(home=Path("home"))), {1: ImageInput(SIDE, "squash")}, **asked)
    completeness = Completeness(request)
    for item in items:
        completeness.add(item)
    account = completeness.finish()
    assert account is not None
    return account


def notes_of(items: Sequence[object]) -> str:
    """All notes in one text."""
    return "; ".join(note.text for note in account_of(items).notes)


def colour_of(frame: PictureItem) -> str:
    """The name of the colour that a frame shows."""
    mean = frame.pictures[1].reshape(-1, 3).mean(axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(mean - COLOURS[name]).sum()))


def film(path: Path) -> Path:
    """Ten seconds that every browser plays."""
    ffmpeg("-f", "lavfi", "-i", "testsrc=duration=10:size=160x120:rate=5", "-c:v", "libvpx", path)
    return path
