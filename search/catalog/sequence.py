"""The numbers that followers follow: every embedding and every deletion gets the next one.

Numbers become visible in their order, because a transaction that draws some keeps the counter's row locked
until its commit. (Drawn from a PostgreSQL sequence they would not: a follower that remembers the highest
number it saw would miss those that commit later.) They are drawn last: writes that need numbers are deferred
until the transaction is about to commit. Otherwise a writer that holds the counter and wants an asset could
deadlock with one that holds the asset and wants the counter.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from msgspec import Struct
from sqlalchemy import Connection, bindparam, delete, select, text, update

from search.catalog.models import counter, deletion
from search.catalog.sql.bulk import insert_rows

# A follower further behind than this starts over, which is as quick as reading that many changes.
KEPT_NUMBERS = 2_000_000

# The host's clock on SQLite, where the database is a file of this machine; the server's on PostgreSQL.
_TIMES = {
    "sqlite": "SELECT (julianday('now') - 2440587.5) * 86400.0",
    "postgresql": "SELECT extract(epoch FROM clock_timestamp())::double precision",
}

_VIEWS = {True: "uploads seen", False: "uploads unseen"}
_PUT_OFF = "medley_put_off"  # key in a connection's info

_DRAW = (
    update(counter)
    .where(counter.c.name == "sequence")
    .values(value=counter.c.value + bindparam("count"))
    .returning(counter.c.value)
)
_MARK = text("INSERT INTO counter (name, value) VALUES ('uploads', :proposed) ON CONFLICT DO NOTHING")
_NOTE = text(
    "INSERT INTO counter (name, value) VALUES (:counter_name, :now) ON CONFLICT (name) DO UPDATE SET value = :now"
)
VIEW_SECONDS = 120.0  # how long a worker's report of the folder of uploads counts
_VALUE = select(counter.c.value).where(counter.c.name == bindparam("counter_name"))


class _PutOff(Struct, frozen=True):
    count: int
    write: Callable[[range], None]
    shows: bool


def database_time(connection: Connection) -> float:
    """The database's time in seconds since 1970: the one clock that all workers share."""
    return float(connection.exec_driver_sql(_TIMES[connection.dialect.name]).scalar_one())


def draw(connection: Connection, count: int) -> range:
    """The next `count` numbers, ours until commit."""
    last = connection.execute(_DRAW, {"count": count}).scalar_one()
    return range(last - count + 1, last + 1)


def when_numbered(connection: Connection, count: int, write: Callable[[range], None], shows: bool) -> None:
    """Have `write` called with the next `count` numbers, just before the transaction commits.

    `shows` means that it writes embeddings: to change those in the same transaction, `settle` first.
    Deletions need no such care.
    """
    connection.info.setdefault(_PUT_OFF, []).append(_PutOff(count, write, shows))


def settle(connection: Connection, only_if_showing: bool = False) -> None:
    """Do the deferred writes now: before a read that needs them, and before the commit."""
    waiting: list[_PutOff] = connection.info.get(_PUT_OFF, [])
    if not waiting or (only_if_showing and not any(put_off.shows for put_off in waiting)):
        return
    forget_put_off(connection)
    numbers = draw(connection, sum(put_off.count for put_off in waiting))
    for put_off in waiting:
        put_off.write(numbers[: put_off.count])
        numbers = numbers[put_off.count :]


def forget_put_off(connection: Connection) -> None:
    """Drop deferred writes at the end of a transaction, committed or not."""
    connection.info.pop(_PUT_OFF, None)


def latest_sequence(connection: Connection) -> int:
    """The highest visible number; all below it are visible, too."""
    settle(connection)
    return _counter(connection, "sequence")


def horizon(connection: Connection) -> int:
    """The number up to which deletions are forgotten: a follower that is not past it must start over."""
    return _counter(connection, "horizon")


def identity(connection: Connection) -> int:
    """A random number that identifies this catalogue: a snapshot that names another one is not of it."""
    return _counter(connection, "identity")


def find_uploads_mark(connection: Connection) -> int | None:
    """The number that marks the folder of this catalogue's uploads; None before the first one."""
    value: int | None = connection.execute(_VALUE, {"counter_name": "uploads"}).scalar()
    return value


def uploads_mark(connection: Connection, proposed: int) -> int:
    """The number that marks the folder of this catalogue's uploads: `proposed` if there was none before."""
    connection.execute(_MARK, {"proposed": proposed})
    return _counter(connection, "uploads")


def forget_uploads_mark(connection: Connection) -> None:
    """The next upload marks its folder anew."""
    connection.execute(delete(counter).where(counter.c.name.in_(("uploads", *_VIEWS.values()))))


def note_uploads_view(connection: Connection, *, seen: bool) -> None:
    """A worker sees the folder of uploads now, or does not."""
    connection.execute(_NOTE, {"counter_name": _VIEWS[seen], "now": int(database_time(connection))})


def uploads_view_is_fresh(connection: Connection, *, seen: bool) -> bool:
    """Whether a worker said so not long ago, so that it need not be said again."""
    return _age(connection, _VIEWS[seen]) < VIEW_SECONDS / 4


def uploads_are_seen(connection: Connection) -> bool | None:
    """Whether any worker sees the folder of uploads; None where none has looked lately."""
    if _age(connection, _VIEWS[True]) < VIEW_SECONDS:
        return True
    return False if _age(connection, _VIEWS[False]) < VIEW_SECONDS else None


def _age(connection: Connection, name: str) -> float:
    value = connection.execute(_VALUE, {"counter_name": name}).scalar()
    return math.inf if value is None else database_time(connection) - value


def _counter(connection: Connection, name: str) -> int:
    value: int = connection.execute(_VALUE, {"counter_name": name}).scalar_one()
    return value


def record_deletions(connection: Connection, segment_ids: list[int]) -> None:
    """Tell followers that these segments' vectors are gone; tombstones from long ago are forgotten."""
    if not segment_ids:
        return

    def write(numbers: range) -> None:
        insert_rows(connection, deletion, ("sequence", "segment_id"), list(zip(numbers, segment_ids, strict=True)))
        if numbers[-1] > KEPT_NUMBERS:
            forget_deletions(connection, numbers[-1] - KEPT_NUMBERS)

    when_numbered(connection, len(segment_ids), write, shows=False)


def forget_deletions(connection: Connection, up_to: int) -> int:
    """Drop the tombstones up to this number and move the horizon there; returns how many were dropped."""
    gone = connection.execute(delete(deletion).where(deletion.c.sequence <= up_to)).rowcount
    if not gone:
        return 0
    forward = update(counter).where(counter.c.name == "horizon", counter.c.value < up_to)
    connection.execute(forward.values(value=up_to))
    return gone


def now_or(now: float | None) -> float:
    """The caller's time (epoch seconds) where it gave one, else the system's."""
    return time.time() if now is None else now
