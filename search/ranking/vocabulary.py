"""The words that a library holds itself, so that a query's words can be told from typing errors and misheard names.

Read from the catalogue when first needed, and again when the library has changed. Knows the catalogue; knows no space.
"""

from __future__ import annotations

import re
import threading
import time
from functools import cache

from msgspec import structs
from spellchecker import SpellChecker

from search.catalog import segments
from search.catalog.database import Database
from search.query.spelling import Known, Reason, Suggestion, corrected, suggestions
from search.results import Query
from search.spaces.common_words import common_words
from search.spaces.text.e5_file import whole_words
from search.words import folded

MOST_PASSAGES = 20_000  # read, newest first: some seconds of work at most
KEPT_SECONDS = 60.0  # before it is looked whether the library has changed
_WORD = re.compile(r"[^\W\d_]{3,}")


@cache
def english_words() -> frozenset[str]:
    """160,000 English words in lower case, common or not. Takes a third of a second, once."""
    return frozenset(SpellChecker(language="en").word_frequency.words())


class Vocabulary:
    """All words known now. Thread-safe."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._known: Known | None = None
        self._newest = -1
        self._looked_at = 0.0

    def suggest(self, query: Query) -> tuple[Query, list[Suggestion]]:
        """The query as it may be meant. Quoted and weighted parts are taken literally.

        A name may have been heard otherwise, which says nothing of pictures: they are looked for as it was typed.
        """
        if not query.correct or query.phrases or len(query.parts) != 1 or not query.parts[0].text:
            return query, []
        [part] = query.parts
        typed = part.text or ""
        suggested = suggestions(typed, self._current())
        if not suggested:
            return query, []
        spelled = corrected(typed, [suggestion for suggestion in suggested if suggestion.reason is Reason.SPELLING])
        meant = structs.replace(part, text=spelled, heard=corrected(typed, suggested))
        return structs.replace(query, parts=(meant,)), suggested

    def _current(self) -> Known:
        with self._lock:
            now = time.monotonic()
            if self._known is None or now - self._looked_at > KEPT_SECONDS:
                with self._database.read() as connection:
                    newest = segments.newest_segment(connection)
                    if self._known is None or newest != self._newest:
                        texts = segments.newest_texts(connection, MOST_PASSAGES)
                        said = {word for text in texts for word in _WORD.findall(folded(text))}
                        self._known = Known(common_words(), frozenset(said), english_words, whole_words)
                self._newest, self._looked_at = newest, now
            return self._known
