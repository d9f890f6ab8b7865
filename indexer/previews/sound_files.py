"""Stretches of sound of assets by their ids, for a language model that listens to them.

Knows the catalogue and the decoders; knows no model.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import numpy as np

from indexer.decoding.decoder import Items, limits_of
from indexer.decoding.items import DecodeRequest, SoundItem
from indexer.sources.places import Places
from search.catalog import assets
from search.catalog.database import Database
from search.catalog.records import AssetRecord
from search.errors import NotFoundError
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform

MAX_STRETCH_SECONDS = 60.0  # nothing listens to more at once


class LibrarySounds:
    """See `search.language.looking.SoundFiles`."""

    def __init__(
        self, settings: Settings, database: Database, places: Places, decode: Callable[[DecodeRequest], Items]
    ) -> None:
        self._limits = limits_of(settings)
        self._database = database
        self._places = places
        self._decode = decode

    def __call__(self, asset_id: int, start: float, end: float) -> Waveform:
        """`(n,) float32` at 16 kHz mono. Raises NotFoundError, MediaError."""
        with self._database.read() as connection:
            asset = assets.get_asset(connection, asset_id)
        return self.stretch(asset, start, end)

    def stretch(self, asset: AssetRecord, start: float, end: float) -> Waveform:
        """As a call, of an asset that was read. What lies before it is decoded as well: a second for an hour."""
        end = min(end, start + MAX_STRETCH_SECONDS)
        pieces: list[Waveform] = []
        with self._places.of(asset).fetch(asset) as path:
            request = DecodeRequest(path, self._limits, {}, want_text=False)
            with closing(self._decode(request)) as items:
                for item in items:
                    if not isinstance(item, SoundItem):
                        continue
                    if item.start_seconds >= end:
                        break
                    first, last = (round((time - item.start_seconds) * SAMPLE_RATE_HZ) for time in (start, end))
                    pieces.append(item.waveform[max(0, first) : max(0, last)])
        sound = np.concatenate(pieces) if pieces else np.empty(0, np.float32)
        if not len(sound):
            raise NotFoundError(f"asset {asset.id} holds no sound from {start:g} s to {end:g} s")
        return sound
