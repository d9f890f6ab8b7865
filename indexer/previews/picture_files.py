"""Pictures of assets by their ids, including the thumbnails that the page shows.

Knows the catalogue and the previews; knows no model.
"""

from __future__ import annotations

from indexer.previews.previews import Previews
from indexer.sources.places import Places
from search.catalog import assets
from search.catalog.database import Database
from search.errors import NotFoundError
from search.results import Kind


class PreviewPictures:
    """See `search.language.looking.PictureFiles`."""

    def __init__(self, database: Database, previews: Previews, places: Places) -> None:
        self._database = database
        self._previews = previews
        self._places = places

    def __call__(self, asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
        """A WebP picture. Raises NotFoundError, MediaError."""
        with self._database.read() as connection:
            asset = assets.get_asset(connection, asset_id)
        kind = Kind(asset.kind) if asset.kind else None
        if kind is None or (kind not in (Kind.IMAGE, Kind.VIDEO) and not asset.pages):
            raise NotFoundError(f"asset {asset_id} has no picture")
        return self._previews.thumbnail(self._places.of(asset).original(asset), kind, seconds, side, page).read_bytes()
