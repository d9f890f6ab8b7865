"""Text seen is read as a person reads it: rows, labels with their values, tables with their heads, whole sentences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.language.reading.reading_order import WrittenLine, units

LETTER, HEIGHT = 0.012, 0.03


def line(text: str, left: float, top: float, scale: float = 1.0) -> WrittenLine:
    return WrittenLine(text, (left, top, left + LETTER * scale * len(text), top + HEIGHT * scale))


def read(*lines: WrittenLine) -> list[str]:
    return [unit.words for unit in units(lines)]


def test_a_label_and_the_value_at_the_other_edge_are_one_statement_with_one_box() -> None:
    statements = units([line("CHF 642.00", 0.7, 0.301), line("Total", 0.1, 0.3), line("Nights 3", 0.1, 0.2)])
    assert [unit.words for unit in statements] == ["Nights 3", "Total CHF 642.00"]
    assert statements[1].box[:2] == (0.1, 0.3)
    assert statements[1].box[2] > 0.8


def test_a_small_label_belongs_to_the_larger_value_below_it() -> None:
    lines = [line("Gate", 0.1, 0.1, 0.7), line("B12", 0.1, 0.13), line("Seat", 0.6, 0.1, 0.7), line("14C", 0.6, 0.13)]
    assert read(*lines) == ["Gate B12", "Seat 14C"]


def test_a_value_that_was_not_recognised_leaves_its_label_alone() -> None:
    labels = [line(text, left, 0.1, 0.7) for text, left in (("Gate", 0.1), ("Seat", 0.4), ("Boarding", 0.7))]
    assert read(*labels, line("B12", 0.1, 0.13), line("11:20", 0.7, 0.13)) == ["Gate B12", "Seat", "Boarding 11:20"]


def test_a_label_that_was_not_recognised_leaves_its_value_alone() -> None:
    values = [line(text, left, 0.13) for text, left in (("B12", 0.1), ("14C", 0.4), ("11:20", 0.7))]
    assert read(line("Gate", 0.1, 0.1, 0.7), line("Boarding", 0.7, 0.1, 0.7), *values) == [
        "Gate B12",
        "14C",
        "Boarding 11:20",
    ]


def test_values_under_no_label_belong_to_none() -> None:
    lines = [line("Gate", 0.1, 0.1, 0.7), line("Seat", 0.6, 0.1, 0.7), line("B12", 0.3, 0.13), line("14C", 0.8, 0.13)]
    assert read(*lines) == ["Gate Seat", "B12 14C"]


def test_a_form_in_two_columns_has_two_statements_a_row() -> None:
    assert read(line("Name: Anna", 0.1, 0.1), line("Seat: 14C", 0.5, 0.1)) == ["Name: Anna", "Seat: 14C"]
    apart = [line("Name:", 0.1, 0.1), line("Anna", 0.25, 0.1), line("Seat:", 0.5, 0.1), line("14C", 0.65, 0.1)]
    assert read(*apart) == ["Name: Anna", "Seat: 14C"]


def test_a_line_with_its_own_value_is_no_label_of_the_next() -> None:
    lines = [line("Foreman: Marco", 0.1, 0.1, 0.8), line("Early payment: 94%", 0.1, 0.13)]
    assert read(*lines) == ["Foreman: Marco", "Early payment: 94%"]


def test_a_heading_is_no_label() -> None:
    assert read(line("Hotel Alpenblick", 0.1, 0.1, 1.6), line("Zermatt", 0.1, 0.16)) == ["Hotel Alpenblick", "Zermatt"]


def test_labels_as_large_as_their_values_are_known_by_standing_close_to_them() -> None:
    labels = [line("SSID", 0.1, 0.3), line("Key", 0.5, 0.3)]
    values = [line("Pension-Free", 0.1, 0.335), line("daisy51", 0.5, 0.335)]
    assert read(
        line("Blue Door", 0.1, 0.2), *labels, *values, line("Help desk", 0.1, 0.43), line("+87 77", 0.1, 0.465)
    ) == [
        "Blue Door",
        "SSID Pension-Free",
        "Key daisy51",
        "Help desk +87 77",
    ]
    # At equal distances nothing says what belongs to what.
    assert read(line("Bread", 0.1, 0.1), line("Milk", 0.1, 0.15), line("Eggs", 0.1, 0.2)) == ["Bread", "Milk", "Eggs"]


def test_the_head_of_a_table_is_no_row_of_labels_for_its_first_row() -> None:
    texts = (("Team", "Played", "Points"), ("Wanderers", "45", "36"), ("Falcons", "55", "15"))
    rows = [
        line(text, left, 0.1 + 0.05 * row, 0.9 if row == 0 else 1.1)
        for row, cells in enumerate(texts)
        for text, left in zip(cells, (0.1, 0.4, 0.7), strict=True)
    ]
    assert read(*rows) == ["Team Played Points", "Wanderers 45 36", "Falcons 55 15"]


def test_a_row_that_lacks_a_cell_is_read_with_the_heads_of_those_it_has() -> None:
    head = [line("Destination", 0.1, 0.1), line("Departs", 0.4, 0.1), line("Stand", 0.7, 0.1)]
    rows = [line("Chur", 0.1, 0.15), line("19:05", 0.4, 0.15), line("Milan", 0.1, 0.2), line("4", 0.7, 0.2)]
    assert [unit.reading for unit in units([*head, *rows])][1:] == [
        "Destination Chur, Departs 19:05",
        "Destination Milan, Stand 4",
    ]


def test_a_row_of_a_table_is_read_with_the_heads_and_quoted_without() -> None:
    head = [line("Train", 0.1, 0.1), line("Departs", 0.4, 0.1), line("Track", 0.7, 0.1)]
    rows = [
        line(text, left, 0.15 + 0.05 * row)
        for row, texts in enumerate((("IC 8", "09:32", "4"), ("S 3", "09:40", "7")))
        for text, left in zip(texts, (0.1, 0.4, 0.7), strict=True)
    ]
    statements = units([*head, *rows])
    assert [unit.words for unit in statements[1:]] == ["IC 8 09:32 4", "S 3 09:40 7"]
    assert statements[2].reading == "Train S 3, Departs 09:40, Track 7"


def test_a_sentence_goes_on_in_the_next_line_of_its_bubble() -> None:
    lines = [
        line("We meet at the north", 0.1, 0.1),
        line("entrance. Bring the", 0.1, 0.135),
        line("tickets.", 0.1, 0.17),
    ]
    assert read(*lines) == ["We meet at the north entrance.", "Bring the tickets."]
    assert units(lines)[1].box[1] == 0.135


def test_entries_of_a_list_stay_apart() -> None:
    assert read(line("Bread and butter", 0.1, 0.1), line("Apples", 0.1, 0.135)) == ["Bread and butter", "Apples"]


boxes = st.tuples(*(st.floats(0, 0.9) for _ in range(2)), st.floats(0.001, 0.1), st.floats(0.001, 0.1)).map(
    lambda edges: (edges[0], edges[1], edges[0] + edges[2], edges[1] + edges[3])
)


@given(
    st.lists(
        st.builds(WrittenLine, st.from_regex(r"[A-Za-z]{1,8}( [0-9a-z]{1,5}){0,3}", fullmatch=True), boxes), max_size=30
    )
)
def test_no_word_is_lost_or_invented_whatever_the_page(lines: list[WrittenLine]) -> None:
    told = " ".join(unit.words for unit in units(lines)).split()
    assert sorted(told) == sorted(" ".join(held.text for held in lines).split())
