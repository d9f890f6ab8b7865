"""The tree of docs/architecture.md: every module with the first sentence of its docstring.

`python docs/tree.py` writes it anew; a test holds it against the code.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "architecture.md"
PACKAGES = ("search", "indexer", "api")
_BLOCK = re.compile(r"(<!-- tree -->\n```\n)(.*?)(```)", re.S)
_COLUMN = 34


def measured() -> str:
    """The tree as the code is now."""
    return "".join(_folder(ROOT / package, 0) for package in PACKAGES)


def written() -> str:
    """The tree as the page shows it. Raises ValueError where the page has none."""
    match = _BLOCK.search(PAGE.read_text("utf-8"))
    if match is None:
        raise ValueError(f"{PAGE.name} has no code block after <!-- tree -->")
    return match[2]


def _folder(folder: Path, depth: int) -> str:
    lines = _line(folder.name + "/", folder / "__init__.py", depth)
    for path in sorted(folder.glob("*.py")):
        if path.name != "__init__.py":
            lines += _line(path.name, path, depth + 1)
    for path in sorted(folder.iterdir()):
        if (path / "__init__.py").is_file():
            lines += _folder(path, depth + 1)
    return lines


def _line(name: str, path: Path, depth: int) -> str:
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    sentence = docstring.split("\n\n")[0].replace("\n", " ").strip().rstrip(".")
    return f"{'  ' * depth + name:<{_COLUMN}}{sentence}\n"


if __name__ == "__main__":
    PAGE.write_text(_BLOCK.sub(lambda block: block[1] + measured() + block[3], PAGE.read_text("utf-8")), "utf-8")
