"""Decoded frames of a sound track -> 16 kHz mono pieces without gap or overlap.

Knows PyAV's resampling and the timestamps of sound tracks; reads no file.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.audio.resampler import AudioResampler

from indexer.decoding.items import DecodeRequest, Limits, SoundItem
from indexer.decoding.streams.downmix import Downmixer
from search.errors import PermanentMediaError
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

PIECE_SECONDS = 30
PIECE_SAMPLES = PIECE_SECONDS * SAMPLE_RATE_HZ
_GAP_SECONDS = 0.2  # a jump of the clock above this is a hole in the recording, below it jitter


class SoundAssembler:
    """Resamples and mixes frames and joins them to pieces; fills holes with silence so that times stay true."""

    def __init__(self, request: DecodeRequest, duration: float | None) -> None:
        """`duration` of the file in seconds, where it is known."""
        self._path, self._limits = request.path, request.limits
        self._duration = duration
        self._resampler = AudioResampler(format="fltp", rate=SAMPLE_RATE_HZ)
        self._downmixer = Downmixer()
        self._parts: list[Waveform] = []
        self._waiting = 0  # samples in parts
        self._sent = 0  # samples sent so far
        self._skip = 0  # samples still to drop

    @property
    def seconds(self) -> float:
        """How much has come."""
        return (self._sent + self._waiting) / SAMPLE_RATE_HZ

    def add(self, frame: av.AudioFrame, offset: float) -> Iterator[SoundItem]:
        """The next frame, in time order; `offset` is where the clock of the container starts."""
        yield from self._keep_time(None if frame.time is None else frame.time - offset)
        frame.pts = None  # the resampler must not fill or drop by a clock that may be broken
        try:
            resampled = self._resampler.resample(frame)
        except ValueError:  # the track changes its rate or layout half-way
            self._resampler = AudioResampler(format="fltp", rate=SAMPLE_RATE_HZ)
            resampled = self._resampler.resample(frame)
        for part in resampled:
            yield from self._put(self._mixed(part))

    def rest(self) -> Iterator[SoundItem]:
        """What is left at the end."""
        for part in self._resampler.resample(None):
            yield from self._put(self._mixed(part))
        if self._waiting:
            yield self._take()

    def _mixed(self, frame: av.AudioFrame) -> Waveform:
        names = [channel.name for channel in frame.layout.channels]
        return self._downmixer.mix(np.asarray(frame.to_ndarray(), np.float32), names)

    def _keep_time(self, time: float | None) -> Iterator[SoundItem]:
        """Bring the pieces back to the track's clock: silence for a hole, nothing for what overlaps."""
        if time is None or time > (time if self._duration is None else self._duration):
            return  # a clock that runs past the end of the file is broken, not a hole
        ahead = self._sent + self._waiting - self._skip - int(time * SAMPLE_RATE_HZ)
        if abs(ahead) < _GAP_SECONDS * SAMPLE_RATE_HZ:
            return
        # Joined recordings repeat the end of one part at the start of the next.
        self._skip = min(max(0, ahead), PIECE_SAMPLES)
        for start in range(0, -ahead, PIECE_SAMPLES):
            yield from self._put(np.zeros(min(-ahead - start, PIECE_SAMPLES), np.float32))

    def _put(self, samples: Waveform) -> Iterator[SoundItem]:
        skipped = min(self._skip, len(samples))
        samples, self._skip = samples[skipped:], self._skip - skipped
        while len(samples):
            room = PIECE_SAMPLES - self._waiting
            self._parts.append(samples[:room])
            self._waiting += len(samples[:room])
            samples = samples[room:]
            if self._waiting == PIECE_SAMPLES:
                yield self._take()

    def _take(self) -> SoundItem:
        _check_length(self._sent + self._waiting, self._limits, self._path)
        # A damaged float track may hold infinities; nothing behind this line should meet them.
        waveform = np.nan_to_num(np.concatenate(self._parts), posinf=1, neginf=-1).clip(-1, 1)
        item = SoundItem(np.ascontiguousarray(waveform, np.float32), self._sent / SAMPLE_RATE_HZ)
        self._sent += self._waiting
        self._parts, self._waiting = [], 0
        return item


def _check_length(samples: int, limits: Limits, path: object) -> None:
    if samples > limits.max_duration_seconds * SAMPLE_RATE_HZ:
        raise PermanentMediaError(f"{path}: longer than max_duration_seconds = {limits.max_duration_seconds:.0f}")
