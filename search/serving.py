"""The space that serves: opened, checked against its fingerprint, its partitions following the catalogue.

A process keeps one `Serving` at a time; changing the active space makes a new one beside it, brings it up
to date, and then exchanges the two at once, so that no request sees half of each.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from search.calibration import Calibration, for_space
from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.records import SpaceRecord
from search.errors import SpaceError
from search.index.follower import Follower
from search.retriever import Retriever
from search.settings import Settings
from search.spaces import registry, specification
from search.spaces.space import Space
from search.spaces.specification import StarterSpecification

STARTER = "starter"
_log = logging.getLogger(__name__)
OpenSpace = Callable[[SpaceRecord], Space]


def opener(settings: Settings) -> OpenSpace:
    """Opens spaces as the catalogue describes them."""
    return lambda record: registry.open_space(specification.decode(record.specification), settings)


@dataclass(frozen=True)
class Serving:
    """One space at work."""

    record: SpaceRecord
    space: Space
    follower: Follower
    retriever: Retriever
    calibration: Calibration

    @classmethod
    def open(cls, settings: Settings, database: Database, record: SpaceRecord, open_space: OpenSpace) -> Serving:
        """Up to date with the catalogue when it returns. Raises SpaceError when the fingerprint differs."""
        space = open_space(record)
        check_fingerprint(record, space)
        follower = Follower(database, record, space.dimensions, settings)
        follower.catch_up()
        retriever = Retriever(database, record.id, space, follower)
        return cls(record, space, follower, retriever, for_space(record.calibration, record.fingerprint))

    def close(self) -> None:
        """Stop following; models are let go of."""
        self.follower.stop()
        self.space.release()


def check_fingerprint(record: SpaceRecord, space: Space) -> None:
    """Raise SpaceError if the space is not what its vectors in the catalogue were made with."""
    if record.fingerprint != space.fingerprint.digest:
        raise SpaceError(
            f"the space {record.name!r} was made with other weights or preprocessing (fingerprint "
            f"{record.fingerprint[:12]}, now {space.fingerprint.digest[:12]}): create a new space with "
            "`medley spaces create`, fill it, and switch with `medley spaces use`"
        )


def active_space(database: Database, settings: Settings) -> SpaceRecord:
    """The space to serve: the setting's, else the catalogue's active one, else a new starter.

    Raises NotFoundError when the setting names no space.
    """
    with database.read() as connection:
        found = spaces.get_space(connection, settings.space) if settings.space else spaces.active_space(connection)
    return found or _create_starter(database, settings)


def _create_starter(database: Database, settings: Settings) -> SpaceRecord:
    wanted = StarterSpecification()
    fingerprint = registry.open_space(wanted, settings).fingerprint.digest
    with database.write() as connection:
        # Another process may have been faster.
        if active := spaces.active_space(connection):
            return active
        if not spaces.find_space(connection, STARTER):
            # Its calibration is not copied into the catalogue: the next release may bring a better one.
            spaces.create_space(connection, STARTER, specification.encode(wanted), fingerprint)
        return spaces.activate_space(connection, STARTER)


class Switch:
    """Holds the space that serves and exchanges it when the catalogue's active space changes."""

    def __init__(self, settings: Settings, database: Database, open_space: OpenSpace) -> None:
        self._settings = settings
        self._database = database
        self._open_space = open_space
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._current = self._open(active_space(database, settings))

    @property
    def current(self) -> Serving:
        """What serves now; a request takes it once and keeps to it."""
        return self._current

    def watch(self) -> None:
        """Follow the catalogue from threads, every `poll_seconds`: embeddings and the choice of the space."""
        self._current.follower.start()
        self._watcher = threading.Thread(target=self._watch, name="space-switch", daemon=True)
        self._watcher.start()

    def refresh(self) -> None:
        """Exchange the space now if another one is active."""
        with self._lock:
            wanted = active_space(self._database, self._settings)
            if wanted.id == self._current.record.id:
                return
            replaced, self._current = self._current, self._open(wanted)
            if self._watcher:
                self._current.follower.start()
        # Requests that began with the old space may still be using its partitions: they keep them alive,
        # and models load again if need be.
        replaced.close()

    def close(self) -> None:
        """Stop watching and following."""
        self._stopping.set()
        if self._watcher:
            self._watcher.join()
        self._current.close()

    def _open(self, record: SpaceRecord) -> Serving:
        return Serving.open(self._settings, self._database, record, self._open_space)

    def _watch(self) -> None:
        while not self._stopping.wait(self._settings.poll_seconds):
            try:
                self.refresh()
            except Exception as error:  # the old space goes on serving, whatever is wrong with the new one
                _log.warning("the active space can't be opened, the old one goes on serving: %s", error)
