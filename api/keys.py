"""What a key is: its form, its hash, and what its scopes include. Loads nothing heavy."""

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
    """What the catalogue stores of a key."""
    return hashlib.sha256(key.encode()).hexdigest()
