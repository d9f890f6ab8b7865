"""Recordings and sound tracks as a stream of 16 kHz mono pieces.

Runs in the killable child process. Knows PyAV's decoding and resampling and the timestamps of sound
tracks; knows nothing of speech or of what the pieces are used for.
"""

from __future__ import annotations

from collections.abc import Iterator

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer

from indexer.container import asset_facts, open_media, sound_stream, start_seconds, true_duration
from indexer.items import DecodedItem, DecodeRequest, Facts, Limits, Note, SoundItem
from indexer.subtitles import side_car
from search.errors import PermanentMediaError
from search.results import Kind
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

PIECE_SECONDS = 30
PIECE_SAMPLES = PIECE_SECONDS * SAMPLE_RATE_HZ
_GAP_SECONDS = 0.2  # a jump of the clock above this is a hole in the recording, below it jitter
_MAX_DAMAGED_PACKETS = 1000  # in a row; more is no sound track


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Facts, then subtitles that lie beside the file, then the sound track piece by piece."""
    with open_media(request.path, request.limits) as container:
        stream = sound_stream(container)
        if stream is None:
            raise PermanentMediaError(f"{request.path}: holds no sound that can be decoded")
        duration = true_duration(container, stream, request.limits, request.path)
        yield Facts(
            Kind.AUDIO, asset_facts(container, request.path, duration_seconds=duration), _tracks_note(container)
        )
    yield from side_car(request.path, request.limits)
    if request.want_sound_track:
        yield from sound_track(request, duration)


def _tracks_note(container: InputContainer) -> str | None:
    others = len(container.streams.audio) - 1
    return f"{others} further sound tracks are left out" if others > 0 else None


def sound_track(request: DecodeRequest, duration: float | None) -> Iterator[SoundItem | Note]:
    """The chosen sound track in pieces of at most 30 s, without gap or overlap; nothing if there is none."""
    # Opened afresh: formats that can't seek have been read to their end while their length was measured.
    with open_media(request.path, request.limits) as container:
        if (stream := sound_stream(container)) is None:
            return
        stream.codec_context.thread_count = 1  # sound decoders gain nothing from threads
        assembler = _Assembler(request, duration)
        good, damaged, in_a_row = 0, 0, 0
        for frame in _frames(container, stream):
            if frame is None:
                damaged, in_a_row = damaged + 1, in_a_row + 1
                if in_a_row > _MAX_DAMAGED_PACKETS:
                    yield Note("the sound track is damaged and was left out from there on")
                    break
                continue
            good, in_a_row = good + 1, 0
            yield from assembler.add(frame, start_seconds(container))
        if damaged > good:  # noise that looks like a recording in a few places
            raise PermanentMediaError(
                f"{request.path}: damaged, or no sound: {damaged} of {good + damaged} packets can't be decoded"
            )
        yield from assembler.rest()


def _frames(container: InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame | None]:
    """Decoded frames; None stands for a packet that can't be decoded. A file that ends early just ends."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.InvalidDataError, av.error.EOFError):
            return
        try:
            yield from packet.decode()
        except (av.error.FFmpegError, ValueError):
            yield None


class _Assembler:
    """Resamples frames and joins them to pieces; fills holes with silence so that times stay true."""

    def __init__(self, request: DecodeRequest, duration: float | None) -> None:
        self._path, self._limits = request.path, request.limits
        self._duration = duration
        self._resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        self._parts: list[Waveform] = []
        self._waiting = 0  # samples in parts
        self._sent = 0  # samples sent so far
        self._skip = 0  # samples still to drop

    def add(self, frame: av.AudioFrame, offset: float) -> Iterator[SoundItem]:
        yield from self._keep_time(None if frame.time is None else frame.time - offset)
        frame.pts = None  # the resampler must not fill or drop by a clock that may be broken
        try:
            resampled = self._resampler.resample(frame)
        except ValueError:  # the track changes its rate or layout half-way
            self._resampler = AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
            resampled = self._resampler.resample(frame)
        for part in resampled:
            yield from self._put(part.to_ndarray()[0])

    def rest(self) -> Iterator[SoundItem]:
        for part in self._resampler.resample(None):
            yield from self._put(part.to_ndarray()[0])
        if self._waiting:
            yield self._take()

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
