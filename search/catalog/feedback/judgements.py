"""Judgements: whether an asset is a right answer to a query, as judged by a user of the library."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import Connection, delete, func, insert, select

from search.catalog.models import asset, judgement
from search.catalog.records import JudgementRecord
from search.catalog.sequence import now_or
from search.catalog.sql.cleaning import clean_text
from search.errors import NotFoundError, UsageError

MOST_JUDGEMENTS = 100_000


def judge(
    connection: Connection, query: str, asset_id: int, relevant: int, now: float | None = None
) -> JudgementRecord:
    """Say how relevant (0: not at all) an asset is for a query; what was said before of the two is replaced.

    Raises NotFoundError without such an asset, UsageError where there are more than MOST_JUDGEMENTS.
    """
    query = clean_text(query).strip()
    if not connection.execute(select(asset.c.id).where(asset.c.id == asset_id)).one_or_none():
        raise NotFoundError(f"there is no asset {asset_id}")
    if count_judgements(connection) >= MOST_JUDGEMENTS:
        raise UsageError(f"there are {MOST_JUDGEMENTS} judgements, which is the most: `medley judgements clear`")
    same = (judgement.c.query == query, judgement.c.asset_id == asset_id)
    connection.execute(delete(judgement).where(*same))
    values = {"query": query, "asset_id": asset_id, "relevant": relevant, "created_at": now_or(now)}
    made = connection.execute(insert(judgement).values(**values).returning(judgement.c.id)).scalar_one()
    return list_judgements(connection, made - 1, 1)[0]


def list_judgements(
    connection: Connection, after: int = 0, limit: int = MOST_JUDGEMENTS, query: str | None = None
) -> list[JudgementRecord]:
    """Judgements with ids above `after`, in the order in which they were made, with their assets' paths.

    Of one query, as typed, or of all.
    """
    statement = (
        select(judgement, asset.c.path)
        .join(asset, asset.c.id == judgement.c.asset_id)
        .where(judgement.c.id > after)
        .order_by(judgement.c.id)
        .limit(limit)
    )
    if query is not None:
        statement = statement.where(judgement.c.query == clean_text(query).strip())
    return [JudgementRecord(*row) for row in connection.execute(statement)]


def count_judgements(connection: Connection) -> int:
    """How many there are."""
    return int(connection.execute(select(func.count()).select_from(judgement)).scalar_one())


def assets_named(connection: Connection, paths: Collection[str]) -> dict[str, list[int]]:
    """Ids of the assets that each path means: their whole path, or its end after a slash."""
    by_name: dict[str, list[str]] = {}
    for path in paths:
        by_name.setdefault(path.rsplit("/", 1)[-1], []).append(path)
    named: dict[str, list[int]] = {path: [] for path in paths}
    whole: set[str] = set()
    for asset_id, held in connection.execute(select(asset.c.id, asset.c.path)):
        for path in by_name.get(held.rsplit("/", 1)[-1], ()):
            if held == path:
                # The whole path is meant, whatever else ends like it.
                named[path] = [*named[path], asset_id] if path in whole else [asset_id]
                whole.add(path)
            elif path not in whole and held.endswith(f"/{path}"):
                named[path].append(asset_id)
    return named


def forget_judgement(connection: Connection, judgement_id: int) -> None:
    """Take one back. Raises NotFoundError."""
    if not connection.execute(delete(judgement).where(judgement.c.id == judgement_id)).rowcount:
        raise NotFoundError(f"there is no judgement {judgement_id}")


def forget_judgements(connection: Connection) -> int:
    """Take all back; how many there were."""
    return int(connection.execute(delete(judgement)).rowcount)
