"""What holds for every service that these tests start."""

from __future__ import annotations

import pytest

from api.http import auth


@pytest.fixture(autouse=True)
def _keys_are_read_for_every_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that a test makes holds at once: the second for which a service trusts what it read is no test's race."""
    monkeypatch.setattr(auth, "REREAD_SECONDS", 0.0)
