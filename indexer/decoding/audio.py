"""Recordings and sound tracks as a stream of 16 kHz mono pieces.

Runs in the killable child process. Knows what a track promises and what came of it; how frames become pieces is for
sound_assembler.py. Knows nothing of speech or of what the pieces are used for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from typing import Any

import av
from av.container import InputContainer

from indexer.decoding.container import (
    chapters,
    is_decodable,
    open_media,
    picture_streams,
    read_tags,
    spoken_language,
    start_seconds,
)
from indexer.decoding.items import Decoded, DecodedItem, DecodeRequest, Facts, Note, Part, Promised, SoundItem
from indexer.decoding.metadata.capture_time import date_in_name
from indexer.decoding.metadata.companions import companions
from indexer.decoding.metadata.witness import Witness, believed
from indexer.decoding.streams.clock import packets_in_time
from indexer.decoding.streams.damage import PacketCount
from indexer.decoding.streams.duration import Duration, true_duration
from indexer.decoding.streams.headers import is_cut, promised_end, promised_seconds
from indexer.decoding.streams.ogg_links import PartOfFile, Range, links
from indexer.decoding.streams.sound_assembler import SoundAssembler
from indexer.decoding.streams.tracks import choose_track
from indexer.decoding.subtitles import subtitles
from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.errors import PermanentMediaError
from search.results import Kind

_MAX_DAMAGED_PACKETS = 1000  # in a row; with more it is not a sound track


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Facts, then what is written of it and beside it, then the sound track piece by piece.

    Raises MediaError.
    """
    with open_media(request.path, request.limits) as container:
        tracks = [stream for stream in container.streams.audio if is_decodable(stream)]
        if not tracks:
            raise PermanentMediaError(f"{request.path}: holds no sound that can be decoded")
        duration = yield from true_duration(container, tracks, request.limits, request.path)
        yield from told(request, container, Kind.AUDIO, duration)
        pictures = len(picture_streams(container))
    if pictures:
        yield Decoded(part=Part.PICTURE_TRACK, count=pictures, share=0, why="in a form that can't be decoded")
    yield from subtitles(request.path, request.limits)
    if request.want_sound_track:
        yield from sound_track(request, duration.seconds)


def told(
    request: DecodeRequest,
    container: InputContainer,
    kind: Kind,
    duration: Duration,
    width: int | None = None,
    height: int | None = None,
) -> Iterator[DecodedItem]:
    """Facts, and the words that people gave the file, from its tags, from beside it and from its name."""
    before, after, left_out = companions(request.path)
    tags = read_tags(container)
    said = believed((*before, tags, *after, Witness(taken=date_in_name(request.path.name))))
    facts = AssetFacts(
        duration_seconds=duration.seconds,
        language=spoken_language(container),
        width=width,
        height=height,
        **said.facts(),
    )
    yield Facts(kind, facts, _promised(request, container, duration))
    if is_cut(request.path, container):
        yield Note(NoteKind.LENGTH, "the file ends early: its last page is missing, and how long it was is not written")
    yield from (Note(NoteKind.BESIDE, text) for text in left_out)
    yield from (written for written in (said.written(), chapters(container)) if written)


def _promised(request: DecodeRequest, container: InputContainer, duration: Duration) -> Promised:
    parts = {
        Part.PICTURE_TRACK: len(picture_streams(container)),
        Part.SOUND_TRACK: len(container.streams.audio),
        Part.SUBTITLE_TRACK: len(container.streams.subtitles),
    }
    seconds = None if duration.restarts else promised_seconds(request.path, container)
    return Promised({part: count for part, count in parts.items() if count}, seconds)


def sound_track(request: DecodeRequest, duration: float | None) -> Iterator[SoundItem | Decoded]:
    """The chosen sound track in pieces of at most 30 s, without gap or overlap, and what came of each track.

    `duration` in seconds. Raises MediaError.
    """
    choice = choose_track(request.path, request.limits, duration)
    yield from choice.others
    if choice.index is None:
        return
    assembler, packets, promised = SoundAssembler(request, duration), PacketCount(), None
    parts = links(request.path)
    for part in parts if len(parts) > 1 else [None]:
        # Opened afresh: formats that can't seek have been read to their end while their length was measured.
        with _opened(request, part) as container:
            stream: Any = next(iter(container.streams.audio)) if part else container.streams[choice.index]
            yield from _heard(container, stream, assembler, packets)
            promised = None if part else promised_end(container, stream)
    if packets.damaged > packets.good:  # noise that looks like a recording in a few places
        raise PermanentMediaError(
            f"{request.path}: damaged, or no sound: "
            f"{packets.damaged} of {packets.good + packets.damaged} packets can't be decoded"
        )
    yield from assembler.rest()
    share = packets.good_share
    why = "damaged" if share < 1 else ""
    yield Decoded(part=Part.SOUND_TRACK, name=choice.name, share=share, why=why, promised_seconds=promised)


@contextmanager
def _opened(request: DecodeRequest, part: Range | None) -> Iterator[InputContainer]:
    """The file, or one link of a chained Ogg."""
    with (
        closing(PartOfFile(request.path, part)) if part else nullcontext() as file,
        open_media(request.path, request.limits, file) as container,
    ):
        yield container


def _heard(
    container: InputContainer, stream: Any, assembler: SoundAssembler, packets: PacketCount
) -> Iterator[SoundItem]:
    """The pieces of one stream, from where the assembler stands."""
    stream.codec_context.thread_count = 1  # sound decoders gain nothing from threads
    offset = start_seconds(container) - assembler.seconds
    for frame in _frames(container, stream):
        packets.add(is_good=frame is not None)
        if packets.in_a_row > _MAX_DAMAGED_PACKETS:
            return
        if frame is not None:
            yield from assembler.add(frame, offset)


def _frames(container: InputContainer, stream: Any) -> Iterator[av.AudioFrame | None]:
    """Decoded frames; None stands for a packet that can't be decoded. A file that ends early just ends."""
    packets = packets_in_time(container, [stream])
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.error.InvalidDataError, av.error.EOFError):
            return
        try:
            frames: Any = packet.decode()
            yield from frames
        except (av.error.FFmpegError, ValueError):
            yield None
