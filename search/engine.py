"""The composition root of the engine: opens everything, hands queries and questions on, closes everything.

`api` and tests start here; tests pass in spaces and databases of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Self

from search.active_space import ActiveSpace, ActiveSpaceSwitch, SpaceOpener, space_opener
from search.alerts.saved_searches import SavedSearches
from search.answering import QuestionAnswerer
from search.catalog.database import Database
from search.index.protocol import VectorIndex
from search.language.answerer import Event
from search.language.looking import PictureFiles, SoundFiles
from search.language.question_planning import QuestionPlan
from search.query_log import QueryLog
from search.readers import Readers
from search.results import Answer, Filters, Hit, Query, SearchResult
from search.searcher import Searcher, second_look_name
from search.settings import Settings
from search.signals import Signal
from search.spaces.query_maps import Tuning
from search.spaces.space import Space


class Trial:
    """Searches to measure by: always in the same space with the same tuning, and none is remembered."""

    def __init__(self, searcher: Searcher, active: ActiveSpace) -> None:
        self._searcher = searcher
        self._active = active

    def search(self, query: Query) -> SearchResult:
        """As `SearchEngine.search`."""
        return self._searcher.search(self._active, query)


class SearchEngine:
    """Search and answers over one library. Thread-safe."""

    def __init__(self, settings: Settings, database: Database, switch: ActiveSpaceSwitch) -> None:
        self.settings = settings
        self.database = database
        self._switch = switch
        self._query_log = QueryLog(database, settings.remember_queries)
        self._readers = Readers(settings, database)
        self._searcher = Searcher(settings, database, self._query_log, self._readers)
        self.saved_searches = SavedSearches(
            settings, database, lambda: self.active_space, lambda query: self.tried().search(query)
        )
        self._answerer = QuestionAnswerer(database, self._searcher, self._readers, settings.max_query_characters)

    @classmethod
    def open(
        cls,
        settings: Settings,
        database: Database | None = None,
        open_space: SpaceOpener | None = None,
    ) -> Self:
        """Bring the tables up to date and open the active space, up to date. Raises MedleyError.

        `open_space` opens spaces in another way than the registry does: wrapped, or a fake.
        """
        settings.make_home()
        database = database or Database.open(settings)
        database.migrate()
        return cls(settings, database, ActiveSpaceSwitch(settings, database, open_space or space_opener(settings)))

    @property
    def active_space(self) -> ActiveSpace:
        """The active space now; a request reads this once and keeps to it."""
        return self._switch.current

    @property
    def space(self) -> Space:
        """The encoders of the active space."""
        return self.active_space.space

    @property
    def partitions(self) -> Mapping[Signal, VectorIndex]:
        """The active space's partition of each signal, as far as the catalogue has been followed."""
        return self.active_space.follower.partitions

    def catch_up(self) -> None:
        """Bring the partitions up to the catalogue's latest change. Raises CatalogError, PartitionError."""
        self.active_space.follower.catch_up()

    def refresh(self) -> None:
        """Take up what the catalogue says now: which space is active, and what it has learnt. Raises SpaceError."""
        self._switch.refresh()

    def watch(self) -> None:
        """Keep following the catalogue from threads, for as long as the process lives."""
        self._switch.watch()

    def search(self, query: Query) -> SearchResult:
        """One ranked page. Raises QueryError, NotFoundError, SpaceError, CatalogError."""
        return self._searcher.search(self.active_space, query)

    def ask(
        self,
        question: str,
        filters: Filters = Filters(),
        limit: int = 8,
        conversation: str | None = None,
        assets: Sequence[str] | None = None,
    ) -> Answer:
        """An answer with citations, or `found=False`. Raises as `search` does, and LanguageModelError.

        With `assets` (ids, or `id@start-end` in seconds) only these are looked at, whatever else is in the library.
        """
        return self._answerer.answer(self.active_space, question, filters, limit, conversation, assets)

    def ask_stream(
        self,
        question: str,
        filters: Filters = Filters(),
        limit: int = 8,
        conversation: str | None = None,
        assets: Sequence[str] | None = None,
    ) -> Iterator[Event]:
        """The same as it comes: sources, checked sentences, the whole answer."""
        return self._answerer.stream(self.active_space, question, filters, limit, conversation, assets)

    def sources(
        self, question: str, filters: Filters = Filters(), limit: int = 8
    ) -> tuple[QuestionPlan, list[Hit], Mapping[int, bytes]]:
        """What `ask` reads: how the question is understood, all hits, and details of their segments by id."""
        plan, hits = self._answerer.sources(self.active_space, question, filters, limit)
        return plan, hits, self._readers.details(hits)

    def score_texts(self, query: str, texts: Sequence[str]) -> list[float]:
        """How relevant each text is for the query, in [0, 1], by the language model's second look."""
        return self._readers.score_texts(self.active_space, query, texts)

    def tried(self, tuning: Tuning | None = None, *, rerank: bool = False, active: ActiveSpace | None = None) -> Trial:
        """Searches to measure the active space by, or `active`, whichever is active then; none is remembered.

        With a tuning, as they would be with it in the place of the space's own. `rerank` is the setting of that name.
        Raises SpaceError where the tuning does not fit the space.
        """
        active = active or self.active_space
        if tuning is not None:
            active = active.tuned(self.database, tuning, None)
        return Trial(self._searcher.for_measuring(rerank=rerank), active)

    @property
    def second_look(self) -> str:
        """The name of what takes a second look where it is wanted: a cross-encoder, or the language model."""
        return second_look_name(self.settings)

    def perceive(self, pictures: PictureFiles, sounds: SoundFiles) -> None:
        """From now on questions that only a look at a picture, or listening to a sound, can answer get one."""
        self._readers.picture_files, self._readers.sound_files = pictures, sounds

    def close(self) -> None:
        """Stop following; release models and connections."""
        self._query_log.flush()
        self._switch.close()
        self._readers.release()
        self.database.close()
