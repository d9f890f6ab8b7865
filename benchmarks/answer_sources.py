"""A library of drawn pages, spoken memos, sounds and photos, and questions about it with their answers.

Everything is made by rule from seeds: pages are drawn, memos are spoken by espeak-ng, sounds and photos come from the
data. Half of the test part is about kinds of pages and memos that nothing was trained or chosen with
(answers_data/). Knows no engine and no model.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec import Struct
from PIL import Image

from training.reading import drawing, layouts, near_misses, templates
from training.reading.templates import ENGLISH, Asked, Document, Spoken, make_document, make_spoken
from training.reading.vocabulary import FOLDER, Vocabulary, read_words

HERE = Path(__file__).parent / "answers_data"
LEARNT = (templates.documents_file(), templates.statements_file())
HELD_OUT = {
    "validation": (FOLDER / "validation_documents.toml", FOLDER / "validation_statements.toml"),
    "test": (HERE / "documents.toml", HERE / "statements.toml"),
}
INSTANCES = {"validation": 2, "test": 3}  # pages of each held-out kind
ASKED = 3  # English questions a page
FOREIGN = 1
MEMO = 3  # statements in one memo or chat
VOICES = ("en-gb", "en-us", "en-gb-scotland", "en-us+f3", "en-gb+f2")
SPEED = 145  # words a minute
PHOTO_SETS = ("caltech101", "dreambooth", "corel1k", "sports100")
EXTRA = 2  # unanswerable questions of each kind about one page or memo
ABSENT_SOUNDS = ("piano", "thunder", "train whistle", "church bells", "cat meowing", "typing")
ABSENT_PHOTOS = ("submarine", "giraffe", "violin", "igloo", "wind turbine", "penguin", "tractor", "chandelier")


class Item(Struct, frozen=True, kw_only=True):
    """One question. `sources`: files that hold the answer; none when the library does not hold it.

    `lacks`: what an unanswerable question asks for: a "row" left out of a page, one "absent" from all its kind,
    another "key" of a table, another "subject" of a memo's sentence, another "fact" about a subject; sound, photo.
    """

    kind: str  # page, table, chat, memo, sound, photo, mixed, unanswerable
    text: str
    part: str  # validation or test
    language: str = ENGLISH
    answer: str = ""  # words that the answering line must hold; "": the right source will do
    sources: tuple[str, ...] = ()
    lacks: str = ""
    unseen: bool = False  # of a kind that nothing was trained with

    @property
    def answerable(self) -> bool:
        """Does the library hold the answer?"""
        return bool(self.sources)


class Maker:
    """Writes the media into a folder and collects the questions."""

    def __init__(self, folder: Path, data: Path, seed: int) -> None:
        self._folder, self._data = folder, data
        self._random = np.random.default_rng(seed)
        self._apart = np.random.default_rng((seed, 1))  # for unanswerable questions: media don't depend on them
        every = [FOLDER / "words.toml", FOLDER / "validation_words.toml", HERE / "words.toml"]
        self._words = Vocabulary(read_words(*every), self._random, apart=True)
        self._fonts = drawing.find_fonts()
        self._told: set[str] = set()  # every question that a source answers, asked or not
        self._lacking: list[Item] = []
        self.items: list[Item] = []

    def make(self) -> list[Item]:
        """All sources, in no telling order of names."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for part, files in (("", LEARNT), *HELD_OUT.items()):
            documents, statements = (templates.read_templates(file) for file in files)
            self._pages(documents, part)
            self._memos(statements, part)
        self._sounds()
        self._photos()
        asked = {item.text: item for item in self._lacking if item.text not in self._told}
        return [*self.items, *asked.values()]

    def _pages(self, documents: Mapping[str, Mapping[str, Any]], part: str) -> None:
        for name, template in documents.items():
            if template.get("style") == "chat":
                continue
            for number in range(INSTANCES.get(part, 3)):
                document = make_document(name, template, self._words)
                asked_of = part or ("validation" if number == 0 else "test")
                self._page(document, template, asked_of, bool(part))

    def _page(self, document: Document, template: Mapping[str, Any], part: str, unseen: bool) -> None:
        kept, dropped = _without_a_row(document, self._random)
        picture = drawing.draw(layouts.lay_out(kept, self._random), self._fonts, self._random)
        name = self._name("IMG", "png")
        picture.save(self._folder / name)
        kind = "table" if document.head else "page"
        for asked in self._chosen(kept.asked):
            self._ask(kind, asked, part, name, unseen)
        self._told |= {asked.text for asked in kept.asked}
        # Of two rows with one label, such as the same food twice on a receipt, the other one still answers.
        labels = {row[0] for row in kept.rows if len(row) > 1}
        self._told |= {asked.text for asked in dropped if document.rows[asked.row][0] in labels}
        texts = self._some([asked.text for asked in dropped if asked.language == ENGLISH], EXTRA)
        self._lack("row", texts, part, unseen)
        for asked in dropped:
            if asked.language != ENGLISH:
                self._lack("row", [asked.text], part, unseen, asked.language)
        self._lack("absent", near_misses.absent(document, template, self._apart), part, unseen)
        self._lack("key", list(near_misses.other_keys(kept, self._words.lists, self._apart)), part, unseen)

    def _lack(self, lacks: str, texts: Sequence[str], part: str, unseen: bool, language: str = ENGLISH) -> None:
        """Ask some of the texts, which nothing answers."""
        for i in self._apart.permutation(len(texts))[:EXTRA]:
            item = Item(kind="unanswerable", text=texts[i], part=part, lacks=lacks, unseen=unseen, language=language)
            self._lacking.append(item)

    def _memos(self, statements: Mapping[str, Mapping[str, Any]], part: str) -> None:
        spoken = [name for name, held in statements.items() if held.get("spoken", True)]
        written = [name for name in statements if name not in spoken]
        written += self._some(spoken, len(spoken) // 3)
        said = [name for name in self._some(spoken, len(spoken)) if name not in written]
        for names, make in ((said, self._memo), (written, self._chat)):
            for group in _groups(names, MEMO):
                memo = make_spoken(group, statements, self._words, self._random)
                asked_of = self._part(part)
                make(memo, asked_of, bool(part))
                lists = self._words.lists
                subjects = list(near_misses.other_subjects(memo, lists, self._apart))
                self._lack("subject", subjects, asked_of, bool(part))
                self._lack("fact", list(near_misses.other_facts(memo, statements, lists)), asked_of, bool(part))

    def _memo(self, spoken: Spoken, part: str, unseen: bool) -> None:
        name = self._name("memo", "wav")
        voice = VOICES[int(self._random.integers(len(VOICES)))]
        speak(" ".join(spoken.sentences), self._folder / name, voice)
        self._ask_about(spoken, "memo", part, name, unseen)

    def _chat(self, spoken: Spoken, part: str, unseen: bool) -> None:
        name = self._name("Screenshot", "png")
        page = layouts.chat(spoken, self._words.value("first"), self._random)
        drawing.draw(page, self._fonts, self._random).save(self._folder / name)
        self._ask_about(spoken, "chat", part, name, unseen)

    def _ask_about(self, spoken: Spoken, kind: str, part: str, name: str, unseen: bool) -> None:
        self._told |= {asked.text for asked in spoken.asked}
        for row in sorted({asked.row for asked in spoken.asked}):
            for asked in self._chosen([asked for asked in spoken.asked if asked.row == row], 2):
                self._ask(kind, asked, part, name, unseen)

    def _ask(self, kind: str, asked: Asked, part: str, name: str, unseen: bool) -> None:
        self.items.append(
            Item(
                kind=kind,
                text=asked.text,
                part=part,
                language=asked.language,
                answer=asked.answer,
                sources=(name,),
                unseen=unseen,
            )
        )

    def _sounds(self) -> None:
        by_label: dict[str, list[Path]] = {}
        for listing in ("esc10", "urbansound8k"):
            for row in _rows(self._data / "sounds" / f"{listing}.jsonl"):
                file = self._data / "sounds" / listing / row["file"]
                by_label.setdefault(row["label"].lower().replace("_", " "), []).append(file)
        for number, (label, files) in enumerate(sorted(by_label.items())):
            names = tuple(self._copy(file, "sound") for file in self._some(files, 2))
            for text in (f"Is there a {label} sound?", f"In which recording can I hear {label}?"):
                self.items.append(Item(kind="sound", text=text, part=_by_turns(number), sources=names))
        for number, label in enumerate(ABSENT_SOUNDS):
            text = f"Is there a {label} sound?"
            self.items.append(Item(kind="unanswerable", text=text, lacks="sound", part=_by_turns(number)))

    def _photos(self) -> None:
        by_label: dict[str, list[Path]] = {}
        for listing in PHOTO_SETS:
            for row in _rows(self._data / "photos" / f"{listing}.jsonl"):
                by_label.setdefault(row["label"], []).append(self._data / "photos" / listing / row["file"])
        for number, label in enumerate(self._some(sorted(by_label), 40)):
            self._photographed(label, self._some(by_label[label], 2), _by_turns(number), dated=number % 2 == 0)
        for row in self._some(list(_rows(self._data / "photos" / "flickr8k.jsonl")), 100):
            self._copy(self._data / "photos" / "flickr8k" / row["file"], "DSC")
        for number, label in enumerate(ABSENT_PHOTOS):
            text = f"Is there a photo of a {label}?"
            self.items.append(Item(kind="unanswerable", text=text, lacks="photo", part=_by_turns(number)))

    def _photographed(self, label: str, files: Sequence[Path], part: str, dated: bool) -> None:
        names = tuple(self._copy(file, "DSC") for file in files)
        self.items.append(Item(kind="photo", text=f"Is there a photo of {label}?", part=part, sources=names))
        if dated:
            for name in names:
                when = f"20{self._random.integers(10, 24)}:0{self._random.integers(1, 9)}:15 10:30:00"
                camera = str(self._random.choice(["EOS R5", "Pixel 8", "X-T4"]))
                _stamp(self._folder / name, when, camera)
            first = names[0]
            told = {36867: when[:4], 272: camera}
            self.items.append(
                Item(
                    kind="mixed", text=f"When was {names[-1]} taken?", part=part, answer=told[36867], sources=names[-1:]
                )
            )
            self.items.append(
                Item(kind="mixed", text=f"What is the resolution of {first}?", part=part, answer="x", sources=(first,))
            )

    def _chosen(self, asked: Sequence[Asked], most: int = ASKED) -> list[Asked]:
        english = self._some([question for question in asked if question.language == ENGLISH], most)
        return english + self._some([question for question in asked if question.language != ENGLISH], FOREIGN)

    def _some(self, things: Sequence[Any], most: int) -> list[Any]:
        return [things[i] for i in self._random.permutation(len(things))[:most]]

    def _part(self, held_out: str) -> str:
        return held_out or ("validation" if self._random.random() < 0.3 else "test")

    def _name(self, stem: str, ending: str) -> str:
        return f"{stem}_{self._random.integers(1000, 9999)}{len(list(self._folder.iterdir())):03d}.{ending}"

    def _copy(self, file: Path, stem: str) -> str:
        name = self._name(stem, file.suffix.lstrip("."))
        shutil.copy(file, self._folder / name)
        (self._folder / name).chmod(0o644)
        return name


def speak(text: str, file: Path, voice: str) -> None:
    """Let espeak-ng say it. Raises FileNotFoundError where it is not installed."""
    subprocess.run(["espeak-ng", "-v", voice, "-s", str(SPEED), "-w", str(file), text], check=True)


def _without_a_row(document: Document, random: np.random.Generator) -> tuple[Document, list[Asked]]:
    """The document less one row that is asked about, and what the library then does not hold."""
    rows = sorted({asked.row for asked in document.asked})
    if document.head or len(rows) < 4:
        return document, []
    gone = rows[int(random.integers(1, len(rows)))]
    kept = [asked for asked in document.asked if asked.row != gone]
    moved = [msgspec.structs.replace(asked, row=asked.row - (asked.row > gone)) for asked in kept]
    left = tuple(row for number, row in enumerate(document.rows) if number != gone)
    dropped = [asked for asked in document.asked if asked.row == gone]
    return msgspec.structs.replace(document, rows=left, asked=tuple(moved)), dropped


def _groups(things: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(things), size):
        yield things[start : start + size]


def _by_turns(number: int) -> str:
    return "validation" if number % 3 == 0 else "test"


def _rows(listing: Path) -> Iterator[dict[str, Any]]:
    for line in listing.read_text("utf-8").splitlines():
        yield json.loads(line)


def _stamp(file: Path, when: str, camera: str) -> None:
    picture = Image.open(file)
    facts = picture.getexif()
    facts[272] = camera
    facts.get_ifd(0x8769)[36867] = when
    picture.save(file, exif=facts)


def write(folder: Path, data: Path, seed: int = 7) -> list[Item]:
    """Media and `questions.json` in `folder`; reads them where they are."""
    listing = folder / "questions.json"
    if not listing.is_file():
        items = Maker(folder / "media", data, seed).make()
        listing.write_bytes(msgspec.json.format(msgspec.json.encode(items), indent=1))
    return msgspec.json.decode(listing.read_bytes(), type=list[Item])
