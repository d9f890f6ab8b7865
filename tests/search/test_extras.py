"""What is not installed is named with the command that installs it; the rest goes on."""

from __future__ import annotations

import importlib
import sys

import pytest

from search.catalog.database import Database
from search.errors import CatalogError, SpaceError
from search.settings import Settings
from search.spaces import registry


def hide(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """As if it were not installed."""
    for loaded in [module for module in sys.modules if module == name or module.startswith(name + ".")]:
        monkeypatch.delitem(sys.modules, loaded)
    monkeypatch.setitem(sys.modules, name, None)  # importing it fails then


def test_postgresql_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    hide(monkeypatch, "psycopg")
    with pytest.raises(CatalogError, match=r"psycopg.*medley-search\[postgresql\]"):
        Database.open("postgresql://postgres@127.0.0.1/never_asked")


def test_open_clip_is_an_extra(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    importlib.import_module("search.spaces.clip_space")
    for module in ("search.spaces.clip", "search.spaces.clip_space"):
        monkeypatch.delitem(sys.modules, module)
    hide(monkeypatch, "open_clip")
    with pytest.raises(SpaceError, match=r"open_clip.*medley-search\[clip\]"):
        registry.complete(registry.describe("ViT-B-32", "openai"), settings)
