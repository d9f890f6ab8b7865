"""Words that people gave a file, as segments of text: captions with their keywords, titles of chapters with times.

Knows the limits of the sentence encoder; knows no file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from indexer.decoding.items import DecodedItem, SegmentDraft, WrittenItem
from search.signals import Signal


class WrittenSegmenter:
    """One segment for each line that was written."""

    def feed(self, item: DecodedItem) -> Iterator[SegmentDraft]:
        """The lines of a WrittenItem; nothing of anything else."""
        if isinstance(item, WrittenItem):
            for start, end, text in item.lines:
                yield SegmentDraft(Signal.TEXT, start, end, text, details={"written": item.what})

    def finish(self) -> Iterable[SegmentDraft]:
        """Nothing stays open."""
        return ()
