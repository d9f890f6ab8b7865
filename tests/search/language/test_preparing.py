"""The embedded model is made ready before anybody asks."""

from __future__ import annotations

import msgspec
import pytest

from search.language import backends, embedded_model
from search.settings import Settings


def test_only_the_embedded_model_needs_preparing_and_only_once(settings: Settings) -> None:
    assert backends.needs_preparing(settings)
    assert not backends.needs_preparing(msgspec.structs.replace(settings, llm="openai:some-model"))
    folder = settings.models / f"smollm2-135m-{embedded_model.GGUF.sha256[:12]}"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    assert not backends.needs_preparing(settings)


def test_what_can_not_be_prepared_stops_nobody(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    settings.models.parent.mkdir(parents=True, exist_ok=True)
    settings.models.write_text("a file where the folder should be")
    backends.prepare(settings)
    assert "can't be prepared" in caplog.text
