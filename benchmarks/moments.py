"""Are the moments of videos found: the right video, and the right seconds in it?

    python -m benchmarks.moments ../shared/data [--sound-head FILE]

Makes forty videos from test photographs, sounds and readings, with times that are known because they
were chosen here; indexes them as anybody would; and asks for every scene, sound and reading. The same
photographs are also indexed as still images, to see what is lost by lying inside a video. The real videos
of the data lie in the same library and are asked for what a person noted of them. Prints a table and
writes JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import tempfile
import threading
import wave
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import msgspec
import numpy as np
from safetensors.numpy import load_file

from indexer.decoding import audio
from indexer.decoding.decoder import limits_of
from indexer.decoding.items import DecodeRequest, SoundItem
from indexer.indexer import Indexer
from indexer.sources.scan import scan_source
from search.catalog import sources
from search.catalog.database import Database
from search.engine import SearchEngine
from search.query.parse import parse_query
from search.results import Moment
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform
from search.spaces.sound import SoundEncoder, SoundFeatures, SoundHead, sound_part
from search.spaces.starter import SoundPart, StarterSpace
from training.sound_phrasings import UNSEEN

SEED = 7
VIDEOS = 40
SCENES = 4
SCENE_SECONDS = 6.0
TEST_FOLD = 4  # of ESC-10
WIDTH, HEIGHT = 320, 320
LOOKED_AT = 5  # hits
# What there is to see, hear and read in the real videos, with the seconds, noted by eye and by loudness.
REAL = (
    ("frame", "a meadow with trees under a pink sky", "big_buck_bunny_0_30.webm", (2.0, 12.0)),
    ("frame", "flowers and stones on the bank of a stream", "big_buck_bunny_0_30.webm", (12.0, 16.0)),
    ("frame", "a gray bird on a branch", "big_buck_bunny_0_30.webm", (16.0, 21.0)),
    ("frame", "a burrow under a mossy mound in the woods", "big_buck_bunny_0_30.webm", (23.0, 30.0)),
    ("frame", "a policeman and a man in an old black and white film", "chaplin.mp4", (0.0, 9.6)),
    ("frame", "an old man with a hat on a stage with music stands", "applausing.mp4", (0.0, 10.0)),
    ("frame", "a man in a red shirt opens a glass door", "dog_barking.mp4", (0.0, 7.2)),
    ("frame", "a green toy frog on a wooden table", "mdn_frog.mp4", (0.0, 8.3)),
    ("frame", "a stove in a living room", "fire2.mp4", (0.0, 1.0)),
    ("frame", "a dog in a basket", "fire2.mp4", (1.0, 2.4)),
    ("sound", "people clapping", "applausing.mp4", (0.0, 10.0)),
    ("sound", "the applause of an audience", "applausing.mp4", (0.0, 10.0)),
    ("sound", "a dog barking", "dog_barking.mp4", (0.5, 7.0)),
    ("sound", "the neighbour's dog barks", "dog_barking.mp4", (0.5, 7.0)),
    ("text", "the peach open movie project presents", "big_buck_bunny_0_30.webm", (20.0, 23.0)),
    ("text", "big buck bunny", "big_buck_bunny_0_30.webm", (25.0, 30.0)),
)


@dataclass(frozen=True)
class Truth:
    """What a query should find: any of these videos, each with its seconds."""

    kind: str  # speech, sound, frame or text
    query: str
    segment_positions: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Score:
    """Of one kind of query."""

    queries: int
    recall_at_1: float
    recall_at_5: float
    mean_iou: float  # of the first moment of the kind's signal, in hits among the first five


def main() -> None:
    """Build, index, ask, report."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("data", type=Path)
    arguments.add_argument(
        "--sound-head", type=Path, help="a head that has not heard fold 4: training.sounds --held-out"
    )
    arguments.add_argument("--out", type=Path, default=Path("benchmarks/results/moments.json"))
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "videos").mkdir()
        truths = build(options.data, root / "videos")
        for real in (options.data / "video").iterdir():
            shutil.copy(real, root / "videos")
        engine = index(root / "videos", root / "home", options.sound_head)
        scores = {kind: score(engine, [t for t in truths if t.kind == kind]) for kind in ("speech", "sound", "frame")}
        for kind in ("sound", "frame", "text"):
            real_truths = [Truth(kind, query, {file: times}) for signal, query, file, times in REAL if signal == kind]
            scores[f"real: {kind}"] = score(engine, real_truths)
        engine.close()
        stills = still_recall(options.data, root, [t for t in truths if t.kind == "frame"])
    result = {kind: asdict(value) for kind, value in scores.items()} | {"still images": stills}
    print(f"{'':14}{'queries':>8}{'R@1':>8}{'R@5':>8}{'IoU':>8}")
    for kind, value in scores.items():
        print(f"{kind:14}{value.queries:8}{value.recall_at_1:8.2f}{value.recall_at_5:8.2f}{value.mean_iou:8.2f}")
    print(f"{'still images':14}{'':8}{stills['recall_at_1']:8.2f}{stills['recall_at_5']:8.2f}")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(result, indent=2) + "\n")


def build(data: Path, folder: Path) -> list[Truth]:
    """Write the videos; say what is where."""
    chance = random.Random(SEED)
    photos = [row for row in _rows(data / "photos" / "flickr8k.jsonl") if row["part"] == "test"]
    sounds = [row for row in _rows(data / "sounds" / "esc10.jsonl") if row["fold"] == TEST_FOLD]
    readings = _rows(data / "speech" / "ljspeech.jsonl")
    chance.shuffle(photos)
    chance.shuffle(sounds)
    truths: list[Truth] = []
    labelled: dict[str, dict[str, tuple[float, float]]] = {}
    for number in range(VIDEOS):
        name = f"video-{number:02}.mp4"
        scenes = photos[number * SCENES : (number + 1) * SCENES]
        track = np.zeros(int(SCENES * SCENE_SECONDS * SAMPLE_RATE_HZ), np.float32)
        label, sound = sounds[number]["label"].lower(), _waveform(data / "sounds" / "esc10" / sounds[number]["file"])
        starts = [chance.uniform(0, 6), chance.uniform(11.5, 13)]
        if number < len(readings):
            reading = _waveform(data / "speech" / "ljspeech" / readings[number]["file"])
            spoken = _mix(track, reading, starts[1])
            truths.append(Truth("speech", _middle_words(readings[number]["text"]), {name: spoken}))
        labelled.setdefault(label, {})[name] = _mix(track, sound, starts[0])
        for scene, photo in enumerate(scenes):
            times = (scene * SCENE_SECONDS, (scene + 1) * SCENE_SECONDS)
            truths.append(Truth("frame", photo["captions"][0], {name: times}))
        _write_video(folder / name, [data / "photos" / "flickr8k" / p["file"] for p in scenes], track)
    for label, segment_positions in labelled.items():
        truths += [Truth("sound", phrase, segment_positions) for phrase in UNSEEN[label]]
    return truths


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def _middle_words(text: str, count: int = 7) -> str:
    words = text.replace('"', "").split()
    start = max(0, len(words) // 2 - count // 2)
    return " ".join(words[start : start + count])


def _waveform(path: Path) -> Waveform:
    request = DecodeRequest(path, limits_of(Settings.load()), {})
    return np.concatenate([item.waveform for item in audio.decode(request) if isinstance(item, SoundItem)])


def _mix(track: Waveform, sound: Waveform, start: float) -> tuple[float, float]:
    first = int(start * SAMPLE_RATE_HZ)
    part = sound[: len(track) - first]
    track[first : first + len(part)] += part
    heard = np.flatnonzero(np.abs(part) > 0.005)  # clips are padded with silence to five seconds
    return start + heard[0] / SAMPLE_RATE_HZ, start + heard[-1] / SAMPLE_RATE_HZ


def _write_video(path: Path, photos: Sequence[Path], track: Waveform) -> None:
    sound = path.with_suffix(".wav")
    with wave.open(str(sound), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE_HZ)
        file.writeframes((np.clip(track, -1, 1) * 32767).astype("<i2").tobytes())
    inputs = [part for photo in photos for part in ("-loop", "1", "-t", str(SCENE_SECONDS), "-i", str(photo))]
    scaled = "".join(f"[{n}:v]scale={WIDTH}:{HEIGHT},fps=10,setsar=1[v{n}];" for n in range(len(photos)))
    joined = "".join(f"[v{n}]" for n in range(len(photos))) + f"concat=n={len(photos)}:v=1:a=0[v]"
    maps = ["-map", "[v]", "-map", f"{len(photos)}:a", "-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"]
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-loglevel", "error", "-y", *inputs, "-i", str(sound)]
    command += ["-filter_complex", scaled + joined, *maps, "-c:a", "aac", str(path)]
    subprocess.run(command, check=True, timeout=300)
    sound.unlink()


def index(folder: Path, home: Path, sound_head: Path | None) -> SearchEngine:
    """A library of the folder, indexed by the usual workers."""
    settings = msgspec.structs.replace(Settings.load(home=home), settle_seconds=0.0, vision=False)
    settings = msgspec.structs.replace(settings, decode_timeout_seconds=600.0)
    space = StarterSpace(settings, sound=_held_out(settings, sound_head) if sound_head else None)
    space_opener = (lambda _record: space) if sound_head else None
    database = Database.open(settings)
    database.migrate()
    with database.write() as connection:
        source = sources.add_source(connection, str(folder), True)
    with Indexer(settings, database, space_opener) as indexer:
        scan_source(database, source, settings)
        indexer.worker().run(threading.Event(), until_idle=True)
    return SearchEngine.open(settings, database, space_opener)


def _held_out(settings: Settings, head: Path) -> SoundPart:
    def load() -> SoundEncoder:
        return SoundEncoder(SoundFeatures.load(settings.models, 2), SoundHead(load_file(head)))

    # The fingerprint stays that of the shipped head: the catalogue opens no other starter space.
    return msgspec.structs.replace(sound_part(settings), load=load)


def score(engine: SearchEngine, truths: Sequence[Truth]) -> Score:
    """Recall of the right video, and how well its first moment covers the truth."""
    ranks: list[int] = []
    overlaps: list[float] = []
    for truth in truths:
        query = msgspec.structs.replace(parse_query(_plain(truth.query)), limit=LOOKED_AT)
        rank = LOOKED_AT + 1
        for position, hit in enumerate(engine.search(query).hits, 1):
            name = Path(hit.asset.path).name
            if name in truth.segment_positions:
                rank = min(rank, position)
                overlaps.append(_overlap(hit.moments, truth.segment_positions[name], Signal(truth.kind)))
                break
        ranks.append(rank)
    ranks_found = np.array(ranks)
    mean = float(np.mean(overlaps)) if overlaps else 0.0
    return Score(len(truths), float((ranks_found <= 1).mean()), float((ranks_found <= LOOKED_AT).mean()), mean)


def _plain(text: str) -> str:
    """Without what the query language would take for operators."""
    return "".join(c if c.isalnum() or c in " '" else " " for c in text)


def _overlap(moments: Sequence[Moment], truth: tuple[float, float], signal: Signal) -> float:
    """Intersection over union of the best-ranked moment of the signal; of any moment if there is none."""
    moment = next((m for m in moments if m.signal is signal), moments[0])
    if moment.start_seconds is None or moment.end_seconds is None:
        return 0.0
    both = min(moment.end_seconds, truth[1]) - max(moment.start_seconds, truth[0])
    either = max(moment.end_seconds, truth[1]) - min(moment.start_seconds, truth[0])
    return max(0.0, both) / either


def still_recall(data: Path, root: Path, truths: Sequence[Truth]) -> dict[str, float]:
    """Recall when the same photographs are still images, four of them making one answer as in a video."""
    folder = root / "stills"
    folder.mkdir()
    photos = [row for row in _rows(data / "photos" / "flickr8k.jsonl") if row["part"] == "test"]
    by_caption = {row["captions"][0]: row for row in photos}
    video_of: dict[str, str] = {}
    for truth in truths:
        file = by_caption[truth.query]["file"]
        shutil.copy(data / "photos" / "flickr8k" / file, folder)
        video_of[Path(file).name] = next(iter(truth.segment_positions))
    engine = index(folder, root / "home-stills", None)
    ranks = []
    for truth in truths:
        query = msgspec.structs.replace(parse_query(_plain(truth.query)), limit=SCENES * LOOKED_AT + SCENES)
        answers = dict.fromkeys(video_of[Path(hit.asset.path).name] for hit in engine.search(query).hits)
        wanted = next(iter(truth.segment_positions))
        ranks.append(list(answers).index(wanted) + 1 if wanted in answers else 99)
    engine.close()
    ranks_found = np.array(ranks)
    return {"recall_at_1": float((ranks_found <= 1).mean()), "recall_at_5": float((ranks_found <= LOOKED_AT).mean())}


if __name__ == "__main__":
    main()
