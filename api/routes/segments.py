"""Pictures and clips of segments and assets, made once by other processes and then served from a cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from litestar import Request, Response, get
from litestar.params import PathParameter, QueryParameter

from api.http import file_responses
from api.http.openapi import example
from api.http.paging import id_of
from api.http.problems import documented, documented_file
from api.routes.dependencies import Id, Injected
from api.schemas import SegmentView
from api.serializers import segment_view
from api.service import Service
from indexer.previews.subtitle_export import captions
from indexer.sources.contents import open_below
from indexer.sources.original import Original
from search.catalog import assets, segments
from search.catalog.records import AssetRecord, SegmentRecord
from search.errors import NotFoundError
from search.results import Kind
from search.signals import Signal

# Costly at most once; a page shows dozens at a time.
_CACHED = {"scope": "read", "uncompressed": True, "unlimited": True}
#: a preview shows this much before and after a moment
MARGIN_SECONDS = 1.0
STILL_SECONDS = 6.0

MAX_PASSAGES = 100_000  # a day of speech has ten thousand

_CAPTION_TYPES = {"srt": "application/x-subrip; charset=utf-8", "vtt": "text/vtt"}  # Litestar adds text's charset

Form = Annotated[Literal["srt", "vtt"], QueryParameter(name="format", description="SubRip or WebVTT.", required=False)]
Size = Annotated[Literal[256, 512, 1024], QueryParameter(description="Longest side in pixels.", required=False)]
PageNumber = Annotated[int, PathParameter(description="From 1.")]
PageSize = Annotated[
    Literal[512, 1024, 1600, 2400], QueryParameter(description="Longest side in pixels.", required=False)
]

SEGMENT_EXAMPLE = {
    "id": 312, "signal": "speech", "start_seconds": 3.1, "end_seconds": 7.9, "text": "We leave the harbour at noon.",
    "details": None,
}  # fmt: skip


def _picture(path: str) -> get:
    """The decorator of a handler that answers with a WebP picture."""
    return get(
        path,
        sync_to_thread=True,
        opt=_CACHED,
        responses={**documented(404, 422), 200: documented_file("The picture.", "image/webp")},
        tags=["library"],
    )


@get(
    "/v1/segments/{segment_id:str}",
    sync_to_thread=True,
    opt=example(SEGMENT_EXAMPLE),
    responses=documented(404),
    tags=["library"],
)
def get_segment(service: Injected, segment_id: Id) -> SegmentView:
    """One segment."""
    return segment_view(_found(service, segment_id)[0])


@_picture("/v1/segments/{segment_id:str}/thumbnail")
def thumbnail(request: Request[Any, Any, Any], service: Injected, segment_id: Id, size: Size = 512) -> Response[Any]:
    """A WebP picture: the image, the frame of that moment, the page, or the recording's waveform."""
    segment, asset = _found(service, segment_id)
    made = service.previews.thumbnail(
        _pictured(service, asset), _kind(asset), segment.start_seconds, size, segment.page
    )
    return _sent(request, service, made)


@get(
    "/v1/segments/{segment_id:str}/preview",
    sync_to_thread=True,
    opt=_CACHED,
    responses={
        **documented(404, 416, 422),
        200: documented_file("The clip or picture."),
        206: documented_file("The range that was asked for."),
    },
    tags=["library"],
)
def preview(request: Request[Any, Any, Any], service: Injected, segment_id: Id) -> Response[Any]:
    """A short clip of the moment that every browser plays; of an image or page, a large picture."""
    segment, asset = _found(service, segment_id)
    kind = _kind(asset)
    if kind in (Kind.IMAGE, Kind.DOCUMENT):
        made = service.previews.thumbnail(_pictured(service, asset), kind, None, 1024, segment.page)
        return _sent(request, service, made)
    original = service.original(asset)
    start = max(0.0, (segment.start_seconds or 0.0) - MARGIN_SECONDS)
    end = (segment.end_seconds or start + STILL_SECONDS) + MARGIN_SECONDS
    return _sent(request, service, service.previews.clip(original, kind, start, end))


@_picture("/v1/segments/{segment_id:str}/spectrogram")
def spectrogram(request: Request[Any, Any, Any], service: Injected, segment_id: Id) -> Response[Any]:
    """A WebP picture of the moment's sound: time to the right, pitch upwards."""
    segment, asset = _found(service, segment_id)
    return _sent(request, service, service.previews.spectrogram(service.original(asset), *_stretch(segment)))


@_picture("/v1/segments/{segment_id:str}/waveform")
def segment_waveform(request: Request[Any, Any, Any], service: Injected, segment_id: Id) -> Response[Any]:
    """A WebP picture of the moment's loudness."""
    segment, asset = _found(service, segment_id)
    return _sent(request, service, service.previews.waveform(service.original(asset), *_stretch(segment)))


@get(
    "/v1/assets/{asset_id:str}/subtitles",
    sync_to_thread=True,
    opt={"scope": "read"},
    responses={**documented(404), 200: documented_file("The subtitles, as text in UTF-8.")},
    tags=["library"],
)
def subtitles(service: Injected, asset_id: Id, form: Form = "vtt") -> Response[str]:
    """What is said in an asset, as subtitles."""
    asset = _asset(service, asset_id)
    with service.database.read() as connection:
        spoken = segments.segments_of(connection, asset.id, Signal.SPEECH, limit=MAX_PASSAGES)
    return Response(captions(spoken, form), media_type=_CAPTION_TYPES[form])


@_picture("/v1/assets/{asset_id:str}/thumbnail")
def asset_thumbnail(
    request: Request[Any, Any, Any], service: Injected, asset_id: Id, size: Size = 512
) -> Response[Any]:
    """A WebP picture of an asset: the image, the first page, a frame near the beginning, or the waveform."""
    asset = _asset(service, asset_id)
    seconds = min(3.0, (asset.duration_seconds or 0.0) / 2)
    made = service.previews.thumbnail(_pictured(service, asset), _kind(asset), seconds, size)
    return _sent(request, service, made, file_responses.ASK_AGAIN)  # the file may change under the same id


@_picture("/v1/assets/{asset_id:str}/pages/{page:int}")
def asset_page(
    request: Request[Any, Any, Any], service: Injected, asset_id: Id, page: PageNumber, size: PageSize = 1600
) -> Response[Any]:
    """A WebP picture of one page of a document, from 1, large enough to be read."""
    asset = _asset(service, asset_id)
    if not asset.pages or not 1 <= page <= asset.pages:
        raise NotFoundError(f"asset {asset.id} has no page {page}")
    made = service.previews.thumbnail(service.original(asset), _kind(asset), None, size, page)
    return _sent(request, service, made, file_responses.ASK_AGAIN)


@_picture("/v1/assets/{asset_id:str}/waveform")
def waveform(request: Request[Any, Any, Any], service: Injected, asset_id: Id) -> Response[Any]:
    """A WebP picture of the loudness of a whole recording or video."""
    asset = _asset(service, asset_id)
    if (kind := _kind(asset)) in (Kind.IMAGE, Kind.DOCUMENT):
        raise NotFoundError(
            f"asset {asset.id} is {'an image' if kind is Kind.IMAGE else 'a document'} and has no sound"
        )
    return _sent(
        request, service, service.previews.waveform(service.original(asset), 0.0, None), file_responses.ASK_AGAIN
    )


def _sent(
    request: Request[Any, Any, Any], service: Service, made: Path, cache: str = file_responses.FOR_EVER
) -> Response[Any]:
    file = open_below(os.fsencode(made), os.fsencode(service.settings.thumbnails))
    return file_responses.respond(file, request.method, request.headers, made.name, cache)


def _found(service: Service, segment_id: str) -> tuple[SegmentRecord, AssetRecord]:
    with service.database.read() as connection:
        segment = segments.get_segment(connection, id_of(segment_id, "segment"))
    if segment is None or segment.asset is None:
        raise NotFoundError(f"there is no segment {segment_id}")
    return segment, segment.asset


def _stretch(segment: SegmentRecord) -> tuple[float, float]:
    if segment.start_seconds is None or segment.end_seconds is None:
        raise NotFoundError(f"segment {segment.id} has no start and end")
    return segment.start_seconds, segment.end_seconds


def _asset(service: Service, asset_id: str) -> AssetRecord:
    with service.database.read() as connection:
        return assets.get_asset(connection, id_of(asset_id, "asset"))


def _pictured(service: Service, asset: AssetRecord) -> Original:
    """Its file. Raises NotFoundError for words without a picture."""
    if asset.kind == Kind.DOCUMENT and not asset.pages:
        raise NotFoundError(f"asset {asset.id} is text and has no picture")
    return service.original(asset)


def _kind(asset: AssetRecord) -> Kind:
    if asset.kind is None:
        raise NotFoundError(f"asset {asset.id} has not been looked at yet")
    return Kind(asset.kind)


ROUTES = (
    get_segment,
    thumbnail,
    preview,
    spectrogram,
    segment_waveform,
    subtitles,
    asset_thumbnail,
    asset_page,
    waveform,
)
