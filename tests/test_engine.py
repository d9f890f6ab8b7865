"""The engine end to end on both databases: candidates, moments, filters, quoted words, switching spaces."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np
import pytest
from word_space import WordSpace

from search import probe, space_changes
from search.catalog import assets, queue, sources, spaces
from search.catalog.database import Database
from search.catalog.embeddings import add_embeddings
from search.catalog.memory import recent_queries
from search.catalog.records import AssetFacts, FoundFile, IndexedAsset, NewSegment, SpaceRecord
from search.engine import SearchEngine
from search.errors import NotFoundError, SpaceError, UsageError
from search.query import parse_query
from search.results import Filters, Kind, SearchResult, Signal
from search.settings import Settings
from search.spaces import specification
from search.spaces.space import Fingerprint
from search.spaces.specification import StarterSpecification

Passage = tuple[Signal, str, float | None, float | None]


class Library:
    """A catalogue with two ready spaces; `first` is active."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.space = WordSpace()
        encoded = specification.encode(StarterSpecification())
        with database.write() as connection:
            self.source = sources.add_source(connection, "/media")
            digest = self.space.fingerprint.digest
            self.first = spaces.create_space(connection, "first", encoded, digest, probe=probe.take(self.space))
            self.second = spaces.create_space(connection, "second", encoded, digest)
            spaces.activate_space(connection, "first")

    def add(self, path: str, kind: str, passages: Sequence[Passage], in_spaces: Sequence[int] = ()) -> int:
        """Index one asset; returns its id."""
        found = FoundFile(path=path, path_bytes=path.encode(), size_bytes=1, modified_ns=1)
        segments = [
            NewSegment(
                signal=signal,
                start_seconds=start,
                end_seconds=end,
                text=words if signal in (Signal.SPEECH, Signal.TEXT) else None,
                vectors=dict.fromkeys(in_spaces or (self.first.id,), self.space.embed(Signal.TEXT, [words])[0]),
            )
            for signal, words, start, end in passages
        ]
        with self.database.write() as connection:
            (asset_id,) = assets.sync_assets(connection, self.source.id, [found]).ids
            queue.claim(connection, "test", 100, 60)
            done = IndexedAsset(asset_id=asset_id, kind=kind, content_hash=path, facts=AssetFacts(), segments=segments)
            queue.finish(connection, "test", [done])
        return asset_id

    def photo(self, name: str, words: str) -> int:
        return self.add(f"/media/{name}", "image", [(Signal.IMAGE, words, None, None)])


@pytest.fixture
def library(database: Database) -> Library:
    return Library(database)


@pytest.fixture
def engine(library: Library, settings: Settings) -> Iterator[SearchEngine]:
    engine = SearchEngine.open(settings, library.database, lambda record: library.space)
    yield engine
    engine.close()


def paths(result: SearchResult) -> list[str]:
    return [hit.asset.path for hit in result.hits]


def find(engine: SearchEngine, text: str, filters: Filters | None = None, **named: object) -> SearchResult:
    engine.serving.follower.catch_up()
    return engine.search(parse_query(text, filters=filters, **named))  # type: ignore[arg-type]


def test_words_find_the_photo_that_shows_them(engine: SearchEngine, library: Library) -> None:
    library.photo("dog.jpg", "brown dog beach")
    library.photo("cat.jpg", "black cat sofa")
    assert paths(find(engine, "a dog on the beach"))[0] == "/media/dog.jpg"


def test_what_is_spoken_is_a_moment_with_its_time(engine: SearchEngine, library: Library) -> None:
    library.photo("train.jpg", "train station")
    library.add(
        "/media/talk.mp3",
        "audio",
        [
            (Signal.SPEECH, "good morning everybody", 0.0, 4.0),
            (Signal.SPEECH, "the train to paris leaves at ten", 90.0, 97.5),
        ],
    )
    best = find(engine, "when does the train leave", Filters(kind=(Kind.AUDIO,))).hits[0].moments[0]
    assert (best.start_seconds, best.end_seconds, best.signal) == (90.0, 97.5, Signal.SPEECH)
    assert best.text == "the train to paris leaves at ten"


def test_touching_segments_of_a_video_are_one_moment(engine: SearchEngine, library: Library) -> None:
    library.add(
        "/media/film.mp4",
        "video",
        [
            (Signal.FRAME, "man red coat", 10.0, 15.0),
            (Signal.SPEECH, "good morning", 12.0, 14.0),
            (Signal.FRAME, "green car", 200.0, 205.0),
        ],
    )
    moments = find(engine, "man in a red coat saying good morning").hits[0].moments
    assert (moments[0].start_seconds, moments[0].end_seconds) == (10.0, 15.0)
    assert {why.signal for why in moments[0].why} >= {"frame", "speech"}  # type: ignore[union-attr]
    assert all(moment.start_seconds != 200.0 for moment in moments[:1])


def test_quoted_words_must_be_said(engine: SearchEngine, library: Library) -> None:
    library.add("/media/a.mp3", "audio", [(Signal.SPEECH, "we met at the old bridge", 0, 5)])
    library.add("/media/b.mp3", "audio", [(Signal.SPEECH, "the bridge is old", 0, 5)])
    library.photo("bridge.jpg", "old bridge")
    assert paths(find(engine, '"old bridge"')) == ["/media/a.mp3"]
    assert "/media/a.mp3" not in paths(find(engine, 'bridge -"old bridge"'))


def test_a_filter_never_returns_too_few_nor_anything_outside(engine: SearchEngine, library: Library) -> None:
    for number in range(120):
        library.photo(f"{'keep' if number % 10 == 0 else 'other'}/{number}.jpg", f"sea {number}")
    result = find(engine, "sea", Filters(path=("keep/*",)))
    assert len(result.hits) == 12
    assert all("/keep/" in path for path in paths(result))


def test_an_asset_is_a_query_for_others_like_it(engine: SearchEngine, library: Library) -> None:
    one = library.photo("one.jpg", "red boat harbour")
    library.photo("two.jpg", "red boat river")
    library.photo("three.jpg", "blue house")
    assert paths(find(engine, "", references=[str(one)]))[0] == "/media/two.jpg"
    with pytest.raises(NotFoundError, match="999"):
        find(engine, "", references=["999"])


def test_unwanted_parts_push_down(engine: SearchEngine, library: Library) -> None:
    library.photo("both.jpg", "beach people")
    library.photo("empty.jpg", "beach sunset")
    assert paths(find(engine, "beach - people"))[0] == "/media/empty.jpg"


def test_deleted_assets_are_not_found(engine: SearchEngine, library: Library) -> None:
    gone = library.photo("gone.jpg", "wild horse")
    assert paths(find(engine, "wild horse")) == ["/media/gone.jpg"]
    with library.database.write() as connection:
        assets.delete_asset(connection, gone)
    # Also before the partition has heard of it: the catalogue is the truth.
    assert paths(engine.search(parse_query("wild horse"))) == []
    assert paths(find(engine, "wild horse")) == []


def test_what_was_asked_lately_is_remembered_unless_told_otherwise(library: Library, settings: Settings) -> None:
    for wanted in (True, False):
        engine = SearchEngine.open(
            msgspec.structs.replace(settings, remember_queries=wanted), library.database, lambda record: library.space
        )
        engine.search(parse_query(f"remembered {wanted}"))
        engine.close()
    with library.database.read() as connection:
        texts = [msgspec.json.decode(record.query)["text"] for record in recent_queries(connection, 10)]
    assert texts == ["remembered True"]


def test_an_incomplete_space_is_not_used_by_accident(
    library: Library, settings: Settings, engine: SearchEngine
) -> None:
    library.photo("dog.jpg", "dog")
    with library.database.read() as connection:
        record = spaces.get_space(connection, "second")
    counted = space_changes.coverage(library.database, record, library.space)
    assert [(part.signal, part.segments, part.missing) for part in counted] == [("image", 1, 1)]
    with pytest.raises(UsageError, match="1 segment"):
        space_changes.use(library.database, "second", library.space)
    space_changes.use(library.database, "second", library.space, incomplete=True)


def test_switching_under_load_mixes_and_fails_nothing(library: Library, settings: Settings) -> None:
    words = [f"photo {number} beach" for number in range(60)]
    both = (library.first.id, library.second.id)
    for number, text in enumerate(words):
        library.add(f"/media/{number}.jpg", "image", [(Signal.IMAGE, text, None, None)], both)
    quick = Settings.load({}, home=settings.home, poll_seconds=0.02)
    engine = SearchEngine.open(quick, library.database, lambda record: library.space)
    engine.watch()
    answers: list[SearchResult] = []
    failures: list[BaseException] = []
    stop = threading.Event()

    def search() -> None:
        while not stop.is_set():
            try:
                answers.append(engine.search(parse_query("photo 7 beach")))
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for name in ("second", "first", "second"):
        space_changes.use(library.database, name, library.space)
        wait_until(lambda name=name: engine.serving.record.name == name)
    stop.set()
    for thread in threads:
        thread.join()
    engine.close()
    assert not failures
    assert {answer.space for answer in answers} == {"first", "second"}
    assert all(paths(answer)[0] == "/media/7.jpg" and len(answer.hits) == 20 for answer in answers)


def test_another_fingerprint_is_refused(library: Library, settings: Settings) -> None:
    class Other(WordSpace):
        @property
        def fingerprint(self) -> Fingerprint:
            return Fingerprint(space="words", models=(), preprocessing="2", dtype="float32", dimensions=())

    with pytest.raises(SpaceError, match="spaces create"):
        SearchEngine.open(settings, library.database, lambda record: Other())


def test_a_probe_tells_a_changed_encoder(library: Library) -> None:
    class Drifted(WordSpace):
        def embed_query_text(self, texts: Sequence[str]):  # type: ignore[no-untyped-def]
            return {signal: np.roll(rows, 1, axis=1) for signal, rows in super().embed_query_text(texts).items()}

    assert library.first.probe
    probe.check(WordSpace(), library.first.probe, "first")
    with pytest.raises(SpaceError, match="probe"):
        probe.check(Drifted(), library.first.probe, "first")


def test_filling_a_space_makes_it_complete(library: Library) -> None:
    library.photo("dog.jpg", "dog")
    record: SpaceRecord = library.second
    with library.database.read() as connection:
        (segment,) = connection.exec_driver_sql("SELECT id FROM segment").all()
    with library.database.write() as connection:
        add_embeddings(connection, record.id, [(segment[0], library.space.embed(Signal.TEXT, ["dog"])[0])])
    assert sum(part.missing for part in space_changes.coverage(library.database, record, library.space)) == 0


def wait_until(condition, seconds: float = 10.0) -> None:  # type: ignore[no-untyped-def]
    deadline = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return
        deadline.wait(0.01)
    raise AssertionError("it did not happen in time")
