"""`make bench`: every benchmark one after the other; those of quality only when a data folder is given.

    python -m benchmarks.run [--data FOLDER] [--only NAME ...]

Each one also runs by itself, with options of its own; see its first lines.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

SPEED: dict[str, list[str]] = {
    "catalog": [],
    "search": ["--no-hnsw"],
    "frames": [],
    "ingest": [],
    "http": ["--seconds", "60"],
}
ANSWERS = str(Path(tempfile.gettempdir()) / "medley-answers")


def quality(data: str) -> dict[str, list[str]]:
    """Those that need real media and their captions."""
    return {
        "quality": [data],
        "everyday": [data],
        "text_seen": [data],
        "speech": [data],
        "moments": [data],
        "ranking": ["--data", data],
        "answers": ["--data", data, "--home", ANSWERS],
        "rerank": ["quality", "--data", data, "--home", ANSWERS],
    }


def main() -> int:
    """Exit status: 1 if a benchmark broke off; no benchmark fails by a clock."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="folder with photos/, sounds/, speech/ and so on")
    parser.add_argument("--only", nargs="*", help="names of benchmarks")
    arguments = parser.parse_args()
    chosen = SPEED | (quality(arguments.data) if arguments.data else {})
    broken = []
    for name, options in chosen.items():
        if arguments.only and name not in arguments.only:
            continue
        print(f"\n## python -m benchmarks.{name} {' '.join(options)}\n", flush=True)
        if subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode:
            broken.append(name)
    if broken:
        print(f"broke off: {', '.join(broken)}", file=sys.stderr)
    return bool(broken)


if __name__ == "__main__":
    sys.exit(main())
