"""What reads hits: an answer never fails for want of a look."""

from __future__ import annotations

import dataclasses

import msgspec
import pytest
from support.word_library import WordLibrary, opened

from search.catalog.database import Database
from search.readers import Readers
from search.settings import Settings


def test_an_adapter_that_can_not_be_used_costs_looks_and_no_answers(
    database: Database, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings = msgspec.structs.replace(settings, vision=True)
    junk = settings.adapters / "junk.safetensors"
    junk.parent.mkdir(parents=True)
    junk.write_bytes(b"nothing")
    with opened(WordLibrary(database), settings) as engine:
        readers = Readers(settings, database)
        for space_id in (1, 2):
            record = msgspec.structs.replace(engine.active_space.record, id=space_id)
            assert readers.answerer(dataclasses.replace(engine.active_space, record=record))
    assert caplog.text.count("junk.safetensors: no multimodal adapter") == 1
