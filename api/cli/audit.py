"""`medley audit`: does everything hold what it should, and does search find what exact search finds?"""

from __future__ import annotations

import click

from api.audit import Audit
from api.audit import audit as look
from api.cli.options import json_option
from api.cli.output import print_json, print_table, printable
from api.cli.status import counted
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
        report = look(engine)
    finally:
        engine.close()
    if as_json:
        print_json(report)
    else:
        _print(report)
    if report.problems:
        count = len(report.problems)
        raise MedleyError(f"the audit found {count} problem{'s' if count > 1 else ''}: {report.problems[0]}")


def _print(report: Audit) -> None:
    counts = report.assets
    click.echo(f"{counts.total} files: {counts.indexed} searchable, {counts.quarantined} quarantined")
    if report.noted:
        click.echo(f"{report.noted} of them hold less than they promise, and say so: {counted(report.noted_by_kind)}")
    for space in report.spaces:
        click.echo(f"space {printable(space.name)}: {space.problem or 'as it was made'} ({space.fingerprint[:12]})")
    rows = [
        (holding.signal, str(holding.vectors), str(holding.segments), str(holding.orphans), str(holding.missing))
        for holding in report.holdings
    ]
    print_table(rows, ("signal", "vectors", "segments", "orphans", "missing"))
    for partition in report.partitions:
        kind = "approximate" if partition.approximate else "exact"
        recalls = ", ".join(f"{row.recall:.3f} at {row.selectivity:.1%}" for row in partition.recall)
        click.echo(f"recall@10 of {partition.signal} ({kind}, {partition.queries} queries): {recalls}")
    for problem in report.problems:
        click.echo(f"problem: {problem}")
