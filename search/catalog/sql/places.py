"""The places where assets were captured: each one's names once, and which of them a word means.

Knows search/gazetteer.py and the table `place`. Places that nothing lies at any more stay: there are few.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import ColumnElement, Connection, and_, func, literal, select
from sqlalchemy.dialects import postgresql, sqlite

from search.catalog.models import asset, place
from search.catalog.records import AssetFacts
from search.catalog.sql.cleaning import clean_text
from search.catalog.sql.globs import folded
from search.gazetteer import Place, find_place


def place_of(facts: AssetFacts) -> Place | None:
    """The place of an asset, where it has coordinates and something lies near them."""
    if facts.latitude is None or facts.longitude is None:
        return None
    return find_place(facts.latitude, facts.longitude)


def remember_places(connection: Connection, places: Iterable[Place | None]) -> None:
    """Keep the names of those that are not known yet."""
    found = {one.name: one for one in places if one is not None}
    known = set(connection.scalars(select(place.c.name).where(place.c.name.in_(list(found))))) if found else set()
    rows = [row_of(one) for name, one in sorted(found.items()) if name not in known]
    if rows:
        insert = sqlite.insert if connection.dialect.name == "sqlite" else postgresql.insert
        connection.execute(insert(place).on_conflict_do_nothing(), rows)  # another worker may have come first


def row_of(one: Place) -> dict[str, str]:
    """A place as its row."""
    names = "".join(f"\n{folded(name)}" for name in one.names) + "\n"
    return {"name": one.name, "area": one.area, "names": names}


def captured_in(text: str, dialect: str) -> ColumnElement[bool]:
    """Captured in a place of which every part, between commas, is one of the names: "paris", "Paris, France"."""
    wanted = [f"\n{folded(part)}\n" for part in _parts(text)]
    position = func.instr if dialect == "sqlite" else func.strpos
    within = select(place.c.name).where(and_(*(position(place.c.names, literal(one)) > 0 for one in wanted)))
    return asset.c.place.in_(within)


def _parts(text: str) -> Sequence[str]:
    parts = [part.strip() for part in (clean_text(text) or "").replace("\n", " ").split(",")]
    return [part for part in parts if part] or [""]
