"""Text, Markdown and subtitles by themselves: their words, in whatever encoding, and no garbage."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support import media

from indexer.decoding.child import decode
from indexer.decoding.items import SubtitleItem, TextItem
from search.errors import PermanentMediaError
from search.results import Kind
from search.settings import Settings

RUSSIAN = "Завтра мы едем на дачу. Купить хлеб, молоко и сыр. Позвонить бабушке вечером.\n"


def lines_of(path: Path, settings: Settings) -> list[str]:
    items = list(decode(media.request(path, settings)))
    assert media.facts_of(items).kind is Kind.DOCUMENT
    (text,) = [item for item in items if isinstance(item, TextItem)]
    assert text.page is None
    return [line for line, _ in text.lines]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1251"])
def test_text_is_read_in_the_encoding_that_it_was_written_in(tmp_path: Path, settings: Settings, encoding: str) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(RUSSIAN.encode(encoding))
    assert lines_of(path, settings)[0] == RUSSIAN.strip()


def test_lines_are_numbered_as_editors_do(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"one\r\ntwo\x0b\x0cstill two\rthree\n\nfive")
    assert lines_of(path, settings) == ["one", "two\x0b\x0cstill two", "three", "", "five"]


def test_markdown_has_its_first_heading_as_title(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "README.md"
    path.write_text("<!-- made by hand -->\n\n# Beekeeping diary #\n\nHoney.\n")
    assert media.facts_of(list(decode(media.request(path, settings)))).facts.title == "Beekeeping diary"


@pytest.mark.parametrize("start", ["<?xml version='1.0'?><svg>", "#EXTM3U", "v=0"])
def test_what_a_text_begins_with_makes_nothing_else_of_it(tmp_path: Path, settings: Settings, start: str) -> None:
    path = tmp_path / "notes.md"
    path.write_text(f"{start}\nwords of a person\n")
    assert lines_of(path, settings)[1] == "words of a person"


@pytest.mark.parametrize("data", [b"\n \n\t\n", b"--- *** ---\n"])
def test_without_a_word_there_is_nothing_to_find(tmp_path: Path, settings: Settings, data: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(data)
    with pytest.raises(PermanentMediaError, match="holds no words"):
        list(decode(media.request(path, settings)))


def test_more_than_the_limit_is_cut_and_the_note_says_which_setting(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("word " * 100)
    few = msgspec.structs.replace(settings, max_text_bytes=50)
    items = list(decode(media.request(path, few)))
    assert media.notes_of(items) == "90% of the text is missing (max_text_bytes = 50)"


def test_subtitles_by_themselves_keep_their_times_and_their_language(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "film.de.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,500\nGuten Morgen, Herr Kapitän.\n", "utf-8")
    items = list(decode(media.request(path, settings)))
    (words,) = [item for item in items if isinstance(item, SubtitleItem)]
    assert words.lines == [(1.0, 2.5, "Guten Morgen, Herr Kapitän.")]
    assert (words.language, media.facts_of(items).facts.language) == ("de", "de")


def test_program_text_is_no_document_by_its_looks(tmp_path: Path, settings: Settings) -> None:
    path = tmp_path / "notes.py"
    path.write_text("print('hello')\n")
    with pytest.raises(PermanentMediaError, match="is a text file"):
        list(decode(media.request(path, settings)))
