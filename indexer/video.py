"""Videos: facts, subtitles, sound track, and the frames worth keeping.

Runs in the killable child process. Puts the parts together; how frames are reached is `seeking`, which
are kept is `frames`, how one becomes a picture is `upright`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import av

from indexer import audio
from indexer.container import asset_facts, open_media, picture_stream, true_duration
from indexer.frames import Candidate, Chooser, Stretch, candidate_step
from indexer.items import DecodedItem, DecodeRequest, Facts, Note, PictureItem, StillWorking, SubtitleItem
from indexer.readable import looks_like_text
from indexer.seeking import FrameReader, first_frame
from indexer.subtitles import side_car, subtitle_track
from indexer.upright import Upright, displayed_size
from search.errors import MediaError
from search.results import Kind, Signal
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
            duration = true_duration(container, stream, request.limits, request.path)
            more = {"duration_seconds": duration, "width": width, "height": height}
            yield Facts(Kind.VIDEO, asset_facts(container, request.path, **more))
    if stream is None:
        yield from audio.decode(request)
        return
    yield from _subtitles(request)
    if request.want_sound_track:
        try:
            yield from audio.sound_track(request, duration)
        except MediaError as error:  # the pictures may still be good
            yield Note(f"the sound track was left out: {error}")
    if request.image_inputs:
        yield from _frames(request, duration)


def _subtitles(request: DecodeRequest) -> Iterator[SubtitleItem | Note]:
    """Files beside the video win over tracks inside: somebody put them there on purpose."""
    found = False
    for item in side_car(request.path, request.limits):
        found |= isinstance(item, SubtitleItem)
        yield item
    if not found:
        yield from subtitle_track(request.path, request.limits)


def _frames(request: DecodeRequest, duration: float | None) -> Iterator[PictureItem | Note | StillWorking]:
    step = candidate_step(duration, request.limits.max_frames_per_asset)
    reader = FrameReader(request.path, request.limits, duration, step)
    upright = Upright(READABLE_SIDE)
    chooser: Chooser[av.VideoFrame] = Chooser()
    sent = time.monotonic()
    for seconds, frame in reader:
        for stretch in chooser.feed(Candidate(seconds, upright.thumb(frame), frame)):
            yield _picture_item(stretch, upright, request)
            sent = time.monotonic()
        if time.monotonic() - sent > _SIGN_OF_LIFE_SECONDS:  # an hour of one view sends no picture
            yield StillWorking()
            sent = time.monotonic()
    for stretch in chooser.finish(duration):
        yield _picture_item(stretch, upright, request)
    if reader.note:
        yield Note(reader.note)


def _picture_item(stretch: Stretch[av.VideoFrame], upright: Upright, request: DecodeRequest) -> PictureItem:
    picture = upright.picture(stretch.payload)
    return PictureItem(
        Signal.FRAME,
        {space: fit_picture(picture, wanted) for space, wanted in request.image_inputs.items()},
        start_seconds=stretch.start_seconds,
        end_seconds=stretch.end_seconds,
        readable=picture if request.want_text and looks_like_text(picture) else None,
    )
