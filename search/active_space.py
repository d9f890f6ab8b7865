"""The active space: opened, checked against its fingerprint, its partitions following the catalogue.

A process keeps one `ActiveSpace` at a time; changing the active space makes a new one beside it, brings it up
to date, and then exchanges the two at once, so that no request sees half of each.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from search.catalog import spaces
from search.catalog.database import Database
from search.catalog.feedback.tunings import find_tuning, tuned_at
from search.catalog.records import SpaceRecord
from search.errors import SpaceError
from search.index.follower import Follower
from search.ranking.calibration import Calibration, for_space
from search.ranking.retriever import Retriever
from search.settings import Settings
from search.spaces import query_maps, registry, specification
from search.spaces.encoders.composed_space import NAME as COMPOSED
from search.spaces.query_maps import TunedSpace, Tuning
from search.spaces.remote.cache import CachingSpace
from search.spaces.remote.space import RemoteSpace
from search.spaces.space import Space, dimensions_of

STARTER = "starter"
_log = logging.getLogger(__name__)
SpaceOpener = Callable[[SpaceRecord], Space]


def space_opener(settings: Settings) -> SpaceOpener:
    """Opens spaces as the catalogue describes them; their encoders run here, or at `encoder_url`."""
    if settings.encoder_url:
        return lambda record: CachingSpace(RemoteSpace(record.name, settings))
    return lambda record: registry.open_space(specification.decode(record.specification), settings)


@dataclass(frozen=True)
class ActiveSpace:
    """An open space, and the follower of its partitions."""

    record: SpaceRecord
    space: Space
    follower: Follower
    retriever: Retriever
    calibration: Calibration
    tuned_at: float | None = None  # when it learnt from judgements; epoch seconds
    reranker: str = ""  # whose second look won on them

    @classmethod
    def open(cls, settings: Settings, database: Database, record: SpaceRecord, open_space: SpaceOpener) -> ActiveSpace:
        """Open a space and bring its partitions up to date. Raises SpaceError when the fingerprint differs.

        Where the partitions' storage is down, the follower's `problem` says so, and searches fail until it is back.
        """
        space = open_space(record)
        check_fingerprint(record, space)
        follower = Follower(database, record, dimensions_of(space), settings)
        follower.try_to_catch_up()
        fingerprint = space.fingerprint
        parts = dict(fingerprint.models) if fingerprint.space == COMPOSED else {}
        calibration = for_space(record.calibration, record.fingerprint, parts)
        untuned = cls(record, space, follower, Retriever(database, record.id, space, follower), calibration)
        return untuned.with_tuning(database)

    def with_tuning(self, database: Database) -> ActiveSpace:
        """The same with what the catalogue holds of its tuning now. Logs what can't be used, and does without it."""
        with database.read() as connection:
            stored = find_tuning(connection, self.record.id)
        if stored is None:
            return self.tuned(database, Tuning(), None)
        try:
            return self.tuned(database, query_maps.decode(stored.weights), stored.created_at)
        except SpaceError as error:
            _log.warning("%s", error)
            return self.tuned(database, Tuning(), stored.created_at)

    def tuned(self, database: Database, tuning: Tuning, at: float | None) -> ActiveSpace:
        """The same with this tuning instead of its own. Raises SpaceError where it does not fit."""
        space = TunedSpace(self.space, tuning.maps) if tuning.maps else self.space
        retriever = Retriever(database, self.record.id, space, self.follower)
        return dataclasses.replace(self, retriever=retriever, tuned_at=at, reranker=tuning.reranker)

    def close(self) -> None:
        """Stop following, and release the models."""
        self.follower.stop()
        self.space.release()


def check_fingerprint(record: SpaceRecord, space: Space) -> None:
    """Raise SpaceError unless the vectors in the catalogue were made by this very space."""
    if record.fingerprint != space.fingerprint.digest:
        raise SpaceError(
            f"the space {record.name!r} was made with other weights or preprocessing (fingerprint "
            f"{record.fingerprint[:12]}, now {space.fingerprint.digest[:12]}): create a new space with "
            "`medley spaces create`, fill it, and switch with `medley spaces use`"
        )


def active_space(database: Database, settings: Settings) -> SpaceRecord:
    """The space to use: the one named by the settings, else the catalogue's active one, else a new starter.

    Raises NotFoundError when the setting names no space.
    """
    with database.read() as connection:
        record = spaces.get_space(connection, settings.space) if settings.space else spaces.active_space(connection)
    return record or _create_starter(database, settings)


def _create_starter(database: Database, settings: Settings) -> SpaceRecord:
    wanted = specification.newest_starter()
    fingerprint = registry.open_space(wanted, settings).fingerprint.digest
    with database.write() as connection:
        # Another process may have been faster.
        if active := spaces.active_space(connection):
            return active
        if not spaces.find_space(connection, STARTER):
            # Its calibration is not copied into the catalogue: the next release may bring a better one.
            spaces.create_space(connection, STARTER, specification.encode(wanted), fingerprint)
        return spaces.activate_space(connection, STARTER)


class ActiveSpaceSwitch:
    """Holds the active space, and exchanges it when the catalogue names another one."""

    def __init__(self, settings: Settings, database: Database, open_space: SpaceOpener) -> None:
        self._settings = settings
        self._database = database
        self._open_space = open_space
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._watcher: threading.Thread | None = None
        self._current = self._open(active_space(database, settings))

    @property
    def current(self) -> ActiveSpace:
        """The active space now; a request reads this once and keeps to it."""
        return self._current

    def watch(self) -> None:
        """Follow the catalogue from threads, every `poll_seconds`: its embeddings, and which space is active."""
        self._current.follower.start()
        self._watcher = threading.Thread(target=self._watch, name="space-switch", daemon=True)
        self._watcher.start()

    def refresh(self) -> None:
        """Exchange the space now if another one is active."""
        with self._lock:
            wanted = active_space(self._database, self._settings)
            if wanted.id == self._current.record.id:
                self._follow_tuning()
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

    def _follow_tuning(self) -> None:
        with self._database.read() as connection:
            at = tuned_at(connection, self._current.record.id)
        if at != self._current.tuned_at:
            self._current = self._current.with_tuning(self._database)

    def _open(self, record: SpaceRecord) -> ActiveSpace:
        return ActiveSpace.open(self._settings, self._database, record, self._open_space)

    def _watch(self) -> None:
        while not self._stopping.wait(self._settings.poll_seconds):
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001 - the old space goes on serving, whatever is wrong
                _log.warning("the active space can't be opened, the old one goes on serving: %s", error)
