"""Words that come with a file are read, whatever form they have, and can be written out again."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import media

from indexer.decoding import audio, video
from indexer.decoding.items import Line, SubtitleItem
from indexer.decoding.sidecars import words_of
from indexer.decoding.subtitles import parse
from indexer.previews.subtitle_export import captions, to_srt, to_vtt
from indexer.segmenting.passages import LONGEST_CHARACTERS
from indexer.segmenting.speech import SpeechSegmenter
from indexer.segmenting.transcriber import Utterance
from search.catalog.records import SegmentRecord
from search.settings import Settings

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Good morning,</i>
captain.

2
00:00:03,000 --> 00:00:04,000
{\\an8}The bridge &amp; the river.
"""
LINES = [(1.0, 2.5, "Good morning, captain."), (3.0, 4.0, "The bridge & the river.")]


def subtitles(items: Sequence[object]) -> list[tuple[float, float, str]]:
    return [line for item in items if isinstance(item, SubtitleItem) for line in item.lines]


def test_subrip_is_read_without_its_markup() -> None:
    assert parse(SRT, ".srt") == LINES


def test_webvtt_is_read_with_settings_and_notes() -> None:
    text = (
        "WEBVTT\n\nNOTE made by hand\n\nfirst\n00:01.000 --> 00:02.500 align:start\n<v Anna>Good morning,\ncaptain.\n"
    )
    assert parse(text, ".vtt") == LINES[:1]


def test_lyrics_last_until_the_next_line_and_refrains_have_several_times() -> None:
    lines = parse("[ti:Song]\n[00:01.00][00:05.00]Refrain\n[00:03.50]Verse\n", ".lrc")
    assert lines == [(1.0, 3.5, "Refrain"), (3.5, 5.0, "Verse"), (5.0, 10.0, "Refrain")]


def test_captions_that_roll_are_said_once() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:02.000\nsame words\n\n00:02.000 --> 00:03.000\nsame words\n"
    assert parse(text, ".vtt") == [(1.0, 3.0, "same words")]


@pytest.mark.parametrize(("write", "extension"), [(to_srt, ".srt"), (to_vtt, ".vtt")])
def test_what_is_written_can_be_read_again(write: Callable[[Sequence[Line]], str], extension: str) -> None:
    lines = [(1.0, 2.5, "One --> two & <three>?"), (3661.25, 3662.0, "later")]
    again = parse(write(lines), extension)
    assert [line[:2] for line in again] == [line[:2] for line in lines]
    assert again[1][2] == "later"


CUE = "1\n00:00:01,000 --> 00:00:02,000\n"


@pytest.mark.parametrize(
    ("text", "extension"),
    [
        (CUE + "<" * 4_000_000, ".srt"),
        (CUE + "{\\" * 2_000_000, ".srt"),
        (CUE + "".join(f"<{n}" for n in range(500_000)), ".vtt"),
        ("".join(f"{CUE}line {n}\n\n" for n in range(100_000)), ".srt"),
        ("[00:01.00]" * 200_000 + "la " * 500_000, ".lrc"),
    ],
)
@pytest.mark.timeout(60)
def test_subtitles_made_to_be_slow_are_cut(text: str, extension: str) -> None:
    lines = parse(text, extension)
    assert 0 < len(lines) <= 100_000
    assert max(len(words) for _, _, words in lines) <= 500
    segmenter = SpeechSegmenter(NoTranscriber())
    drafts = list(segmenter.feed(SubtitleItem(lines)))
    assert max(len(draft.text or "") for draft in drafts) <= LONGEST_CHARACTERS


class NoTranscriber:
    """Is not asked where there are subtitles."""

    def transcribe(self, stretches: object, language: str) -> list[Utterance]:
        raise AssertionError("somebody listened")

    def release(self) -> None:
        """Nothing to let go of."""


@given(st.text(max_size=400), st.sampled_from([".srt", ".vtt", ".lrc"]))
def test_no_text_breaks_the_reader(text: str, extension: str) -> None:
    for start, end, words in parse(text + "\n1\n00:00:01,000 --> 00:00:02,000\nx\n", extension):
        assert start <= end
        assert words.strip()


def test_a_side_car_is_used_and_tells_its_language(tmp_path: Path, settings: Settings) -> None:
    path = media.write_wav(tmp_path / "talk.wav", media.tone(5))
    (tmp_path / "talk.de.srt").write_text(SRT, "utf-8")
    items = list(audio.decode(media.request(path, settings)))
    assert subtitles(items) == LINES
    assert next(item for item in items if isinstance(item, SubtitleItem)).language == "de"


def test_a_side_car_of_another_file_is_not_used(tmp_path: Path, settings: Settings) -> None:
    path = media.write_wav(tmp_path / "talk.wav", media.tone(1))
    (tmp_path / "talk2.srt").write_text(SRT, "utf-8")
    assert not subtitles(list(audio.decode(media.request(path, settings))))


@pytest.mark.parametrize(
    ("media_name", "files", "used"),
    [
        (b"talk.mp4", [b"talk.vtt", b"talk.en.srt", b"talk.srt"], ".srt"),
        (b"talk.mp4", [b"talk.mp4.srt", b"talk.en.srt"], ".mp4.srt"),
        (b"talk.mp4", [b"talk.pt-BR.forced.SRT"], ".pt-BR.forced.SRT"),
        (b"talk.mp4", [b"talk.2.srt", b"talkative.srt", b"talk.txt", b"Talk.srt"], None),
        (b"talk.jpg", [b"talk.srt"], None),
        (b"song.\xff.flac", [b"song.\xff.lrc"], ".lrc"),
    ],
)
def test_which_side_car_belongs_to_a_file(
    tmp_path: Path, media_name: bytes, files: list[bytes], used: str | None
) -> None:
    for name in files:
        (tmp_path / os.fsdecode(name)).write_text("words")
    found = next(iter(words_of(tmp_path / os.fsdecode(media_name))), None)
    assert (found and found.ending) == used
    if used == ".pt-BR.forced.SRT":
        assert found
        assert found.language == "pt-BR"


def test_a_folder_or_pipe_of_that_name_is_no_side_car(tmp_path: Path) -> None:
    (tmp_path / "talk.srt").mkdir()
    os.mkfifo(tmp_path / "talk.vtt")
    assert words_of(tmp_path / "talk.wav") == []


def test_huge_subtitles_are_left_out_with_the_setting_and_the_file_is_kept(tmp_path: Path, settings: Settings) -> None:
    path = media.write_wav(tmp_path / "talk.wav", media.tone(1))
    with (tmp_path / "talk.srt").open("wb") as file:
        file.truncate(1024**3)  # a gigabyte that takes no disk
    items = list(audio.decode(media.request(path, settings)))
    assert "max_subtitle_bytes" in media.notes_of(items)
    assert len(media.sound_of(items))


@pytest.mark.parametrize(
    ("container", "codec"), [("mkv", "srt"), ("mp4", "mov_text"), ("mkv", "ass"), ("webm", "webvtt")]
)
def test_a_subtitle_track_is_read(tmp_path: Path, settings: Settings, container: str, codec: str) -> None:
    (tmp_path / "s.srt").write_text(SRT.replace("{\\an8}", ""), "utf-8")
    encode = ("-c:v", "libvpx-vp9", "-deadline", "realtime") if container == "webm" else ("-c:v", "libx264")
    source = media.colour_clip(tmp_path / "a.mp4", ["red", "blue"], 3.0)
    path = tmp_path / f"b.{container}"
    media.ffmpeg("-i", source, "-i", tmp_path / "s.srt", *encode, "-c:s", codec, "-map", "0:v", "-map", "1:s", path)
    lines = subtitles(list(video.decode(media.request(path, settings))))
    assert [line[2] for line in lines] == [line[2] for line in LINES]
    assert [line[0] for line in lines] == pytest.approx([line[0] for line in LINES], abs=0.05)
    assert lines[0][1] == pytest.approx(2.5, abs=0.05)


def segment(signal: str, start: float, end: float, text: str, details: bytes | None = None) -> SegmentRecord:
    return SegmentRecord(
        id=1, asset_id=1, ordinal=0, signal=signal, start_seconds=start, end_seconds=end, text=text, details=details
    )


def spoken(words: list[tuple[float, float, str]], **more: object) -> SegmentRecord:
    details = msgspec.json.encode({"words": words, **more})
    text = " ".join(word for _, _, word in words)
    return segment("speech", words[0][0], words[-1][1], text, details)


def test_transcripts_are_exported_in_lines_one_can_read() -> None:
    words = [(n * 0.4, n * 0.4 + 0.3, f"word{n}" + ("." if n % 10 == 9 else "")) for n in range(40)]
    lines = parse(captions([spoken(words)], "srt"), ".srt")
    assert len(lines) == 4, "one line a sentence"
    assert all(end - start <= 6 and len(text) <= 84 for start, end, text in lines)
    assert " ".join(text for _, _, text in lines).split() == [word for _, _, word in words]


def test_subtitles_that_came_with_the_file_go_out_as_they_came() -> None:
    lines = [(1.0, 9.5, "A line that is shown for long."), (10.0, 11.0, "Short.")]
    assert parse(captions([spoken(lines, subtitles=True)], "vtt"), ".vtt") == lines


def test_other_segments_are_no_subtitles() -> None:
    seen = segment("text", 0.0, 1.0, "EXIT")
    assert captions([seen], "vtt").strip() == "WEBVTT"
