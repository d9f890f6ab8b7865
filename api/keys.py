"""The form of API keys, their hashes, and what scopes include. Imports nothing heavy."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping

#: what a scope includes
SCOPES: Mapping[str, frozenset[str]] = {
    "read": frozenset({"read"}),
    "write": frozenset({"read", "write"}),
    "admin": frozenset({"read", "write", "admin"}),
}
KEY_PREFIX = "medley_"


def new_key() -> tuple[str, str]:
    """A new key, shown once, and the hash to store."""
    key = KEY_PREFIX + secrets.token_urlsafe(32)
    return key, hash_of(key)


def hash_of(key: str) -> str:
    """The hash of a key, which is all that the catalogue stores."""
    return hashlib.sha256(key.encode()).hexdigest()
