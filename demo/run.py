"""`make demo`: build a small library of real media, index it, search it, and say what to do next."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
LIBRARY = HERE / "library"
HOME = HERE / "home"
MEDLEY = Path(sys.executable).parent / "medley"

# Photographs inside scikit-image; the rest of its data are test patterns.
SCIKIT_IMAGE = {
    "astronaut.png": "portrait_01.png",
    "camera.png": "bw_photo.png",
    "chelsea.png": "pet_2019.png",
    "coffee.png": "IMG_0042.png",
    "coins.png": "scan_coins.png",
    "horse.png": "silhouette.png",
    "hubble_deep_field.jpg": "night_sky.jpg",
    "ihc.png": "lab_slide.png",
    "moon.png": "telescope_07.png",
    "motorcycle_left.png": "garage.png",
    "page.png": "scanned_page.png",
    "retina.jpg": "eye_clinic.jpg",
    "rocket.jpg": "DSC_1101.jpg",
    "brick.png": "texture_wall.png",
    "grass.png": "texture_lawn.png",
    "gravel.png": "texture_ground.png",
}
SCIKIT_LEARN = {"china.jpg": "holiday_2007.jpg", "flower.jpg": "garden.jpg"}

# What the demo searches for; the words are never in a file's name.
SEARCHES: tuple[tuple[str, list[str]], ...] = (
    ("a photo by its meaning", ["a cat looking at you"]),
    ("another one", ["a red motorcycle in a garage"]),
    ("a place", ["an old building with trees in front"]),
    ("spoken words, and the second they are said", ["when does the train leave"]),
    ("a moment inside a video", ["a rocket before its launch", "--kind", "video"]),
    ("photos that look like this one", ["--image", str(LIBRARY / "photos" / "texture_lawn.png"), "--kind", "image"]),
)


def main() -> int:
    """Run the demo; the exit status is that of the first step that failed."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--media", type=Path, help="a folder of your own to add")
    media: Path | None = arguments.parse_args().media
    started = time.monotonic()
    os.environ["MEDLEY_HOME"] = str(HOME)
    build_library()
    folders = [str(LIBRARY)] + ([str(media.expanduser())] if media else [])
    say(f"Indexing {' and '.join(folders)}")
    status = medley("index", *folders)
    if status and HOME.exists():
        # Most likely another version of Medley made it, with other weights; nothing in it is precious.
        say("That did not work with the demo's old home; once more with a new one")
        shutil.rmtree(HOME)
        status = medley("index", *folders)
    if status:
        return status
    for title, query in SEARCHES:
        say(f"{title}: medley search {' '.join(repr(word) if ' ' in word else word for word in query)}")
        if status := medley("search", *query, "--limit", "3"):
            return status
    print(
        f"\nDone in {time.monotonic() - started:.0f} s. Now try it yourself:\n"
        f"  export MEDLEY_HOME={HOME}\n"
        f"  {MEDLEY} search 'a cup of coffee'\n"
        f"  {MEDLEY} serve          then open http://127.0.0.1:8000\n"
        f"Your own photos: make demo MEDIA=~/Pictures"
    )
    return 0


def build_library() -> None:
    """Copy photographs out of installed packages, beside the recordings and the video of the project."""
    import sklearn.datasets
    from skimage import data

    photos = LIBRARY / "photos"
    photos.mkdir(parents=True, exist_ok=True)
    skimage_folder = Path(data.__file__).parent
    sklearn_folder = Path(sklearn.datasets.__file__).parent / "images"
    wanted = [(skimage_folder / old, photos / new) for old, new in SCIKIT_IMAGE.items()]
    wanted += [(sklearn_folder / old, photos / new) for old, new in SCIKIT_LEARN.items()]
    wanted += [(path, LIBRARY / path.name) for path in sorted((HERE / "media").iterdir())]
    for old, new in wanted:
        if not new.exists():
            shutil.copyfile(old, new)


def medley(*arguments: str) -> int:
    """Run the command line as a person would; its exit status."""
    return subprocess.run([MEDLEY, *arguments], check=False).returncode


def say(text: str) -> None:
    """A heading; flushed, because the commands below it write to the same terminal."""
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
