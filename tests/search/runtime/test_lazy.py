"""Large things load at their first use, once, and are let go when nobody uses them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from search.runtime.lazy import Exclusive, Lazy

IDLE_SECONDS = 10.0


class Loads:
    """Counts, and gives something new each time."""

    def __init__(self, ready: Callable[[], object] = lambda: None) -> None:
        self.count = 0
        self.ready = ready

    def __call__(self) -> object:
        self.count += 1
        self.ready()
        return object()


class Time:
    """A clock and its timers, which run when a test lets time pass."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[TimerOfTime] = []
        self.started = 0

    def clock(self) -> float:
        return self.now

    def new_timer(self, seconds: float, act: Callable[[], None]) -> TimerOfTime:
        return TimerOfTime(self, self.now + seconds, act)

    def passes(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer.at <= self.now]
        for timer in due:
            self.timers.remove(timer)
            timer.act()


class TimerOfTime:
    daemon = False

    def __init__(self, time: Time, at: float, act: Callable[[], None]) -> None:
        self.time, self.at, self.act = time, at, act

    def start(self) -> None:
        assert self.daemon, "it would keep a process alive"
        self.time.started += 1
        self.time.timers.append(self)

    def cancel(self) -> None:
        self.time.timers.remove(self)


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.mark.parametrize("kind", [Lazy, Exclusive])
def test_a_thing_loads_once_and_is_let_go_when_idle(kind: type[Lazy[object]], time: Time) -> None:
    loads = Loads()
    lazy = kind(loads, IDLE_SECONDS, clock=time.clock, new_timer=time.new_timer)
    with lazy.use(), pytest.raises(ZeroDivisionError):
        _ = 1 / 0
    with lazy.use():
        time.passes(3 * IDLE_SECONDS)  # in use: not idle
        assert lazy.loaded
    assert loads.count == 1
    time.passes(IDLE_SECONDS)
    assert not lazy.loaded
    with lazy.use():
        assert loads.count == 2
    lazy.release()
    assert not lazy.loaded
    assert time.timers == []


def test_the_timers_of_threading_do_it_too() -> None:
    gone = threading.Event()

    class Thing:
        def __del__(self) -> None:
            gone.set()

    lazy = Lazy(Thing, idle_seconds=0.01)
    with lazy.use():
        pass
    assert gone.wait(20)
    assert not lazy.loaded


def test_uses_in_a_row_keep_it_and_share_a_timer(time: Time) -> None:
    lazy = Lazy(Loads(), IDLE_SECONDS, clock=time.clock, new_timer=time.new_timer)
    for _ in range(100):
        with lazy.use():
            pass
        time.passes(IDLE_SECONDS / 50)
        assert lazy.loaded
    assert time.started <= 3
    time.passes(IDLE_SECONDS)
    assert not lazy.loaded


def test_a_timer_that_was_cancelled_too_late_does_nothing(time: Time) -> None:
    lazy = Lazy(Loads(), IDLE_SECONDS, clock=time.clock, new_timer=time.new_timer)
    with lazy.use():
        pass
    (late,) = time.timers
    lazy.release()
    time.passes(2 * IDLE_SECONDS)
    with lazy.use():
        pass
    time.passes(IDLE_SECONDS / 2)
    late.act()
    assert lazy.loaded


def test_without_a_limit_it_stays_and_needs_no_thread() -> None:
    lazy = Lazy(Loads())
    before = threading.active_count()
    with lazy.use():
        pass
    assert lazy.loaded
    assert threading.active_count() == before


def test_many_at_once_share_one() -> None:
    asked = threading.Semaphore(0)

    def all_have_asked() -> None:
        for _ in range(4):
            assert asked.acquire(timeout=20)

    loads = Loads(ready=all_have_asked)
    lazy = Lazy(loads)
    everybody = threading.Barrier(4)

    def use() -> object:
        asked.release()
        with lazy.use() as thing:
            everybody.wait(20)
            return thing

    with ThreadPoolExecutor(4) as pool:
        things = {waiting.result() for waiting in [pool.submit(use) for _ in range(4)]}
    assert len(things) == 1
    assert loads.count == 1


def test_an_exclusive_thing_has_one_user_at_a_time() -> None:
    lazy = Exclusive(Loads())
    users, met = 0, threading.Event()

    def use(_: int) -> None:
        nonlocal users
        with lazy.use():
            users += 1
            if users > 1:
                met.set()
            assert not met.wait(0.01), "somebody else came in"
            users -= 1

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(use, range(8)))


def test_a_thing_that_does_not_load_is_tried_again() -> None:
    attempts = iter([OSError("not yet"), "thing"])

    def load() -> object:
        found = next(attempts)
        if isinstance(found, Exception):
            raise found
        return found

    lazy = Lazy(load)
    with pytest.raises(OSError, match="not yet"), lazy.use():
        pass
    with lazy.use() as thing:
        assert thing == "thing"


def test_whoever_still_uses_a_released_thing_keeps_it() -> None:
    loads = Loads()
    lazy = Lazy(loads)
    with lazy.use() as first:
        lazy.release()
        with lazy.use() as second:
            assert first is not second
    assert loads.count == 2
