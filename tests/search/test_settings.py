"""Settings: what is wrong is noticed when they are read, and what they say is read somewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import get_origin

import msgspec
import pytest
from support.paths import ROOT

from search.errors import SettingsError
from search.settings import Settings


@pytest.mark.parametrize("name", ["MEDLEY_INDEX", "MEDLEY_SPEECH_BACKEND", "MEDLEY_LOG_LEVEL"])
def test_a_word_that_a_setting_does_not_know_is_refused_when_settings_are_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=name.removeprefix("MEDLEY_").lower()):
        Settings.load({name: "fiass"}, home=tmp_path)


def test_a_log_level_may_be_in_capitals(tmp_path: Path) -> None:
    assert Settings.load({"MEDLEY_LOG_LEVEL": "DEBUG"}, home=tmp_path).log_level == "debug"


@pytest.mark.parametrize("key", ["workers", "max_query_caracters"])
def test_an_unknown_setting_is_refused_in_the_file_and_in_the_environment(tmp_path: Path, key: str) -> None:
    with pytest.raises(SettingsError, match=f"MEDLEY_{key.upper()}"):
        Settings.load({f"MEDLEY_{key.upper()}": "1"}, home=tmp_path)
    (tmp_path / "medley.toml").write_text(f"{key} = 1\n")
    with pytest.raises(SettingsError, match=rf"medley\.toml.*{key}"):
        Settings.load({}, home=tmp_path)


def test_a_setting_is_known_by_its_earlier_name(tmp_path: Path) -> None:
    assert Settings.load({"MEDLEY_ALLOW_URLS": "true"}, home=tmp_path).allow_downloads
    (tmp_path / "medley.toml").write_text("allow_urls = true\n")
    assert Settings.load({}, home=tmp_path).allow_downloads


def test_every_list_may_come_from_the_environment(tmp_path: Path) -> None:
    lists = [field.name for field in msgspec.structs.fields(Settings) if get_origin(field.type) is tuple]
    assert {"allowed_roots", "trusted_proxies", "cors_origins"} <= set(lists)
    for name in lists:
        separator = os.pathsep if name == "allowed_roots" else ","
        settings = Settings.load({f"MEDLEY_{name.upper()}": f"/one{separator} /two"}, home=tmp_path)
        assert [str(value) for value in getattr(settings, name)] == ["/one", "/two"]


def test_every_setting_is_read_somewhere() -> None:
    code = "\n".join(
        path.read_text("utf-8")
        for package in ("search", "indexer", "api")
        for path in (ROOT / package).rglob("*.py")
        if path != ROOT / "search" / "settings.py"
    )
    own = (ROOT / "search" / "settings.py").read_text("utf-8").partition("    @property")[2]
    limits = (ROOT / "indexer" / "decoding" / "items.py").read_text("utf-8").partition("class Limits")[2]
    unread = [
        name
        for name in Settings.__struct_fields__
        if not re.search(rf"(settings|self|where)\.{name}\b", code + own) and not re.search(rf"\b{name}:", limits)
    ]
    assert unread == []


def test_the_documented_defaults_are_those_of_the_code() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    code = (ROOT / "search" / "settings.py").read_text("utf-8")
    for name, shown in re.findall(r"(?m)^\| `([a-z_]+)` \| `([^`]+)` \|", page):
        assert re.search(rf"(?m)^    {name}: .+ = {re.escape(shown)}(  #.*)?$", code), f"{name} = {shown}"
