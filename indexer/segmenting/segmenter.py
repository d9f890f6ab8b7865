"""Makes the segments of one asset from its decoded items, before they have vectors.

Puts together the makers of segments: pictures here, speech, sound and text seen in their own modules.
Knows the order of items; knows no file, no database and no space.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

from indexer.decoding.items import DecodedItem, Facts, Note, PictureItem, SegmentDraft


class SegmentMaker(Protocol):
    """Makes the segments of one signal of one asset; every asset gets a new one."""

    def feed(self, item: DecodedItem) -> Iterable[SegmentDraft | Note]:
        """The segments that end with this item; most makers ignore most kinds of item."""

    def finish(self) -> Iterable[SegmentDraft | Note]:
        """The segments that were still open at the end of the file."""


MakerFactory = Callable[[], SegmentMaker]


class PictureMaker:
    """One segment for every picture that some space wants."""

    def feed(self, item: DecodedItem) -> Iterable[SegmentDraft]:
        """An image or a frame as it is: choosing frames was the decoder's work."""
        if isinstance(item, PictureItem) and item.pictures:
            yield SegmentDraft(item.signal, item.start_seconds, item.end_seconds, inputs=item.pictures, page=item.page)

    def finish(self) -> Iterable[SegmentDraft]:
        """Yields nothing: no picture stays open."""
        return ()


class Segmenter:
    """Makes the segments of any number of assets, with new makers for each. Thread-safe if the factories are."""

    def __init__(self, factories: Sequence[MakerFactory]) -> None:
        self._factories = factories

    def segment(self, items: Iterable[DecodedItem]) -> Iterator[Facts | Note | SegmentDraft]:
        """Segments as soon as they end, with the facts and notes of the file passed through."""
        makers = [make() for make in self._factories]
        for item in items:
            if isinstance(item, Facts | Note):
                yield item
                continue
            for maker in makers:
                yield from maker.feed(item)
        for maker in makers:
            yield from maker.finish()


class SpokenLanguages:
    """How long each language was spoken in an asset, as its speech segments say."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = defaultdict(float)

    def add(self, draft: SegmentDraft) -> None:
        """Count one segment; those without a language say nothing."""
        language = draft.details.get("language")
        if isinstance(language, str) and language:
            self._seconds[language] += (draft.end_seconds or 0) - (draft.start_seconds or 0)

    def most_spoken(self) -> str | None:
        """The language with the most time."""
        return max(self._seconds, key=lambda language: self._seconds[language], default=None)
