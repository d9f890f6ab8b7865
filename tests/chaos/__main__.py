"""`python -m chaos`: every attack, large; prints a table in Markdown and exits with 1 when a promise was broken.

Runs on this machine alone, with scratch databases and folders of its own. Bounded in time: an attack goes on for
`--seconds` (damaged files for twice that), and then its result is looked at.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy import make_url

from chaos import files, homes, refusals, traffic, workers
from chaos.report import Row, table

CUTS = "connections cut"
# By name: seconds between two of them, and what does them.
DISTURBANCES: dict[str, tuple[tuple[float, float], Callable[[workers.Clocks], workers.Disturb]]] = {
    "kills": ((0.2, 1.2), lambda _clocks: workers.kill),
    "freezes": ((0.2, 1.0), lambda _clocks: workers.freeze),
    "clock steps": ((0.1, 0.6), workers.step_clock),
}
POSTGRES = "postgresql://postgres@127.0.0.1:5432/postgres"


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="most for one attack (default: 300)")
    parser.add_argument("--times", type=int, default=200, help="kills, freezes, steps and cuts of one attack")
    parser.add_argument("--files", type=int, default=400, help="files that disturbed workers index")
    parser.add_argument("--damaged", type=int, default=5000, help="damaged files")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--postgres", default=POSTGRES, help="a server on which databases may be made; empty: none")
    parser.add_argument("--only", default="", help="attacks whose name holds this word")
    wanted = parser.parse_args()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="medley-chaos-") as scratch:
        for name, run in _attacks(wanted, Path(scratch)):
            if wanted.only in name:
                print(f"{name} ...", file=sys.stderr, flush=True)
                found = run()
                rows += found if isinstance(found, list) else [found]
    print(table(rows))
    return int(any(row.broken for row in rows))


def _attacks(wanted: argparse.Namespace, scratch: Path) -> Iterator[tuple[str, Callable[[], Row | list[Row]]]]:
    for dialect in ("sqlite", *(["postgresql"] if wanted.postgres else [])):
        for name in DISTURBANCES:
            yield f"{name} {dialect}", partial(_disturbed, wanted, scratch, dialect, name)
    if wanted.postgres:
        yield f"{CUTS} postgresql", partial(_disturbed, wanted, scratch, "postgresql", CUTS)
    if workers.has_namespaces():
        folder, url = scratch / "mounts", _sqlite(scratch / "mounts")
        yield "mounts", partial(workers.blind_worker, url, folder / "run", files=100, seconds=wanted.seconds)
        if wanted.postgres:
            yield "homes", partial(_homes, wanted, scratch)
    folder, url = scratch / "damaged", _sqlite(scratch / "damaged")
    yield "damaged files", partial(files.attack, folder, url, files=wanted.damaged, seconds=wanted.seconds * 2)
    yield "refusals", partial(refusals.attack, scratch / "refusals")
    yield (
        "traffic",
        partial(traffic.attack, scratch / "traffic", connections=wanted.connections, seconds=wanted.seconds),
    )


def _disturbed(wanted: argparse.Namespace, scratch: Path, dialect: str, name: str) -> Row:
    folder = scratch / f"{name} {dialect}"
    with _database(wanted, folder, dialect) as url:
        pause, disturb = DISTURBANCES.get(name) or ((0.1, 0.8), lambda _clocks: workers.cut_connections(url))
        return workers.attack(
            name,
            url,
            folder / "run",
            files=wanted.files,
            times=wanted.times,
            seconds=wanted.seconds,
            pause=pause,
            disturb=disturb,
        )


def _homes(wanted: argparse.Namespace, scratch: Path) -> Row:
    with _database(wanted, scratch, "postgresql") as url:
        return homes.attack(url, scratch / "homes", files=60, seconds=wanted.seconds)


def _sqlite(folder: Path) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{folder / 'catalogue.sqlite'}"


@contextmanager
def _database(wanted: argparse.Namespace, folder: Path, dialect: str) -> Iterator[str]:
    if dialect == "sqlite":
        yield _sqlite(folder)
        return
    name = sql.Identifier(f"medley_chaos_{uuid.uuid4().hex[:8]}")
    with psycopg.connect(wanted.postgres, autocommit=True) as server:
        server.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(name))
    try:
        yield make_url(wanted.postgres).set(database=name.as_string().strip('"')).render_as_string(hide_password=False)
    finally:
        with psycopg.connect(wanted.postgres, autocommit=True) as server:
            server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


if __name__ == "__main__":
    sys.exit(main())
