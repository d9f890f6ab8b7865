"""Captions of images that are searchable already, made by a worker that has nothing better to do.

The second visit after the one that reads text. Claims a few images, decodes them, asks the vision model once
for all of them, and writes which of its sentences was chosen. Knows the catalogue, and the vision model and who chooses
by what it asks of them.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Protocol

from indexer.decoding.decoder import Items, limits_of
from indexer.decoding.items import DecodeRequest, PictureItem
from indexer.failures import sort_error
from indexer.ingest.recorder import retry_seconds
from indexer.sources.places import Places
from search.catalog import queue
from search.catalog.captions import claim_without_caption, write_captions
from search.catalog.database import Database
from search.catalog.records import AssetRecord
from search.errors import MachineError, TransientMediaError
from search.settings import Settings
from search.spaces.inputs import ImageInput, Picture

TOGETHER = 8  # images in one batch of the model: a lease must outlive it on a slow machine
_LACKING_TIMES = 5  # as long as after that many failures: a machine lacks something for longer than a moment
_INPUT = 0  # the only picture that is asked of the decoder
_log = logging.getLogger(__name__)


class Describer(Protocol):
    """Says what pictures show."""

    @property
    def image_input(self) -> ImageInput:
        """How it wants pictures."""

    def captions(self, pictures: Sequence[Picture]) -> list[list[str]]:
        """Sentences that may describe each, at least one, the one to trust unseen first."""


Choose = Callable[[Mapping[int, Sequence[str]]], Mapping[int, str]]  # one of the sentences, by asset id


def likeliest(sentences: Mapping[int, Sequence[str]]) -> dict[int, str]:
    """The first of each: the choice where no space can compare."""
    return {asset_id: texts[0] for asset_id, texts in sentences.items()}


class Captioner:
    """Not thread-safe; one for each worker."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        describer: Describer,
        decode: Callable[[DecodeRequest], Items],
        choose: Choose,
        owner: str,
    ) -> None:
        self._settings = settings
        self._database = database
        self._describer = describer
        self._decode = decode
        self._choose = choose
        self._owner = owner
        self._places = Places(database, settings)

    def caption_some(self) -> int:
        """Caption a few images; returns how many were claimed. Raises LanguageModelError, SpaceError, CatalogError."""
        with self._database.write() as connection:
            lease = self._settings.lease_seconds
            claimed = claim_without_caption(connection, self._owner, TOGETHER, lease)
        # An image that has ended its worker before, or that can't be decoded any more, stays without words.
        captions = {asset.id: "" for asset in claimed}
        pictures: dict[int, Picture] = {}
        for asset in claimed:
            try:
                if asset.attempts <= self._settings.max_attempts and (picture := self._picture(asset)) is not None:
                    pictures[asset.id] = picture
            except TransientMediaError as error:
                del captions[asset.id]
                self._later(asset, error)
        if pictures:
            likely = self._describer.captions(list(pictures.values()))
            captions |= self._choose(dict(zip(pictures, likely, strict=True)))
        with self._database.write() as connection:
            write_captions(connection, queue.claims_of(claimed), captions)
        return len(claimed)

    def _later(self, asset: AssetRecord, error: TransientMediaError) -> None:
        counts = not isinstance(error, MachineError)  # what the machine lacks says nothing of the file
        times = asset.attempts if counts else _LACKING_TIMES
        wait = retry_seconds(times, self._settings.retry_seconds, 0.0)
        with self._database.write() as connection:
            queue.retry_later(connection, queue.claims_of([asset]), asset.id, str(error), wait, counts=counts)

    def _picture(self, asset: AssetRecord) -> Picture | None:
        """None where the file holds no picture any more. Raises TransientMediaError."""
        try:
            with self._places.of(asset).fetch(asset) as path:
                request = DecodeRequest(
                    path,
                    limits_of(self._settings),
                    {_INPUT: self._describer.image_input},
                    want_sound_track=False,
                    want_text=False,
                )
                with closing(self._decode(request)) as items:
                    return next((item.pictures[_INPUT] for item in items if isinstance(item, PictureItem)), None)
        except Exception as error:  # noqa: BLE001 - every error of decoding is sorted here
            sorted_error = sort_error(error)
            if isinstance(sorted_error, TransientMediaError):
                raise sorted_error from None
            _log.info("%s: no caption: %s", asset.path, sorted_error)
            return None
