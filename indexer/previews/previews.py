"""Thumbnails, short clips, waveforms and spectrograms, made once and kept as files.

The files are a cache under `settings.thumbnails`, named by the original's version and by what is shown, so a changed
file has new pictures and an old one is never made twice. Decoding happens in other processes that can be killed. Knows
assets only as originals and times.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from indexer.decoding.decoder import Items, limits_of
from indexer.decoding.items import DecodeRequest, PictureItem
from indexer.previews import ffmpeg
from indexer.previews.spectrogram import spectrogram_picture, waveform_picture
from indexer.sources.original import Original
from search.errors import PermanentMediaError
from search.results import Kind
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

THUMBNAIL_SIDE = 512
CLIP_SECONDS = 30.0  # longest preview clip
CLIP_HEIGHT = 480
SPECTROGRAM_SECONDS = 60.0  # longest stretch in one picture: 10 MB of sound
_WEBP_QUALITY = 80
_WHOLE_FRAMES = "yadif=deint=interlaced"  # leaves alone what is not interlaced
_MAKING = 4  # previews made at the same time


class Previews:
    """Makes previews, or finds those made before. Thread-safe; no more than a few are made at once."""

    def __init__(self, settings: Settings, decode: Callable[[DecodeRequest], Items]) -> None:
        self._settings = settings
        self._decode = decode
        self._making = threading.BoundedSemaphore(_MAKING)

    def thumbnail(
        self,
        original: Original,
        kind: Kind,
        seconds: float | None = None,
        side: int = THUMBNAIL_SIDE,
        page: int | None = None,
    ) -> Path:
        """A WebP picture of an image, of a page of a document, of a video at a time, or of a recording's waveform.

        Raises MediaError.
        """
        if kind is Kind.DOCUMENT:
            number = page or 1
            return self._once(
                original, f"page {side} {number}", ".webp", lambda file: self._image(original, side, file, number)
            )
        if kind is Kind.AUDIO:
            return self.waveform(original, 0.0, None)
        if kind is Kind.IMAGE:
            return self._once(original, f"image {side}", ".webp", lambda file: self._image(original, side, file))
        at = max(0.0, seconds or 0.0)
        return self._once(
            original, f"frame {side} {at:.2f}", ".webp", lambda file: self._frame(original, at, side, file)
        )

    def clip(self, original: Original, kind: Kind, start_seconds: float, end_seconds: float) -> Path:
        """A short MP4 (or M4A of a recording) that every browser plays. Raises MediaError."""
        seconds = min(max(end_seconds - start_seconds, 1.0), CLIP_SECONDS)
        extension = ".m4a" if kind is Kind.AUDIO else ".mp4"
        what = f"clip {start_seconds:.2f} {seconds:.2f}"
        return self._once(
            original, what, extension, lambda file: self._clip(original, kind, start_seconds, seconds, file)
        )

    def waveform(self, original: Original, start_seconds: float, end_seconds: float | None) -> Path:
        """A WebP picture of the loudness; of the whole file without an end. Raises MediaError."""
        what = f"waveform {start_seconds:.2f} {end_seconds or -1:.2f}"
        return self._once(
            original, what, ".webp", lambda file: self._waveform(original, start_seconds, end_seconds, file)
        )

    def spectrogram(self, original: Original, start_seconds: float, end_seconds: float) -> Path:
        """A WebP picture of the pitches, as encoders see them. Raises MediaError."""
        seconds = min(max(end_seconds - start_seconds, 0.5), SPECTROGRAM_SECONDS)
        what = f"spectrogram {start_seconds:.2f} {seconds:.2f}"
        return self._once(
            original, what, ".webp", lambda file: self._spectrogram(original, start_seconds, seconds, file)
        )

    def _once(self, original: Original, what: str, extension: str, make: Callable[[Path], None]) -> Path:
        name = f"{original.version}\0{what}"
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()
        wanted = self._settings.thumbnails / digest[:2] / (digest[2:] + extension)
        if wanted.is_file():
            return wanted
        with self._making:
            if not wanted.is_file():
                _write_whole(wanted, make)
        return wanted

    def _image(self, original: Original, side: int, file: Path, page: int = 1) -> None:
        with original.fetch() as path:
            request = DecodeRequest(path, limits_of(self._settings), {}, False, False, whole_side=side, page=page)
            with closing(self._decode(request)) as items:
                for item in items:
                    if isinstance(item, PictureItem) and item.readable is not None:
                        Image.fromarray(item.readable).save(file, "WEBP", quality=_WEBP_QUALITY)
                        return
        raise PermanentMediaError(f"{original.name}: holds no picture")

    def _frame(self, original: Original, seconds: float, side: int, file: Path) -> None:
        scaled = f"scale='min({side},iw*sar)':'min({side},ih)':force_original_aspect_ratio=decrease,setsar=1"
        filters = f"{_WHOLE_FRAMES},{scaled}"
        last: PermanentMediaError | None = None
        # A time behind the last frame gives nothing; the beginning is better than no picture.
        with original.address() as address:
            for at in dict.fromkeys((seconds, max(0.0, seconds - 1.0), 0.0)):
                graph = ffmpeg.source(address, at).output(
                    "pipe:", vframes=1, vf=filters, format="webp", vcodec="libwebp", quality=_WEBP_QUALITY, map="0:v:0"
                )
                try:
                    picture = ffmpeg.run(graph, self._settings.decode_timeout_seconds)
                except PermanentMediaError as error:
                    last = error
                    continue
                if picture:
                    file.write_bytes(picture)
                    return
        raise last or PermanentMediaError(f"{original.name}: has no frame at second {seconds:.1f}")

    def _clip(self, original: Original, kind: Kind, start: float, seconds: float, file: Path) -> None:
        codecs: dict[str, Any] = {"acodec": "aac", "ac": 2, "audio_bitrate": "96k", "sn": None, "dn": None}
        if kind is Kind.AUDIO:
            codecs |= {"vn": None, "map": "0:a:0", "format": "ipod"}
        else:
            even = f"scale='trunc(iw*sar*min(1,{CLIP_HEIGHT}/ih)/2)*2':'trunc(min(ih,{CLIP_HEIGHT})/2)*2',setsar=1"
            codecs |= {"vcodec": "libx264", "preset": "veryfast", "crf": 27, "pix_fmt": "yuv420p"}
            codecs |= {"vf": f"{_WHOLE_FRAMES},{even}", "threads": 2, "format": "mp4"}
        # Fragmented, because a file that can't be sought (a pipe) has no room for the index at its start.
        codecs["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
        with file.open("wb") as out, original.address() as address:
            graph = ffmpeg.source(address, start, seconds).output("pipe:", **codecs)
            with ffmpeg.running(graph, self._settings.decode_timeout_seconds) as pieces:
                for piece in pieces:
                    out.write(piece)

    def _waveform(self, original: Original, start: float, end: float | None, file: Path) -> None:
        seconds = None if end is None else end - start
        picture = waveform_picture(self._sound(original, start, seconds))
        Image.fromarray(picture).save(file, "WEBP", lossless=True)

    def _spectrogram(self, original: Original, start: float, seconds: float, file: Path) -> None:
        pieces = list(self._sound(original, start, seconds))
        waveform = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        Image.fromarray(spectrogram_picture(waveform)).save(file, "WEBP", quality=_WEBP_QUALITY)

    def _sound(self, original: Original, start: float, seconds: float | None) -> Iterator[Waveform]:
        """Pieces `(n,) float32` of the sound track, 16 kHz mono."""
        with original.address() as address:
            graph = ffmpeg.source(address, start, seconds).output(
                "pipe:", format="s16le", acodec="pcm_s16le", ac=1, ar=SAMPLE_RATE_HZ, map="0:a:0"
            )
            with ffmpeg.running(graph, self._settings.decode_timeout_seconds) as pieces:
                odd = b""
                for piece in pieces:
                    data = odd + piece
                    whole = len(data) // 2 * 2
                    odd = data[whole:]
                    yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / np.float32(32768)


def _write_whole(wanted: Path, make: Callable[[Path], None]) -> None:
    """Write a file and rename it into place, so that no reader sees half of it."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(suffix=wanted.suffix, dir=wanted.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        make(temporary)
        temporary.replace(wanted)
    finally:
        temporary.unlink(missing_ok=True)
