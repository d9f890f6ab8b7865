"""Captions of images and sounds that are searchable already, made by a worker that has nothing better to do.

The second visit after the one that reads text. Claims a few, decodes them, asks the model's senses once for all of
them, in a thread that yields to everything else, and writes which of their sentences was chosen. A recording in which
somebody speaks is described by what is said, a page, receipt or screenshot by what is written: both get none. Knows the
catalogue, and the senses and who chooses by what it asks of them.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Protocol, TypeVar

from indexer.decoding.decoder import Items, limits_of
from indexer.decoding.items import DecodeRequest, PictureItem
from indexer.failures import sort_error
from indexer.ingest.recorder import retry_seconds
from indexer.ingest.suspects import choose as choose_assets
from indexer.previews.sound_files import LibrarySounds
from indexer.sources.places import Places
from search.catalog import queue
from search.catalog.captions import claim_without_caption, count_without, write_captions
from search.catalog.database import Database
from search.catalog.records import AssetRecord, SegmentRecord
from search.catalog.segments import segments_of_assets
from search.errors import MachineError, TransientMediaError
from search.results import Kind
from search.runtime.room import free_bytes
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import ImageInput, Picture, Waveform

# Of memory, before models are loaded that take 1.3 GB: captions must cost no worker its life.
LEAST_FREE_BYTES = 2 * 1024**3
TOGETHER = 2  # in one batch of the model, 5 s on a slow machine: new files and a stop wait for it
PAGE_LETTERS = 60  # read in a picture, from which on it is a page; signs and jerseys in photos have fewer
_NICENESS = 5  # over the process's own: a third of the time of a thread that searches; at 10 a busy machine made none
_LACKING_TIMES = 5  # as long as after that many failures: a machine lacks something for longer than a moment
_INPUT = 0  # the only picture that is asked of the decoder
Content = TypeVar("Content")
_log = logging.getLogger(__name__)


class Describer(Protocol):
    """Says what pictures show."""

    @property
    def image_input(self) -> ImageInput:
        """How it wants pictures."""

    def captions(self, contents: Sequence[Picture]) -> list[list[str]]:
        """Sentences that may describe each, at least one, the one to trust unseen first."""


class SoundDescriber(Protocol):
    """Says what sounds like it."""

    def captions(self, contents: Sequence[Waveform]) -> list[list[str]]:
        """As `Describer.captions`."""


class Describers(Protocol):
    """Those of pictures and of sounds."""

    @property
    def vision(self) -> Describer:
        """Of pictures."""

    @property
    def hearing(self) -> SoundDescriber | None:
        """Of sounds; None: those get no caption."""


# One of the sentences about pictures or sounds, by asset id.
Choose = Callable[[Mapping[int, Sequence[str]], Signal], Mapping[int, str]]


def likeliest(sentences: Mapping[int, Sequence[str]], _: Signal) -> dict[int, str]:
    """The first of each: the choice where no space can compare."""
    return {asset_id: texts[0] for asset_id, texts in sentences.items()}


def described(segments: Sequence[SegmentRecord], signal: Signal) -> SegmentRecord | None:
    """What a caption of an asset describes: its first picture, or the longest stretch that sounds alike."""
    found = [segment for segment in segments if segment.signal == signal]
    return max(found, key=lambda s: (s.end_seconds or 0.0) - (s.start_seconds or 0.0), default=None)


class Captioner:
    """Not thread-safe; one for each worker."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        senses: Describers,
        decode: Callable[[DecodeRequest], Items],
        choose: Choose,
        owner: str,
        free: Callable[[], int | None] = free_bytes,
    ) -> None:
        """`free`: bytes of memory; None where nobody can tell."""
        self._free = free
        self._loaded = False
        self._image_input: ImageInput | None = None  # read once there is a picture: it loads the encoder
        self._said_short = False
        self._claims: queue.Claims = {}
        # A thread of its own, because niceness can't be taken back: decoders and spaces that other threads open must
        # not inherit it, as the threads do that torch starts for this one.
        self._spare = ThreadPoolExecutor(1, "medley-captions", _yield_to_others)
        self._settings = settings
        self._database = database
        self._senses = senses
        self._decode = decode
        self._choose = choose
        self._owner = owner
        self._places = Places(database, settings)
        self._sounds = LibrarySounds(settings, database, self._places, decode)

    @property
    def claims(self) -> queue.Claims:
        """What is being captioned, or was left unfinished; its leases are to be renewed. Any thread may ask."""
        return self._claims

    def caption_some(self, stopped: Callable[[], bool] = lambda: False) -> int:
        """Caption a few; returns how many were claimed: none where memory is short.

        Once `stopped`, the model is not asked any more, and `claims` are for `hand_back`. Raises LanguageModelError,
        SpaceError, CatalogError, and whatever the libraries of the models raise.
        """
        if not self._loaded and not self._has_memory():
            return 0
        self._read_image_input()
        kinds = [Kind.IMAGE] * (self._image_input is not None) + [Kind.AUDIO] * (self._senses.hearing is not None)
        if not kinds:
            return 0
        claimed, taken, captions = self._claim(kinds)
        pictures: dict[int, Picture] = {}
        sounds: dict[int, Waveform] = {}
        for asset in taken:
            if asset.attempts > self._settings.max_attempts or stopped():
                continue
            try:
                if asset.kind == Kind.AUDIO:
                    if (sound := self._decoded(asset, self._sound)) is not None:
                        sounds[asset.id] = sound
                elif (picture := self._decoded(asset, self._picture)) is not None:
                    pictures[asset.id] = picture
            except TransientMediaError as error:
                del captions[asset.id]
                self._later(asset, error)
        if stopped():
            return claimed
        if pictures:
            captions |= self._chosen(self._senses.vision.captions, pictures, Signal.IMAGE)
        if sounds and self._senses.hearing:
            captions |= self._chosen(self._senses.hearing.captions, sounds, Signal.SOUND)
        with self._database.write() as connection:
            write_captions(connection, self._claims, captions)
        self._claims = {}
        return claimed

    def hand_back(self) -> None:
        """Let others caption what was left unfinished. Raises CatalogError."""
        if self._claims:
            with self._database.write() as connection:
                queue.release(connection, self._claims)
        self._claims = {}

    def _has_memory(self) -> bool:
        free = self._free()
        enough = free is None or free >= LEAST_FREE_BYTES
        if not enough and not self._said_short:
            least, left = LEAST_FREE_BYTES // 1024**2, (free or 0) // 1024**2
            _log.info("no captions are made until %d MB of memory are free; now there are %d MB", least, left)
        self._said_short = not enough
        return enough

    def _claim(self, kinds: Sequence[Kind]) -> tuple[int, Sequence[AssetRecord], dict[int, str]]:
        """How many were claimed, those to caption, and the empty captions of all that get none unless one is made."""
        self.hand_back()  # of a batch that failed: its own lease keeps an asset from its worker, too
        with self._database.write() as connection:
            lease = self._settings.lease_seconds
            claimed = claim_without_caption(connection, self._owner, TOGETHER, lease, kinds)
            chosen = choose_assets(claimed, self._settings.max_attempts, busy=False)
            queue.release(connection, queue.claims_of(chosen.back))
            if chosen.alone:
                queue.mark_alone(connection, chosen.take[0])
        self._loaded = bool(claimed)  # idle models are released
        # What has ended its workers before, or can't be decoded any more, stays without words.
        kept = (*chosen.given_up, *chosen.take)
        for asset in chosen.given_up:
            _log.info("%s: no caption: %d workers died while they captioned nothing else", asset.path, asset.deaths)
        self._claims = queue.claims_of(kept)
        return len(claimed), chosen.take, {asset.id: "" for asset in kept}

    def _chosen(
        self, describe: Callable[[Sequence[Content]], list[list[str]]], contents: Mapping[int, Content], signal: Signal
    ) -> Mapping[int, str]:
        likely = self._spare.submit(describe, list(contents.values())).result()
        return self._choose(dict(zip(contents, likely, strict=True)), signal)

    def _read_image_input(self) -> None:
        """Before a picture is claimed: an encoder that can't be opened would count as what the machine lacks for it."""
        if self._image_input is None:
            with self._database.read() as connection:
                waiting = count_without(connection)
            if waiting:
                self._image_input = self._spare.submit(lambda: self._senses.vision.image_input).result()

    def _later(self, asset: AssetRecord, error: TransientMediaError) -> None:
        counts = not isinstance(error, MachineError)  # what the machine lacks says nothing of the file
        times = asset.attempts if counts else _LACKING_TIMES
        wait = retry_seconds(times, self._settings.retry_seconds, 0.0)
        with self._database.write() as connection:
            queue.retry_later(connection, queue.claims_of([asset]), asset.id, str(error), wait, counts=counts)

    def _decoded(self, asset: AssetRecord, decode: Callable[[AssetRecord], Content | None]) -> Content | None:
        """None where the file holds nothing to describe any more. Raises TransientMediaError."""
        try:
            return decode(asset)
        except Exception as error:  # noqa: BLE001 - every error of decoding is sorted here
            sorted_error = sort_error(error)
            if isinstance(sorted_error, TransientMediaError):
                raise sorted_error from None
            _log.info("%s: no caption: %s", asset.path, sorted_error)
            return None

    def _picture(self, asset: AssetRecord) -> Picture | None:
        """None of a page: nothing that the model says of one is true."""
        assert self._image_input is not None  # no picture is claimed before
        written = sum(len(segment.text or "") for segment in self._segments(asset) if segment.signal == Signal.TEXT)
        if written >= PAGE_LETTERS:
            return None
        with self._places.of(asset).fetch(asset) as path:
            request = DecodeRequest(
                path,
                limits_of(self._settings),
                {_INPUT: self._image_input},
                want_sound_track=False,
                want_text=False,
            )
            with closing(self._decode(request)) as items:
                return next((item.pictures[_INPUT] for item in items if isinstance(item, PictureItem)), None)

    def _sound(self, asset: AssetRecord) -> Waveform | None:
        """Of the longest stretch that sounds alike; None where somebody speaks, or nothing is heard."""
        found = self._segments(asset)
        if any(segment.signal == Signal.SPEECH for segment in found):
            return None
        longest = described(found, Signal.SOUND)
        if longest is None or longest.start_seconds is None or longest.end_seconds is None:
            return None
        return self._sounds.stretch(asset, longest.start_seconds, longest.end_seconds)

    def _segments(self, asset: AssetRecord) -> Sequence[SegmentRecord]:
        with self._database.read() as connection:
            return segments_of_assets(connection, [asset.id])


def _yield_to_others() -> None:
    if sys.platform == "linux":  # elsewhere niceness is the whole process's
        os.nice(_NICENESS)
