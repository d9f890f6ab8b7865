"""Profiles: how stores are reached and with which credentials, in the file `stores.toml` of the home folder.

    [minio]                                    # the profile's name, which a source may name
    url = "s3://photos"                        # used for roots below it even if no source names it
    endpoint_url = "http://127.0.0.1:9000"
    key = "..."
    secret = "$MINIO_SECRET"                   # a value may be an environment variable

Nothing of it is written anywhere else, shown or logged. Knows the file; knows no store.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.errors import StoreError, UsageError

FILE_NAME = "stores.toml"


@dataclass(frozen=True)
class Profile:
    """How a store is reached. Without a name: as the environment says."""

    name: str = ""
    url: str = ""  # the roots that it is for; empty: only where it is named
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


def profile_for(home: Path, root: str, name: str) -> Profile:
    """The profile that a source names, or the one whose `url` fits its root best. Raises StoreError.

    A name that is in no file is passed on: some libraries (AWS) have profiles of their own.
    """
    known = _read(home)
    if name:
        return known.get(name) or Profile(name)
    fitting = [profile for profile in known.values() if profile.url and is_below(root, profile.url)]
    return max(fitting, key=lambda profile: len(profile.url), default=Profile())


def is_below(root: str, url: str) -> bool:
    """Is this root the place that `url` names, or below it?"""
    base = url.rstrip("/")
    return root == base or root.startswith(base if base.endswith(":") else base + "/")


def checked_for_http(home: Path, root: str, name: str) -> str:
    """A profile that a caller over HTTP names: it must say that it is for this root. Raises UsageError.

    Otherwise its credentials could be sent anywhere.
    """
    if name:
        profile = _read(home).get(name)
        if profile is None or not profile.url or not is_below(root, profile.url):
            raise UsageError(f"there is no profile {name!r} in {FILE_NAME} whose url fits this root")
    return name


def _read(home: Path) -> dict[str, Profile]:
    path = home / FILE_NAME
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        # The reason of a syntax error quotes no value; the place is enough.
        raise StoreError(f"{path}: can't be read as TOML: {type(error).__name__}") from None
    profiles = {}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise StoreError(f"{path}: {name} is outside of every profile; write [name] above it")
        options = _with_variables(table)
        profiles[name] = Profile(name, str(options.pop("url", "")), options)
    return profiles


def _with_variables(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_variables(entry) for key, entry in value.items()}
    return os.path.expandvars(value) if isinstance(value, str) else value
