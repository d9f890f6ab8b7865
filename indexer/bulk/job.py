"""What every machine of a bulk job has to know, and a node made from it.

The job carries no secret: neither the catalogue's address nor any key. Knows what a worker is made of; knows no Ray.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from indexer.bulk.node import AskingLedger, Node, ToldPlaces
from indexer.decoding.decoder import DecoderPool
from indexer.ingest.embedder import Spaces
from indexer.ingest.intake import Intake
from indexer.ingest.open_spaces import OpenSpaces
from indexer.ingest.pipeline import Pipeline, Work, Write
from indexer.segmenting.makers import open_makers
from search import distribution
from search.active_space import SpaceOpener, space_opener
from search.catalog.records import SpaceRecord
from search.errors import UnavailableError
from search.settings import Settings

_SECRETS = ("database_url", "llm_api_key")
_ASKING = 2  # files whose hash is being asked about while as many as there are cores are decoded


class Job(Struct, frozen=True, kw_only=True):
    """The same for every node."""

    version: str
    settings: bytes
    spaces: tuple[SpaceRecord, ...]

    @classmethod
    def of(cls, settings: Settings, spaces: Sequence[SpaceRecord]) -> Job:
        """A job for these spaces; files are embedded for all of them, as by a worker."""
        values = {name: getattr(settings, name) for name in settings.__struct_fields__ if name not in _SECRETS}
        kept = [msgspec.structs.replace(record, calibration=None, probe=None) for record in spaces]
        return cls(
            version=distribution.version(), settings=msgspec.json.encode(values, enc_hook=str), spaces=tuple(kept)
        )

    def check_version(self) -> None:
        """Raise UnavailableError unless this machine has the Medley that the job was made by."""
        if self.version != distribution.version():
            raise UnavailableError(
                f"this machine has Medley {distribution.version()}, the job is one of {self.version}: install the same"
            )

    def settings_here(self, cores: int) -> Settings:
        """The job's settings on a machine that lends that many cores; with a home of its own, for caches."""
        values = msgspec.json.decode(self.settings)
        values |= {"home": Settings.load(home=os.environ.get("MEDLEY_HOME"), environment={}).home}
        values |= {"decode_processes": cores, "threads": cores}
        return msgspec.convert(values, Settings, strict=False, dec_hook=_path)


def _path(wanted: type, value: Any) -> Any:
    if wanted is Path:
        return Path(value)
    raise NotImplementedError(wanted)


def open_node(
    job: Job,
    cores: int,
    open_space: Callable[[Settings], SpaceOpener] = space_opener,
    spaces: Callable[[], Spaces] | None = None,
) -> Node:
    """A node that decodes as many files at once as it has cores. Raises SpaceError.

    With `spaces` (on other machines) it embeds nothing itself; otherwise `open_space` opens them here.
    """
    job.check_version()
    settings = job.settings_here(cores)
    decoders = DecoderPool(settings, cores)
    makers = open_makers(settings)
    here = OpenSpaces(open_space(settings))
    places = ToldPlaces(settings)
    if spaces is None:
        here.of(job.spaces)  # so that a machine that can't open them says so before it is given any work

    def open_stages(ledger: AskingLedger, write: Write) -> Pipeline:
        intake = Intake(ledger, places, settings)
        work = Work.of(settings, intake, decoders.decode, makers.factories, makers.reading, write, decoders.interrupt)
        embedders = spaces or (lambda: here.of(job.spaces))
        return Pipeline(work, embedders, cores + _ASKING, capacity=node_capacity(settings, cores))

    def release() -> None:
        decoders.close()
        makers.release()
        here.release()

    return Node(open_stages, release, places)


def node_capacity(settings: Settings, cores: int) -> int:
    """How many assets a node holds: while one batch is encoded the next is decoded, on every core."""
    return max(2 * settings.batch_assets + 1, 4 * cores)
