"""Large things load at their first use, once, and are let go when nobody uses them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from search.lazy import Exclusive, Lazy


class Loads:
    """Counts, and gives something new each time."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> object:
        self.count += 1
        time.sleep(0.02)
        return object()


def wait_until_gone(lazy: Lazy[object]) -> None:
    deadline = time.monotonic() + 5
    while lazy.loaded:
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)


@pytest.mark.parametrize("kind", [Lazy, Exclusive])
def test_a_thing_loads_once_and_is_let_go_when_idle(kind: type[Lazy[object]]) -> None:
    loads = Loads()
    lazy = kind(loads, idle_seconds=0.05)
    with lazy.use(), pytest.raises(ZeroDivisionError):
        _ = 1 / 0
    with lazy.use():
        time.sleep(0.15)  # in use: not idle
        assert lazy.loaded
    assert loads.count == 1
    wait_until_gone(lazy)
    with lazy.use():
        assert loads.count == 2
    lazy.release()
    assert not lazy.loaded


def test_uses_in_a_row_keep_it_and_start_no_thread_each() -> None:
    lazy = Lazy(Loads(), idle_seconds=0.5)
    before = threading.active_count()
    began = time.monotonic()
    while time.monotonic() - began < 0.8:
        with lazy.use():
            assert threading.active_count() <= before + 1
        time.sleep(0.005)
    assert lazy.loaded
    wait_until_gone(lazy)


def test_without_a_limit_it_stays_and_needs_no_thread() -> None:
    lazy = Lazy(Loads())
    before = threading.active_count()
    with lazy.use():
        pass
    assert lazy.loaded
    assert threading.active_count() == before


def test_many_at_once_share_one() -> None:
    loads = Loads()
    lazy = Lazy(loads)
    everybody = threading.Barrier(4)

    def use() -> object:
        with lazy.use() as thing:
            everybody.wait(5)
            return thing

    with ThreadPoolExecutor(4) as pool:
        things = {waiting.result() for waiting in [pool.submit(use) for _ in range(4)]}
    assert len(things) == 1
    assert loads.count == 1


def test_an_exclusive_thing_has_one_user_at_a_time() -> None:
    lazy = Exclusive(Loads())
    users: list[int] = []

    def use(number: int) -> None:
        with lazy.use():
            users.append(number)
            time.sleep(0.01)
            assert users[-1] == number, "somebody else came in"

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
