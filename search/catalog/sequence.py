"""The numbers that followers follow: every embedding and every deletion gets the next one.

Numbers become visible in their order, because whoever draws them keeps the counter's row locked until
its commit. (Drawn from a PostgreSQL sequence they would not: a follower that remembers the highest
number it saw would miss those that commit later.) So they are drawn last: what needs numbers is put off
until the transaction is about to commit. Otherwise two writers that each hold the counter or an asset,
and want the other, would wait for each other.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from msgspec import Struct
from sqlalchemy import Connection, bindparam, delete, select, update

from search.catalog.bulk import insert_rows
from search.catalog.models import counter, deletion

# A follower further behind than this begins anew, which is as quick as reading so many changes.
KEPT_NUMBERS = 2_000_000

_PUT_OFF = "medley_put_off"  # key in a connection's info

_DRAW = (
    update(counter)
    .where(counter.c.name == "sequence")
    .values(value=counter.c.value + bindparam("count"))
    .returning(counter.c.value)
)
_VALUE = select(counter.c.value).where(counter.c.name == bindparam("counter_name"))


class _PutOff(Struct, frozen=True):
    count: int
    write: Callable[[range], None]
    shows: bool


def draw(connection: Connection, count: int) -> range:
    """The next `count` numbers, ours until commit."""
    last = connection.execute(_DRAW, {"count": count}).scalar_one()
    return range(last - count + 1, last + 1)


def when_numbered(connection: Connection, count: int, write: Callable[[range], None], shows: bool) -> None:
    """Have `write` called with the next `count` numbers, just before the transaction commits.

    `shows` tells that it writes embeddings, so whoever wants to change those in the same transaction
    must `settle` first; deletions stand in nobody's way.
    """
    connection.info.setdefault(_PUT_OFF, []).append(_PutOff(count, write, shows))


def settle(connection: Connection, only_if_showing: bool = False) -> None:
    """Do now what was put off; for those who want to read it, and for the commit itself."""
    waiting: list[_PutOff] = connection.info.get(_PUT_OFF, [])
    if not waiting or (only_if_showing and not any(put_off.shows for put_off in waiting)):
        return
    forget_put_off(connection)
    numbers = draw(connection, sum(put_off.count for put_off in waiting))
    for put_off in waiting:
        put_off.write(numbers[: put_off.count])
        numbers = numbers[put_off.count :]


def forget_put_off(connection: Connection) -> None:
    """The transaction is over, well or badly."""
    connection.info.pop(_PUT_OFF, None)


def latest_sequence(connection: Connection) -> int:
    """The highest number that is visible; all below it are, too."""
    settle(connection)
    return connection.execute(_VALUE, {"counter_name": "sequence"}).scalar_one()


def horizon(connection: Connection) -> int:
    """Deletions up to this number are forgotten: a follower behind it must begin anew."""
    return connection.execute(_VALUE, {"counter_name": "horizon"}).scalar_one()


def identity(connection: Connection) -> int:
    """A random number of this catalogue. A snapshot that names another one belongs to another life."""
    return connection.execute(_VALUE, {"counter_name": "identity"}).scalar_one()


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
    """Drop the tombstones up to this number and move the horizon there; returns how many went."""
    gone = connection.execute(delete(deletion).where(deletion.c.sequence <= up_to)).rowcount
    if not gone:
        return 0
    forward = update(counter).where(counter.c.name == "horizon", counter.c.value < up_to)
    connection.execute(forward.values(value=up_to))
    return gone


def now_or(now: float | None) -> float:
    """The caller's clock where it brought one, else the machine's."""
    return time.time() if now is None else now
