"""Pictures and sounds that people search by: prepared as the library's own, and trusted as little."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from PIL import Image
from PIL.ExifTags import Base
from support.paths import DEMO_MEDIA as MEDIA
from support.pictures import BLUE, GREEN, RED, landscape, quadrants

from indexer import query_media
from indexer.query_media import QUERY_FRAMES, QUERY_SIDE, load_query_image, load_query_sound, load_query_video
from search.errors import MediaError, PermanentMediaError
from search.settings import Settings
from search.spaces.inputs import SAMPLE_RATE_HZ, ImageInput

VIDEO, SOUND = MEDIA / "space_documentary.mp4", MEDIA / "bridge_tour.ogg"


def as_bytes(image: Image.Image, **options: Any) -> bytes:
    out = BytesIO()
    image.save(out, **{"format": "JPEG", "quality": 92, **options})
    return out.getvalue()


def test_a_picture_comes_upright_whole_and_not_too_large(settings: Settings) -> None:
    exif = Image.Exif()
    exif[Base.Orientation] = 6
    lying = quadrants(3000, 2000).transpose(Image.Transpose.ROTATE_90)
    picture = load_query_image(as_bytes(lying, exif=exif), settings)
    height, width, _ = picture.shape
    assert width == QUERY_SIDE
    assert width / height == pytest.approx(1.5, abs=0.01)
    quarters = [picture[height // 4, width // 4], picture[height // 4, -width // 4], picture[-height // 4, width // 4]]
    assert np.abs(np.array(quarters).astype(int) - np.array([RED, GREEN, BLUE])).max() < 12


def test_a_path_and_its_bytes_give_the_same(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(as_bytes(landscape(1)))
    by_path = load_query_image(tmp_path / "a.jpg", settings)
    assert (by_path == load_query_image((tmp_path / "a.jpg").read_bytes(), settings)).all()


def test_a_sound_comes_as_samples(settings: Settings) -> None:
    for source in (SOUND, SOUND.read_bytes(), VIDEO):
        waveform = load_query_sound(source, settings)
        assert waveform.dtype == np.float32
        assert 5 * SAMPLE_RATE_HZ < len(waveform) <= query_media.QUERY_SOUND_SECONDS * SAMPLE_RATE_HZ
        assert 0 < np.abs(waveform).max() <= 1


def test_a_video_comes_as_frames_and_sound(settings: Settings) -> None:
    frames, sound = load_query_video(VIDEO, settings, ImageInput(side=64, fit="squash"))
    assert 1 <= len(frames) <= QUERY_FRAMES
    assert {frame.shape for frame in frames} == {(64, 64, 3)}
    assert sound is not None
    assert load_query_image(VIDEO, settings).shape[2] == 3


@pytest.mark.parametrize(
    "data", [b"", b"words, only words", b"\xff\xd8\xff\xe0broken", b"#EXTM3U\nfile:///etc/passwd\n"]
)
def test_what_is_no_picture_is_refused_without_a_name_that_nobody_knows(settings: Settings, data: bytes) -> None:
    with pytest.raises(PermanentMediaError, match=r"^the uploaded file: ") as caught:
        load_query_image(data, settings)
    assert "/tmp" not in str(caught.value)


def test_a_picture_is_no_sound_and_a_sound_no_picture(settings: Settings) -> None:
    with pytest.raises(MediaError, match="holds no sound"):
        load_query_sound(as_bytes(landscape(1)), settings)
    with pytest.raises(MediaError, match="holds no picture"):
        load_query_image(SOUND, settings)


def test_decoders_are_kept_and_can_be_ended(settings: Settings) -> None:
    def children() -> set[int]:
        return {child.pid for child in psutil.Process().children() if "indexer.decoding.child" in child.cmdline()}

    query_media.close()
    load_query_image(as_bytes(landscape(1)), settings)
    first = children()
    load_query_image(as_bytes(landscape(2)), settings)
    assert children() == first
    query_media.close()
    assert not children()
