"""Full-text search: one interface over FTS5 and tsvector, the same answers, and no way to break its grammar."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from support.catalog_world import add_library, claims_held, found

from search.catalog import assets, queue
from search.catalog.database import Database
from search.catalog.models import segment
from search.catalog.records import AssetFacts, IndexedAsset, NewSegment
from search.catalog.sql import full_text, full_text_index
from search.query.conditions import KindIs, Not, PathMatches
from search.results import Kind
from search.signals import Signal

SENTENCES = (
    "The quick brown foxes jumped over the bridge.",
    "To be, or not to be: that is the question. Ask bob@example.com about 3.14 and don't wait.",
    "She said good morning at the old bridge, and walked on.",
    "Der Zug fährt über die Brücke; CAFÉ crème, naïve.",
    "A red coat hung beside the door.",
    "The door was red, and her coat was blue.",
)


@pytest.fixture
def talk(database: Database) -> dict[str, int]:
    """One spoken passage per sentence, by sentence."""
    return speak(database, SENTENCES)


def speak(database: Database, sentences: tuple[str, ...], signal: Signal = Signal.SPEECH) -> dict[str, int]:
    add_library(database, [f"{i}.wav" for i in range(len(sentences))])
    with database.write() as connection:
        claimed = queue.claim(connection, "one", 100, 60)
        results = [
            IndexedAsset(
                asset_id=record.id,
                kind=Kind.AUDIO,
                content_hash="0",
                facts=AssetFacts(),
                segments=[NewSegment(signal=signal, text=sentence)],
            )
            for record, sentence in zip(claimed, sentences, strict=True)
        ]
        queue.finish(connection, claims_held(connection, "one"), results)
        rows = connection.execute(segment.select()).all()
    return {row.text: row.id for row in rows}


def ask(database: Database, words: str, *phrases: str, **options: Any) -> list[str]:
    """The first words of the sentences found, best first."""
    with database.read() as connection:
        found = full_text.search_text(connection, words, phrases, **options)
        names = {row.id: (row.text or "").split(",")[0] for row in connection.execute(segment.select())}
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    return [names[segment_id].split()[0] + " " + names[segment_id].split()[1] for segment_id, _ in found]


@pytest.mark.usefixtures("talk")
class TestWords:
    def test_more_matching_words_rank_higher(self, database: Database) -> None:
        assert ask(database, "quick fox on the bridge") == ["The quick", "She said"]

    def test_endings_case_and_accents_do_not_count(self, database: Database) -> None:
        assert ask(database, "JUMPING") == ["The quick"]
        assert ask(database, "cafe") == ask(database, "Café") == ask(database, "creme") == ["Der Zug"]
        assert ask(database, "brucke") == ask(database, "fahrt") == ["Der Zug"]

    def test_parts_of_addresses_and_numbers_are_words(self, database: Database) -> None:
        for words in ("example", "bob", "bob@example.com", "3.14", "14", "don't"):
            assert ask(database, words) == ["To be"], words

    def test_words_that_say_nothing_count_only_when_alone(self, database: Database) -> None:
        assert ask(database, "the question") == ["To be"]
        assert len(ask(database, "the")) == 5

    def test_words_that_are_not_there_find_nothing(self, database: Database) -> None:
        assert ask(database, "submarine") == []
        assert ask(database, "") == []
        assert ask(database, " ... !? ") == []


@pytest.mark.usefixtures("talk")
class TestPhrases:
    def test_a_phrase_must_be_there_as_one_run(self, database: Database) -> None:
        assert ask(database, "", "red coat") == ["A red"]
        assert ask(database, "", "coat red") == []

    def test_a_phrase_of_words_that_say_nothing_is_found(self, database: Database) -> None:
        assert ask(database, "", "to be or not to be") == ["To be"]

    def test_all_phrases_must_be_there(self, database: Database) -> None:
        assert ask(database, "", "good morning", "old bridge") == ["She said"]
        assert ask(database, "", "good morning", "brown foxes") == []

    def test_words_beside_a_phrase_rank_but_are_not_needed(self, database: Database) -> None:
        assert ask(database, "morning", "the bridge") == ["The quick"]
        assert ask(database, "blue", "coat") == ["The door", "A red"]

    def test_a_phrase_without_a_word_finds_nothing(self, database: Database) -> None:
        assert ask(database, "bridge", "?!") == []


UNSPACED = (
    "我在图书馆看书。",
    "国立図書館で本を読む",
    "우리는 도서관에서 만나요",
    "ฉันอ่านหนังสือในห้องสมุดทุกวัน",
    "ខ្ញុំអានសៀវភៅនៅបណ្ណាល័យ",
    "ຂ້ອຍອ່ານປຶ້ມຢູ່ຫໍສະໝຸດ",
    "iPhone手机在桌子上",
    "मैं पुस्तकालय में पढ़ता हूँ",
    "я читаю в библиотеке",
)


class TestScriptsWithoutSpaces:
    """A word is found inside a longer run, with particles and in compounds, as a word between spaces is."""

    @pytest.fixture(autouse=True)
    def _spoken(self, database: Database) -> None:
        self.segments = speak(database, UNSPACED)
        self.database = database

    def holding(self, phrase: str) -> list[str]:
        with self.database.read() as connection:
            found = {segment_id for segment_id, _ in full_text.search_text(connection, "", [phrase])}
            statement = full_text_index.assets_saying(phrase, connection.dialect.name)
            assert statement is not None
            said = set(connection.scalars(statement))
        assert len(found) == len(said)
        return [text for text, segment_id in self.segments.items() if segment_id in found]

    @pytest.mark.parametrize(
        ("phrase", "text"),
        [
            ("图书馆", UNSPACED[0]),
            ("書", UNSPACED[1]),
            ("図書館", UNSPACED[1]),
            ("本を読む", UNSPACED[1]),
            ("도서관", UNSPACED[2]),
            ("ห้องสมุด", UNSPACED[3]),
            ("បណ្ណាល័យ", UNSPACED[4]),
            ("ຫໍສະໝຸດ", UNSPACED[5]),
            ("手机", UNSPACED[6]),
            ("iphone手机", UNSPACED[6]),
            ("पुस्तकालय", UNSPACED[7]),
            ("библиотеке", UNSPACED[8]),
        ],
    )
    def test_a_phrase_is_found_in_its_passage_alone(self, phrase: str, text: str) -> None:
        assert self.holding(phrase) == [text]

    @pytest.mark.parametrize("phrase", ["书图", "館図書", "서관도", "图馆", "机场", "पसतकालय"])
    def test_other_orders_and_other_words_are_not(self, phrase: str) -> None:
        assert self.holding(phrase) == []

    def test_korean_spelled_in_parts_is_the_same_word(self) -> None:
        assert self.holding(unicodedata.normalize("NFD", "도서관")) == [UNSPACED[2]]

    def test_words_without_quotes_are_found_by_their_pieces_best_first(self) -> None:
        assert ask_whole(self.database, "図書館で")[0] == UNSPACED[1]
        assert ask_whole(self.database, "图书馆在哪里？")[0] == UNSPACED[0]
        assert ask_whole(self.database, "도서관은 어디에")[0] == UNSPACED[2]

    def test_what_was_found_is_marked_where_it_stands(self) -> None:
        def marked(words: str, text: str) -> list[str]:
            segment_id = self.segments[text]
            with self.database.read() as connection:
                ranges = full_text.highlights(connection, [segment_id], words)[segment_id]
            return [text[start:end] for start, end in ranges]

        assert marked("図書館", UNSPACED[1]) == ["図書館"]
        assert marked("도서관", UNSPACED[2]) == ["도서관"]
        assert marked("手机", UNSPACED[6]) == ["手机"]


def ask_whole(database: Database, words: str) -> list[str]:
    """The passages found, best first."""
    with database.read() as connection:
        texts = {row.id: row.text for row in connection.execute(segment.select())}
        return [texts[segment_id] for segment_id, _ in full_text.search_text(connection, words)]


HOSTILE = (
    '"',
    '""',
    "'",
    "AND",
    "OR NOT",
    "NEAR(",
    "a AND",
    "*",
    "bridge*",
    "^bridge",
    "text:bridge",
    "-bridge",
    "{a b}:",
    "(((",
    "bridge & | ! <->",
    "\\",
    "%",
    "%s",
    "$1",
    ":x",
    "\0bridge",
    "\ud800 bridge",
    "bridge\ue000",
    "a" * 5000,
    "bridge " * 1000,
    "‘bridge’",
    "橋 мост جسر",
    "हिन्दी",
    "🌉",
    "'; DROP TABLE segment; --",
)


@pytest.mark.usefixtures("talk")
def test_what_people_type_is_never_grammar(database: Database) -> None:
    for words in HOSTILE:
        with database.read() as connection:
            as_words = full_text.search_text(connection, words)
            as_phrase = full_text.search_text(connection, "", [words])
            full_text.highlights(connection, [segment_id for segment_id, _ in as_words + as_phrase], words, [words])
        if words.strip("*^-\0 \ud800‘’") == "bridge":
            assert len(as_words) >= 2, words


def test_filters_signals_and_limits_hold(database: Database, talk: dict[str, int]) -> None:
    assert ask(database, "bridge", limit=1) == ask(database, "bridge")[:1]
    assert ask(database, "bridge", signals=[Signal.TEXT]) == []
    assert len(ask(database, "bridge", signals=[Signal.TEXT, Signal.SPEECH])) == 2
    assert ask(database, "bridge", condition=KindIs(Kind.VIDEO)) == []
    assert len(ask(database, "bridge", condition=Not(PathMatches("0.wav")))) == 1


def test_scores_of_both_databases_are_of_one_kind(database: Database, talk: dict[str, int]) -> None:
    with database.read() as connection:
        [(best, score)] = full_text.search_text(connection, "question")
    assert best == talk[SENTENCES[1]]
    assert 0.5 < score < 2.0  # BM25 of one rare word in a library of six passages


def test_matched_words_are_shown_where_they_stand(database: Database, talk: dict[str, int]) -> None:
    def marked(words: str, *phrases: str) -> dict[str, list[str]]:
        with database.read() as connection:
            ranges = full_text.highlights(connection, talk.values(), words, phrases)
        by_id = {segment_id: sentence for sentence, segment_id in talk.items()}
        return {by_id[i]: [by_id[i][start:end] for start, end in places] for i, places in ranges.items() if places}

    assert marked("jump fox") == {SENTENCES[0]: ["foxes", "jumped"]}
    assert marked("cafe naive") == {SENTENCES[3]: ["CAFÉ", "naïve"]}
    words = " ".join(marked("", "old bridge")[SENTENCES[2]])
    assert "old" in words
    assert "bridge" in words


def test_the_index_follows_segments_that_change_or_go(database: Database, talk: dict[str, int]) -> None:
    with database.write() as connection:
        connection.execute(segment.update().where(segment.c.id == talk[SENTENCES[0]]).values(text="A submarine."))
        connection.execute(segment.update().where(segment.c.id == talk[SENTENCES[4]]).values(text=None))
        source_id = assets.get_asset(connection, 3).source_id
        assets.delete_asset(connection, 3)
    assert ask(database, "bridge foxes") == []
    assert ask(database, "coat") == ["The door"]
    assert ask(database, "submarines") == ["A submarine."]
    with database.write() as connection:
        full_text_index.rebuild(connection)
        assets.sync_assets(connection, source_id, [found("new.wav")])
    assert ask(database, "submarines") == ["A submarine."]
    assert ask(database, "coat") == ["The door"]


def test_a_text_as_long_as_a_book_is_indexed_as_far_as_both_databases_can(database: Database) -> None:
    book = "needle " + " ".join(f"w{i:x}" for i in range(400_000))
    [segment_id] = speak(database, (book,)).values()
    with database.read() as connection:
        assert [found_id for found_id, _ in full_text.search_text(connection, "needles")] == [segment_id]
