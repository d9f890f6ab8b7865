"""Pictures and sounds for queries, through the same killable decoders as the library's own files.

Uploads are trusted no more than other files. A process keeps two decoders for them, because starting
one takes longer than most queries.
"""

from __future__ import annotations

import atexit
import dataclasses
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from msgspec import Struct

from indexer.decoding.decoder import DecoderPool, Items, limits_of
from indexer.decoding.items import DecodeRequest, Limits, PictureItem, SoundItem
from indexer.failures import shown
from search.errors import MediaError, PermanentMediaError
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, ImageInput, Picture, Waveform


class Sent(Struct, frozen=True):
    """A file that was sent: known by the sender's name for it, because its path on this machine is private."""

    path: Path
    name: str


Source = Path | bytes | Sent
DECODERS = 2
QUERY_SIDE = 1024  # longer side of a query picture: more than any encoder looks at
QUERY_SOUND_SECONDS = 60  # of a query sound; what follows is not listened to
QUERY_FRAMES = 8  # of a query video, spread evenly

_pools: dict[Limits, DecoderPool] = {}
_pools_lock = threading.Lock()


def load_query_image(source: Source, settings: Settings) -> Picture:
    """`(h, w, 3) uint8`, upright sRGB, at most QUERY_SIDE a side; of a video, a frame from its middle.

    Raises MediaError when the file holds no picture.
    """
    pictures = [item for item in _decode(source, settings, whole_side=QUERY_SIDE) if isinstance(item, PictureItem)]
    if not pictures:
        raise PermanentMediaError(f"{_name(source)}: holds no picture")
    middle = pictures[len(pictures) // 2]
    return middle.pictures[0] if middle.readable is None else middle.readable


def load_query_sound(source: Source, settings: Settings) -> Waveform:
    """`(n,) float32` at 16 kHz mono, of the first QUERY_SOUND_SECONDS. Raises MediaError when there is no sound."""
    pieces: list[Waveform] = []
    samples = 0
    with closing(_decode(source, settings, want_sound_track=True)) as items:
        for item in items:
            if isinstance(item, SoundItem):
                pieces.append(item.waveform)
                samples += len(item.waveform)
            if samples >= QUERY_SOUND_SECONDS * SAMPLE_RATE_HZ:
                break
    if not samples:
        raise PermanentMediaError(f"{_name(source)}: holds no sound")
    return np.concatenate(pieces)[: QUERY_SOUND_SECONDS * SAMPLE_RATE_HZ]


def load_query_video(
    source: Source, settings: Settings, wanted: ImageInput
) -> tuple[Sequence[Picture], Waveform | None]:
    """Frames of a video, fitted as a space wants them, and its sound track, if it has one. Raises MediaError."""
    items = _decode(source, settings, wanted=wanted)
    frames = [item.pictures[0] for item in items if isinstance(item, PictureItem)]
    if not frames:
        raise PermanentMediaError(f"{_name(source)}: holds no picture")
    places = np.linspace(0, len(frames) - 1, min(QUERY_FRAMES, len(frames))).round().astype(int)
    try:
        sound = load_query_sound(source, settings)
    except PermanentMediaError:
        sound = None
    return [frames[chosen] for chosen in places], sound


def _decode(
    source: Source,
    settings: Settings,
    *,
    wanted: ImageInput | None = None,
    want_sound_track: bool = False,
    whole_side: int = 0,
) -> Items:
    limits = dataclasses.replace(limits_of(settings), max_frames_per_asset=8 * QUERY_FRAMES)
    # Frames of videos have no `readable` picture to fall back on.
    inputs = {} if want_sound_track else {0: wanted or ImageInput(side=384, fit="squash")}
    with _as_file(source) as path:
        request = DecodeRequest(path, limits, inputs, want_sound_track, want_text=False, whole_side=whole_side)
        try:
            yield from _pool(settings).decode(request)
        except MediaError as error:
            reason = str(error).removeprefix(f"{shown(path)}: ")
            raise type(error)(f"{_name(source)}: {reason}") from None


@contextmanager
def _as_file(source: Source) -> Iterator[Path]:
    if not isinstance(source, bytes):
        yield source.path if isinstance(source, Sent) else source
        return
    with tempfile.NamedTemporaryFile(prefix="medley-query-") as file:
        file.write(source)
        file.flush()
        yield Path(file.name)


def _name(source: Source) -> str:
    if isinstance(source, Sent):
        return repr(source.name[:100])
    return shown(source) if isinstance(source, Path) else "the uploaded file"


def _pool(settings: Settings) -> DecoderPool:
    limits = limits_of(settings)
    with _pools_lock:
        if limits not in _pools:
            _pools[limits] = DecoderPool(settings, DECODERS)
        return _pools[limits]


@atexit.register
def close() -> None:
    """End the decoders that this process keeps; they start again when needed."""
    with _pools_lock:
        while _pools:
            _pools.popitem()[1].close()
