"""Options that several commands share, and the filters and queries that they make."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from search.results import Filters, Kind
from search.signals import Signal

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")

_FILTER_OPTIONS = (
    click.option("--kind", multiple=True, type=click.Choice([k.value for k in Kind]), help="Only this kind of asset."),
    click.option(
        "--signal", multiple=True, type=click.Choice([s.value for s in Signal]), help="Only this kind of evidence."
    ),
    click.option("--after", metavar="DATE", help="Captured at this date or later, e.g. 2024-07."),
    click.option("--before", metavar="DATE", help="Captured at this date or earlier."),
    click.option("--path", "paths", metavar="GLOB", multiple=True, help="Only paths like this, e.g. '*.jpg'."),
    click.option("--source", "sources", metavar="ROOT", multiple=True, help="Only this source, by root or id."),
)


def filter_options(command: Command) -> Command:
    """Add the filters to a command; it receives them as keyword arguments for `filters_of`."""
    for option in reversed(_FILTER_OPTIONS):
        command = option(command)
    return command


def filters_of(given: dict[str, Any]) -> Filters:
    """The filters from a command's keyword arguments."""
    return Filters(
        kind=tuple(Kind(kind) for kind in given["kind"]),
        signal=tuple(Signal(signal) for signal in given["signal"]),
        after=given["after"],
        before=given["before"],
        path=tuple(given["paths"]),
        source=tuple(given["sources"]),
    )
