"""Mixed libraries for calibration and ranking benchmarks, made of the data folder's real media.

Photos stand alone or are frames of videos; captions of photos that are not in the library are spoken
in recordings and videos; clips sound; signs are seen. Vectors are the space's own; only the
arrangement into assets is made here. What a query is about is known by caption, label or words, and
where nobody said whether an item fits (a surfer's photo for the label "beach"), it counts neither way.

    photos/flickr8k.jsonl (captions), photos/*.jsonl (labels), sounds/*.jsonl, speech/*.jsonl

Captions are no speech, and nobody types them: so there are talks written for this, with what someone may
type to find them (spoken.txt), short keywords for photos, and queries about what nothing here holds
(elsewhere.txt).
"""

from __future__ import annotations

import itertools
import json
import re
import textwrap
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct, structs
from PIL import Image, ImageDraw

from search.catalog.sql.full_text import terms_of
from search.ranking.term_coverage import TermCoverage
from search.signals import Signal
from search.spaces.inputs import SAMPLE_RATE_HZ, Waveform, fit
from search.spaces.space import Space, unit_rows
from search.spaces.text.minilm import MiniLM
from search.words import stem
from training.bare_words import words_asked

# Cosine of centred sentences. Above: the same scene for a person; between: can't be said.
SAME_SCENE, OTHER_SCENE = 0.6, 0.42
OTHER_LABEL = 0.4
ALIKE_TALK = 0.55  # talks are each of their own; only nearly the same question may be answered by another
COVERED = 0.5  # of a query's words: more may be a hit by another way than was thought of
MOSTLY_COVERED = 0.6  # the same for whole sentences, which share more by chance
HERE = Path(__file__).parent
PASSAGES = 600  # rows of captions that are spoken, per part
# Described photos of the training part that make large libraries large, per part. Nothing is asked about one of them
# alone, but they are right for words.
OTHERS = 2500
MOST_ASKED = 150  # questions of one sort
SCREEN_STEP = 12  # every so many passages are also seen as a picture of text
SCREENSHOT = "a screenshot of text"
SIGNS = (
    "no parking", "emergency exit", "platform nine", "happy birthday grandma", "fresh fish market", "speed limit fifty",
    "wet paint", "meeting room four", "beware of the dog", "bakery open until six", "city marathon finish",
    "invoice number 20391", "chapter three the storm", "kitchen closed", "welcome to the museum", "train to budapest",
    "push to open", "tickets sold out", "grand piano for sale", "swimming prohibited", "quarterly report",
    "vegetable soup of the day", "keep refrigerated", "lost cat reward", "departures gate twelve", "love is the answer",
    "library reading hall", "danger high voltage", "one way street", "elect the mayor", "hotel reception",
)  # fmt: skip


class Contents(Struct, frozen=True, kw_only=True):
    """Everything that segments can hold, row by row."""

    sorts: np.ndarray  # (n,) of "photo", "passage", "talk", "clip", "sign", "screen"
    vectors: np.ndarray  # (n, d) float32 of the widest signal; the others' rows end in zeros
    texts: list[str]  # words, for passages and signs
    sentences: list[list[str]]  # what is true of the item, for finding what else fits; held-out captions first
    meanings: np.ndarray  # (n, 5, 384) float32 unit rows of the sentences, zero where there are fewer
    centre: np.ndarray  # (384,) of all sentences: what they have in common says nothing
    labels: list[str]  # "set/label", empty where there is none


class Question(Struct, frozen=True, kw_only=True):
    """A query with what it is about. `truth` is 1, 0 or nan (nobody knows) per row of Contents."""

    sort: str
    text: str
    truth: np.ndarray
    also: np.ndarray | None = None  # for questions of two things: truth of the second


def read_contents(data: Path, space: Space, part: str, cache: Path) -> Contents:
    """All contents of "validation" or "test"; vectors are kept in `cache` by the space's fingerprint."""
    photos, labelled = _photos(data, part)
    others = _others(data, part)
    spoken = _spoken(data, part)
    clips = _clips(data, part) if Signal.SOUND in space.dimensions else []
    signs = SIGNS[::2] if part == "validation" else SIGNS[1::2]
    kept = cache / space.fingerprint.digest[:12]
    kept.mkdir(parents=True, exist_ok=True)
    pictures = [row["path"] for row in (*photos, *labelled, *others)]
    screens = [row["words"] for row in spoken[::SCREEN_STEP]]
    words = [row["words"] for row in spoken] + list(signs)
    vectors = _stacked(
        _kept(kept / f"pictures-{part}-{len(pictures)}.npy", lambda: _picture_vectors(space, map(_opened, pictures))),
        _kept(kept / f"words-{part}-{len(words)}.npy", lambda: space.embed(Signal.SPEECH, words)),
        *([_kept(kept / f"clips-{part}.npy", lambda: _clip_vectors(space, clips))] if clips else []),
        _kept(kept / f"screens-{part}-{len(screens)}.npy", lambda: _picture_vectors(space, map(_written, screens))),
    )
    rows = [*photos, *labelled, *others, *spoken, *({"sentences": [sign]} for sign in signs), *clips]
    rows += [{"sentences": [SCREENSHOT]} for _ in screens]
    many = range(len(photos) + len(labelled), len(pictures))
    sentences = [list(row["sentences"]) for row in rows]
    # Of the others only words are compared: there are many, and nothing is asked about one of them alone.
    compared = [row if number not in many else [] for number, row in enumerate(sentences)]
    flat = [sentence for row in compared for sentence in row]
    said = _kept(cache / f"sentences-{part}-{len(flat)}.npy", lambda: sentence_vectors(flat))
    centre = said.mean(axis=0)
    return Contents(
        sorts=np.array(
            ["photo"] * (len(photos) + len(labelled))
            + ["other"] * len(others)
            + [row["sort"] for row in spoken]
            + ["sign"] * len(signs)
            + ["clip"] * len(clips)
            + ["screen"] * len(screens)
        ),
        vectors=vectors,
        texts=[""] * len(pictures) + words + [""] * len(clips) + [""] * len(screens),
        sentences=sentences,
        meanings=_meanings(unit_rows(said - centre), [len(row) for row in compared]),
        centre=centre,
        labels=[row.get("label", "") for row in rows],
    )


def questions(contents: Contents, part: str, random: np.random.Generator) -> list[Question]:
    """All questions that the contents can answer, and some that they can't, in random order."""
    asked: list[Question] = []
    for row in _chosen(contents, random):
        sort, sentences = str(contents.sorts[row]), contents.sentences[row]
        if sort in ("photo", "passage") and len(sentences) > 1:
            asked.append(_about(contents, "photo" if sort == "photo" else "speech", row))
        elif sort == "passage":
            asked.append(_by_words(contents, row))
        elif sort == "sign":
            wording = random.choice(["a sign that says {}", "{}"])
            asked.append(_exactly("text", wording.format(sentences[0]), contents, [row]))
        elif sort == "talk":
            asked += _of_talk(contents, row)
    asked += _by_keywords(contents, random)
    asked += _elsewhere(contents, _lines("elsewhere.txt", part))
    labels = sorted({label for label in contents.labels if label})
    names = [label.split("/", 1)[1].replace("_", " ").lower() for label in labels]
    vectors = sentence_vectors(names, contents.centre)
    for label, name, vector in zip(labels, names, vectors, strict=True):
        is_sound = label.startswith("sound")
        text = f"the sound of {name}" if is_sound else name
        asked.append(_of_label(contents, "sound" if is_sound else "label", text, label, vector))
    asked = _unsure_of_others(contents, asked) + bare_words(contents, random)
    order = random.permutation(len(asked))
    return [asked[number] for number in order]


def _chosen(contents: Contents, random: np.random.Generator) -> list[int]:
    """Rows that are asked about: of photos and passages, which are many, as many as trials can use."""
    rows: list[int] = []
    for sort in ("photo", "passage", "sign", "talk"):
        of_sort = np.flatnonzero(contents.sorts == sort)
        told = np.array([len(contents.sentences[row]) > 1 for row in of_sort], bool)
        # Readings, whose words are asked for, are the only passages that are told once.
        many, few = of_sort[told], of_sort[~told] if sort != "photo" else of_sort[:0]
        rows += [*many[np.sort(random.permutation(len(many))[:MOST_ASKED])].tolist(), *few.tolist()]
    return sorted(rows)


def _unsure_of_others(contents: Contents, asked: Sequence[Question]) -> list[Question]:
    """The others are wrong unless their descriptions hold half of the query's words: then nobody knows."""
    others = np.flatnonzero(contents.sorts == "other")
    told = [frozenset(stem(word) for word in terms_of(" ".join(contents.sentences[row]))) for row in others]
    unsure = []
    for question in asked:
        wanted = {stem(word) for word in terms_of(question.text)}
        held = np.array([len(wanted & words) for words in told]) / len(wanted)
        truth = question.truth.copy()
        truth[others] = np.where(held >= COVERED, np.nan, 0.0)
        unsure.append(structs.replace(question, truth=truth))
    return unsure


def bare_words(contents: Contents, random: np.random.Generator) -> list[Question]:
    """Single words and short phrases that name something, as bare_words.py tells what fits them."""
    asked = words_asked(contents.sentences, contents.sorts, contents.texts, 2 * MOST_ASKED, random)
    vectors = sentence_vectors([text for _, text, _ in asked], contents.centre)
    questions = []
    named = np.isin(contents.sorts, ["photo", "clip"]) & (
        np.array([len(sentences) for sentences in contents.sentences]) == 1
    )
    for (sort, text, truth), vector in zip(asked, vectors, strict=True):
        # Of a photo that only has a name nobody knows what else it shows.
        unknown = named & (truth == 0) & ((contents.meanings @ vector).max(axis=1) > OTHER_LABEL)
        questions.append(Question(sort=sort, text=text, truth=np.where(unknown, np.nan, truth)))
    return questions


def _about(contents: Contents, sort: str, row: int) -> Question:
    """The item's first sentence, which is neither spoken nor among those that tell what fits."""
    likeness = contents.meanings[:, 1:] @ contents.meanings[row, 0]
    text = contents.sentences[row][0]
    truth = _graded(likeness.max(axis=1), SAME_SCENE, OTHER_SCENE)
    truth[(truth == 0) & (_covered(contents.texts, text) > MOSTLY_COVERED)] = np.nan
    truth[contents.sorts == "sign"] = 0.0
    truth[row] = 1.0
    return Question(sort=sort, text=text, truth=truth)


def _of_label(contents: Contents, sort: str, text: str, label: str, vector: np.ndarray) -> Question:
    likeness = (contents.meanings @ vector).max(axis=1)
    truth = np.where(likeness <= OTHER_LABEL, 0.0, np.nan)  # a surfer's photo may well show a beach
    # Who asks for "bathroom" and hears of one has not been answered wrongly.
    truth[np.maximum(_covered(contents.texts, text), _covered(_joined(contents), text)) > COVERED] = np.nan
    truth[contents.sorts == "sign"] = 0.0
    truth[[other == label for other in contents.labels]] = 1.0
    return Question(sort=sort, text=text, truth=truth)


def _by_words(contents: Contents, row: int) -> Question:
    """Two or three long or capital words of a passage, as someone remembers them."""
    words = re.findall(r"[A-Za-z]{4,}", contents.texts[row])
    telling = sorted(dict.fromkeys(words), key=lambda word: (not word[0].isupper(), -len(word)))[:3]
    return _exactly("words", " ".join(telling), contents, [row])


def _of_talk(contents: Contents, row: int) -> list[Question]:
    """The same talk asked for in the ways that people have: words, a question, the gist."""
    question, gist, keywords = contents.sentences[row][:3]
    ways = (("talk: keywords", keywords), ("talk: question", question), ("talk: gist", gist))
    vectors = sentence_vectors([text for _, text in ways], contents.centre)
    questions = []
    for (sort, text), vector in zip(ways, vectors, strict=True):
        likeness = (contents.meanings @ vector).max(axis=1)
        same = np.where(contents.sorts == "talk", ALIKE_TALK, OTHER_SCENE)
        # A photo of a train does not say when it leaves, but neither is it surely wrong.
        truth = np.where(likeness <= same, 0.0, np.nan)
        truth[_covered(contents.texts, text) > COVERED] = np.nan
        truth[row] = 1.0
        questions.append(Question(sort=sort, text=text, truth=truth))
    return questions


def _by_keywords(contents: Contents, random: np.random.Generator) -> list[Question]:
    """Two or three words of a photo's captions, as people type them.

    Wrong is only what none of them is said of: captions don't mention all there is to see.
    """
    photos = np.flatnonzero(
        (contents.sorts == "photo") & (np.array([len(sentences) for sentences in contents.sentences]) > 1)
    )
    photos = photos[np.sort(random.permutation(len(photos))[:MOST_ASKED])]
    joined = _joined(contents)
    texts = []
    for row in photos:
        first, *others = contents.sentences[row]
        telling = [term for term in terms_of(first) if sum(TermCoverage([term]).of(other) for other in others) >= 2]
        if len(telling) >= 2:
            count = min(len(telling), int(random.integers(2, 4)))
            chosen = sorted(random.choice(len(telling), count, replace=False))
            texts.append((row, " ".join(telling[position] for position in chosen)))
    vectors = sentence_vectors([text for _, text in texts], contents.centre)
    questions = []
    for (row, text), vector in zip(texts, vectors, strict=True):
        likeness = (contents.meanings @ vector).max(axis=1)
        held = _covered(joined, text)
        truth = np.where((likeness <= OTHER_SCENE) & (held == 0), 0.0, np.nan)
        truth[held == 1] = 1.0
        truth[contents.sorts == "sign"] = 0.0
        truth[row] = 1.0
        questions.append(Question(sort="keywords", text=text, truth=truth))
    return questions


def _elsewhere(contents: Contents, texts: Sequence[str]) -> list[Question]:
    """About other worlds; what may fit by chance counts neither way."""
    vectors = sentence_vectors(texts, contents.centre)
    questions = []
    for text, vector in zip(texts, vectors, strict=True):
        likeness = (contents.meanings @ vector).max(axis=1)
        truth = np.where(likeness <= OTHER_SCENE, 0.0, np.nan)
        truth[_covered(contents.texts, text) > COVERED] = np.nan
        questions.append(Question(sort="elsewhere", text=text, truth=truth))
    return questions


def _joined(contents: Contents) -> list[str]:
    """All that is told of each item; nothing where only a name is."""
    return [" ".join(sentences) if len(sentences) > 1 else "" for sentences in contents.sentences]


def _covered(texts: Sequence[str], text: str) -> np.ndarray:
    """`(n,)`: how many of a query's words each text holds."""
    coverage = TermCoverage(terms_of(text))
    return np.array([coverage.of(words) for words in texts])


def _exactly(sort: str, text: str, contents: Contents, rows: Sequence[int]) -> Question:
    truth = np.zeros(len(contents.texts))
    truth[list(rows)] = 1.0
    return Question(sort=sort, text=text, truth=truth)


def _graded(likeness: np.ndarray, same: float, other: float) -> np.ndarray:
    return np.where(likeness >= same, 1.0, np.where(likeness <= other, 0.0, np.nan))


def _photos(data: Path, part: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    captioned, labelled = [], []
    for path in sorted((data / "photos").glob("*.jsonl")):
        for row in _rows(path):
            row["path"] = path.with_suffix("") / row["file"]
            if len(row.get("captions", ())) >= 5 and row.get("part") == part:
                captioned.append(row | {"sentences": row["captions"][:5]})
            elif "label" in row and row.get("part") == {"validation": "train", "test": "test"}[part]:
                name = row["label"].replace("_", " ").lower()
                labelled.append(row | {"sentences": [name], "label": f"{path.stem}/{row['label']}"})
    # The label sets' train parts are many; as many as there are captioned photos do.
    step = max(1, len(labelled) // max(300, len(captioned)))
    return captioned, labelled[::step]


def _others(data: Path, part: str) -> list[dict[str, Any]]:
    """Described photos that nobody chooses or reports by, other ones for each part."""
    rows = [row | {"path": data / "photos" / "flickr8k" / row["file"]} for row in _rows(data / "photos/flickr8k.jsonl")]
    rows = [row for row in rows if row["part"] == "train"][2 * PASSAGES :]
    mine = rows[:OTHERS] if part == "validation" else rows[OTHERS : 2 * OTHERS]
    return [row | {"sentences": row["captions"][:5]} for row in mine]


def _spoken(data: Path, part: str) -> list[dict[str, Any]]:
    """Captions of photos that are in no library, and readings with their transcripts."""
    rows = [row for path in sorted((data / "photos").glob("*.jsonl")) for row in _rows(path)]
    rows = [row for row in rows if row.get("part") == "train" and len(row.get("captions", ())) >= 5]
    start = 0 if part == "validation" else PASSAGES
    spoken = [
        {
            "sort": "passage",
            "sentences": [row["captions"][0], *row["captions"][3:5]],
            "words": " ".join(row["captions"][1:3]),
        }
        for row in rows[start : start + PASSAGES]
    ]
    for line in _lines("spoken.txt", part):
        words, keywords, question, gist = line.split(" | ")
        spoken.append({"sort": "talk", "sentences": [question, gist, keywords, words], "words": words})
    readings = [row for path in sorted((data / "speech").glob("*.jsonl")) for row in _rows(path) if row.get("text")]
    mine = readings[::2] if part == "validation" else readings[1::2]
    return spoken + [{"sort": "passage", "sentences": [row["text"]], "words": row["text"]} for row in mine]


def _lines(name: str, part: str) -> list[str]:
    """Of a part's section in one of our own files."""
    section = (HERE / name).read_text("utf-8").split(f"= {part}\n")[1].split("\n= ")[0]
    return [line for line in section.splitlines() if line.strip()]


def _clips(data: Path, part: str) -> list[dict[str, Any]]:
    clips = []
    for path in sorted((data / "sounds").glob("*.jsonl")):
        for number, row in enumerate(_rows(path)):
            early = int(row.get("fold", number)) % 2 == 0
            if early == (part == "validation"):
                files = path.with_suffix("") / row["file"]
                name = row["label"].replace("_", " ").lower()
                clips.append({"path": files, "sentences": [name], "label": f"sound/{row['label'].lower()}"})
    return clips


def _rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]


def _kept(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    if not path.is_file():
        np.save(path, make())
    vectors: np.ndarray = np.load(path)
    return vectors


def _stacked(*matrices: np.ndarray) -> np.ndarray:
    """Below each other, the narrow ones filled up with zeros: in some spaces signals differ in dimension."""
    widest = max(matrix.shape[1] for matrix in matrices)
    return np.concatenate([np.pad(matrix, ((0, 0), (0, widest - matrix.shape[1]))) for matrix in matrices])


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def _written(text: str) -> Image.Image:
    """Text as a screenshot shows it."""
    image = Image.new("RGB", (640, 480), "white")
    ImageDraw.Draw(image).multiline_text((20, 20), "\n".join(textwrap.wrap(text, 60)), "black", font_size=20)
    return image


def _picture_vectors(space: Space, pictures: Iterable[Image.Image]) -> np.ndarray:
    vectors, left = [], iter(pictures)
    while batch := list(itertools.islice(left, 32)):
        vectors.append(space.embed(Signal.IMAGE, [fit(picture, space.image_input) for picture in batch]))
    return np.concatenate(vectors) if vectors else np.empty((0, space.dimensions[Signal.IMAGE]), np.float32)


def _clip_vectors(space: Space, clips: Sequence[dict[str, Any]]) -> np.ndarray:
    return np.concatenate([space.embed(Signal.SOUND, [_waveform(clip["path"])]) for clip in clips])


def _waveform(path: Path) -> Waveform:
    import av

    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE_HZ)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray().reshape(-1) for frame in frames]).astype(np.float32)


def sentence_vectors(texts: Sequence[str], centre: np.ndarray | None = None) -> np.ndarray:
    """For judging what fits, not for searching: `(n, 384) float32`; unit rows around `centre` if given."""
    model = MiniLM.load()
    parts = [model.encode(list(texts[start : start + 64])) for start in range(0, len(texts), 64)]
    vectors = np.concatenate(parts) if parts else np.empty((0, 384), np.float32)
    return vectors if centre is None else unit_rows(vectors - centre)


def _meanings(vectors: np.ndarray, counts: Sequence[int]) -> np.ndarray:
    """Rows of sentences -> `(rows, 5, 384)`. The first asks, the others tell what fits; one does both."""
    meanings, start = np.zeros((len(counts), 5, 384), np.float32), 0
    for row, count in enumerate(counts):
        meanings[row, :count] = vectors[start : start + count]
        if count == 1:
            meanings[row, 1] = vectors[start]
        start += count
    return meanings
