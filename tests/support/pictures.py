"""Small pictures for tests, made and not stored: what they show is known to the pixel."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

RED, GREEN, BLUE = (220, 20, 30), (20, 200, 30), (20, 40, 220)


def quadrants(width: int = 400, height: int = 300) -> Image.Image:
    """Red top left, green top right, blue bottom left, white bottom right: no two ways up look alike."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[: height // 2, : width // 2] = RED
    pixels[: height // 2, width // 2 :] = GREEN
    pixels[height // 2 :, : width // 2] = BLUE
    return Image.fromarray(pixels)


def landscape(seed: int, width: int = 400, height: int = 300) -> Image.Image:
    """A smooth picture of its own, like no other seed's."""
    rough = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(rough).resize((width, height), Image.Resampling.BICUBIC)


def save_coloured(path: Path, seed: int, colour: tuple[int, int, int] = RED) -> Path:
    """A small JPEG whose content is this colour and this seed."""
    image = Image.blend(Image.new("RGB", (160, 120), colour), landscape(seed, 160, 120), 0.2)
    image.save(path, quality=90)
    return path


def data_url(colour: str) -> str:
    """A small PNG of this colour (red, green or blue), as clients send it."""
    file = io.BytesIO()
    Image.new("RGB", (16, 12), {"red": RED, "green": GREEN, "blue": BLUE}[colour]).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
