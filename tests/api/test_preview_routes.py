"""Pictures, clips and subtitles of moments over HTTP: made from real media, sent like files."""

from __future__ import annotations

import io

import av
import httpx
import numpy as np
import pytest
from PIL import Image
from support import media
from support.service_world import World

from api.http.file_responses import media_type_of
from indexer.decoding.probe import AUDIO_SUFFIXES, IMAGE_SUFFIXES, RAW_SUFFIXES, VIDEO_SUFFIXES
from indexer.decoding.subtitles import parse

PASSAGES = [(1.0, 2.5, "Good morning, captain."), (3.0, 4.0, "The bridge & the river.")]


@pytest.fixture
def talk(world: World) -> int:
    """Five seconds, of which the second to the fourth can be heard."""
    silence = np.zeros(16_000, np.float32)
    sound = np.concatenate([silence, media.tone(3), silence])
    return world.recording(media.write_wav(world.media / "talk.wav", sound), PASSAGES)


@pytest.fixture
def film(world: World) -> int:
    """Six seconds of picture and sound, red and then blue."""
    media.write_wav(world.media.parent / "a.wav", media.tone(6))
    silent = media.colour_clip(world.media.parent / "silent.mp4", ["red", "blue"], 3.0)
    path = world.media / "film.mp4"
    media.ffmpeg("-i", silent, "-i", world.media.parent / "a.wav", "-c:v", "copy", "-c:a", "aac", path)
    return world.video(path, [(0.0, 3.0, "red"), (3.0, 6.0, "blue")])


def segments_of(client: httpx.Client, asset_id: int) -> list[int]:
    return [segment["id"] for segment in client.get(f"/v1/assets/{asset_id}/segments").json()["items"]]


def picture(answer: httpx.Response) -> Image.Image:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/webp"
    return Image.open(io.BytesIO(answer.content))


@pytest.mark.parametrize(("form", "kind"), [("srt", "application/x-subrip"), ("vtt", "text/vtt")])
def test_what_is_said_comes_as_subtitles(client: httpx.Client, talk: int, form: str, kind: str) -> None:
    answer = client.get(f"/v1/assets/{talk}/subtitles", params={"format": form})
    assert answer.headers["content-type"] == f"{kind}; charset=utf-8"
    assert parse(answer.text, f".{form}") == PASSAGES


def test_subtitles_of_nothing_said_are_empty_and_of_nothing_known_not_found(world: World, client: httpx.Client) -> None:
    silent = world.picture("a.png", "red", words="seen, not said")
    assert client.get(f"/v1/assets/{silent}/subtitles").text.strip() == "WEBVTT"
    assert client.get("/v1/assets/999/subtitles").status_code == 404
    assert client.get(f"/v1/assets/{silent}/subtitles", params={"format": "exe"}).status_code == 400


def test_a_moment_of_sound_has_its_pictures(client: httpx.Client, talk: int) -> None:
    first, _ = segments_of(client, talk)
    pitches = np.asarray(picture(client.get(f"/v1/segments/{first}/spectrogram")).convert("L"), float)
    assert pitches.argmax(axis=0).std() < 5, "a tone is a line"
    whole = np.asarray(picture(client.get(f"/v1/assets/{talk}/waveform")).convert("RGBA"))[..., 3].astype(bool)
    part = np.asarray(picture(client.get(f"/v1/segments/{first}/waveform")).convert("RGBA"))[..., 3].astype(bool)
    assert whole[:, :100].sum() < whole[:, 200:300].sum() / 10, "the first second is silent"
    assert part.sum(axis=0).min() > 50, "nothing in this moment is"


def test_pictures_of_moments_may_be_kept_for_ever(client: httpx.Client, talk: int) -> None:
    first, _ = segments_of(client, talk)
    for what in ("thumbnail", "spectrogram", "waveform", "preview"):
        answer = client.get(f"/v1/segments/{first}/{what}")
        assert "immutable" in answer.headers["cache-control"]
        again = client.get(f"/v1/segments/{first}/{what}", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")


def test_a_clip_of_a_moment_plays_and_comes_in_ranges(client: httpx.Client, film: int) -> None:
    _, blue = segments_of(client, film)
    url = f"/v1/segments/{blue}/preview"
    whole = client.get(url)
    assert whole.headers["content-type"] == "video/mp4"
    with av.open(io.BytesIO(whole.content), "r") as clip:
        frames = [frame.to_ndarray(format="rgb24").mean(axis=(0, 1)) for frame in clip.decode(video=0)]
    assert frames[-1][2] > 150, "it ends in blue"
    part = client.get(url, headers={"range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, whole.content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert client.get(url, headers={"range": "bytes=999999999-"}).status_code == 416


def test_thumbnails_show_the_frame_of_their_moment(client: httpx.Client, film: int) -> None:
    for segment, channel in zip(segments_of(client, film), (0, 2), strict=True):
        shown = picture(client.get(f"/v1/segments/{segment}/thumbnail", params={"size": 256}))
        assert np.asarray(shown.convert("RGB")).mean(axis=(0, 1)).argmax() == channel


def test_an_image_has_no_sound_to_show(world: World, client: httpx.Client) -> None:
    (segment,) = segments_of(client, world.picture("a.png", "red"))
    for what in ("spectrogram", "waveform"):
        assert client.get(f"/v1/segments/{segment}/{what}").status_code == 404


def test_a_recording_that_is_gone_or_was_replaced_by_noise_is_a_plain_problem(
    world: World, client: httpx.Client, talk: int
) -> None:
    first, _ = segments_of(client, talk)
    (world.media / "talk.wav").write_bytes(b"RIFF" + bytes(range(256)) * 100)
    for what in ("spectrogram", "waveform", "preview"):
        answer = client.get(f"/v1/segments/{first}/{what}")
        assert (answer.status_code, answer.json()["type"]) == (422, "urn:medley:problem:media")
    (world.media / "talk.wav").unlink()
    assert client.get(f"/v1/segments/{first}/preview").status_code in (404, 503)


def test_originals_of_every_suffix_have_a_type() -> None:
    for suffix in AUDIO_SUFFIXES:
        assert media_type_of(f"a{suffix}").startswith("audio/"), suffix
    for suffix in VIDEO_SUFFIXES:
        assert media_type_of(f"a{suffix.upper()}").startswith("video/"), suffix
    for suffix in (IMAGE_SUFFIXES | RAW_SUFFIXES) - {".svg", ".svgz"}:
        assert media_type_of(f"a{suffix}").startswith("image/"), suffix
    for name, kind in {"a.ogg": "audio/ogg", "a.opus": "audio/ogg", "a.m4v": "video/mp4", "a.jp2": "image/jp2"}.items():
        assert media_type_of(name) == kind
    for name in ("a.svg", "a.html", "a.js", "a", "a.xml", "a.doc"):
        assert media_type_of(name) == "application/octet-stream"


def test_the_original_comes_with_its_type(client: httpx.Client, talk: int, film: int) -> None:
    assert client.head(f"/v1/assets/{talk}/content").headers["content-type"] == "audio/wav"
    assert client.head(f"/v1/assets/{film}/content").headers["content-type"] == "video/mp4"
