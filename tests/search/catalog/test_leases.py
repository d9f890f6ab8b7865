"""Leases under clocks that jump and workers that freeze: nothing is written twice, or by whom it was overtaken."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.catalog_world import add_library, result

from search.catalog import assets, queue, segments
from search.catalog.database import Database
from search.catalog.upkeep import health

LEASE_SECONDS = 60.0
names = itertools.count()
step = st.tuples(
    st.sampled_from(["claim", "finish", "renew", "release"]),
    st.sampled_from(["one", "two", "three"]),
    # How far the database's clock goes on before it: a moment, a lease, a night's suspend; or an hour back.
    st.sampled_from([0.0, 1.0, 59.0, 61.0, 100_000.0, -3600.0]),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(history=st.lists(step, max_size=25))
def test_whatever_clocks_and_workers_do_every_asset_is_written_by_its_latest_claim_once(
    database: Database, history: Sequence[tuple[str, str, float]]
) -> None:
    add_library(database, [f"{next(names)}.jpg" for _ in range(3)])
    now = latest_time = 1_000_000.0
    # What each worker believes to hold. It never forgets, as one that was frozen does not.
    believed: dict[str, dict[int, int]] = {"one": {}, "two": {}, "three": {}}
    latest: dict[int, int] = {}
    for what, owner, seconds in history:
        now += seconds
        latest_time = max(now, latest_time)
        claims = believed[owner]
        with database.write() as connection:
            if what == "claim":
                taken = queue.claims_of(queue.claim(connection, owner, 2, LEASE_SECONDS, now))
                assert all(number > latest.get(asset_id, 0) for asset_id, number in taken.items())
                claims |= taken
                latest |= taken
            elif what == "renew":
                held = queue.renew(connection, claims, LEASE_SECONDS, now)
                assert all(claims[asset_id] == latest[asset_id] for asset_id in held)
            elif what == "release":
                queue.release(connection, claims)
            else:
                done = [result(asset_id, [], ("image", "text")) for asset_id in claims]
                written = queue.finish(connection, claims, done, now)
                assert all(claims[asset_id] == latest[asset_id] for asset_id in written)
    with database.write() as connection:  # whoever comes last finishes what is left
        left = queue.claim(connection, "last", 100, LEASE_SECONDS, latest_time + 10 * LEASE_SECONDS)
        done = [result(record.id, [], ("image", "text")) for record in left]
        assert queue.finish(connection, queue.claims_of(left), done) == {record.id for record in left}
        indexed = assets.list_assets(connection, limit=1000)
        assert {record.status for record in indexed} == {"indexed"}
        assert all(len(segments.segments_of(connection, record.id)) == 2 for record in indexed)
        assert health.inspect(connection).healthy
