"""Videos: facts, subtitles, sound track, and the frames worth keeping.

Runs in the killable child process. Puts the parts together: `frames.reader` reaches frames, `frames.selection` says
which are kept, and `frames.conversion` makes pictures of them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from indexer.decoding import audio
from indexer.decoding.container import is_decodable, open_media, picture_stream, picture_streams, track_name
from indexer.decoding.frames.conversion import FrameConverter, displayed_size
from indexer.decoding.frames.reader import FrameReader, first_frame
from indexer.decoding.frames.selection import Candidate, FrameSelector, Stretch, candidate_step
from indexer.decoding.items import Decoded, DecodedItem, DecodeRequest, Note, Part, PictureItem, SoundItem, StillWorking
from indexer.decoding.streams.duration import Duration, true_duration
from indexer.decoding.streams.headers import promised_end
from indexer.decoding.subtitles import subtitles
from indexer.decoding.text_likelihood import looks_like_text
from search.catalog.states import NoteKind
from search.errors import MediaError
from search.results import Kind
from search.signals import Signal
from search.spaces.inputs import fit_picture

# Longer side of the picture from which text is read: PP-OCR looks at 736 pixels, small print needs more.
READABLE_SIDE = 1280
_SIGN_OF_LIFE_SECONDS = 5.0


def decode(request: DecodeRequest) -> Iterator[DecodedItem]:
    """Facts, subtitles, the sound track piece by piece, then frames; a file without pictures is a recording."""
    with open_media(request.path, request.limits) as container:
        stream = picture_stream(container)
        if stream is not None:
            frame = first_frame(container, stream)
            width, height = displayed_size(frame) if frame else (None, None)
            tracks = [track for track in container.streams.audio if is_decodable(track)]
            duration = yield from true_duration(container, [stream, *tracks], request.limits, request.path)
            yield from audio.told(request, container, Kind.VIDEO, duration, width=width, height=height)
            sound_tracks = len(container.streams.audio)
            pictures = _other_pictures(container, stream)
            # Where the file goes on without pictures, no packet was seen that says where they end.
            ends_at = duration.ends.get(stream.index, promised_end(container, stream))
    if stream is None:
        yield from audio.decode(request)
        return
    yield from subtitles(request.path, request.limits)
    if request.want_sound_track:
        yield from _sound_track(request, duration, sound_tracks)
    yield from pictures
    if request.image_inputs:
        yield from _frames(request, duration, ends_at)


def _other_pictures(container: InputContainer, chosen: VideoStream) -> list[Decoded]:
    return [
        Decoded(part=Part.PICTURE_TRACK, name=track_name(stream, number), share=0, why="another one is seen")
        for number, stream in enumerate(picture_streams(container), start=1)
        if stream.index != chosen.index
    ]


def _sound_track(request: DecodeRequest, duration: Duration, tracks: int) -> Iterator[SoundItem | Decoded]:
    """The sound track, or why there is none: the pictures may still be good."""
    told = 0
    try:
        for item in audio.sound_track(request, duration.seconds):
            told += isinstance(item, Decoded)
            yield item
    except MediaError as error:
        yield Decoded(part=Part.SOUND_TRACK, count=tracks - told, share=0, why=str(error))


def _frames(
    request: DecodeRequest, duration: Duration, ends_at: float | None
) -> Iterator[PictureItem | Decoded | Note | StillWorking]:
    step = candidate_step(duration.seconds, request.limits.max_frames_per_asset)
    reader = FrameReader(request.path, request.limits, duration.seconds, step, can_seek=not duration.restarts)
    upright = FrameConverter(READABLE_SIDE)
    chooser: FrameSelector[av.VideoFrame] = FrameSelector()
    sent, kept = time.monotonic(), 0
    for seconds, frame in reader:
        for stretch in chooser.feed(Candidate(seconds, upright.thumb(frame), frame)):
            yield _picture_item(stretch, upright, request)
            sent, kept = time.monotonic(), kept + 1
        if time.monotonic() - sent > _SIGN_OF_LIFE_SECONDS:  # an hour of one view sends no picture
            yield StillWorking()
            sent = time.monotonic()
    for stretch in chooser.finish(duration.seconds):
        yield _picture_item(stretch, upright, request)
        kept += 1
    if reader.last_seconds < 0:
        yield Decoded(part=Part.PICTURE_TRACK, share=0, why="no frame can be decoded")
        return
    if not kept:
        yield Note(NoteKind.PICTURE, "the pictures are black: nothing can be seen in them")
    share = reader.packets.good_share
    yield Decoded(
        part=Part.PICTURE_TRACK,
        share=share,
        why="damaged" if share < 1 else "",
        seconds=reader.last_seconds,
        promised_seconds=ends_at,
        tolerance_seconds=reader.tolerance_seconds,
    )


def _picture_item(stretch: Stretch[av.VideoFrame], upright: FrameConverter, request: DecodeRequest) -> PictureItem:
    picture = upright.picture(stretch.payload)
    return PictureItem(
        Signal.FRAME,
        {space: fit_picture(picture, wanted) for space, wanted in request.image_inputs.items()},
        start_seconds=stretch.start_seconds,
        end_seconds=stretch.end_seconds,
        readable=picture if request.want_text and looks_like_text(picture) else None,
    )
