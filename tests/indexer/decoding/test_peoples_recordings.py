"""Recordings and videos as phones, receivers and screen recorders really write them."""

from __future__ import annotations

import re
import struct
import unicodedata
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from support import media
from support.paths import DEMO_MEDIA

from indexer.decoding import child
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import SubtitleItem, WrittenItem
from indexer.decoding.streams.clock import Timeline
from indexer.decoding.streams.downmix import Downmixer
from indexer.decoding.streams.tracks import choose_track
from indexer.decoding.streams.voice_detector import find_speech
from search.catalog.states import NoteKind
from search.errors import PermanentMediaError
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ

X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")
PLAIN = ("-c:a", "pcm_s16le")  # for long tracks: ten minutes take seconds to compress


def decoded(path: Path, settings: Settings) -> list[object]:
    return list(child.decode(media.request(path, settings)))


def first_facts(items: list[object]) -> object:
    return media.facts_of(items).facts


def loud_seconds(items: list[object], second: float, length: float = 1.0) -> float:
    """Amplitude of what is heard at a time."""
    sound = media.sound_of(items)
    return float(np.abs(sound[int(second * SAMPLE_RATE_HZ) : int((second + length) * SAMPLE_RATE_HZ)]).max())


def hertz_at(items: list[object], second: float) -> float:
    piece = media.sound_of(items)[int(second * SAMPLE_RATE_HZ) : int((second + 1) * SAMPLE_RATE_HZ)]
    return float(np.abs(np.fft.rfft(piece)).argmax())


class TestDownmix:
    def test_channels_that_are_each_other_upside_down_are_heard(self, tmp_path: Path, settings: Settings) -> None:
        left = media.tone(3)
        media.write_wav(tmp_path / "a.wav", np.stack([left, -left], axis=1))
        assert loud_seconds(decoded(tmp_path / "a.wav", settings), 1) == pytest.approx(0.5, abs=0.02)

    def test_a_voice_on_one_of_two_channels_is_as_loud_as_on_both(self, tmp_path: Path, settings: Settings) -> None:
        left = media.tone(3)
        media.write_wav(tmp_path / "a.wav", np.stack([left, 0 * left], axis=1))
        assert loud_seconds(decoded(tmp_path / "a.wav", settings), 1) == pytest.approx(0.5, abs=0.02)

    def test_what_is_alike_on_both_channels_stays_as_it_is(self) -> None:
        left = media.tone(2)
        assert np.allclose(Downmixer().mix(np.stack([left, left])), left, atol=1e-6)

    def test_different_sounds_on_two_channels_are_both_heard(self) -> None:
        mixed = Downmixer().mix(np.stack([media.tone(2, 440), media.tone(2, 1000)]))
        spectrum = np.abs(np.fft.rfft(mixed[:SAMPLE_RATE_HZ]))
        assert min(spectrum[440], spectrum[1000]) > 0.9 * spectrum.max()

    @pytest.mark.parametrize("turned", [1, 3, 5])
    def test_one_channel_of_six_upside_down_cancels_nothing(self, turned: int) -> None:
        channels = np.stack([media.tone(2)] * 6)
        channels[turned] *= -1
        assert np.abs(Downmixer().mix(channels)[-1000:]).max() == pytest.approx(0.5, abs=0.01)

    def test_a_silent_sound_track_is_told(self, tmp_path: Path, settings: Settings) -> None:
        media.write_wav(tmp_path / "a.wav", np.zeros(3 * SAMPLE_RATE_HZ, np.float32))
        assert "silent" in media.notes_of(decoded(tmp_path / "a.wav", settings))


def part(tmp_path: Path, name: str, colour: str, hertz: float, suffix: str, codecs: tuple[str, ...]) -> Path:
    """Four seconds of one colour and one tone."""
    picture = media.colour_clip(tmp_path / f"{name}-picture.mp4", [colour], 4.0)
    media.write_wav(tmp_path / f"{name}.wav", media.tone(4, hertz))
    path = tmp_path / f"{name}{suffix}"
    media.ffmpeg("-i", picture, "-i", tmp_path / f"{name}.wav", *codecs, path)
    return path


class TestClocks:
    @pytest.mark.parametrize(
        ("suffix", "codecs"),
        [
            (".ts", (*X264, "-c:a", "aac")),
            (".vob", ("-c:v", "mpeg2video", "-q:v", "4", "-r", "25", "-c:a", "mp2", "-f", "vob")),
            (".mpg", ("-c:v", "mpeg2video", "-q:v", "4", "-r", "25", "-c:a", "mp2", "-f", "mpeg")),
        ],
    )
    def test_of_joined_recordings_both_halves_are_seen_and_heard_in_their_time(
        self, tmp_path: Path, settings: Settings, suffix: str, codecs: tuple[str, ...]
    ) -> None:
        first = part(tmp_path, "first", "red", 440, suffix, codecs)
        second = part(tmp_path, "second", "blue", 1000, suffix, codecs)
        joined = tmp_path / f"joined{suffix}"
        joined.write_bytes(first.read_bytes() + second.read_bytes())
        items = decoded(joined, settings)
        assert media.facts_of(items).facts.duration_seconds == pytest.approx(8, abs=0.4)
        frames = media.frames_of(items)
        assert [media.colour_of(frame) for frame in frames] == ["red", "blue"]
        assert frames[1].start_seconds == pytest.approx(4, abs=0.4)
        assert frames[1].end_seconds == pytest.approx(8, abs=0.4)
        assert [hertz_at(items, 1), hertz_at(items, 6)] == pytest.approx([440, 1000], abs=3)

    @pytest.mark.parametrize(
        ("suffix", "codec"),
        [("flac", ()), ("mp3", ("-c:a", "libmp3lame", "-write_xing", "0")), ("aac", ("-c:a", "aac"))],
    )
    def test_joined_streams_of_sound_are_heard_to_their_end(
        self, tmp_path: Path, settings: Settings, suffix: str, codec: tuple[str, ...]
    ) -> None:
        for name, hertz in (("first", 440), ("second", 1000)):
            media.write_wav(tmp_path / f"{name}.wav", media.tone(4, hertz))
            media.ffmpeg("-i", tmp_path / f"{name}.wav", *codec, tmp_path / f"{name}.{suffix}")
        joined = tmp_path / f"joined.{suffix}"
        joined.write_bytes(b"".join((tmp_path / f"{name}.{suffix}").read_bytes() for name in ("first", "second")))
        items = decoded(joined, settings)
        assert media.facts_of(items).facts.duration_seconds == pytest.approx(8, abs=0.4)
        assert [hertz_at(items, 1), hertz_at(items, 6)] == pytest.approx([440, 1000], abs=3)

    def test_a_chained_ogg_is_heard_to_its_end(self, tmp_path: Path, settings: Settings) -> None:
        for name, hertz in (("first", 440), ("second", 1000)):
            media.write_wav(tmp_path / f"{name}.wav", media.tone(4, hertz))
            media.ffmpeg("-i", tmp_path / f"{name}.wav", "-c:a", "libopus", tmp_path / f"{name}.ogg")
        chained = tmp_path / "chained.ogg"
        chained.write_bytes((tmp_path / "first.ogg").read_bytes() + (tmp_path / "second.ogg").read_bytes())
        items = decoded(chained, settings)
        assert media.facts_of(items).facts.duration_seconds == pytest.approx(8, abs=0.2)
        assert len(media.sound_of(items)) == pytest.approx(8 * SAMPLE_RATE_HZ, abs=3000)
        assert [hertz_at(items, 1), hertz_at(items, 6)] == pytest.approx([440, 1000], abs=3)

    @pytest.mark.parametrize(
        "codecs", [("-c:a", "libvorbis", "-ar", "22050", "-ac", "2"), ("-c:a", "libopus")], ids=["rate", "codec"]
    )
    def test_a_chained_ogg_whose_parts_are_unlike_is_heard_to_its_end(
        self, tmp_path: Path, settings: Settings, codecs: tuple[str, ...]
    ) -> None:
        for name, hertz, options in (("first", 440, ("-c:a", "libvorbis", "-ar", "44100")), ("second", 1000, codecs)):
            media.write_wav(tmp_path / f"{name}.wav", media.tone(4, hertz))
            media.ffmpeg("-i", tmp_path / f"{name}.wav", *options, tmp_path / f"{name}.ogg")
        data = [(tmp_path / f"{name}.ogg").read_bytes() for name in ("first", "second", "first")]
        (tmp_path / "chained.ogg").write_bytes(b"".join(data))
        items = decoded(tmp_path / "chained.ogg", settings)
        assert media.facts_of(items).facts.duration_seconds == pytest.approx(12, abs=0.2)
        assert [hertz_at(items, 1), hertz_at(items, 6), hertz_at(items, 10)] == pytest.approx([440, 1000, 440], abs=3)
        assert media.notes_of(items) == ""

    def test_a_clock_that_jumps_hours_ahead_makes_no_film_of_hours(self, tmp_path: Path, settings: Settings) -> None:
        codecs = (*X264, "-c:a", "aac")
        first = part(tmp_path, "first", "red", 440, ".ts", codecs)
        second = part(tmp_path, "second", "blue", 1000, ".ts", (*codecs, "-output_ts_offset", "39600"))
        jumping = tmp_path / "jumping.ts"
        jumping.write_bytes(first.read_bytes() + second.read_bytes())
        items = decoded(jumping, settings)
        assert media.facts_of(items).facts.duration_seconds == pytest.approx(8, abs=0.4)
        assert [media.colour_of(frame) for frame in media.frames_of(items)] == ["red", "blue"]
        assert len(media.sound_of(items)) == pytest.approx(8 * SAMPLE_RATE_HZ, rel=0.05)

    def test_streams_that_jump_one_after_the_other_stay_together(self) -> None:
        timeline = Timeline(10.0)
        shown = []
        for stream, time in [(0, 0.0), (1, 0.0), (0, 0.1), (0, 5000.0), (1, 0.1), (0, 5000.1), (1, 0.2), (1, 5000.1)]:
            shown.append(round(time + timeline.shift(stream, time, 0.1), 3))
        assert shown == [0.0, 0.0, 0.1, 0.2, 0.1, 0.3, 0.2, 0.3]
        assert timeline.restarts == 1

    def test_a_hole_within_one_part_stays_a_hole(self) -> None:
        timeline = Timeline(10.0)
        assert [time + timeline.shift(0, time, 0.1) for time in (0.0, 0.1, 6.0)] == [0.0, 0.1, 6.0]


def voice(seconds: float, name: str = "pancake_recipe.ogg") -> np.ndarray:
    """Somebody who speaks, again and again, quietly."""
    with av.open(str(DEMO_MEDIA / name)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE_HZ)
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    samples = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    return np.resize(0.3 * samples / np.abs(samples).max(), int(seconds * SAMPLE_RATE_HZ))


def music(seconds: float) -> np.ndarray:
    """Loud chords that change each half second, with a beat."""
    notes = (262, 330, 392, 294, 349, 440, 330, 392, 494)
    chords = [sum(media.tone(0.5, hertz) for hertz in notes[place : place + 3]) for place in range(0, 9, 3)]
    beat = np.random.default_rng(1).normal(0, 0.3, SAMPLE_RATE_HZ // 2) * np.exp(-np.arange(SAMPLE_RATE_HZ // 2) / 800)
    bars = np.concatenate([0.5 * chord + beat for chord in chords])
    return np.resize(bars, int(seconds * SAMPLE_RATE_HZ)).clip(-1, 1)


class TestTracks:
    def two_tracks(self, tmp_path: Path, first: np.ndarray, second: np.ndarray, *options: str) -> Path:
        few = ("-r", "1", *X264)
        picture = media.colour_clip(tmp_path / "picture.mp4", ["red"], len(first) / SAMPLE_RATE_HZ, *few)
        media.write_wav(tmp_path / "1.wav", first)
        media.write_wav(tmp_path / "2.wav", second)
        inputs = ("-i", picture, "-i", tmp_path / "1.wav", "-i", tmp_path / "2.wav")
        maps = ("-map", "0:v", "-map", "1:a", "-map", "2:a", "-c:v", "copy", "-c:a", "aac")
        media.ffmpeg(*inputs, *maps, *options, tmp_path / "a.mkv")
        return tmp_path / "a.mkv"

    def test_a_silent_first_track_gives_way_to_the_one_with_sound(self, tmp_path: Path, settings: Settings) -> None:
        path = self.two_tracks(tmp_path, 0 * media.tone(4), media.tone(4), "-disposition:a:0", "default")
        items = decoded(path, settings)
        assert loud_seconds(items, 1) > 0.3
        assert media.notes_of(items) == "1 of 2 sound tracks left out (silent): number 1"

    def test_the_track_in_which_people_speak_comes_before_loud_music(self, tmp_path: Path, settings: Settings) -> None:
        items = decoded(self.two_tracks(tmp_path, music(12), voice(12), "-disposition:a:0", "default"), settings)
        assert media.notes_of(items) == "1 of 2 sound tracks left out (nobody was heard speaking in it): number 1"
        assert find_speech(media.sound_of(items))

    def test_somebody_who_speaks_late_in_a_long_recording_is_found(self, tmp_path: Path, settings: Settings) -> None:
        late = np.concatenate([np.zeros(300 * SAMPLE_RATE_HZ, np.float32), voice(60)])
        items = decoded(self.two_tracks(tmp_path, music(360), late, *PLAIN), settings)
        assert "number 1" in media.notes_of(items)
        assert find_speech(media.sound_of(items)[300 * SAMPLE_RATE_HZ :])

    def test_of_two_tracks_with_speech_the_default_is_heard_and_the_other_named(
        self, tmp_path: Path, settings: Settings
    ) -> None:
        options = ("-metadata:s:a:0", "language=deu", "-disposition:a:0", "0", "-disposition:a:1", "default")
        items = decoded(self.two_tracks(tmp_path, voice(12), voice(12, "bridge_tour.ogg"), *options), settings)
        assert media.notes_of(items) == "1 of 2 sound tracks left out (people speak in it, too): number 1 (deu)"

    def test_what_is_listened_to_has_a_limit(self, tmp_path: Path, settings: Settings) -> None:
        heard = 0

        def count(waveform: np.ndarray) -> list[tuple[int, int]]:
            nonlocal heard
            heard += len(waveform)
            return []

        path = self.two_tracks(tmp_path, music(900), music(900), *PLAIN)
        choose_track(path, limits_of(settings), 900.0, count)
        assert heard < 2 * 200 * SAMPLE_RATE_HZ

    def test_a_commentary_flagged_default_is_left_out_and_named(self, tmp_path: Path, settings: Settings) -> None:
        options = ("-metadata:s:a:0", "title=Director's commentary", "-metadata:s:a:0", "language=eng")
        path = self.two_tracks(
            tmp_path, media.tone(4, 1000), media.tone(4, 440), *options, "-disposition:a:0", "default"
        )
        items = decoded(path, settings)
        assert hertz_at(items, 1) == pytest.approx(440, abs=3)
        assert (
            "1 of 2 sound tracks left out (nobody was heard speaking in it): number 1 (eng, Director's commentary)"
            in media.notes_of(items)
        )


class TestWhatIsMissingIsSaid:
    def test_a_header_that_promises_more_than_there_is(self, tmp_path: Path, settings: Settings) -> None:
        noise = np.random.default_rng(1).normal(0, 0.1, 40 * SAMPLE_RATE_HZ)
        media.write_wav(tmp_path / "whole.wav", noise)
        media.ffmpeg("-i", tmp_path / "whole.wav", "-c:a", "flac", tmp_path / "a.flac")
        data = (tmp_path / "a.flac").read_bytes()
        (tmp_path / "a.flac").write_bytes(data[: len(data) // 2])
        items = decoded(tmp_path / "a.flac", settings)
        assert len(media.sound_of(items)) == pytest.approx(20 * SAMPLE_RATE_HZ, rel=0.1)
        assert "40" in media.notes_of(items)

    @pytest.mark.parametrize(
        ("name", "codecs"),
        [
            ("a.wav", ()),
            ("a.w64", ()),
            ("a.caf", ()),
            ("a.mp3", ("-c:a", "libmp3lame")),
            ("a.flac", ()),
            ("a.m4a", ("-c:a", "aac", "-movflags", "faststart")),
            ("a.mka", ("-c:a", "aac")),
            ("a.wma", ()),
            ("a.aiff", ()),
            ("a.avi", ("-c:a", "mp2")),
            ("a.flv", ("-c:a", "libmp3lame", "-ar", "44100")),
        ],
    )
    def test_a_recording_that_was_cut_tells_both_lengths(
        self, tmp_path: Path, settings: Settings, name: str, codecs: tuple[str, ...]
    ) -> None:
        media.write_wav(tmp_path / "whole.wav", np.random.default_rng(1).normal(0, 0.1, 20 * SAMPLE_RATE_HZ))
        media.ffmpeg("-i", tmp_path / "whole.wav", *codecs, tmp_path / name)
        assert media.notes_of(decoded(tmp_path / name, settings)) == ""
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
        items = decoded(tmp_path / name, settings)
        seconds = media.facts_of(items).facts.duration_seconds
        assert seconds == pytest.approx(10, abs=1)
        (note,) = media.account_of(items).notes
        assert note.kind is NoteKind.LENGTH
        told, promised = map(float, re.findall(r"\d+(?:\.\d)?", note.text))
        assert told == pytest.approx(seconds, abs=0.06)
        assert promised == pytest.approx(20, abs=0.2)

    @pytest.mark.parametrize("codec", ["libvorbis", "libopus"])
    def test_an_ogg_that_was_cut_says_that_its_end_is_missing(
        self, tmp_path: Path, settings: Settings, codec: str
    ) -> None:
        media.write_wav(tmp_path / "whole.wav", np.random.default_rng(1).normal(0, 0.1, 20 * SAMPLE_RATE_HZ))
        media.ffmpeg("-i", tmp_path / "whole.wav", "-c:a", codec, tmp_path / "a.ogg")
        assert media.notes_of(decoded(tmp_path / "a.ogg", settings)) == ""
        data = (tmp_path / "a.ogg").read_bytes()
        (tmp_path / "a.ogg").write_bytes(data[: len(data) // 2])
        items = decoded(tmp_path / "a.ogg", settings)
        assert media.facts_of(items).facts.duration_seconds == pytest.approx(10, abs=1.5)
        assert "its last page is missing" in media.notes_of(items)

    def test_a_video_that_was_cut_tells_both_lengths_and_lasts_as_long_as_it_is_there(
        self, tmp_path: Path, settings: Settings
    ) -> None:
        noise = np.random.default_rng(1).integers(0, 255, (40, 90, 120, 3), np.uint8)
        for number, frame in enumerate(noise):
            Image.fromarray(frame).save(tmp_path / f"{number}.png")
        source = ("-framerate", "2", "-i", tmp_path / "%d.png", *X264, "-g", "4")
        media.ffmpeg(*source, "-movflags", "faststart", tmp_path / "a.mp4")
        data = (tmp_path / "a.mp4").read_bytes()
        (tmp_path / "a.mp4").write_bytes(data[: len(data) // 2])
        items = decoded(tmp_path / "a.mp4", settings)
        assert media.facts_of(items).facts.duration_seconds == pytest.approx(10, abs=1.5)
        assert media.notes_of(items).endswith("although its header says 20")

    def test_a_video_whose_index_is_lost_is_seen_to_its_end(self, tmp_path: Path, settings: Settings) -> None:
        clip = media.colour_clip(tmp_path / "clip.mp4", ["red", "blue", "green"], 3.0)
        media.ffmpeg("-i", clip, "-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "300", tmp_path / "a.avi")
        data = (tmp_path / "a.avi").read_bytes()
        (tmp_path / "a.avi").write_bytes(data[: data.rindex(b"idx1")])
        items = decoded(tmp_path / "a.avi", settings)
        assert [media.colour_of(frame) for frame in media.frames_of(items)] == ["red", "blue", "green"]

    def test_a_recording_whose_index_was_never_written_says_so(self, tmp_path: Path, settings: Settings) -> None:
        media.write_wav(tmp_path / "whole.wav", media.tone(20))
        media.ffmpeg("-i", tmp_path / "whole.wav", "-c:a", "aac", tmp_path / "a.m4a")
        data = (tmp_path / "a.m4a").read_bytes()
        (tmp_path / "a.m4a").write_bytes(data[: len(data) // 2])
        with pytest.raises(PermanentMediaError, match="its index is missing"):
            decoded(tmp_path / "a.m4a", settings)

    def test_what_is_whole_has_no_note(self, tmp_path: Path, settings: Settings) -> None:
        media.write_wav(tmp_path / "a.wav", media.tone(5))
        assert media.notes_of(decoded(tmp_path / "a.wav", settings)) == ""


def with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> None:
    """Writes a display matrix into the track header of an MP4 file."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 + 36
    a, b, c, d = (value * 65536 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
@pytest.mark.parametrize("mirrored", [False, True])
def test_videos_are_seen_as_players_show_them(
    tmp_path: Path, settings: Settings, matrix: tuple[int, int, int, int], mirrored: bool
) -> None:
    shown = np.zeros((96, 160, 3), np.uint8)
    shown[:48, :80], shown[:48, 80:], shown[48:, :80], shown[48:, 80:] = (
        media.COLOURS[name] for name in ("red", "green", "blue", "white")
    )
    a, b, c, d = (matrix[0], matrix[1], matrix[2], matrix[3])
    if mirrored:
        a, c = -a, -c  # x' = -(ax + cy)
    # What has to be stored so that the matrix makes `shown` of it: every shown pixel is fetched from where it came.
    rows, columns = np.indices(shown.shape[:2])
    x, y = columns - 79.5, rows - 47.5
    height, width = (96, 160) if a else (160, 96)
    stored = np.zeros((height, width, 3), np.uint8)
    # The inverse of a signed permutation is its transpose.
    from_x, from_y = a * x + b * y, c * x + d * y
    stored[(from_y + (height - 1) / 2).astype(int), (from_x + (width - 1) / 2).astype(int)] = shown
    Image.fromarray(stored).save(tmp_path / "a.png")
    options = ("-loop", "1", "-t", "2", "-i", tmp_path / "a.png", "-r", "10", *X264, tmp_path / "a.mp4")
    media.ffmpeg(*options)
    with_matrix(tmp_path / "a.mp4", (a, b, c, d))
    items = decoded(tmp_path / "a.mp4", settings)
    facts = media.facts_of(items).facts
    assert (facts.width, facts.height) == (160, 96)
    picture = media.frames_of(items)[0].pictures[1].astype(int)
    side = len(picture)
    places = ((0, 0), (0, 1), (1, 0), (1, 1))
    seen = [picture[side // 4 + side // 2 * row, side // 4 + side // 2 * column] for row, column in places]
    wanted = [media.COLOURS[name] for name in ("red", "green", "blue", "white")]
    assert np.abs(np.array(seen) - np.array(wanted)).max() < 40


def test_chapter_titles_become_words_with_times(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(12))
    chapters = [(0, 4000, "The lighthouse"), (4000, 8000, "Chapter 2"), (8000, 12000, "Home again")]
    text = ";FFMETADATA1\ntitle=A book\nartist=Lena Vold\n" + "".join(
        f"[CHAPTER]\nTIMEBASE=1/1000\nSTART={start}\nEND={end}\ntitle={title}\n" for start, end, title in chapters
    )
    (tmp_path / "meta.txt").write_text(text)
    inputs = ("-i", tmp_path / "a.wav", "-i", tmp_path / "meta.txt")
    media.ffmpeg(*inputs, "-map_metadata", "1", "-map_chapters", "1", "-c:a", "aac", tmp_path / "a.m4b")
    items = decoded(tmp_path / "a.m4b", settings)
    written = {item.what: list(item.lines) for item in items if isinstance(item, WrittenItem)}
    assert written["chapter"] == [(0.0, 4.0, "The lighthouse"), (8.0, 12.0, "Home again")]
    assert written["caption"] == [(None, None, "A book. Lena Vold")]


def test_a_place_of_nothing_is_no_place(tmp_path: Path, settings: Settings) -> None:
    clip = media.colour_clip(tmp_path / "clip.mp4", ["red"])
    for name, place in (("none.mp4", "+00.0000+000.0000/"), ("some.mp4", "+47.5000+009.7000/")):
        media.ffmpeg("-i", clip, "-c", "copy", "-metadata", f"location={place}", tmp_path / name)
    nowhere = media.facts_of(decoded(tmp_path / "none.mp4", settings)).facts
    somewhere = media.facts_of(decoded(tmp_path / "some.mp4", settings)).facts
    assert (nowhere.latitude, nowhere.longitude) == (None, None)
    assert (somewhere.latitude, somewhere.longitude) == (47.5, 9.7)


WORDS = {
    "cp1251": "Завтра мы поедем на море",
    "windows-1251": "Где мой кот? Он на крыше.",  # short, and taken for another Cyrillic encoding by detectors
    "mac-cyrillic": "Завтра мы поедем на море",
    "cp866": "Завтра мы поедем на море",
    "iso2022_jp": "明日は海へ行きますか。はい。",
    "koi8-r": "Завтра мы поедем на море",
    "cp1253": "Αύριο θα πάμε στη θάλασσα",
    "gb18030": "明天我们去海边",
    "hz": "明天我们去海边",
    "big5": "明天我們去海邊",
    "shift_jis": "明日は海へ行きます",
    "euc-kr": "내일 우리는 바다에 갑니다",
    "cp1255": "מחר ניסע לים",
    "cp1256": "غدا سنذهب إلى البحر",
    "cp1250": "Příští týden pojedeme k moři, žluťoučký kůň",
    "cp1258": "Tôi không biê\u0301t anh â\u0301y đang ơ\u0309 đâu",  # has marks of their own for tones
    "cp1252": "Schöne Grüße, morgen fahren wir ans Meer",
    "utf-16-le": "Morgen fahren wir ans Meer, schön",
    "utf-16-be": "Завтра мы поедем на море",
}


@pytest.mark.parametrize("encoding", WORDS)
def test_words_beside_are_read_as_they_were_written(tmp_path: Path, settings: Settings, encoding: str) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(3))
    text = f"1\r\n00:00:00,500 --> 00:00:02,500\r\n{WORDS[encoding]}\r\n"
    (tmp_path / "a.srt").write_bytes(text.encode(encoding))
    items = decoded(tmp_path / "a.wav", settings)
    assert [line for item in items if isinstance(item, SubtitleItem) for line in item.lines] == [
        (0.5, 2.5, unicodedata.normalize("NFC", WORDS[encoding]))
    ]


def test_lines_that_were_joined_in_two_encodings_are_both_read(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(3))
    first, second = ("1\n00:00:00,500 --> 00:00:01,500\nGrüße\n\n", "2\n00:00:01,500 --> 00:00:02,500\nÜber\n\n")
    (tmp_path / "a.srt").write_bytes(first.encode() + second.encode("cp1252"))
    (subtitles,) = (item for item in decoded(tmp_path / "a.wav", settings) if isinstance(item, SubtitleItem))
    assert [words for _, _, words in subtitles.lines] == ["Grüße", "Über"]


def test_lines_whose_times_can_t_be_read_are_counted(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(3))
    (tmp_path / "a.srt").write_text("1\n00:00:00,5 --> 00:00:01,5\nread\n\n2\n00:00:0x,5 --> 00:00:02,5\nlost\n")
    assert "1 line was left out of a.srt: their times" in media.notes_of(decoded(tmp_path / "a.wav", settings))


def test_of_words_in_two_languages_beside_those_that_are_not_read_are_named(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(3))
    for language in ("de", "en"):
        (tmp_path / f"a.{language}.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nhello\n")
    assert media.notes_of(decoded(tmp_path / "a.wav", settings)) == "a.en.srt was left out: a.de.srt is read"


def test_of_several_tracks_of_pictures_and_words_the_others_are_named(tmp_path: Path, settings: Settings) -> None:
    first, second = (media.colour_clip(tmp_path / f"{name}.mp4", [name]) for name in ("red", "blue"))
    (tmp_path / "words.srt").write_text("1\n00:00:00,500 --> 00:00:01,500\nhello\n")
    inputs = [part for path in (first, second, tmp_path / "words.srt") for part in ("-i", path)]
    maps = [part for number in (0, 1, 2, 2) for part in ("-map", str(number))]
    media.ffmpeg(*inputs, *maps, "-c:v", "copy", "-c:s", "srt", "-metadata:s:s:1", "language=deu", tmp_path / "a.mkv")
    items = decoded(tmp_path / "a.mkv", settings)
    assert [media.colour_of(frame) for frame in media.frames_of(items)] == ["red"]
    assert media.notes_of(items) == (
        "1 of 2 picture tracks left out (another one is seen): number 2; "
        "1 of 2 subtitle tracks left out (another one is read): number 2 (deu)"
    )


def test_a_video_in_which_nothing_can_be_seen_says_so(tmp_path: Path, settings: Settings) -> None:
    items = decoded(media.colour_clip(tmp_path / "a.mp4", ["black", "black"]), settings)
    assert media.notes_of(items) == "the pictures are black: nothing can be seen in them"


def test_bytes_that_are_no_words_are_left_out_and_told(tmp_path: Path, settings: Settings) -> None:
    media.write_wav(tmp_path / "a.wav", media.tone(3))
    noise = np.random.default_rng(1).integers(128, 256, 400, dtype=np.uint8).tobytes()
    (tmp_path / "a.srt").write_bytes(b"1\n00:00:00,500 --> 00:00:02,500\n" + noise)
    items = decoded(tmp_path / "a.wav", settings)
    assert not [item for item in items if isinstance(item, SubtitleItem)]
    assert "a.srt was left out" in media.notes_of(items)


def test_words_beside_that_are_a_link_to_elsewhere_are_not_read(tmp_path: Path, settings: Settings) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    media.write_wav(folder / "a.wav", media.tone(3))
    (tmp_path / "secret.srt").write_text("1\n00:00:00,500 --> 00:00:02,500\nsecret\n")
    (folder / "a.srt").symlink_to(tmp_path / "secret.srt")
    items = decoded(folder / "a.wav", settings)
    assert not [item for item in items if isinstance(item, SubtitleItem)]
    assert "a.srt was left out: it is a link out of its folder" in media.notes_of(items)


def test_av_knows_the_formats_whose_clock_may_start_again() -> None:
    assert {"mpegts", "mpeg", "ogg", "flv"} <= av.formats_available
