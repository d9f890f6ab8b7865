"""Which of several sentences describes a picture best? The space that the library is searched with says.

A language model writes sentences that are likely; the space was trained to tell whether words and a picture belong
together, and has the picture's vector already. Knows the catalogue's vectors and spaces; knows no language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from indexer.ingest.captioner import likeliest
from search.catalog.database import Database
from search.catalog.embeddings import vectors_of
from search.catalog.segments import segments_of_assets
from search.signals import Signal
from search.spaces.space import Space


def nearest(space: Space, sentences: Sequence[Sequence[str]], pictures: Sequence[np.ndarray]) -> list[str]:
    """Of the sentences about each picture, the one nearest to its vector `(d,) float32`. Raises SpaceError."""
    if not sentences:
        return []
    vectors = iter(space.embed_query_text([text for texts in sentences for text in texts])[Signal.IMAGE])
    fits = [[float(next(vectors) @ picture) for _ in texts] for texts, picture in zip(sentences, pictures, strict=True)]
    return [texts[int(np.argmax(fit))] for texts, fit in zip(sentences, fits, strict=True)]


class CaptionChooser:
    """Chooses by the active space. Thread-safe."""

    def __init__(self, database: Database, active: Callable[[], tuple[int, Space]]) -> None:
        """`active`: id and space that the library is searched with; may raise SpaceError."""
        self._database = database
        self._active = active

    def __call__(self, sentences: Mapping[int, Sequence[str]]) -> dict[int, str]:
        """By asset id, the sentence nearest to the asset's picture; the first where the space has no vector of it.

        Raises SpaceError, CatalogError.
        """
        space_id, space = self._active()
        pictures = self._pictures(space_id, list(sentences))
        compared = [asset_id for asset_id in sentences if asset_id in pictures]
        best = nearest(space, [sentences[asset_id] for asset_id in compared], [pictures[i] for i in compared])
        return likeliest(sentences) | dict(zip(compared, best, strict=True))

    def _pictures(self, space_id: int, asset_ids: Sequence[int]) -> dict[int, np.ndarray]:
        """`(d,) float32` of the first picture of each asset that has one in the space."""
        with self._database.read() as connection:
            found = [s for s in segments_of_assets(connection, asset_ids) if s.signal == Signal.IMAGE]
            first = {segment.asset_id: segment.id for segment in reversed(found)}
            ids, vectors = vectors_of(connection, space_id, first.values())
        held = dict(zip(ids.tolist(), vectors.astype(np.float32), strict=True))
        return {asset_id: held[segment_id] for asset_id, segment_id in first.items() if segment_id in held}
