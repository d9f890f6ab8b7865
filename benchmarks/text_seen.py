"""How many pictures the cheap look lets through to the text reader, and how much drawn text it misses.

    python -m benchmarks.text_seen DATA      (a folder with photos/*/ below it, as the other benchmarks take)

Photographs are taken as they are, and again with one to three words drawn on them, in a random place, size
and colour, half of them on a plate as signs are. The photographs hold text of their own here and there
(shirts, watermarks), so not everything that passes among them is wasted.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from indexer.decoding.text_likelihood import looks_like_text

PHOTOS_PER_SET = 60
HEIGHTS = (10, 12, 14, 18, 24, 32, 48)  # pixels of the type's size
WORDS = (
    "exit",
    "parking",
    "open",
    "sale",
    "coffee",
    "welcome",
    "street",
    "danger",
    "high",
    "voltage",
    "please",
    "ring",
)
PLATES = ((255, 255, 255), (240, 220, 60), (200, 30, 30), (20, 40, 120))


def main() -> None:
    """Print the table."""
    chance = random.Random(0)
    font = font_manager.findfont("DejaVu Sans")
    photos = list(_photos(Path(sys.argv[1]) / "photos", chance))
    began = time.process_time()
    plain = [looks_like_text(np.asarray(photo)) for photo in photos]
    milliseconds = 1000 * (time.process_time() - began) / len(photos)
    by_height: dict[int, list[bool]] = {height: [] for height in HEIGHTS}
    for photo in photos:
        height = chance.choice(HEIGHTS)
        by_height[height].append(looks_like_text(np.asarray(_with_words(photo, height, font, chance))))
    print(f"{len(photos)} photographs; a look takes {milliseconds:.1f} ms of CPU\n")
    print("| pictures | let through |\n|---|---|")
    print(f"| photographs as they are | {np.mean(plain):.2f} |")
    for height, passed in by_height.items():
        print(f"| with words drawn, {height} px | {np.mean(passed):.2f} |")


def _photos(folder: Path, chance: random.Random) -> list[Image.Image]:
    chosen: list[Image.Image] = []
    for group in sorted(path for path in folder.iterdir() if path.is_dir()):
        files = sorted(path for path in group.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg", ".png", ".webp"})
        for path in chance.sample(files, min(PHOTOS_PER_SET, len(files))):
            with Image.open(path) as image:
                chosen.append(image.convert("RGB"))
    return chosen


def _with_words(photo: Image.Image, height: int, font_path: str, chance: random.Random) -> Image.Image:
    copy = photo.copy()
    drawing, font = ImageDraw.Draw(copy), ImageFont.truetype(font_path, height)
    words = " ".join(chance.sample(WORDS, chance.randint(1, 3)))[: max(4, int(copy.width / height * 1.5))]
    width = drawing.textlength(words, font=font)
    x, y = (
        chance.uniform(0, max(1.0, copy.width - width)),
        chance.uniform(0, max(1.0, copy.height - height * 1.3)),
    )
    ground = np.asarray(copy.crop((int(x), int(y), int(x + width) + 1, int(y + height * 1.3) + 1))).mean()
    if chance.random() < 0.5:
        plate = chance.choice(PLATES)
        drawing.rectangle((x - 4, y - 3, x + width + 4, y + height * 1.25), fill=plate)
        ground = sum(plate) / 3
    drawing.text((x, y), words, fill=(255, 255, 255) if ground < 128 else (0, 0, 0), font=font)
    return copy


if __name__ == "__main__":
    main()
