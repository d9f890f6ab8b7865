"""Which sound track of a file is heard: the one in which people speak, and their own before a commentary.

Listens to places all over the tracks before it chooses, with the voice detector that also precedes transcription; tells
of those that it leaves out. Knows PyAV.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.container import InputContainer
from av.stream import Disposition

from indexer.decoding.container import MICROSECONDS, is_decodable, open_media, start_seconds, track_name
from indexer.decoding.items import Decoded, Limits, Part
from indexer.decoding.streams.downmix import Downmixer
from indexer.decoding.streams.voice_detector import VoiceDetector, find_speech
from search.arrays import Float32Array
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

_PLACE_SECONDS = 6.0
_TRACK_SECONDS = 180.0  # listened to of each track, in places all over it
_ALL_SECONDS = 720.0  # and of all tracks together: four seconds of a core
_LEAST_PLACES = 4
_MAX_PACKETS = 4000  # decoded in one place
_MAX_SKIPPED_PACKETS = 100_000  # read from the point that can be sought to the place
_QUIET = 1e-3  # amplitude below which there is nothing to hear
_SPEAKS_SECONDS = 1.0
# Of the speech in the track with the most, from which on another one holds speech too: less is a cry in a game, or a
# phrase of music that was taken for a voice.
_SPEAKS_SHARE = 0.25
_ASIDE = Disposition.comment | Disposition.visual_impaired | Disposition.karaoke | Disposition.clean_effects
_COMMENTARY = re.compile(r"comment|kommentar|descripti|audiodeskription", re.IGNORECASE)


@dataclass(frozen=True)
class Choice:
    """The stream that is heard (its index; None if there is none), its name, and what came of the others."""

    index: int | None
    name: str = ""
    others: Sequence[Decoded] = ()


@dataclass(frozen=True)
class _Heard:
    """What was heard in the places of one track."""

    loudest: float = 0.0  # amplitude
    spoken_seconds: float = 0.0


def choose_track(
    path: Path, limits: Limits, duration_seconds: float | None, find_voice: VoiceDetector = find_speech
) -> Choice:
    """By listening, where there are several. Raises MediaError."""
    with open_media(path, limits) as container:
        streams = list(container.streams.audio)
        names = {stream.index: track_name(stream, number) for number, stream in enumerate(streams, start=1)}
        tracks = [stream for stream in streams if is_decodable(stream)]
        lost = [
            _left_out(names[undecoded.index], "in a form that can't be decoded")
            for undecoded in streams
            if undecoded not in tracks
        ]
        if len(tracks) < 2:
            return Choice(tracks[0].index, names[tracks[0].index], lost) if tracks else Choice(None, others=lost)
        heard = _listen(container, tracks, duration_seconds, find_voice)
        speaking = _speaking(tracks, heard)
        best = max(tracks, key=lambda track: _preference(track, heard[track.index], speaking)).index
        for track in tracks:
            if track.index != best:
                why = _why(track, heard[track.index], is_speaking=track.index in speaking)
                lost.append(_left_out(names[track.index], why))
        return Choice(best, names[best], lost)


def _speaking(tracks: Sequence[Any], heard: Mapping[int, _Heard]) -> set[int]:
    """The indexes of the tracks in which people speak; those beside the film say nothing of how much it is there."""
    own = [heard[track.index].spoken_seconds for track in tracks if not _is_aside(track)]
    most = max(own, default=0.0)
    if most < _SPEAKS_SECONDS:
        most = max(heard_track.spoken_seconds for heard_track in heard.values())
    least = max(_SPEAKS_SECONDS, _SPEAKS_SHARE * most)
    return {index for index, heard_track in heard.items() if heard_track.spoken_seconds >= least}


def _preference(track: Any, heard: _Heard, speaking: set[int]) -> tuple[bool, bool, bool, bool, int]:
    is_default = bool(track.disposition & Disposition.default)
    return track.index in speaking, heard.loudest > _QUIET, not _is_aside(track), is_default, -track.index


def _is_aside(track: Any) -> bool:
    return bool(track.disposition & _ASIDE) or bool(_COMMENTARY.search(track.metadata.get("title", "")))


def _why(track: Any, heard: _Heard, *, is_speaking: bool) -> str:
    if heard.loudest <= _QUIET:
        return "silent"
    if is_speaking:
        return "a commentary" if _is_aside(track) else "people speak in it, too"
    return "nobody was heard speaking in it"


def _left_out(name: str, why: str) -> Decoded:
    return Decoded(part=Part.SOUND_TRACK, name=name, share=0, why=why)


def _listen(
    container: InputContainer, tracks: Sequence[Any], duration: float | None, find_voice: VoiceDetector
) -> dict[int, _Heard]:
    """What is heard in each track, in the same places."""
    length = duration or 0.0
    seconds = min(_TRACK_SECONDS, _ALL_SECONDS / len(tracks))
    count = max(_LEAST_PLACES, int(seconds / _PLACE_SECONDS))
    places = [number * length / count for number in range(count)] if length > count * _PLACE_SECONDS else [0.0]
    long = _PLACE_SECONDS if len(places) > 1 else max(length, _PLACE_SECONDS)
    heard = dict.fromkeys((track.index for track in tracks), _Heard())
    for begin in places:
        try:
            if len(places) > 1:
                container.seek(int((begin + start_seconds(container)) * MICROSECONDS), backward=True)
            pieces = _pieces(container, tracks, begin, begin + long)
        except (av.error.FFmpegError, OSError):
            continue
        for index, piece in pieces.items():
            spoken = sum(end - start for start, end in find_voice(piece)) / SAMPLE_RATE_HZ
            loudest = float(np.abs(piece).max(initial=0.0))
            before = heard[index]
            heard[index] = _Heard(max(before.loudest, loudest), before.spoken_seconds + spoken)
    return heard


def _pieces(container: InputContainer, tracks: Sequence[Any], begin: float, until: float) -> dict[int, Waveform]:
    """What each track holds between two seconds, at 16 kHz; the container stands before them."""
    ears = {track.index: _Ear() for track in tracks}
    decoded = skipped = 0
    for packet in container.demux(list(tracks)):
        time = None if packet.pts is None else float(packet.pts * packet.time_base) - start_seconds(container)
        if time is not None and time < begin and skipped < _MAX_SKIPPED_PACKETS:
            skipped += 1
            continue
        if decoded > _MAX_PACKETS or (time is not None and time > until):
            break
        decoded += 1
        try:
            frames: Any = packet.decode()
            for frame in frames:
                ears[packet.stream.index].add(frame)
        except (av.error.FFmpegError, ValueError):
            continue
    return {index: ear.heard() for index, ear in ears.items()}


class _Ear:
    """One place of one track, mixed as it will be when it is chosen."""

    def __init__(self) -> None:
        self._resampler = AudioResampler(format="fltp", rate=SAMPLE_RATE_HZ)
        self._downmixer = Downmixer()
        self._parts: list[Float32Array] = []

    def add(self, frame: av.AudioFrame) -> None:
        frame.pts = None
        for part in self._resampler.resample(frame):
            names = [channel.name for channel in part.layout.channels]
            self._parts.append(self._downmixer.mix(np.asarray(part.to_ndarray(), np.float32), names))

    def heard(self) -> Waveform:
        if not self._parts:
            return np.zeros(0, np.float32)
        return np.nan_to_num(np.concatenate(self._parts), posinf=1, neginf=-1).clip(-1, 1)
