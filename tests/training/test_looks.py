"""The table of how often looks are right."""

from __future__ import annotations

from typing import Any

import msgspec

from search.language.looking import Chances
from training.looks import BY_HAND, table


def row(kind: str, right: bool, told: str = "two") -> dict[str, Any]:
    return {"kind": kind, "told": told, "right": right}


def test_what_is_printed_is_the_file_of_the_adapter_that_was_asked() -> None:
    rows = [row("count", True), row("count", True), row("count", False), row("count", False, told="")]
    made = table(rows, Chances.load(), "another")
    assert made.adapter == "another"
    assert made.count == 0.6  # two of the three that were said
    assert made.doing == 0.5  # nobody asked
    assert msgspec.json.decode(msgspec.json.encode(made), type=Chances) == made


def test_figures_set_by_hand_stay() -> None:
    before = msgspec.structs.replace(Chances.load(), colour=0.4, heard=0.3)
    made = table([row("colour", True)] * 9, before, before.adapter)
    assert [getattr(made, kind) for kind in sorted(BY_HAND)] == [0.4, 0.3]
