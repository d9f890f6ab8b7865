"""Which of several sentences describes a picture or sound best? The space that the library is searched with says.

A language model writes sentences that are likely; the space was trained to tell whether words and a picture or sound
belong together, and has its vector already. Knows the catalogue's vectors and spaces; knows no language model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from indexer.ingest.captioner import described, likeliest
from search.catalog.database import Database
from search.catalog.embeddings import vectors_of
from search.catalog.records import SegmentRecord
from search.catalog.segments import segments_of_assets
from search.signals import Signal
from search.spaces.space import Space


def nearest(
    space: Space, signal: Signal, sentences: Sequence[Sequence[str]], targets: Sequence[np.ndarray]
) -> list[str]:
    """Of the sentences about each thing, the one nearest to its vector `(d,) float32`. Raises SpaceError."""
    if not sentences:
        return []
    vectors = iter(space.embed_query_text([text for texts in sentences for text in texts])[signal])
    fits = [[float(next(vectors) @ target) for _ in texts] for texts, target in zip(sentences, targets, strict=True)]
    return [texts[int(np.argmax(fit))] for texts, fit in zip(sentences, fits, strict=True)]


class CaptionChooser:
    """Chooses by the active space. Thread-safe."""

    def __init__(self, database: Database, active: Callable[[], tuple[int, Space]]) -> None:
        """`active`: id and space that the library is searched with; may raise SpaceError."""
        self._database = database
        self._active = active

    def __call__(self, sentences: Mapping[int, Sequence[str]], signal: Signal) -> dict[int, str]:
        """By asset id, the sentence nearest to what is described; the first where the space has no vector of it.

        `signal`: of the pictures or sounds that the sentences are about. Raises SpaceError, CatalogError.
        """
        space_id, space = self._active()
        held = self._vectors(space_id, list(sentences), signal)
        compared = [asset_id for asset_id in sentences if asset_id in held]
        best = nearest(space, signal, [sentences[asset_id] for asset_id in compared], [held[i] for i in compared])
        return likeliest(sentences, signal) | dict(zip(compared, best, strict=True))

    def _vectors(self, space_id: int, asset_ids: Sequence[int], signal: Signal) -> dict[int, np.ndarray]:
        """`(d,) float32` of what is described of each asset, where the space has its vector."""
        with self._database.read() as connection:
            by_asset: dict[int, list[SegmentRecord]] = {}
            for segment in segments_of_assets(connection, asset_ids):
                by_asset.setdefault(segment.asset_id, []).append(segment)
            found = {asset_id: described(segments, signal) for asset_id, segments in by_asset.items()}
            ids = {asset_id: segment.id for asset_id, segment in found.items() if segment}
            rows, vectors = vectors_of(connection, space_id, ids.values())
        held = dict(zip(rows.tolist(), vectors.astype(np.float32), strict=True))
        return {asset_id: held[segment_id] for asset_id, segment_id in ids.items() if segment_id in held}
