"""The engine end to end on both databases: candidates, moments, filters, quoted words, switching spaces."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
from support.waiting import until
from support.word_library import WordLibrary, opened

from search import space_lifecycle
from search.catalog import assets, spaces
from search.catalog.database import Database
from search.catalog.embeddings import add_embeddings
from search.catalog.query_log import recent_queries
from search.catalog.records import SpaceRecord
from search.engine import SearchEngine
from search.errors import NotFoundError, QueryError, SpaceError, UsageError
from search.index.follower import Follower
from search.language.answerer import SourcesEvent
from search.query.parse import parse_query
from search.results import Filters, Kind, SearchResult
from search.settings import Settings
from search.signals import Signal
from search.spaces import self_test
from search.spaces.space import Fingerprint
from search.testing import UNKNOWN, WordSpace


@pytest.fixture
def library(database: Database) -> WordLibrary:
    return WordLibrary(database)


@pytest.fixture
def engine(library: WordLibrary, settings: Settings) -> Iterator[SearchEngine]:
    with opened(library, settings) as engine:
        yield engine


def paths(result: SearchResult) -> list[str]:
    return [hit.asset.path for hit in result.hits]


def find(engine: SearchEngine, text: str, filters: Filters | None = None, **named: Any) -> SearchResult:
    engine.active_space.follower.catch_up()
    return engine.search(parse_query(text, filters=filters, **named))


def test_words_find_the_photo_that_shows_them(engine: SearchEngine, library: WordLibrary) -> None:
    library.photo("dog.jpg", "brown dog beach")
    library.photo("cat.jpg", "black cat sofa")
    assert paths(find(engine, "a dog on the beach"))[0] == "/media/dog.jpg"


def test_what_must_not_be_seen_comes_last_but_is_looked_for_among_words(
    engine: SearchEngine, library: WordLibrary
) -> None:
    library.photo("crowded.jpg", "beach people")
    library.photo("empty.jpg", "beach dunes")
    library.add("/media/talk.mp3", "audio", [(Signal.SPEECH, "without people", 0.0, 4.0)])
    asked = find(engine, "beach without people", Filters(kind=(Kind.IMAGE,)))
    assert asked.query["unwanted"] == ["people"]
    # No less likely for the words that say what is not there: it is asked for a beach.
    assert asked.hits[0].relevance >= 0.9 * find(engine, "beach", Filters(kind=(Kind.IMAGE,))).hits[0].relevance
    assert paths(asked)[0] == "/media/empty.jpg"
    assert paths(find(engine, "beach people", Filters(kind=(Kind.IMAGE,))))[0] == "/media/crowded.jpg"
    assert "/media/talk.mp3" in paths(find(engine, "beach without people"))


def test_signs_that_mean_nothing_to_the_space_are_like_nothing_and_the_query_says_so(
    engine: SearchEngine, library: WordLibrary, caplog: pytest.LogCaptureFixture
) -> None:
    library.photo("dog.jpg", "brown dog beach")
    library.add("/media/signs.mp3", "audio", [(Signal.SPEECH, f"{UNKNOWN}{UNKNOWN}", 0.0, 4.0)])
    unknown = find(engine, f"{UNKNOWN} {UNKNOWN}{UNKNOWN}")
    assert unknown.query["unknown"] == [f"{UNKNOWN} {UNKNOWN}{UNKNOWN}"]
    assert "/media/dog.jpg" not in paths(unknown)
    known = find(engine, "a dog on the beach")
    assert known.query["unknown"] == []
    assert paths(known) == ["/media/dog.jpg"]
    # It counts as embedded, so that nothing is missing from the space, and nobody is warned of it.
    held = space_lifecycle.coverage(library.database, library.first, library.space)
    assert sum(part.missing for part in held) == 0
    assert not caplog.records


def test_what_is_spoken_is_a_moment_with_its_time(engine: SearchEngine, library: WordLibrary) -> None:
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


def test_what_is_seen_while_something_is_said_is_found_by_both(engine: SearchEngine, library: WordLibrary) -> None:
    def video(name: str, seen: str, said: str) -> int:
        return library.add(f"/media/{name}", "video", [(Signal.FRAME, seen, 0.0, 8.0), (Signal.SPEECH, said, 0.0, 8.0)])

    video("match.mp4", "dog beach", "football and nothing else today")
    video("office.mp4", "desk lamp", "taxes and fractions")
    wanted = video("walk.mp4", "dog beach sea", "taxes again they rise")
    engine.active_space.follower.catch_up()
    result = engine.search(
        msgspec.structs.replace(parse_query("dog beach while someone talks about taxes"), explain=True)
    )
    assert result.hits[0].asset.id == str(wanted)
    assert result.query["aspects"] == [{"text": "dog beach", "sense": "seen"}, {"text": "taxes", "sense": "said"}]
    assert {why.signal for moment in result.hits[0].moments for why in moment.why or ()} == {"frame", "speech", "words"}
    assert result.hits[0].relevance > 2 * result.hits[1].relevance


def test_touching_segments_of_a_video_are_one_moment(engine: SearchEngine, library: WordLibrary) -> None:
    library.add(
        "/media/film.mp4",
        "video",
        [
            (Signal.FRAME, "man red coat", 10.0, 15.0),
            (Signal.SPEECH, "good morning", 12.0, 14.0),
            (Signal.FRAME, "green car", 200.0, 205.0),
        ],
    )
    engine.catch_up()
    asked = msgspec.structs.replace(parse_query("man in a red coat saying good morning"), explain=True)
    moments = engine.search(asked).hits[0].moments
    assert (moments[0].start_seconds, moments[0].end_seconds) == (10.0, 15.0)
    assert {why.signal for why in moments[0].why or ()} >= {"frame", "speech"}
    assert all(moment.start_seconds != 200.0 for moment in moments[:1])


def test_quoted_words_must_be_said(engine: SearchEngine, library: WordLibrary) -> None:
    library.add("/media/a.mp3", "audio", [(Signal.SPEECH, "we met at the old bridge", 0, 5)])
    library.add("/media/b.mp3", "audio", [(Signal.SPEECH, "the bridge is old", 0, 5)])
    library.photo("bridge.jpg", "old bridge")
    assert paths(find(engine, '"old bridge"')) == ["/media/a.mp3"]
    assert "/media/a.mp3" not in paths(find(engine, 'bridge -"old bridge"'))


def test_a_filter_never_returns_too_few_nor_anything_outside(engine: SearchEngine, library: WordLibrary) -> None:
    for number in range(120):
        library.photo(f"{'keep' if number % 10 == 0 else 'other'}/{number}.jpg", f"sea {number}")
    result = find(engine, "sea", Filters(path=("keep/*",)))
    assert len(result.hits) == 12
    assert all("/keep/" in path for path in paths(result))


def test_an_asset_is_a_query_for_others_like_it(engine: SearchEngine, library: WordLibrary) -> None:
    one = library.photo("one.jpg", "red boat harbour")
    library.photo("two.jpg", "red boat river")
    library.photo("three.jpg", "blue house")
    assert paths(find(engine, "", references=[str(one)]))[0] == "/media/two.jpg"
    with pytest.raises(NotFoundError, match="999"):
        find(engine, "", references=["999"])


def test_unwanted_parts_push_down(engine: SearchEngine, library: WordLibrary) -> None:
    library.photo("both.jpg", "beach people")
    library.photo("empty.jpg", "beach sunset")
    assert paths(find(engine, "beach - people"))[0] == "/media/empty.jpg"


def test_deleted_assets_are_not_found(engine: SearchEngine, library: WordLibrary) -> None:
    gone = library.photo("gone.jpg", "wild horse")
    assert paths(find(engine, "wild horse")) == ["/media/gone.jpg"]
    with library.database.write() as connection:
        assets.delete_asset(connection, gone)
    # Also before the partition has heard of it: the catalogue is the truth.
    assert paths(engine.search(parse_query("wild horse"))) == []
    assert paths(find(engine, "wild horse")) == []


def test_what_was_asked_lately_is_remembered_unless_told_otherwise(library: WordLibrary, settings: Settings) -> None:
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
    library: WordLibrary, settings: Settings, engine: SearchEngine
) -> None:
    library.photo("dog.jpg", "dog")
    with library.database.read() as connection:
        record = spaces.get_space(connection, "second")
    counted = space_lifecycle.coverage(library.database, record, library.space)
    assert [(part.signal, part.segments, part.missing) for part in counted] == [("image", 1, 1)]
    with pytest.raises(UsageError, match="1 segment"):
        space_lifecycle.use(library.database, "second", library.space)
    space_lifecycle.use(library.database, "second", library.space, incomplete=True)


def test_switching_under_load_mixes_and_fails_nothing(library: WordLibrary, settings: Settings) -> None:
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
            except BaseException as error:  # noqa: BLE001 - the test looks at it
                failures.append(error)

    def answers_from(name: str) -> bool:
        return bool(failures) or any(answer.space == name for answer in answers[-3:])

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(partial(answers_from, "first"))
    for name in ("second", "first", "second"):
        space_lifecycle.use(library.database, name, library.space)
        until(partial(answers_from, name))
    stop.set()
    for thread in threads:
        thread.join()
    engine.close()
    assert not failures
    assert {answer.space for answer in answers} == {"first", "second"}
    assert all(paths(answer)[0] == "/media/7.jpg" and len(answer.hits) == 20 for answer in answers)


def test_another_fingerprint_is_refused(library: WordLibrary, settings: Settings) -> None:
    class Other(WordSpace):
        @property
        def fingerprint(self) -> Fingerprint:
            return Fingerprint(space="words", models=(), preprocessing="2", dtype="float32", dimensions=())

    with pytest.raises(SpaceError, match="spaces create"):
        SearchEngine.open(settings, library.database, lambda record: Other())


def test_a_probe_tells_a_changed_encoder(library: WordLibrary) -> None:
    class Drifted(WordSpace):
        def embed_query_text(self, texts: Sequence[str]) -> Mapping[Signal, np.ndarray]:
            return {signal: np.roll(rows, 1, axis=1) for signal, rows in super().embed_query_text(texts).items()}

    assert library.first.probe
    self_test.check(WordSpace(), library.first.probe, "first")
    with pytest.raises(SpaceError, match="probe"):
        self_test.check(Drifted(), library.first.probe, "first")


def test_a_dropped_space_leaves_nothing_on_disk_and_its_twin_keeps_all(
    library: WordLibrary, settings: Settings
) -> None:
    with library.database.write() as connection:
        other = spaces.create_space(connection, "other", library.first.specification, "0" * 64)
    both = (library.first.id, other.id)
    kept, gone = (settings.snapshots / record.fingerprint for record in (library.first, other))
    followers = [
        Follower(library.database, record, library.space.dimensions, settings) for record in (library.first, other)
    ]
    for number in range(2):
        library.add(f"/media/{number}.jpg", "image", [(Signal.IMAGE, "dog", None, None)], both)
        for follower in followers:
            follower.catch_up()
            if not number:
                follower.publish()
    assert set(settings.snapshots.iterdir()) == {kept, gone}
    space_lifecycle.drop(library.database, settings, "second")  # has the fingerprint of the first, and so its folder
    assert set(settings.snapshots.iterdir()) == {kept, gone}
    space_lifecycle.drop(library.database, settings, "other")
    followers[1].publish()  # a process that has not noticed yet
    assert set(settings.snapshots.iterdir()) == {kept}


def test_filling_a_space_makes_it_complete(library: WordLibrary) -> None:
    library.photo("dog.jpg", "dog")
    record: SpaceRecord = library.second
    with library.database.read() as connection:
        (segment,) = connection.exec_driver_sql("SELECT id FROM segment").all()
    with library.database.write() as connection:
        add_embeddings(connection, record.id, [(segment[0], library.space.embed(Signal.TEXT, ["dog"])[0])])
    assert sum(part.missing for part in space_lifecycle.coverage(library.database, record, library.space)) == 0


def test_a_question_about_given_assets_reads_these_alone(engine: SearchEngine, library: WordLibrary) -> None:
    library.photo("dog.jpg", "brown dog beach")
    talk = library.add(
        "/media/talk.mp3",
        "audio",
        [
            (Signal.SPEECH, "the dog is called Biscuit", 0.0, 10.0),
            (Signal.SPEECH, "the cat is called Toast", 20.0, 30.0),
        ],
    )
    engine.catch_up()

    def sources(*assets: str) -> list[tuple[str, list[str | None]]]:
        event = next(engine.ask_stream("What is the dog called?", assets=assets))
        assert isinstance(event, SourcesEvent)
        return [(hit.asset.path, [moment.text for moment in hit.moments]) for hit in event.hits]

    assert sources(str(talk)) == [("/media/talk.mp3", ["the dog is called Biscuit", "the cat is called Toast"])]
    assert sources(f"{talk}@19-25") == [("/media/talk.mp3", ["the cat is called Toast"])]
    with pytest.raises(NotFoundError, match="there is no asset 999"):
        sources("999")


def test_a_passage_that_ranks_behind_many_photos_is_read_and_cited_first(
    engine: SearchEngine, library: WordLibrary
) -> None:
    for number in range(20):
        library.photo(f"ribbon{number}.jpg", "ribbon bridge")
    library.add("/media/talk.mp3", "audio", [(Signal.SPEECH, "Maria Keller cut the ribbon of the bridge.", 0.0, 9.0)])
    engine.active_space.follower.catch_up()
    answer = engine.ask("Who cut the ribbon of the bridge?", limit=5)
    assert [citation.path for citation in answer.citations] == ["/media/talk.mp3"]
    assert "/media/talk.mp3" in [hit.asset.path for hit in answer.hits]
    assert len(answer.hits) == 8
    plan, read, _ = engine.sources("Who cut the ribbon of the bridge?", limit=5)
    assert plan.question == answer.question
    assert {hit.asset.path for hit in answer.hits} <= {hit.asset.path for hit in read}


def test_how_many_there_are_is_counted_in_the_catalogue(engine: SearchEngine, library: WordLibrary) -> None:
    for number in range(205):
        library.photo(f"{number}.jpg", "harbour")
    library.add("/media/talk.mp3", "audio", [(Signal.SPEECH, "the photos of the harbour", 0.0, 9.0)])
    engine.active_space.follower.catch_up()
    answer = engine.ask("How many photos do I have?", limit=5)
    assert answer.answer.startswith("205 photos in the library: 204.jpg. [1] 203.jpg. [2]")
    assert engine.ask("How many files are there?").answer.startswith("206 files in the library")


def test_a_question_and_a_query_have_one_limit_whose_setting_is_named(engine: SearchEngine) -> None:
    most = Settings.load(environment={}).max_query_characters
    for ask in (engine.ask, lambda text: next(iter(engine.ask_stream(text))), parse_query):
        with pytest.raises(QueryError, match=f"{most + 1} characters; {most} are allowed .*max_query_characters"):
            ask("x" * (most + 1))
