"""What reads hits with the configured language model: the answerer and the reranker of each space.

Knows hits, stored vectors and the language package; knows no ranking and plans no question.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from search.active_space import ActiveSpace
from search.catalog import embeddings, segments
from search.catalog.database import Database
from search.errors import NotFoundError
from search.language.answerer import Answerer
from search.language.backends import open_language_model
from search.language.looking import Looker, PictureFiles, SoundFiles
from search.language.picture_captions import open_reader
from search.language.prompt_pictures import PromptPictures
from search.language.reading.pair_reranker import PairReranker
from search.language.reading.pointer_reader import LazyPointerReader
from search.language.reading.reader import LazyReader
from search.language.reranker import Reranker
from search.language.span_scoring import SpanScorer
from search.multimodal.vision import Senses, senses_if_any
from search.results import Hit
from search.settings import Settings
from search.signals import Signal
from search.spaces.inputs import Waveform


class Readers:
    """One language model, and its answerer and reranker for each space. Thread-safe; the model loads at first use."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._database = database
        self._model = open_language_model(settings)
        self._settings = settings
        self._senses: Senses | None = None  # opened for the first answer: searches need none
        self._opened_senses = False
        self.picture_files: PictureFiles | None = None  # where pictures come from, if they are to be looked at
        self.sound_files: SoundFiles | None = None  # where sounds come from, if they are to be listened to
        self._statements = LazyReader(settings.idle_release_seconds)
        self._pointer = LazyPointerReader(settings)
        self._lock = threading.Lock()
        self._by_space: dict[int, tuple[Answerer, Reranker]] = {}
        self._pairs = PairReranker(settings, self._picture) if settings.reranker else None

    def answerer(self, active: ActiveSpace) -> Answerer:
        """The answerer that reads hits of this space. Raises LanguageModelError."""
        return self._of(active)[0]

    def rerank(self, active: ActiveSpace, question: str, hits: Sequence[Hit], *, only_wins: bool) -> tuple[Hit, ...]:
        """The hits as reordered by the cross-encoder, if one is set, or else the language model.

        Raises LanguageModelError.
        """
        if self._pairs:
            return self._pairs.rerank(question, hits)
        return self._of(active)[1].rerank(question, hits, self.vectors(active, hits), only_wins=only_wins)

    def score_texts(self, active: ActiveSpace, query: str, texts: Sequence[str]) -> list[float]:
        """How relevant each text is for the query, in [0, 1], one number per text. Raises LanguageModelError."""
        return (self._pairs or self._of(active)[1]).score_texts(query, texts)

    def vectors(self, active: ActiveSpace, hits: Iterable[Hit]) -> Mapping[int, np.ndarray]:
        """Stored vectors `(d,) float32` of the hits' moments, by segment id."""
        ids = [moment.segment_id for hit in hits for moment in hit.moments]
        if not ids:
            return {}
        with self._database.read() as connection:
            held, rows = embeddings.vectors_of(connection, active.record.id, ids)
        return dict(zip(held.tolist(), rows.astype(np.float32), strict=True))

    def details(self, hits: Iterable[Hit]) -> Mapping[int, bytes]:
        """What the catalogue keeps of the hits' moments that hold words (boxes, times of words), by segment id."""
        ids = [moment.segment_id for hit in hits for moment in hit.moments if moment.signal.holds_words]
        with self._database.read() as connection:
            return {held.id: held.details for held in segments.hydrate(connection, ids) if held.details}

    def release(self) -> None:
        """Release the language model and the readers of statements; they load again when needed."""
        self._model.release()
        self._statements.release()
        self._pointer.release()
        if self._pairs:
            self._pairs.release()
        if self._senses:
            self._senses.release()

    def _picture(self, asset_id: int, seconds: float | None, side: int, page: int | None = None) -> bytes:
        if self.picture_files is None:
            raise NotFoundError("pictures can't be looked at here")
        return self.picture_files(asset_id, seconds, side, page)

    def _sound(self, asset_id: int, start: float, end: float) -> Waveform:
        if self.sound_files is None:
            raise NotFoundError("sounds can't be listened to here")
        return self.sound_files(asset_id, start, end)

    def _of(self, active: ActiveSpace) -> tuple[Answerer, Reranker]:
        with self._lock:
            if active.record.id not in self._by_space:

                def embed(texts: Sequence[str]) -> np.ndarray:
                    return active.space.embed(Signal.SPEECH, texts)

                captions = open_reader(self._model, active.space.fingerprint)
                looker = None
                if not self._opened_senses:
                    self._opened_senses = True
                    self._senses = senses_if_any(self._model, self._settings)
                if self._senses:
                    looker = Looker(self._senses, active.space, self._picture, self._sound)
                self._by_space[active.record.id] = (
                    Answerer(
                        self._model,
                        embed,
                        active.record.name,
                        SpanScorer(self._statements, self._pointer, embed),
                        captions,
                        looker=looker,
                        pictures=PromptPictures(self._picture),
                    ),
                    Reranker(self._model, embed, captions, eyes=looker),
                )
            return self._by_space[active.record.id]
