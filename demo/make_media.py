"""Makes the spoken recordings and the narrated video in `demo/media/`, which are committed.

Run it only to change them: `python -m demo.make_media`. It needs `espeak-ng` for the voice; the
photographs of the video ship inside scikit-image.
"""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

import imageio_ffmpeg
import skimage.data
from PIL import Image

HERE = Path(__file__).parent / "media"
FFMPEG = imageio_ffmpeg.get_ffmpeg_exe()
SIZE = (640, 360)
PAUSE_SECONDS = 1.2

RECORDINGS = {
    "bridge_tour": (
        "en-us",
        "Welcome to the walking tour. The old stone bridge over the river was rebuilt in nineteen fifty four, "
        "after the great flood. It has seven arches, and the people here call it the seven sisters.",
    ),
    "voicemail_anna": (
        "en-gb",
        "Hello, this is Anna. I have booked the tickets. Our train to Paris leaves at nine fifteen "
        "from platform four. Please bring the umbrella, and do not forget your passport.",
    ),
    "pancake_recipe": (
        "en-gb",
        "For the pancakes, mix two cups of flour with three eggs and half a litre of milk. Add a pinch of salt. "
        "Let the batter rest for twenty minutes, then fry it in butter until golden.",
    ),
}
NARRATED = [
    ("rocket", "The rocket stands on the launch pad early in the morning, and the countdown has begun."),
    ("astronaut", "Our commander is smiling in her orange space suit. She trained for six years for this flight."),
    ("hubble_deep_field", "Far away, the telescope looks at thousands of galaxies in one small patch of the sky."),
    ("coffee", "Back on the ground, the engineers finally drink a cup of hot coffee."),
]


def main() -> None:
    """Write all recordings and the video."""
    HERE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for name, (voice, words) in RECORDINGS.items():
            speech = speak(Path(scratch) / f"{name}.wav", voice, words)
            ffmpeg("-i", speech, "-ac", "1", "-c:a", "libopus", "-b:a", "32k", HERE / f"{name}.ogg")
        scenes = [scene(Path(scratch), index, *entry) for index, entry in enumerate(NARRATED)]
        listing = Path(scratch) / "scenes.txt"
        listing.write_text("".join(f"file '{path}'\n" for path in scenes))
        ffmpeg("-f", "concat", "-safe", "0", "-i", listing, "-c", "copy", HERE / "space_documentary.mp4")


def speak(path: Path, voice: str, words: str) -> Path:
    """One sentence or a few, spoken into a WAV file."""
    subprocess.run(["espeak-ng", "-v", voice, "-s", "140", "-w", path, words], check=True)
    return path


def scene(scratch: Path, index: int, photo: str, words: str) -> Path:
    """A photograph shown for as long as its sentence lasts."""
    still = scratch / f"{index}.png"
    picture = Image.fromarray(getattr(skimage.data, photo)()).convert("RGB")
    canvas = Image.new("RGB", SIZE)
    picture.thumbnail(SIZE)
    canvas.paste(picture, ((SIZE[0] - picture.width) // 2, (SIZE[1] - picture.height) // 2))
    canvas.save(still)
    speech = speak(scratch / f"{index}.wav", "en-us+f3", words)
    target = scratch / f"{index}.mp4"
    ffmpeg(
        *("-loop", "1", "-framerate", "12", "-i", still, "-i", speech, "-af", f"apad=pad_dur={PAUSE_SECONDS}"),
        *("-shortest", "-c:v", "libx264", "-crf", "30", "-pix_fmt", "yuv420p", "-g", "48"),
        *("-c:a", "aac", "-b:a", "48k", "-ac", "1", "-ar", "22050", target),
    )
    return target


def ffmpeg(*arguments: object) -> None:
    """Run the bundled ffmpeg quietly; raise if it fails."""
    subprocess.run([FFMPEG, "-hide_banner", "-loglevel", "error", "-y", *map(str, arguments)], check=True)


if __name__ == "__main__":
    main()
