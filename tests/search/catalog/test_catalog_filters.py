"""Conditions mean the same in Python and in both databases: random trees against a plain oracle."""

from __future__ import annotations

import fnmatch
import math
import random
import unicodedata
from typing import Any

import numpy as np
import pytest
from support.catalog_world import claims_held, found

from search.catalog import assets, queue, segments, sources
from search.catalog.database import Database
from search.catalog.records import (
    AssetFacts,
    AssetRecord,
    FoundFile,
    IndexedAsset,
    NewSegment,
    SegmentRecord,
)
from search.catalog.states import AssetStatus
from search.query.conditions import (
    EARTH_RADIUS_METERS,
    And,
    CameraContains,
    CapturedBefore,
    CapturedFrom,
    Compare,
    Condition,
    Field,
    InBox,
    InRadius,
    KindIs,
    LanguageIs,
    Not,
    Operator,
    Or,
    PathMatches,
    PlaceIs,
    SignalIs,
    SourceIs,
)
from search.query.parse import condition_of
from search.results import Filters, Kind
from search.signals import Signal

NAMES = [
    "a.jpg",
    "2024/b.JPG",
    "2024/c [1].png",
    "x/ö ü.jpg",
    "x/y/z]^-.mp4",
    "1*?.wav",
    "n\new.jpg",
    "back\\slash.jpg",
    "cafe\u0301/MU\u0308NCHEN.JPG",
    "Caf\xe9/\u039f\u0394\u039f\u03a3.png",
    "\u0130zmir \u1e9e.jpg",
]
CAMERAS = [None, "Canon EOS 5D", "NIKON d750", "Ünïcam 100%", "U\u0308NI\u0308CAM 100%"]
LANGUAGES = [None, "en", "en-GB", "EN-us", "eng", "de"]
PLACES = [None, (48.1, 11.6), (48.2, 11.7), (-33.9, 151.2), (0.0, 179.9), (0.0, -179.9), (90.0, 0.0)]
PLACE_NAMES = {
    (48.1, 11.6): ["munich", "germany", "münchen", "de"],
    (48.2, 11.7): ["munich", "germany", "münchen", "de"],
    (-33.9, 151.2): ["sydney", "australia", "au"],
    (0.0, 179.9): [],
    (0.0, -179.9): [],
    (90.0, 0.0): [],
}
GLOBS = [
    "*.jpg",
    "*",
    "?.jpg",
    "2024/*",
    "*/2024/*",
    "b.JPG",
    "*[1]*",
    "*[[]1]*",
    "[!a]*",
    "*[a-c].jpg",
    "*[c-a].jpg",
    "*[!c-a].jpg",
    "*[]^-]*",
    "*[^]*",
    "[^a]*",
    "*[",
    "*\\*",
    "/media/*",
    "*ö*",
    "*[ö-ü]*",
    "*\n*",
    "(*|+)",
    "x/**/z*",
    "",
    "caf\xe9/*",
    "*CAFE\u0301/m\xfcnchen.*",
    "*\u03bf\u03b4\u03bf\u03c3*",
    "\u039f\u0394\u039f\u03a3.png",
    "i\u0307zmir*",
    "*[*",
]


def fill(database: Database, dice: random.Random) -> None:
    """Two sources with a random library."""
    with database.write() as connection:
        first = sources.add_source(connection, "/media", now=1.0)
        second = sources.add_source(connection, "/other", now=1.0)
        times = [10**9, 1_500_000_000, 1_500_000_000_123_456_789, 2 * 10**18]
        for source, names in ((first, NAMES * 3), (second, NAMES)):
            files = [
                FoundFile(
                    path=found(f"{i // 8}/{name}").path,
                    path_bytes=f"{i} {name}".encode(),
                    size_bytes=dice.choice([0, 1000, 5 * 10**12]),
                    modified_ns=dice.choice(times),
                )
                for i, name in enumerate(names)
            ]
            assets.sync_assets(connection, source.id, files, now=1.0)
        claimed = queue.claim(connection, "one", 1000, 60)
        queue.finish(
            connection, claims_held(connection, "one"), [random_result(record.id, dice) for record in claimed[:-1]]
        )
        assets.set_missing(connection, [claimed[3].id])


def random_result(asset_id: int, dice: random.Random) -> IndexedAsset:
    latitude, longitude = dice.choice(PLACES) or (None, None)
    facts = AssetFacts(
        width=dice.choice([None, 100, 4000]),
        height=dice.choice([None, 100, 3000]),
        duration_seconds=dice.choice([None, 0.5, 60.0]),
        pages=dice.choice([None, 1, 100]),
        captured_at=dice.choice([None, 1.0, 1_500_000_000.0]),
        latitude=latitude,
        longitude=longitude,
        camera=dice.choice(CAMERAS),
        language=dice.choice(LANGUAGES),
    )
    signals = dice.sample([str(signal) for signal in Signal], dice.randrange(3))
    return IndexedAsset(
        asset_id=asset_id,
        kind=str(dice.choice(list(Kind))),
        content_hash="0",
        facts=facts,
        segments=[NewSegment(signal=signal) for signal in signals],
    )


def random_leaf(dice: random.Random) -> Condition:
    moment = dice.choice([0.5, 1.0, 1_500_000_000.0, 1.9e9])
    leaves: list[Condition] = [
        KindIs(dice.choice(list(Kind))),
        SignalIs(dice.choice(list(Signal))),
        Compare(dice.choice(list(Field)), dice.choice(list(Operator)), dice.choice([0.0, 0.5, 100.0, 99.5, 5e12])),
        CapturedFrom(moment),
        CapturedBefore(moment),
        PathMatches(dice.choice(GLOBS)),
        SourceIs(dice.choice(["/media", "/other", "1", "2", "/med", "99", "9" * 30, "²"])),
        CameraContains(dice.choice(["canon", "D750", "ünï", "100%", "_", "e"])),
        PlaceIs(
            dice.choice(
                ["Munich", "MU\u0308NCHEN", "Munich, Germany", "de,", "Mun", "Sydney, Germany", "%", ",", "a\nb"]
            )
        ),
        LanguageIs(dice.choice(["en", "EN-gb", "de", "e"])),
        InBox(-40.0, 11.6, 48.1, 160.0),
        InBox(-1.0, 179.0, 1.0, -179.0),
        InRadius(0.0, 180.0, dice.choice([11_000.0, 12_000.0, 2e7])),
        InRadius(48.1, 11.6, dice.choice([0.0, 15_000.0])),
    ]
    return dice.choice(leaves)


def random_tree(dice: random.Random, depth: int) -> Condition:
    if depth == 0 or dice.random() < 0.3:
        return random_leaf(dice)
    if dice.random() < 0.3:
        return Not(random_tree(dice, depth - 1))
    joins = dice.random() < 0.5
    inner = tuple(random_tree(dice, depth - 1) for _ in range(dice.randrange(1, 4)))
    return And(inner) if joins else Or(inner)


def holds(condition: Condition, asset: AssetRecord, signal: str, roots: dict[int, str]) -> bool:
    """The oracle: what search/query/conditions.py says, in plain Python."""
    match condition:
        case And(inner):
            return all(holds(each, asset, signal, roots) for each in inner)
        case Or(inner):
            return any(holds(each, asset, signal, roots) for each in inner)
        case Not(inner):
            return not holds(inner, asset, signal, roots)
        case SignalIs(wanted):
            return signal == wanted
        case KindIs(kind):
            return asset.kind == kind
        case Compare(field, operator, value):
            return _compared(field, operator, value, asset)
        case CapturedFrom(moment):
            return _time(asset) >= moment
        case CapturedBefore(moment):
            return _time(asset) < moment
        case PathMatches(glob, exact):
            return _path_matches(asset.path, glob, exact)
        case SourceIs(source):
            return source == str(asset.source_id) or _name(source) == _name(roots[asset.source_id])
        case CameraContains(words):
            return asset.camera is not None and _name(words) in _name(asset.camera)
        case PlaceIs(names):
            known = PLACE_NAMES.get((asset.latitude or 0.0, asset.longitude or 0.0), [])
            parts = [_name(part.strip()) for part in names.split(",") if part.strip()]
            return bool(parts) and all(part in known for part in parts)
        case LanguageIs(language):
            spoken = _folded(asset.language or "")
            return bool(spoken) and (spoken == _folded(language) or spoken.startswith(_folded(language) + "-"))
        case InBox(south, west, north, east):
            return _in_box(asset, south, west, north, east)
        case InRadius(latitude, longitude, radius):
            return asset.latitude is not None and _distance(asset, latitude, longitude) <= radius
    raise AssertionError(condition)


def _compared(field: Field, operator: Operator, value: float, asset: AssetRecord) -> bool:
    columns = {
        "duration": asset.duration_seconds,
        "size": asset.size_bytes,
        "width": asset.width,
        "height": asset.height,
        "pages": asset.pages,
    }
    number = columns[field]
    if number is None:
        return False
    return {
        "<": number < value,
        "<=": number <= value,
        "=": number == value,
        ">=": number >= value,
        ">": number > value,
    }[operator]


def _time(asset: AssetRecord) -> float:
    return asset.modified_ns / 1e9 if asset.captured_at is None else asset.captured_at


def _path_matches(path: str, glob: str, exact: bool) -> bool:
    path, glob = (unicodedata.normalize("NFC", text) if exact else _name(text) for text in (path, glob))
    glob = glob.replace("[", "[[]")
    return fnmatch.fnmatchcase(path, glob) or fnmatch.fnmatchcase(path, f"*/{glob}")


def _name(text: str) -> str:
    """As people compare names; a final sigma is a sigma."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower()).replace("ς", "σ")


def _folded(words: str) -> str:
    return "".join(letter.lower() if letter.isascii() else letter for letter in words)


def _in_box(asset: AssetRecord, south: float, west: float, north: float, east: float) -> bool:
    if asset.latitude is None or asset.longitude is None or not south <= asset.latitude <= north:
        return False
    if west <= east:
        return west <= asset.longitude <= east
    return asset.longitude >= west or asset.longitude <= east


def _distance(asset: AssetRecord, latitude: float, longitude: float) -> float:
    """By the spherical law of cosines in vectors: another road than the catalogue's haversine."""

    def direction(lat: float, lon: float) -> np.ndarray:
        lat, lon = math.radians(lat), math.radians(lon)
        return np.array([math.cos(lat) * math.cos(lon), math.cos(lat) * math.sin(lon), math.sin(lat)])

    a, b = direction(asset.latitude or 0, asset.longitude or 0), direction(latitude, longitude)
    angle = math.atan2(float(np.linalg.norm(np.cross(a, b))), float(a @ b))
    return EARTH_RADIUS_METERS * angle if angle > 1e-12 else 0.0


def library(database: Database) -> tuple[list[SegmentRecord], dict[int, str]]:
    with database.read() as connection:
        roots = {record.id: record.root for record in sources.list_sources(connection)}
        everything = segments.hydrate(connection, range(1, 500))
    return everything, roots


@pytest.mark.parametrize("seed", range(3))
def test_random_conditions_mean_what_the_oracle_says(database: Database, seed: int) -> None:
    dice = random.Random(seed)
    fill(database, dice)
    everything, roots = library(database)
    assert len(everything) > 20
    for _ in range(100):
        condition = random_tree(dice, 3)
        signal = dice.choice([None, *Signal])
        expected = [
            record.id
            for record in everything
            if (signal is None or record.signal == signal) and holds(condition, _asset(record), record.signal, roots)
        ]
        with database.read() as connection:
            chosen = segments.filter_segments(connection, condition, signal)
            number = segments.count_segments(connection, condition, signal)
            listed = [
                record.id
                for record in assets.list_assets(connection, condition, limit=1000, status=AssetStatus.INDEXED)
            ]
        assert chosen.dtype == np.int64
        assert sorted(chosen.tolist()) == expected, condition
        assert number == len(expected)
        if signal is None:
            assert set(listed) >= {record.asset_id for record in everything if record.id in set(expected)}


def _asset(record: SegmentRecord) -> AssetRecord:
    assert record.asset is not None
    return record.asset


@pytest.mark.parametrize("exact", [False, True])
def test_a_glob_means_the_same_on_both_databases(database: Database, exact: bool) -> None:
    fill(database, random.Random(1))
    with database.read() as connection:
        every = assets.list_assets(connection, limit=1000)
        for glob in GLOBS:
            chosen = assets.list_assets(connection, PathMatches(glob, exact), limit=1000)
            expected = [record.id for record in every if _path_matches(record.path, glob, exact)]
            assert [record.id for record in chosen] == expected, glob


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("path:*café/*", ["Cafe\u0301/IMG_1 [1].JPG"]),  # a Mac's decomposed é, a typist's composed one
        ("path:*cafe\u0301/*", ["Cafe\u0301/IMG_1 [1].JPG"]),
        ('path:"img_1 [1].jpg"', ["Cafe\u0301/IMG_1 [1].JPG"]),  # brackets are brackets
        ("path:img_*", ["Cafe\u0301/IMG_1 [1].JPG", "img_2.jpg"]),
        ("path=IMG_*", ["Cafe\u0301/IMG_1 [1].JPG"]),  # this very case
        ("path=*Café*", ["Cafe\u0301/IMG_1 [1].JPG"]),
        ("path=*café*", []),
        ("source:/MÉDIA", ["Cafe\u0301/IMG_1 [1].JPG", "img_2.jpg"]),
        ("source:/média/", ["Cafe\u0301/IMG_1 [1].JPG", "img_2.jpg"]),
    ],
)
def test_names_are_found_however_they_are_written(database: Database, query: str, found: list[str]) -> None:
    with database.write() as connection:
        source = sources.add_source(connection, "/Me\u0301dia")
        names = ["Cafe\u0301/IMG_1 [1].JPG", "img_2.jpg"]
        files = [
            FoundFile(path=f"/Me\u0301dia/{name}", path_bytes=name.encode(), size_bytes=1, modified_ns=1)
            for name in names
        ]
        assets.sync_assets(connection, source.id, files)
    with database.read() as connection:
        listed = assets.list_assets(connection, condition_of(Filters(where=query)))
    assert [record.path.removeprefix("/Me\u0301dia/") for record in listed] == found


def test_a_hostile_glob_does_not_stop_the_catalogue(database: Database) -> None:
    long = FoundFile(path="/" + "a" * 4000, path_bytes=b"a", size_bytes=1, modified_ns=1)
    with database.write() as connection:
        source = sources.add_source(connection, "/")
        assets.sync_assets(connection, source.id, [long])
    for glob in ("*a" * 200 + "b", "*[a]" * 200 + "b", "[" * 500, "?" * 3000 + "b", "a\0b\ud800"):
        with database.read() as connection:
            assert assets.list_assets(connection, PathMatches(glob)) == []


def test_an_unknown_fact_neither_holds_nor_fails_silently(database: Database) -> None:
    fill(database, random.Random(2))
    with database.read() as connection:
        with_canon: Any = assets.list_assets(connection, CameraContains("canon"), limit=1000)
        without = assets.list_assets(connection, Not(CameraContains("canon")), limit=1000)
        every = assets.list_assets(connection, limit=1000)
    assert any(record.camera is None for record in without)
    assert len(with_canon) + len(without) == len(every)
