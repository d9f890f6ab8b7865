"""Thumbnails, short clips, waveforms and spectrograms, made once and kept as files.

Everything is a cache under `settings.thumbnails`, named by the file's path, size and time and by what
is shown, so a changed file has new pictures and an old one is never made twice. Decoding happens in
other processes that can be killed. Knows assets only as paths and times.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from indexer import ffmpeg
from indexer.decoder import Items, limits_of
from indexer.items import DecodeRequest, PictureItem
from indexer.spectrogram import spectrogram_picture, waveform_picture
from search.errors import PermanentMediaError, TransientMediaError
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

    def thumbnail(self, path: Path, kind: Kind, seconds: float | None = None, side: int = THUMBNAIL_SIDE) -> Path:
        """A WebP picture of an image, of a video at a time, or of a recording's waveform.

        Raises MediaError.
        """
        if kind is Kind.AUDIO:
            return self.waveform(path, 0.0, None)
        if kind is Kind.IMAGE:
            return self._once(path, f"image {side}", ".webp", lambda file: self._image(path, side, file))
        at = max(0.0, seconds or 0.0)
        return self._once(path, f"frame {side} {at:.2f}", ".webp", lambda file: self._frame(path, at, side, file))

    def clip(self, path: Path, kind: Kind, start_seconds: float, end_seconds: float) -> Path:
        """A short MP4 (or M4A of a recording) that every browser plays. Raises MediaError."""
        seconds = min(max(end_seconds - start_seconds, 1.0), CLIP_SECONDS)
        extension = ".m4a" if kind is Kind.AUDIO else ".mp4"
        what = f"clip {start_seconds:.2f} {seconds:.2f}"
        return self._once(path, what, extension, lambda file: self._clip(path, kind, start_seconds, seconds, file))

    def waveform(self, path: Path, start_seconds: float, end_seconds: float | None) -> Path:
        """A WebP picture of the loudness; of the whole file without an end. Raises MediaError."""
        what = f"waveform {start_seconds:.2f} {end_seconds or -1:.2f}"
        return self._once(path, what, ".webp", lambda file: self._waveform(path, start_seconds, end_seconds, file))

    def spectrogram(self, path: Path, start_seconds: float, end_seconds: float) -> Path:
        """A WebP picture of the pitches, as encoders see them. Raises MediaError."""
        seconds = min(max(end_seconds - start_seconds, 0.5), SPECTROGRAM_SECONDS)
        what = f"spectrogram {start_seconds:.2f} {seconds:.2f}"
        return self._once(path, what, ".webp", lambda file: self._spectrogram(path, start_seconds, seconds, file))

    def _once(self, path: Path, what: str, extension: str, make: Callable[[Path], None]) -> Path:
        try:
            status = path.stat()
        except OSError as error:
            raise TransientMediaError(f"{path}: can't be read: {error.strerror}") from None
        name = f"{os.fsdecode(path)}\0{status.st_size}\0{status.st_mtime_ns}\0{what}"
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()
        wanted = self._settings.thumbnails / digest[:2] / (digest[2:] + extension)
        if wanted.is_file():
            return wanted
        with self._making:
            if not wanted.is_file():
                _write_whole(wanted, make)
        return wanted

    def _image(self, path: Path, side: int, file: Path) -> None:
        request = DecodeRequest(path, limits_of(self._settings), {}, False, False, whole_side=side)
        for item in self._decode(request):
            if isinstance(item, PictureItem) and item.readable is not None:
                Image.fromarray(item.readable).save(file, "WEBP", quality=_WEBP_QUALITY)
                return
        raise PermanentMediaError(f"{path}: holds no picture")

    def _frame(self, path: Path, seconds: float, side: int, file: Path) -> None:
        scaled = f"scale='min({side},iw*sar)':'min({side},ih)':force_original_aspect_ratio=decrease,setsar=1"
        filters = f"{_WHOLE_FRAMES},{scaled}"
        last: PermanentMediaError | None = None
        # A time behind the last frame gives nothing; the beginning is better than no picture.
        for at in dict.fromkeys((seconds, max(0.0, seconds - 1.0), 0.0)):
            graph = ffmpeg.source(path, at).output(
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
        raise last or PermanentMediaError(f"{path}: has no frame at second {seconds:.1f}")

    def _clip(self, path: Path, kind: Kind, start: float, seconds: float, file: Path) -> None:
        codecs: dict[str, Any] = {"acodec": "aac", "ac": 2, "audio_bitrate": "96k", "sn": None, "dn": None}
        if kind is Kind.AUDIO:
            codecs |= {"vn": None, "map": "0:a:0", "format": "ipod"}
        else:
            even = f"scale='trunc(iw*sar*min(1,{CLIP_HEIGHT}/ih)/2)*2':'trunc(min(ih,{CLIP_HEIGHT})/2)*2',setsar=1"
            codecs |= {"vcodec": "libx264", "preset": "veryfast", "crf": 27, "pix_fmt": "yuv420p"}
            codecs |= {"vf": f"{_WHOLE_FRAMES},{even}", "threads": 2, "format": "mp4"}
        # Fragmented, because a file that can't be sought (a pipe) has no room for the index at its start.
        codecs["movflags"] = "frag_keyframe+empty_moov+default_base_moof"
        graph = ffmpeg.source(path, start, seconds).output("pipe:", **codecs)
        with (
            file.open("wb") as out,
            ffmpeg.running(graph, self._settings.decode_timeout_seconds) as pieces,
        ):
            for piece in pieces:
                out.write(piece)

    def _waveform(self, path: Path, start: float, end: float | None, file: Path) -> None:
        seconds = None if end is None else end - start
        picture = waveform_picture(self._sound(path, start, seconds))
        Image.fromarray(picture).save(file, "WEBP", lossless=True)

    def _spectrogram(self, path: Path, start: float, seconds: float, file: Path) -> None:
        pieces = list(self._sound(path, start, seconds))
        waveform = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
        Image.fromarray(spectrogram_picture(waveform)).save(file, "WEBP", quality=_WEBP_QUALITY)

    def _sound(self, path: Path, start: float, seconds: float | None) -> Iterator[Waveform]:
        """Pieces of the sound track, 16 kHz mono."""
        graph = ffmpeg.source(path, start, seconds).output(
            "pipe:", format="s16le", acodec="pcm_s16le", ac=1, ar=SAMPLE_RATE_HZ, map="0:a:0"
        )
        with ffmpeg.running(graph, self._settings.decode_timeout_seconds) as pieces:
            odd = b""
            for piece in pieces:
                data = odd + piece
                whole = len(data) // 2 * 2
                odd = data[whole:]
                yield np.frombuffer(data[:whole], "<i2").astype(np.float32) / 32768


def _write_whole(wanted: Path, make: Callable[[Path], None]) -> None:
    """Nobody ever sees half a file, whoever is writing."""
    wanted.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(suffix=wanted.suffix, dir=wanted.parent)
    os.close(descriptor)
    temporary = Path(name)
    try:
        make(temporary)
        temporary.replace(wanted)
    finally:
        temporary.unlink(missing_ok=True)
