"""Passages of documents: whole paragraphs of a useful length, with their page or their lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from indexer.decoding.items import SegmentDraft, TextItem
from indexer.segmenting.document_text import MOST_CHARACTERS, DocumentSegmenter, page_passages
from search.results import Box

SENTENCE = "The landlord keeps the deposit until the tenancy has ended and the keys are back. "


def passages(*lines: str) -> list[SegmentDraft]:
    return list(DocumentSegmenter().feed(TextItem([(line, None) for line in lines])))


def placed(texts: list[str], gaps: set[int] = frozenset()) -> list[tuple[str, Box]]:  # type: ignore[assignment]
    """Lines below each other, with a gap before those numbered."""
    top, found = 0.0, []
    for number, text in enumerate(texts):
        top += 0.05 if number in gaps else 0.0
        found.append((text, (0.1, top, 0.9, top + 0.01)))
        top += 0.012
    return found


def test_a_short_text_is_one_passage_with_its_first_line() -> None:
    (draft,) = passages("", "", "The plumber comes", "on Thursday.", "")
    assert (draft.text, draft.line, draft.page) == ("The plumber comes\non Thursday.", 3, None)


def test_a_heading_begins_a_passage() -> None:
    assert [(draft.line, draft.text) for draft in passages("# May", "", "A swarm.", "", "## June", "Honey.")] == [
        (1, "# May\n\nA swarm."),
        (5, "## June\nHoney."),
    ]


def test_long_texts_are_cut_between_paragraphs_and_lines_add_up() -> None:
    lines = [line for _ in range(10) for line in (SENTENCE * 3, SENTENCE * 3, "")]
    passages_cut = passages(*lines)
    assert len(passages_cut) == 10
    for draft in passages_cut:
        assert draft.text is not None
        assert draft.line is not None
        assert lines[draft.line - 1] == draft.text.split("\n")[0] or lines[draft.line - 1].strip() == draft.text.strip()


def test_a_paragraph_in_one_endless_line_is_cut_between_sentences() -> None:
    passages_cut = passages(SENTENCE * 40)
    assert len(passages_cut) > 2
    assert all(len(draft.text or "") <= MOST_CHARACTERS for draft in passages_cut)
    assert {draft.line for draft in passages_cut} == {1}
    assert " ".join(draft.text or "" for draft in passages_cut).split() == (SENTENCE * 40).split()


def test_pages_are_cut_at_gaps_once_there_is_enough() -> None:
    passages_cut = list(page_passages(placed([SENTENCE] * 12, {6})))
    assert [len(passage) for passage in passages_cut] == [6, 6]


def test_a_lonely_number_is_no_passage_of_its_own() -> None:
    passages_cut = list(page_passages(placed([*[SENTENCE] * 6, "12"], {6})))
    assert [len(passage) for passage in passages_cut] == [7]


@given(st.lists(st.text(min_size=1, max_size=400), max_size=30), st.sets(st.integers(0, 30)))
def test_no_line_is_lost_and_none_comes_twice(texts: list[str], gaps: set[int]) -> None:
    lines = placed(texts, gaps)
    assert [line for passage in page_passages(lines) for line in passage] == lines
