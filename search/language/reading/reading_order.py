"""Text in pictures, as a person reads it: rows from the top, labels with their values, tables with their heads.

Text recognition gives lines with boxes. Words in one row belong together, a small label belongs to the value
under it, and a sentence may go on in the next line. Pure geometry; knows no recogniser, no question and no model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import fmean

from msgspec import Struct

from search.language.lexical import EMPTY, sentences

Box = tuple[float, float, float, float]  # left, top, right, bottom in parts of the picture

_SAME_ROW = 0.5  # share of the lower line's height that must overlap
_CLOSE = 1.3  # heights of the value between a label and it
_TIGHT = 0.4  # heights of the value at most between it and its label of the same size
_APART = 0.3  # and at least between these and the rows around them
_UNEVEN = 0.4  # heights by which the gaps between the rows of a table differ at most
_LINE_GAP = 0.75  # heights between two lines of one paragraph
_OTHER_SIZE = 1.12  # ratio of heights from which label and value are set apart
_SAME_SIZE = 1.4  # ratio of heights up to which lines are of one size: letters reach up and down, or do not
_LABEL_WORDS = 4
_PROSE_WORDS = 9
_LETTERS_ASIDE = 1.5  # the left edges of one column differ by this many letters at most
_TABLE_ROWS = 3  # with the head
_TABLE_COLUMNS = 3
_LABELLED = re.compile(r"[^\W\d][^\d:]{0,30}:(?:\s|$)")  # a label and its colon, with or without a value


class WrittenLine(Struct, frozen=True):
    """A line as recognised."""

    text: str
    box: Box

    @property
    def height(self) -> float:
        """In parts of the picture."""
        return self.box[3] - self.box[1]

    @property
    def letter(self) -> float:
        """Mean width of a letter, in parts of the picture."""
        return (self.box[2] - self.box[0]) / max(1, len(self.text))


class Unit(Struct, frozen=True):
    """Words that make one statement: what can answer a question."""

    words: str  # as they stand there: what is quoted
    reading: str  # with the headings of a table, for readers that must understand them
    box: Box


def units(lines: Sequence[WrittenLine]) -> list[Unit]:
    """The statements of a page, in reading order."""
    rows = _rows(lines)
    units_read: list[Unit] = []
    at = 0
    while at < len(rows):
        last = _table_end(rows, at)
        if last and _evenly_spaced(rows[at : at + _TABLE_ROWS]):
            units_read += _table(rows[at:last])
            at = last
        elif pairs := _stacked(rows, at):
            units_read += pairs
            at += 2
        elif last:
            units_read += _table(rows[at:last])
            at = last
        elif len(rows[at]) > 1:
            units_read += map(_joined, _told_apart(rows[at]))
            at += 1
        else:
            last = _paragraph_end(rows, at)
            units_read += _sentences([row[0] for row in rows[at:last]])
            at = last
    return units_read


def _rows(lines: Sequence[WrittenLine]) -> list[list[WrittenLine]]:
    rows: list[list[WrittenLine]] = []
    for line in sorted(lines, key=lambda line: (line.box[1] + line.box[3], line.box[0])):
        if rows and _overlap(rows[-1][-1], line) >= _SAME_ROW:
            rows[-1].append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda line: line.box[0]) for row in rows]


def _overlap(a: WrittenLine, b: WrittenLine) -> float:
    shared = min(a.box[3], b.box[3]) - max(a.box[1], b.box[1])
    beside = a.box[2] <= b.box[0] + a.letter or b.box[2] <= a.box[0] + b.letter
    return shared / max(1e-6, min(a.height, b.height)) if beside else 0.0


def _stacked(rows: Sequence[Sequence[WrittenLine]], at: int) -> list[Unit]:
    """A row of labels with the values right below them; empty where there is none."""
    if at + 1 >= len(rows):
        return []
    labels, values = rows[at], rows[at + 1]
    if not all(map(_is_label, labels)) or _gap(labels, values) > _CLOSE * values[0].height:
        return []
    pairs = _by_column(labels, values)
    if not pairs:
        return []
    # What is larger than the line below it is a heading, no label. The height of one line tells little ("Expiry"
    # reaches below it, "Dose" does not), so the width of the letters counts as much.
    higher = fmean(value.height for value in values) / max(1e-6, fmean(label.height for label in labels))
    wider = fmean(value.letter for value in values) / max(1e-6, fmean(label.letter for label in labels))
    larger = higher * wider >= _OTHER_SIZE**2
    colons = all(label.text.rstrip().endswith(":") for label in labels)
    heading = higher * wider * _OTHER_SIZE**2 < 1
    if not larger and not colons and (heading or not _close_together(rows, at)):
        return []
    return [_joined(pair) for pair in pairs]


def _close_together(rows: Sequence[Sequence[WrittenLine]], at: int) -> bool:
    """Do two rows stand much closer to each other than to the rows around them? Then they need no other size."""
    labels, values = rows[at], rows[at + 1]
    height = fmean(line.height for line in values)
    between = max(0.0, _gap(labels, values))
    around = [_gap(*pair) for pair in ((rows[at - 1], labels) if at else (), rows[at + 1 : at + 3]) if len(pair) == 2]
    if between > _TIGHT * height or not around or min(around) < max(_APART * height, 2 * between):
        return False
    if len(labels) > 1 or len(values) > 1:
        return True
    if _goes_on(labels[0], values[0]):
        return False
    if any(letter.isdigit() for letter in values[0].text):
        return True
    # Two lines of one column may be a list of two, unless the rows before or after pair as well.
    beside = [rows[start : start + 2] for start in (at - 2, at + 2) if 0 <= start < len(rows) - 1]
    return any(_gap(*pair) <= _TIGHT * height for pair in beside)


def _gap(upper: Sequence[WrittenLine], lower: Sequence[WrittenLine]) -> float:
    return min(line.box[1] for line in lower) - max(line.box[3] for line in upper)


def _evenly_spaced(rows: Sequence[Sequence[WrittenLine]]) -> bool:
    """As the rows of a table are, and labels with values below them are not."""
    height = fmean(line.height for line in rows[0])
    gaps = [_gap(upper, lower) for upper, lower in pairwise(rows)]
    return max(gaps) - min(gaps) <= _UNEVEN * height


def _by_column(labels: Sequence[WrittenLine], values: Sequence[WrittenLine]) -> list[list[WrittenLine]]:
    """Each label with the value that begins below it; empty where the rows have no columns in common.

    Recognition misses words, so either row may lack some: what has no partner stands alone.
    """
    below = [[value for value in values if _same_left(label, value)] for label in labels]
    paired = [found[0] for found in below if len(found) == 1]
    one_sided = len(paired) in (len(labels), len(values))
    if not paired or not one_sided or len(set(map(id, paired))) < len(paired):
        return []
    if len(labels) != len(values) and max(len(labels), len(values)) > 2 * len(paired):
        return []
    alone = [[value] for value in values if not any(value is held for held in paired)]
    pairs = [[label, *(found if len(found) == 1 else [])] for label, found in zip(labels, below, strict=True)]
    return sorted([*pairs, *alone], key=lambda pair: pair[0].box[0])


def _told_apart(row: Sequence[WrittenLine]) -> list[list[WrittenLine]]:
    """The entries of a row: several where each begins with a label and its colon, as in forms of two columns."""
    starts = [i for i, line in enumerate(row) if _LABELLED.match(line.text.strip())]
    if len(starts) < 2 or starts[0] != 0 or len(row) > 2 * len(starts):
        return [list(row)]
    return [list(row[start:stop]) for start, stop in zip(starts, [*starts[1:], len(row)], strict=True)]


def _is_label(line: WrittenLine) -> bool:
    text = line.text.strip()
    # "Foreman: Marco" has its value already.
    short = len(text.split()) <= _LABEL_WORDS and ": " not in text
    return short and not text.endswith((".", "!", "?")) and not any(letter.isdigit() for letter in text)


def _same_left(a: WrittenLine, b: WrittenLine) -> bool:
    return abs(a.box[0] - b.box[0]) <= _LETTERS_ASIDE * max(a.letter, b.letter)


def _same_column(a: WrittenLine, b: WrittenLine) -> bool:
    middles = abs(a.box[0] + a.box[2] - b.box[0] - b.box[2]) / 2
    rights, nearly = abs(a.box[2] - b.box[2]), _LETTERS_ASIDE * max(a.letter, b.letter)
    return _same_left(a, b) or rights <= nearly or middles <= nearly


def _table_end(rows: Sequence[Sequence[WrittenLine]], at: int) -> int:
    """The index after the last row of a table whose head begins here; 0 if there is none."""
    head = rows[at]
    # Of two columns the first may as well be the label of the second.
    if len(head) < _TABLE_COLUMNS or not all(map(_is_label, head)):
        return 0
    end = at + 1
    while end < len(rows) and _headed(rows[end], head):
        end += 1
    numbers = any(letter.isdigit() for row in rows[at + 1 : end] for cell in row for letter in cell.text)
    return end if end - at >= _TABLE_ROWS and numbers else 0


def _headed(row: Sequence[WrittenLine], head: Sequence[WrittenLine]) -> list[tuple[WrittenLine, WrittenLine]]:
    """The cells of a row with their heads; empty where it is no row of this table. Recognition may have missed some."""
    if len(row) == len(head):
        cells = list(zip(head, row, strict=True))
        return cells if all(_same_column(cell, title) for title, cell in cells[1:]) else []
    under = [[title for title in head if _same_column(cell, title)] for cell in row]
    titles = [found[0] for found in under if len(found) == 1]
    if len(row) < 2 or len(titles) < len(row) or titles[0] is not head[0] or len(set(map(id, titles))) < len(row):
        return []
    return list(zip(titles, row, strict=True))


def _table(rows: Sequence[Sequence[WrittenLine]]) -> Iterator[Unit]:
    head = rows[0]
    yield _joined(head)
    for row in rows[1:]:
        told = ", ".join(f"{title.text} {cell.text}" for title, cell in _headed(row, head))
        yield Unit(" ".join(cell.text for cell in row), told, _around(row))


def _paragraph_end(rows: Sequence[Sequence[WrittenLine]], at: int) -> int:
    end = at + 1
    while end < len(rows) and len(rows[end]) == 1 and _goes_on(rows[end - 1][0], rows[end][0]):
        end += 1
    return end


def _goes_on(line: WrittenLine, following: WrittenLine) -> bool:
    sizes = sorted((line.height, following.height))
    text, first = line.text.rstrip(), following.text.lstrip()[:1]
    if sizes[1] > _SAME_SIZE * sizes[0] or not _same_left(line, following):
        return False
    if following.box[1] - line.box[3] > _LINE_GAP * sizes[0] or text.endswith((".", "!", "?", ":")):
        return False
    if first.islower() or text.rsplit(None, 1)[-1].lower() in EMPTY:
        return True
    # A line of prose that is full goes on; what a list or a form says in one line is shorter.
    if len(text.split()) >= _PROSE_WORDS and line.box[2] >= following.box[2] - _LETTERS_ASIDE * line.letter:
        return True
    # A list's entries begin with capitals and end without a full stop; the rest of a sentence ends with one.
    return len(text.split()) >= _LABEL_WORDS and following.text.rstrip().endswith((".", "!", "?"))


def _sentences(lines: Sequence[WrittenLine]) -> Iterator[Unit]:
    """The sentences of a paragraph, each with its lines."""
    whole = " ".join(line.text.strip() for line in lines)
    ends: list[int] = []
    for line in lines:
        ends.append((ends[-1] + 1 if ends else 0) + len(line.text.strip()))
    start = 0
    for words in sentences(whole):
        start = whole.index(words, start)
        stop = start + len(words)
        held = [
            line for line, end in zip(lines, ends, strict=True) if end > start and end - len(line.text.strip()) < stop
        ]
        yield Unit(words, words, _around(held))
        start = stop


def _joined(row: Sequence[WrittenLine]) -> Unit:
    words = " ".join(line.text.strip() for line in row)
    return Unit(words, words, _around(row))


def _around(lines: Sequence[WrittenLine]) -> Box:
    boxes = [line.box for line in lines]
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
