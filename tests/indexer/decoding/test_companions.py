"""What lies beside a media file obeys the media file's rules, whatever kind it is: nothing is read from elsewhere."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from indexer.decoding.sidecars import Sidecar, Unsafe, companions_of, contents_beside, words_of

SECRET = b"secret"
# By what lies beside: the media file that it belongs to.
COMPANIONS = {
    "a.srt": "a.mp4",
    "a.en.forced.vtt": "a.mp4",
    "a.mp3.lrc": "a.mp3",
    "a.xmp": "a.jpg",
    "a.jpg.xmp": "a.jpg",
    "a.jpg.json": "a.jpg",
    "a.jpg.supplemental-metadata.json": "a.jpg",
}


def _link(folder: Path, name: str) -> None:
    (folder / name).symlink_to("../secret")


def _link_through_a_folder(folder: Path, name: str) -> None:
    (folder / "inside").symlink_to("..")
    (folder / name).symlink_to("inside/secret")


def _chain(folder: Path, name: str) -> None:
    (folder / "step").symlink_to(folder.parent / "secret")
    (folder / name).symlink_to("step")


def _pipe(folder: Path, name: str) -> None:
    os.mkfifo(folder / name)


def _device(folder: Path, name: str) -> None:
    (folder / name).symlink_to("/dev/zero")


def _itself(folder: Path, name: str) -> None:
    (folder / name).symlink_to(name)


def _folder(folder: Path, name: str) -> None:
    (folder / name).mkdir()
    (folder / name / "secret").write_bytes(SECRET)


PLACES: tuple[Callable[[Path, str], None], ...] = (
    _link, _link_through_a_folder, _chain, _pipe, _device, _itself, _folder,
)  # fmt: skip


def _beside(media: Path) -> list[Sidecar]:
    return [*words_of(media), *companions_of(media)]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__.strip("_"))
@pytest.mark.parametrize(("name", "media"), COMPANIONS.items())
def test_nothing_is_read_from_elsewhere(
    tmp_path: Path, name: str, media: str, place: Callable[[Path, str], None]
) -> None:
    folder = tmp_path / "library"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(SECRET)
    (folder / media).write_bytes(b"media")
    place(folder, name)
    for found in _beside(folder / media):
        with pytest.raises(Unsafe, match="was left out"):
            found.read(100)
    assert not contents_beside(folder / media)


@pytest.mark.parametrize(("name", "media"), COMPANIONS.items())
def test_what_lies_beside_and_links_within_the_folder_are_read(tmp_path: Path, name: str, media: str) -> None:
    (tmp_path / media).write_bytes(b"media")
    (tmp_path / "words").write_bytes(b"words")
    (tmp_path / name).symlink_to("words")
    (found,) = _beside(tmp_path / media)
    assert found.read(100) == b"words"


def test_a_link_that_is_put_in_its_place_while_it_is_opened_leads_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder of what is read becomes a link to elsewhere between the look and the opening."""
    folder = tmp_path / "library"
    (folder / "words").mkdir(parents=True)
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "a.srt").write_bytes(SECRET)
    (folder / "words" / "a.srt").write_bytes(b"words")
    (folder / "a.srt").symlink_to("words/a.srt")
    (folder / "a.mp4").write_bytes(b"media")
    (found,) = _beside(folder / "a.mp4")
    opened = os.open

    def swapped(path: bytes, flags: int) -> int:
        (folder / "words").rename(folder / "before")
        (folder / "words").symlink_to(tmp_path / "secrets")
        return opened(path, flags)

    monkeypatch.setattr(os, "open", swapped)
    with pytest.raises(Unsafe):
        found.read(100)
