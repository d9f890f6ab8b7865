"""`POST /v1/assets`: media that come over HTTP and are kept in the home folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any

from anyio import to_thread
from litestar import Request, Response, post

from api import logs
from api.idempotency import once
from api.params import Injected
from api.problems import HttpError, documented, documented_body
from api.schemas import UploadedAsset
from api.service import Service
from api.uploads import Form, Uploaded, receive
from search.catalog import assets, sources
from search.catalog.records import AssetRecord, FoundFile

_LONGEST_NAME = 120


@post(
    "/v1/assets",
    responses={**documented(409, 415), 201: documented_body(UploadedAsset, "Kept; it will be indexed soon.")},
    request_max_body_size=None,  # api.uploads has the limit
    tags=["library"],
)
async def upload(request: Request[Any, Any, Any], service: Injected) -> Response[bytes]:
    """Add a photo, recording or video by uploading it as the multipart field `file`."""
    form = await receive(request, service.settings)
    return await to_thread.run_sync(_keep, request, service, form)


def _keep(request: Request[Any, Any, Any], service: Service, form: Form) -> Response[bytes]:
    with form.consumed():
        if len(form.files) != 1 or form.files[0].field != "file":
            raise HttpError(400, "validation", "send exactly one file, as the multipart field 'file'")
        (file,) = form.files
        return once(service.database, request, file.content_hash, 201, lambda: _add(request, service, file))


def _add(request: Request[Any, Any, Any], service: Service, file: Uploaded) -> UploadedAsset:
    with service.database.read() as connection:
        known = [record for record in assets.find_by_hash(connection, file.content_hash) if record.status != "missing"]
    if known:
        return _view(known[0], known=True)
    # Two letters of the hash as folder: millions of uploads would make one folder slow.
    folder = service.settings.uploads / file.content_hash[:2]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{file.content_hash[:32]}-{safe_name(file.name)}"
    # In one step, so that a scan of the folder never meets half a file.
    file.path.replace(path)
    facts = path.stat()
    found = FoundFile(path=str(path), path_bytes=bytes(path), size_bytes=facts.st_size, modified_ns=facts.st_mtime_ns)
    with service.database.write() as connection:
        source = sources.add_source(connection, str(service.settings.uploads), recursive=True, watched=False)
        (asset_id,) = assets.sync_assets(connection, source.id, [found]).ids
        record = assets.get_asset(connection, asset_id)
    logs.wrote(request, "asset uploaded", asset=asset_id, bytes=file.size_bytes)
    return _view(record, known=False)


def _view(record: AssetRecord, known: bool) -> UploadedAsset:
    return UploadedAsset(id=str(record.id), path=record.path, status=record.status, known=known)


def safe_name(name: str) -> str:
    """The sender's name for the file, made harmless: no folder, no control character, not hidden, not long."""
    last = PurePosixPath(name.replace("\\", "/")).name
    kept = "".join(c if c.isalnum() or c in "._- ()" else "_" for c in last).strip(". ") or "upload"
    suffix = Path(kept).suffix[:16]
    return kept.removesuffix(suffix)[: _LONGEST_NAME - len(suffix)] + suffix
