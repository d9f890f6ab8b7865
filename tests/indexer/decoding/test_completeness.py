"""What a file promises is compared with what of it was decoded, whatever its decoder forgets to say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import media
from support.documents import lines, pdf, scanned_tiff
from support.pictures import landscape

from indexer.decoding import child
from indexer.decoding.completeness import Completeness
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import Decoded, DecodeRequest, Facts, Note, Part, Promised, SoundItem
from indexer.decoding.probe import Content
from search.catalog.records import AssetFacts
from search.catalog.states import NoteKind
from search.results import Kind
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ


def video(seconds: float | None = None, promised_seconds: float | None = None, **parts: int) -> Facts:
    promised = {Part[name.upper()]: count for name, count in {"picture_track": 1, **parts}.items()}
    return Facts(Kind.VIDEO, AssetFacts(duration_seconds=seconds), Promised(promised, promised_seconds))


def sound(seconds: float, loudness: float = 0.5) -> SoundItem:
    return SoundItem(np.full(round(seconds * SAMPLE_RATE_HZ), loudness, np.float32), 0.0)


PICTURES = Decoded(part=Part.PICTURE_TRACK)


def notes(*items: object, **asked: bool) -> list[Note]:
    return list(media.account_of(items, **asked).notes)


class TestWhatIsMissing:
    def test_what_keeps_its_promise_has_no_note(self) -> None:
        heard = Decoded(part=Part.SOUND_TRACK, promised_seconds=60.0)
        assert not notes(video(60.1, 60.0, sound_track=1), PICTURES, sound(59.9), heard)

    def test_a_part_of_which_its_decoder_says_nothing_is_missing(self) -> None:
        found = notes(video(sound_track=2, subtitle_track=1), PICTURES, sound(1), Decoded(part=Part.SOUND_TRACK))
        assert found == [
            Note(NoteKind.TRACKS, "1 of 2 sound tracks not decoded"),
            Note(NoteKind.TRACKS, "1 of 1 subtitle track not decoded"),
        ]

    def test_parts_left_out_for_one_reason_are_told_together(self) -> None:
        lost = [Decoded(part=Part.SOUND_TRACK, name=f"number {n}", share=0, why="silent") for n in range(2, 12)]
        (note,) = notes(video(sound_track=11), PICTURES, sound(1), Decoded(part=Part.SOUND_TRACK), *lost)
        names = ", ".join(f"number {n}" for n in range(2, 8))
        assert note == Note(NoteKind.TRACKS, f"10 of 11 sound tracks left out (silent): {names} and 4 more")

    @pytest.mark.parametrize(
        ("decoded", "text"),
        [
            (Decoded(part=Part.PICTURE_TRACK, seconds=20.0, promised_seconds=90.0), "ends at second 20 of 90"),
            (Decoded(part=Part.PICTURE_TRACK, share=0.7, why="damaged"), "30% of the picture track is missing (dam"),
            (Decoded(part=Part.PICTURE_TRACK, share=0.999), "1% of the picture track is missing"),
        ],
    )  # fmt: skip
    def test_a_part_that_ends_early_or_has_holes_says_how_much(self, decoded: Decoded, text: str) -> None:
        (note,) = notes(video(), decoded)
        assert text in note.text

    def test_what_was_not_asked_for_is_not_missed(self) -> None:
        assert not notes(video(sound_track=1), PICTURES, want_sound_track=False)

    def test_sound_is_counted_and_not_believed(self) -> None:
        said = Decoded(part=Part.SOUND_TRACK, seconds=40.0, promised_seconds=40.0)
        (note,) = notes(video(sound_track=1), PICTURES, sound(20), said)
        assert note == Note(NoteKind.LENGTH, "the sound track ends at second 20 of 40")

    def test_sound_in_which_nothing_can_be_heard_is_told(self) -> None:
        (note,) = notes(video(sound_track=1), PICTURES, sound(2, 0.0005), Decoded(part=Part.SOUND_TRACK))
        assert note.kind is NoteKind.SOUND
        assert "silent" in note.text


class TestLengths:
    @pytest.mark.parametrize(
        ("actual", "promised", "is_told"),
        [(20.0, 40.0, True), (40.0, 20.0, True), (39.7, 40.0, False), (5.0, 6.0, True), (5395.5, 5400.0, False),
         (5390.0, 5400.0, True), (None, 40.0, False), (40.0, None, False)],
    )  # fmt: skip
    def test_both_are_told_where_they_differ(self, actual: float, promised: float, is_told: bool) -> None:
        found = notes(video(actual, promised), PICTURES)
        assert bool(found) is is_told
        if is_told:
            assert found[0].kind is NoteKind.LENGTH
            assert f"{actual:.0f} seconds" in found[0].text
            assert f"{promised:.0f}" in found[0].text

    def test_a_file_that_is_too_short_does_not_say_so_again_of_each_track(self) -> None:
        heard = Decoded(part=Part.SOUND_TRACK, promised_seconds=40.0)
        assert len(notes(video(20.0, 40.0, sound_track=1), PICTURES, sound(20), heard)) == 1


class TestADecoderThatForgets:
    @pytest.mark.parametrize("kind", Kind)
    def test_a_promise_is_wanted_of_every_kind(self, kind: Kind) -> None:
        nothing = Completeness(DecodeRequest(Path("a"), limits_of(Settings(home=Path("home"))), {}))
        with pytest.raises(ValueError, match=f"is of the kind {kind}, but not how many"):
            nothing.add(Facts(kind, AssetFacts(), Promised({})))

    def test_nothing_is_known_of_a_file_without_facts(self) -> None:
        request = DecodeRequest(Path("a"), limits_of(Settings(home=Path("home"))), {})
        assert Completeness(request).finish() is None


def a_raw_file(path: Path) -> None:
    landscape(1, 400, 300).save(path.with_suffix(".jpg"))
    path.write_bytes(b"II*\0\x08\0\0\0\0\0\0\0\0\0" + bytes(50) + path.with_suffix(".jpg").read_bytes() + bytes(100))


def a_film(path: Path) -> None:
    picture = media.colour_clip(path.parent / "picture.mp4", ["red", "blue"])
    media.write_wav(path.parent / "tone.wav", media.tone(4))
    (path.parent / "words.srt").write_text("1\n00:00:01,000 --> 00:00:02,000\nhello\n")
    inputs = [part for name in ("tone.wav", "words.srt") for part in ("-i", path.parent / name)]
    media.ffmpeg("-i", picture, *inputs, "-c:v", "copy", "-c:a", "flac", "-c:s", "srt", path)


def a_scan(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (2, 60, 40, 3), np.uint8)
    scanned_tiff(path, list(noise))


# A whole file for each decoder that there is: one without an entry fails, whatever kind of content it is for.
WHOLE: dict[Content, dict[str, Callable[[Path], object]]] = {
    Content.IMAGE: {"a.png": lambda path: Image.new("RGB", (40, 30), "red").save(path), "a.tif": a_scan},
    Content.RAW: {"a.cr2": a_raw_file},
    Content.CONTAINER: {"a.mkv": a_film, "a.wav": lambda path: media.write_wav(path, media.tone(3))},
    Content.PDF: {"a.pdf": lambda path: path.write_bytes(pdf([lines("one"), lines("two")]))},
    Content.TEXT: {"a.txt": lambda path: path.write_text("some words"), "a.srt": lambda path: path.write_text(
        "1\n00:00:01,000 --> 00:00:02,000\nhello\n")},
}  # fmt: skip
REFUSED = {Content.EMPTY, Content.SVG, Content.PLAYLIST, Content.DOCUMENT, Content.UNKNOWN}


def test_every_kind_of_content_is_compared_with_its_promise() -> None:
    assert set(WHOLE) | REFUSED == set(Content), "give the new kind of content a whole file in WHOLE"


@pytest.mark.parametrize(("content", "name"), [(content, name) for content, names in WHOLE.items() for name in names])
def test_every_decoder_says_what_came_of_all_that_a_file_promises(
    tmp_path: Path, settings: Settings, content: Content, name: str
) -> None:
    path = tmp_path / name
    WHOLE[content][name](path)
    items = list(child.decode(media.request(path, settings)))
    account = media.account_of(items)
    promised = account.facts.promised.parts
    told = {part: sum(i.count for i in items if isinstance(i, Decoded) and i.part is part) for part in promised}
    assert told == promised
    only = [note for note in account.notes if "inside the raw file" not in note.text]
    assert not only
