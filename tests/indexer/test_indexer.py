"""What workers share opens whatever only captions need."""

from __future__ import annotations

import msgspec
import pytest

from indexer.indexer import Indexer
from search.catalog.database import Database
from search.settings import Settings


@pytest.mark.models
@pytest.mark.parametrize("encoder", ["starter", "ViT-B-32:openai"])  # a file is broken; none is for the encoder
def test_an_adapter_that_can_not_be_used_costs_captions_and_nothing_else(
    database: Database, settings: Settings, caplog: pytest.LogCaptureFixture, encoder: str
) -> None:
    if encoder == "starter":
        settings.adapters.mkdir(parents=True)
        (settings.adapters / "junk.safetensors").write_bytes(b"nothing")
    settings = msgspec.structs.replace(settings, vision=True, vision_encoder=encoder)
    with Indexer(settings, database) as indexer:
        indexer.worker()
    assert caplog.text.count("Pictures get no captions") == 1
