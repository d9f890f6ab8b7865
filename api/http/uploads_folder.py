"""Where uploads are kept: in the store of the setting `upload_store`, or in a folder of home.

Every process of one catalogue must share that folder: else a file is kept where nobody finds it.

The first upload puts a number into the folder and into the catalogue. A process whose folder does not hold that number
has another folder, whatever its path is called. Workers say whether they see it (indexer/ingest/visibility.py).
"""

from __future__ import annotations

import os
from pathlib import Path

from indexer.sources.store_files import StoreFiles
from indexer.sources.stores.addresses import parsed
from indexer.sources.uploads_mark import put_mark, read_mark
from search.catalog import assets, sequence, sources
from search.catalog.database import Database
from search.catalog.records import AssetRecord, FoundFile, SourceRecord
from search.errors import UnavailableError
from search.settings import Settings


def prepare(settings: Settings, database: Database) -> Path:
    """The folder of uploads, made where it is missing.

    Raises UnavailableError where it is not the catalogue's, and while no worker that is there can read it.
    """
    folder = settings.uploads
    settings.make_home()
    if settings.upload_store:
        return folder
    folder.mkdir(exist_ok=True)
    mark = read_mark(folder)
    with database.read() as connection:
        known = sequence.find_uploads_mark(connection)
        are_seen = sequence.uploads_are_seen(connection)
    if known is None:
        mark = mark or put_mark(folder)
        with database.write() as connection:
            known = sequence.uploads_mark(connection, mark)
    if mark != known:
        raise UnavailableError(
            "uploads are refused here: this process keeps them in a folder of its own, where the other processes of "
            "this catalogue would not find them; give all of them one home folder (MEDLEY_HOME, shared between "
            "machines), or upload to the process that began"
        )
    if are_seen is False:
        with database.write() as connection:  # so that workers with another home look whether they see it all the same
            if sources.find_source(connection, str(folder)) is None:
                sources.add_source(connection, str(folder), watched=False)
        raise UnavailableError(
            "uploads are refused: no worker of this catalogue sees the folder where they are kept, so nothing would "
            "come of them; give all processes one home folder (MEDLEY_HOME, shared between machines), keep uploads in "
            "a store (setting upload_store), or run a worker here (medley serve --with-worker)"
        )
    return folder


def keep(settings: Settings, database: Database, file: Path, name: str) -> AssetRecord:
    """Put a file where uploads are kept, as `name`, and into the catalogue. Raises StoreError, UsageError."""
    root = parsed(settings.upload_store).root if settings.upload_store else str(settings.uploads)
    with database.write() as connection:
        source = sources.find_source(connection, root) or sources.add_source(connection, root, watched=False)
    kept = _stored(source, settings, file, name) if settings.upload_store else _moved(settings, file, name)
    with database.write() as connection:
        (asset_id,) = assets.sync_assets(connection, source.id, [kept]).ids
        return assets.get_asset(connection, asset_id)


def discard(settings: Settings, database: Database, asset: AssetRecord) -> None:
    """Remove the file of an asset that was uploaded: we put it there. Others stay. Raises StoreError."""
    with database.read() as connection:
        source = sources.find_source(connection, parsed(settings.upload_store).root) if settings.upload_store else None
    if source is not None and asset.source_id == source.id:
        StoreFiles(source, settings).delete(asset)
        return
    path = Path(os.fsdecode(asset.path_bytes))
    if path.is_relative_to(settings.uploads) and not path.is_symlink():
        path.unlink(missing_ok=True)


def _stored(source: SourceRecord, settings: Settings, file: Path, name: str) -> FoundFile:
    stored = StoreFiles(source, settings).write(name, file)
    file.unlink()
    return stored


def _moved(settings: Settings, file: Path, name: str) -> FoundFile:
    path = settings.uploads / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # In one step, so that a scan of the folder never meets half a file.
    file.replace(path)
    facts = path.stat()
    return FoundFile(path=str(path), path_bytes=bytes(path), size_bytes=facts.st_size, modified_ns=facts.st_mtime_ns)
