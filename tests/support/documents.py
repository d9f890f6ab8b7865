"""Small real PDFs and scans for tests, written by hand so that every byte of them is known."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image, ImageDraw, ImageFont

from search.arrays import UInt8Array

WIDTH, HEIGHT = 595, 842  # A4, in points
LINE = 14  # points from one line to the next
LEFT, TOP = 72, 72

Text = tuple[float, float, str]  # points from the left and from the top, words


def lines(*words: str) -> list[Text]:
    """Words below each other."""
    return [(LEFT, TOP + number * LINE, text) for number, text in enumerate(words)]


def pdf(pages: Sequence[Sequence[Text]], catalog: str = "", info: str = "", page: str = "") -> bytes:
    """A PDF with these texts on its pages; `catalog`, `info` and `page` are further entries of those dictionaries."""
    return assembled(_objects(pages, catalog, info, page))


def pdf_with_bomb(before: int, after: int) -> bytes:
    """A PDF with so many pages of a line each, then one of drawings within drawings, 20 ** 12 of them, then others."""
    objects = _objects([lines(f"page {number}") for number in range(1, before + after + 2)])
    drawn = "/F Do\n" * 20
    first, nests = len(objects) + 1, 12
    page, contents = 4 + 2 * before, 5 + 2 * before
    objects[page] = objects[page].replace("/Resources <<", f"/Resources << /XObject << /F {first} 0 R >>")
    objects[contents] = f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream"
    for nest in range(nests):
        inner = drawn if nest < nests - 1 else "0 0 1 1 re f"
        objects.append(
            f"<< /Type /XObject /Subtype /Form /BBox [0 0 {WIDTH} {HEIGHT}] /Length {len(inner)} "
            f"/Resources << /XObject << /F {first + nest + 1} 0 R >> >> >>\nstream\n{inner}\nendstream"
        )
    return assembled(objects)


def _objects(pages: Sequence[Sequence[Text]], catalog: str = "", info: str = "", page: str = "") -> list[str]:
    contents = ["\n".join(_shown(text) for text in texts) for texts in pages]
    kids = " ".join(f"{5 + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        f"<< /Type /Catalog /Pages 2 0 R {catalog} >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        f"<< {info} >>",
    ]
    for number, content in enumerate(contents):
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {WIDTH} {HEIGHT}] /Contents {6 + 2 * number} 0 R "
            f"/Resources << /Font << /F1 3 0 R >> >> {page} >>"
        )
        objects.append(f"<< /Length {len(content.encode('latin-1'))} >>\nstream\n{content}\nendstream")
    return objects


def assembled(objects: Sequence[str]) -> bytes:
    """A file of these objects, of which the first is the catalogue and the fourth tells of the document."""
    out = bytearray(b"%PDF-1.7\n")
    places: list[int] = []
    for number, body in enumerate(objects, start=1):
        places.append(len(out))
        out += f"{number} 0 obj\n{body}\nendobj\n".encode("latin-1")
    start = len(out)
    out += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode()
    out += b"".join(f"{place:010} 00000 n \n".encode() for place in places)
    out += f"trailer << /Size {len(objects) + 1} /Root 1 0 R /Info 4 0 R >>\nstartxref\n{start}\n%%EOF\n".encode()
    return bytes(out)


def _shown(text: Text) -> str:
    across, down, words = text
    escaped = words.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)")
    return f"BT /F1 11 Tf 1 0 0 1 {across} {HEIGHT - down} Tm ({escaped}) Tj ET"


def scan(*words: str, side: int = 1200) -> Image.Image:
    """A page of printed words, as a scanner sees it."""
    image = Image.new("RGB", (side * 3 // 4, side), "white")
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(size=side // 30)
    for number, text in enumerate(words):
        draw.text((side // 12, side // 12 + number * side // 20), text, "black", font)
    return image


def scanned_pdf(path: Path, pages: Sequence[Image.Image]) -> Path:
    """A PDF of pictures alone."""
    pages[0].save(path, "PDF", save_all=True, append_images=list(pages[1:]))
    return path


def scanned_tiff(path: Path, pages: Sequence[UInt8Array | Image.Image]) -> Path:
    """A TIFF of several pages."""
    with tifffile.TiffWriter(path) as file:
        for page in pages:
            file.write(np.asarray(page), photometric="rgb")
    return path


def jpeg(image: Image.Image) -> bytes:
    """The picture's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG")
    return buffer.getvalue()
