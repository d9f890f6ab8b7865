"""Reaching a frame a second: the chosen strategy beside all three, and beside ffmpeg's own `fps=1` pipe.

    python -m benchmarks.frames [--rounds N]

Makes videos with keyframes close together and far apart. Times are CPU seconds (of this process, or of
ffmpeg), because test machines are shared; rounds are interleaved and medians are shown.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from indexer.decoding.decoder import limits_of
from indexer.decoding.frames.reader import FrameReader
from indexer.decoding.frames.seek_strategy import SeekStrategy
from indexer.previews import ffmpeg
from search.settings import Settings

# name -> seconds, frames between keyframes, seconds between wanted frames
FILES = {
    "keyframe each 0.4 s": (60, 10, 1.0),
    "keyframe each second": (60, 25, 1.0),
    "keyframe each 10 s": (60, 250, 1.0),
    "10 minutes, keyframe each 5 s, frame each 20 s": (600, 50, 20.0),
}
RATE = {60: 25, 600: 10}


def main() -> None:
    """Measure, print a table, write JSON."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/frames.json"))
    options = arguments.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (name, (seconds, between, step)) in enumerate(FILES.items()):
            path = Path(folder) / f"{number}.mp4"
            make(path, seconds, between)
            results[name] = measure(path, float(seconds), step, options.rounds)
            print_row(name, results[name])
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


def make(path: Path, seconds: int, between: int) -> None:
    """A test pattern with a keyframe each `between` frames."""
    source = f"testsrc2=size=640x360:rate={RATE[seconds]}:duration={seconds}"
    codec = ["-c:v", "libx264", "-preset", "ultrafast", "-g", str(between), "-sc_threshold", "0", "-pix_fmt", "yuv420p"]
    subprocess.run(
        [ffmpeg.program(), "-loglevel", "error", "-f", "lavfi", "-i", source, *codec, str(path)],
        check=True,
        timeout=600,
    )


def measure(path: Path, seconds: float, step: float, rounds: int) -> dict[str, object]:
    """Median CPU seconds of every way, and which one is chosen."""
    # A way that finds fewer frames is no way: keyframes ten seconds apart are no frame a second.
    wanted = 0.9 * seconds / step
    able = [way for way in SeekStrategy if read(path, seconds, step, way)[1] >= wanted]
    ways: dict[str, Callable[[], tuple[str, int]]] = {
        "chosen": partial(read, path, seconds, step, None),
        **{str(way): partial(read, path, seconds, step, way) for way in able},
    }
    spent: dict[str, list[float]] = {name: [] for name in [*ways, "ffmpeg"]}
    chosen = ""
    for _ in range(rounds):
        for name, way in ways.items():
            began = cpu_seconds(resource.RUSAGE_SELF)
            used, _ = way()
            spent[name].append(cpu_seconds(resource.RUSAGE_SELF) - began)
            chosen = used if name == "chosen" else chosen
        began = cpu_seconds(resource.RUSAGE_CHILDREN)
        pipe(path, step)
        spent["ffmpeg"].append(cpu_seconds(resource.RUSAGE_CHILDREN) - began)
    return {"chosen_is": chosen, **{name: round(statistics.median(values), 3) for name, values in spent.items()}}


def read(path: Path, seconds: float, step: float, strategy: SeekStrategy | None) -> tuple[str, int]:
    """All frames by one strategy: its name, and how many frames it found."""
    reader = FrameReader(path, limits_of(Settings.load()), seconds, step, strategy)
    count = sum(1 for _ in reader)
    return str(reader.strategy), count


def pipe(path: Path, step: float) -> None:
    """What most tools do."""
    command = [ffmpeg.program(), "-loglevel", "error", "-i", str(path), "-vf", f"fps=1/{step}", "-f", "rawvideo"]
    subprocess.run([*command, "-pix_fmt", "yuv420p", "-"], check=True, stdout=subprocess.DEVNULL, timeout=600)


def cpu_seconds(who: int) -> float:
    """CPU time so far."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def print_row(name: str, row: dict[str, object]) -> None:
    """One line of the table."""
    times = {key: value for key, value in row.items() if isinstance(value, float)}
    best = min(times[str(way)] for way in SeekStrategy if str(way) in times)
    rest = "  ".join(f"{key} {value:.2f}" for key, value in times.items())
    print(f"{name}: {row['chosen_is']}, {times['chosen'] / best:.2f} x the best; {rest}", flush=True)


if __name__ == "__main__":
    main()
