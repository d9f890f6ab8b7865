"""`medley audit`: does everything hold what it should, and does search find what exact search finds?"""

from __future__ import annotations

import click

from api.auditing import Audit
from api.auditing import audit as look
from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from search.engine import SearchEngine
from search.errors import MedleyError
from search.settings import Settings


@click.command(short_help="Check files, vectors, recall and fingerprints.")
@json_option
def audit(as_json: bool) -> None:
    """Compare files, segments, vectors and fingerprints, and search with exact search, per filter.

    The exit status is 1 when something is wrong.
    """
    engine = SearchEngine.open(Settings.load())
    try:
        found = look(engine)
    finally:
        engine.close()
    if as_json:
        print_json(found)
    else:
        _print(found)
    if found.problems:
        count = len(found.problems)
        raise MedleyError(f"the audit found {count} problem{'s' if count > 1 else ''}: {found.problems[0]}")


def _print(found: Audit) -> None:
    counts = found.assets
    click.echo(f"{counts.total} files: {counts.indexed} searchable, {counts.quarantined} quarantined")
    for space in found.spaces:
        click.echo(f"space {printable(space.name)}: {space.problem or 'as it was made'} ({space.fingerprint[:12]})")
    rows = [
        (one.signal, str(one.vectors), str(one.segments), str(one.orphans), str(one.missing)) for one in found.holdings
    ]
    print_table(rows, ("signal", "vectors", "segments", "orphans", "missing"))
    for partition in found.partitions:
        kind = "approximate" if partition.approximate else "exact"
        recalls = ", ".join(f"{row.recall:.3f} at {row.selectivity:.1%}" for row in partition.recall)
        click.echo(f"recall@10 of {partition.signal} ({kind}, {partition.queries} queries): {recalls}")
    for problem in found.problems:
        click.echo(f"problem: {problem}")
