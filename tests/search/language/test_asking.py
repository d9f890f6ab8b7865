"""What a line tells before it asks."""

from __future__ import annotations

import pytest

from search.language.lexical import told_before_asking


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("The viewing is on Thursday, at eight, ok?", "The viewing is on Thursday, at eight,"),
        ("A voucher for the spa would be more relaxing, wouldn't it?", "A voucher for the spa would be more relaxing,"),
        ("Amp is dead since Monday. Could one of you lend me one?", "Amp is dead since Monday."),
        ("Do not come before eight, is that ok?", "Do not come before eight,"),
        ("The viewing is Thursday — ok?", "The viewing is Thursday —"),
        ("When do we meet on Friday?", ""),
        ("Is the shop open on Monday, Tuesday the 3rd, or Wednesday?", ""),
        ("Could we meet on Friday, say at eight o'clock, or is that too late?", ""),
        ("You coming Thursday at eight, or Friday?", ""),
        ("When do we meet, at nine?", ""),
        ("Anna, when do we meet?", ""),
        ("If it rains on Friday, do we meet at nine?", ""),
        ("Is it cold? Do we go?", ""),
        ("?", ""),
        ("", ""),
    ],
)
def test_only_what_is_no_question_tells(text: str, told: str) -> None:
    assert told_before_asking(text) == told
