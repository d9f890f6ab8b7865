"""Media that people upload over HTTP, kept in the home folder or in a store: whole (`POST /v1/assets`), or in pieces.

tus 1.0.0 (core, creation, expiration, termination) lives at `/v1/uploads`: any client of it goes on after a break.
"""

from __future__ import annotations

from email.utils import formatdate
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

from anyio import to_thread
from litestar import Request, Response, delete, head, patch, post, route
from litestar.params import HeaderParameter

from api.http import resumable, uploads_folder
from api.http.idempotency import once
from api.http.openapi import example
from api.http.problems import HttpError, documented, documented_body
from api.http.uploads import Form, Uploaded, pieces_of, receive
from api.monitoring import logs
from api.routes.dependencies import Id, Injected
from api.schemas import UploadedAsset
from api.service import Service
from search.catalog import assets
from search.catalog.records import AssetRecord
from search.catalog.states import AssetStatus

_LONGEST_NAME_BYTES = 120  # file systems allow 255 bytes, which may be 63 characters

_PIECES = "application/offset+octet-stream"

_UPLOADED = {"id": "77", "path": "/data/uploads/ab/ab12-photo.jpg", "status": "pending", "known": False}


@post(
    "/v1/assets",
    opt=example(_UPLOADED),
    responses={**documented(409, 415), 201: documented_body(UploadedAsset, "Kept; it will be indexed soon.")},
    request_max_body_size=None,  # api.http.uploads has the limit
    tags=["library"],
)
async def upload(request: Request[Any, Any, Any], service: Injected) -> Response[bytes]:
    """Add a photo, recording or video by uploading it as the multipart field `file`."""
    await to_thread.run_sync(uploads_folder.prepare, service.settings, service.database)
    form = await receive(request, service.settings)
    return await to_thread.run_sync(_keep, request, service, form)


def _keep(request: Request[Any, Any, Any], service: Service, form: Form) -> Response[bytes]:
    with form.consumed():
        if len(form.files) != 1 or form.files[0].field != "file":
            raise HttpError(400, "validation", "send exactly one file, as the multipart field 'file'")
        (file,) = form.files
        return once(service.database, request, file.content_hash, 201, lambda: _add(request, service, file))


@route(
    "/v1/uploads",
    http_method=["OPTIONS"],
    status_code=204,
    sync_to_thread=False,
    opt={"scope": "public"},
    include_in_schema=False,
)
def describe_uploads(service: Injected) -> Response[None]:
    """Tell a client of tus what is understood here."""
    told = {"Tus-Version": resumable.VERSION, "Tus-Extension": resumable.EXTENSIONS}
    return _tus(204, told | {"Tus-Max-Size": str(service.settings.max_upload_bytes)})


@post(
    "/v1/uploads",
    responses={**documented(412, 415), 201: documented_body(None, "Begun; `Location` says where to send the bytes.")},
    request_max_body_size=None,
    tags=["library"],
)
async def start_upload(
    request: Request[Any, Any, Any],
    service: Injected,
    upload_length: Annotated[int, HeaderParameter(name="Upload-Length", ge=1, description="Bytes of the whole file.")],
    upload_metadata: Annotated[
        str | None, HeaderParameter(name="Upload-Metadata", description="`filename` and its value in base64.")
    ] = None,
) -> Response[None]:
    """Begin a resumable upload (tus 1.0.0); the body may hold its first bytes."""
    _check_version(request)
    await to_thread.run_sync(uploads_folder.prepare, service.settings, service.database)
    upload = await to_thread.run_sync(resumable.start, service.settings, upload_length, upload_metadata or "")
    headers = {"Location": f"/v1/uploads/{upload.identifier}"}
    if request.content_type[0] == _PIECES:
        headers |= await _append(request, service, upload, 0)
    return _tus(201, headers | {"Upload-Expires": formatdate(upload.expires_at, usegmt=True)})


@head(
    "/v1/uploads/{upload_id:str}",
    responses={**documented(404, 412), 200: documented_body(None, "`Upload-Offset` says how many bytes have arrived.")},
    tags=["library"],
)
async def upload_offset(request: Request[Any, Any, Any], service: Injected, upload_id: Id) -> Response[None]:
    """How much of an upload has arrived."""
    _check_version(request)
    headers = await to_thread.run_sync(_progress, service, upload_id)
    return _tus(200, headers | {"Cache-Control": "no-store"})


def _progress(service: Service, upload_id: str) -> dict[str, str]:
    upload = resumable.find(service.settings, upload_id)
    headers = {"Upload-Offset": str(upload.offset), "Upload-Length": str(upload.started.size_bytes)}
    return headers | _asset_header(upload)


@patch(
    "/v1/uploads/{upload_id:str}",
    status_code=204,
    responses={
        **documented(404, 409, 412, 415, 423),
        204: documented_body(None, "Kept; `Medley-Asset` names the asset once all has arrived."),
    },
    request_max_body_size=None,
    tags=["library"],
)
async def append_to_upload(
    request: Request[Any, Any, Any],
    service: Injected,
    upload_id: Id,
    upload_offset: Annotated[int, HeaderParameter(name="Upload-Offset", ge=0, description="Bytes that have arrived.")],
) -> Response[None]:
    """Continue an upload: the body (`application/offset+octet-stream`) is appended as far as it arrives."""
    _check_version(request)
    if request.content_type[0] != _PIECES:
        raise HttpError(415, "unsupported-media-type", f"send the bytes as {_PIECES}")
    upload = await to_thread.run_sync(resumable.find, service.settings, upload_id)
    if upload.started.asset:
        raise HttpError(409, "conflict", f"all of it has arrived: it is asset {upload.started.asset}")
    headers = await _append(request, service, upload, upload_offset)
    return _tus(204, headers | {"Upload-Expires": formatdate(upload.expires_at, usegmt=True)})


@delete(
    "/v1/uploads/{upload_id:str}",
    sync_to_thread=True,
    responses={**documented(404, 412), 204: documented_body(None, "Removed.")},
    tags=["library"],
)
def abandon_upload(request: Request[Any, Any, Any], service: Injected, upload_id: Id) -> Response[None]:
    """Give an upload up; what has arrived is removed. An asset that it has become stays."""
    _check_version(request)
    resumable.find(service.settings, upload_id).remove()
    return _tus(204, {})


async def _append(
    request: Request[Any, Any, Any], service: Service, upload: resumable.Upload, offset: int
) -> dict[str, str]:
    def keep(file: Uploaded) -> str:
        return _add(request, service, file).id

    arrived = await resumable.append(upload, offset, pieces_of(request), keep)
    return {"Upload-Offset": str(arrived)} | _asset_header(upload)


def _asset_header(upload: resumable.Upload) -> dict[str, str]:
    return {"Medley-Asset": upload.started.asset} if upload.started.asset else {}


def _check_version(request: Request[Any, Any, Any]) -> None:
    """Raise HttpError 412 for a client of another tus; one that names none is taken at its word."""
    named = request.headers.get("tus-resumable", resumable.VERSION)
    if named != resumable.VERSION:
        message = f"tus {named[:20]} is not understood here, {resumable.VERSION} is"
        raise HttpError(412, "precondition", message, {"Tus-Version": resumable.VERSION})


def _tus(status: int, headers: dict[str, str]) -> Response[None]:
    return Response(None, status_code=status, headers=headers | {"Tus-Resumable": resumable.VERSION})


def _add(request: Request[Any, Any, Any], service: Service, file: Uploaded) -> UploadedAsset:
    with service.database.read() as connection:
        known = [
            record
            for record in assets.find_by_hash(connection, file.content_hash)
            if record.status != AssetStatus.MISSING
        ]
    if known:
        return _view(known[0], known=True)
    # Two letters of the hash as folder: millions of uploads would make one folder slow.
    name = f"{file.content_hash[:2]}/{file.content_hash[:32]}-{safe_name(file.name)}"
    record = uploads_folder.keep(service.settings, service.database, file.path, name)
    logs.wrote(request, "asset uploaded", asset=record.id, bytes=file.size_bytes)
    return _view(record, known=False)


def _view(record: AssetRecord, known: bool) -> UploadedAsset:
    return UploadedAsset(id=str(record.id), path=record.path, status=record.status, known=known)


def safe_name(name: str) -> str:
    """The sender's name for the file, made harmless: no folder, no control characters, not hidden, not too long."""
    last = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(c if c.isalnum() or c in "._- ()" else "_" for c in last).strip(". ") or "upload"
    suffix = Path(kept).suffix[:16]
    room = _LONGEST_NAME_BYTES - len(suffix.encode())
    return kept.removesuffix(suffix).encode()[:room].decode("utf-8", "ignore") + suffix


ROUTES = (upload, describe_uploads, start_upload, upload_offset, append_to_upload, abandon_upload)
