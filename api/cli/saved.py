"""`medley saved`: searches that are kept, and what is new in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
import msgspec

from api.alert_runner import alert_once
from api.cli.options import filter_options, filters_of, json_option
from api.cli.output import print_json, print_result, print_table, printable
from api.cli.status import opened_database
from api.serializers import delivery_view, saved_search_view
from search.alerts.saved_query import SavedQuery
from search.alerts.saved_searches import Change
from search.alerts.webhooks import event_body
from search.catalog.alerts import deliveries, saved_searches
from search.catalog.database import Database
from search.catalog.records import SavedSearchRecord
from search.engine import SearchEngine
from search.settings import Settings


@click.group(short_help="Searches that are kept, and new files that match them.")
def saved() -> None:
    """Keep searches, look at what they find, and follow the new files that match them.

    New files are compared while `medley serve` runs, or by `medley saved check`.
    """


@saved.command()
@click.argument("name")
@click.argument("text", default="")
@filter_options
@click.option("--relevance", type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="From which a new file is told of; without it, as the space's calibration says.")  # fmt: skip
@click.option("--webhook", "webhook_url", metavar="URL", help="Where events are sent, signed.")
@click.option("--quiet", is_flag=True, help="Raise no events: a collection to look at.")
@json_option
def add(
    name: str, text: str, relevance: float | None, webhook_url: str | None, quiet: bool, as_json: bool, **given: Any
) -> None:
    """Keep the search TEXT, in the query language, under NAME."""
    with _engine() as engine:
        query = SavedQuery(text=text, filters=filters_of(given))
        record = engine.saved_searches.create(
            name, query, relevance=relevance, notify=not quiet, webhook_url=webhook_url
        )
        reach = engine.saved_searches.reach(record)
    if as_json:
        print_json(saved_search_view(record, 0, record.webhook_secret, reach))
        return
    click.echo(f"Kept as {printable(record.name)!r}.")
    if record.notify and reach.falls_short:
        click.echo(
            f"You are told of new files from a relevance of {reach.needed:.2f} on, and the best file of now has "
            f"{reach.best:.2f}. To hear of less likely ones: medley saved change {record.id} --relevance ..."
        )
    if record.webhook_secret:
        click.echo(f"Its webhook's secret, shown only now: {record.webhook_secret}")


@saved.command()
@click.argument("name")
@click.option("--name", "new_name", metavar="NAME", help="Another name.")
@click.option("--text", help="Another query, in the query language.")
@click.option("--relevance", type=click.FloatRange(0, 1, min_open=True, max_open=True),
              help="From which a new file is told of.")  # fmt: skip
@click.option("--webhook", "webhook_url", metavar="URL", help="Where events are sent, signed; '' for nowhere.")
@click.option("--notify/--quiet", default=None, help="Raise events, or none.")
def change(
    name: str,
    new_name: str | None,
    text: str | None,
    relevance: float | None,
    webhook_url: str | None,
    notify: bool | None,
) -> None:
    """Change the saved search NAME (or its id); what isn't given stays. It holds for files to come."""
    given = {"name": new_name, "text": text, "relevance": relevance, "notify": notify}
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    if webhook_url is not None:
        values["webhook_url"] = webhook_url or None
    with _engine() as engine:
        before = _named(engine.database, name)
        record = engine.saved_searches.change(before.id, Change(**values))
    click.echo(f"Kept as {printable(record.name)!r}.")
    if record.webhook_secret and record.webhook_secret != before.webhook_secret:
        click.echo(f"Its webhook's secret, shown only now: {record.webhook_secret}")


@saved.command("list")
@json_option
def list_saved(as_json: bool) -> None:
    """Show all saved searches."""
    with opened_database() as database, database.read() as connection:
        records = saved_searches.list_saved_searches(connection)
        counts = saved_searches.event_counts(connection, [record.id for record in records])
    views = [saved_search_view(record, counts.get(record.id, 0)) for record in records]
    if as_json:
        print_json({"items": views, "next_cursor": None})
    elif not views:
        click.echo("No search is saved: medley saved add NAME TEXT")
    else:
        rows = [(view.id, printable(view.name), str(view.events), _asked(view.text, view.filters)) for view in views]
        print_table(rows, ("id", "name", "events", "query"))


@saved.command()
@click.argument("name")
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True, help="How many hits.")
@json_option
def show(name: str, limit: int, as_json: bool) -> None:
    """Show what the saved search NAME (or its id) finds now."""
    with _engine() as engine:
        query = engine.saved_searches.query(_named(engine.database, name))
        result = engine.search(msgspec.structs.replace(query, limit=limit))
    if as_json:
        print_json(result)
    else:
        print_result(result)


@saved.command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 1000), default=20, show_default=True, help="How many events.")
@json_option
def events(name: str | None, limit: int, as_json: bool) -> None:
    """Show the new files that matched the saved search NAME, or any of them, the newest first."""
    with opened_database() as database:
        record = _named(database, name) if name else None
        with database.read() as connection:
            recorded = saved_searches.events_before(connection, saved_id=record.id if record else None, limit=limit)
            ids = sorted({event.saved_search_id for event in recorded})
            known = {saved.id: saved for saved in saved_searches.saved_searches_of(connection, ids)}
        told = [event_body(database, event, known[event.saved_search_id]) for event in recorded]
    if as_json:
        print_json({"items": told, "next_cursor": None})
    elif not told:
        click.echo("Nothing new has matched yet.")
    else:
        rows = [
            (
                event_view["created_at"],
                printable(event_view["saved_search"]["name"]),
                f"{event_view['relevance']:.0%}",
                _path(event_view),
            )
            for event_view in told
        ]
        print_table(rows, ("when", "saved search", "sure", "file"))


@saved.command("deliveries")
@click.argument("name")
@click.option("--retry", is_flag=True, help="Send what was given up once more.")
@json_option
def list_deliveries(name: str, retry: bool, as_json: bool) -> None:
    """Show what became of the events of the saved search NAME on their way to its webhook."""
    with opened_database() as database:
        record = _named(database, name)
        if retry:
            with database.write() as connection:
                count = deliveries.retry_deliveries(connection, record.id)
            click.echo(f"{count} {'event is' if count == 1 else 'events are'} sent again.", err=True)
        with database.read() as connection:
            views = [delivery_view(delivery) for delivery in deliveries.list_deliveries(connection, record.id)]
    if as_json:
        print_json({"items": views, "next_cursor": None})
    elif not views:
        click.echo("Nothing was sent yet." if record.webhook_url else "It has no webhook.")
    else:
        rows = [
            (
                delivery.event_id,
                delivery.state,
                str(delivery.attempts),
                str(delivery.status or ""),
                printable(delivery.error or ""),
            )
            for delivery in views
        ]
        print_table(rows, ("event", "state", "attempts", "status", "error"))


@saved.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget the saved search NAME (or its id), with its events."""
    with opened_database() as database:
        record = _named(database, name)
        with database.write() as connection:
            saved_searches.remove_saved_search(connection, record.id)
    click.echo(f"The saved search {printable(record.name)!r} is forgotten.")


@saved.command()
def check() -> None:
    """Compare new files with all saved searches and notify webhooks, once; for libraries without a running service."""
    with _engine() as engine:
        with engine.database.read() as connection:
            before = saved_searches.latest_event(connection)
        alert_once(engine)
        with engine.database.read() as connection:
            told = saved_searches.events_after(connection, before, limit=saved_searches.MOST_EVENTS)
    count = len({event.asset_id for event in told})
    click.echo(f"{count} new {'file matches' if count == 1 else 'files match'}.")


@contextmanager
def _engine() -> Iterator[SearchEngine]:
    engine = SearchEngine.open(Settings.load())
    try:
        yield engine
    finally:
        engine.close()


def _named(database: Database, name: str) -> SavedSearchRecord:
    with database.read() as connection:
        known = {record.name: record for record in saved_searches.list_saved_searches(connection)}
        if name not in known and name.isascii() and name.isdecimal():
            return saved_searches.get_saved_search(connection, int(name[:18]))
        return known[name] if name in known else saved_searches.get_saved_search(connection, name)


def _asked(text: str, filters: Any) -> str:
    given = msgspec.json.encode(filters).decode()
    return printable(" ".join(part for part in (text, given if given != "{}" else "") if part))


def _path(event: dict[str, Any]) -> str:
    return printable(event["asset"]["path"]) if event["asset"] else "(gone)"
