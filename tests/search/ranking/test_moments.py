"""Moments: what belongs together in time becomes one, and ends where the matter changes."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from search.ranking.candidates import ScoredMoment
from search.ranking.fusion import noisy_or
from search.ranking.moments import GAP_SECONDS, LONGEST_SECONDS, Weighed, merge
from search.results import Why
from search.signals import Signal


def segment(
    number: int, signal: Signal, start: float | None, end: float | None, relevance: float, text: str | None = None
) -> Weighed:
    why = Why(signal=str(signal), score=relevance, relevance=relevance)
    return Weighed(
        segment_id=number,
        signal=signal,
        start_seconds=start,
        end_seconds=end,
        text=text,
        score=relevance,
        relevance=relevance,
        why=(why,),
    )


def times(moments: Iterable[ScoredMoment]) -> list[tuple[float | None, float | None]]:
    return [(moment.start_seconds, moment.end_seconds) for moment in moments]


def test_frames_that_follow_each_other_are_one_moment() -> None:
    frames = [segment(number, Signal.FRAME, number, number + 1, 0.8) for number in range(5)]
    assert times(merge(frames, noisy_or, 20)) == [(0, 5)]


def test_five_frames_of_one_scene_are_no_more_certain_than_one() -> None:
    frames = [segment(number, Signal.FRAME, number, number + 1, 0.4) for number in range(5)]
    assert merge(frames, noisy_or, 20)[0].relevance == 0.4


def test_what_is_seen_and_said_at_once_is_one_surer_moment_with_the_words() -> None:
    both = [segment(1, Signal.FRAME, 10, 12, 0.6), segment(2, Signal.SPEECH, 9, 14, 0.5, text="look, a whale")]
    (moment,) = merge(both, noisy_or, 20)
    assert (moment.segment_id, moment.signal, moment.text) == (1, Signal.FRAME, "look, a whale")
    assert (moment.start_seconds, moment.end_seconds) == (9, 14)
    assert moment.relevance == noisy_or([0.6, 0.5])
    assert [why.signal for why in moment.why] == ["frame", "speech"]


def test_a_moment_ends_where_the_matter_changes() -> None:
    frames = [segment(number, Signal.FRAME, number, number + 1, 0.9 if number == 3 else 0.2) for number in range(8)]
    moments = merge(frames, noisy_or, 20)
    assert times(moments)[0] == (3, 4)
    assert sorted(times(moments)) == [(0, 3), (3, 4), (4, 8)]


def test_a_pause_longer_than_the_gap_parts_moments() -> None:
    apart = [segment(1, Signal.FRAME, 0, 1, 0.8), segment(2, Signal.FRAME, 1 + GAP_SECONDS + 0.1, 4, 0.8)]
    assert len(merge(apart, noisy_or, 20)) == 2


def test_a_long_talk_about_one_subject_is_several_moments() -> None:
    frames = [segment(number, Signal.FRAME, number, number + 1, 0.8) for number in range(300)]
    moments = merge(frames, noisy_or, 20)
    assert len(moments) >= 5
    assert all((end or 0) - (start or 0) <= LONGEST_SECONDS for start, end in times(moments))


def test_a_picture_and_the_text_seen_in_it_are_one_moment_without_times() -> None:
    parts = [segment(1, Signal.IMAGE, None, None, 0.3), segment(2, Signal.TEXT, None, None, 0.7, text="no parking")]
    (moment,) = merge(parts, noisy_or, 20)
    assert times([moment]) == [(None, None)]
    assert moment.text == "no parking"


def test_no_more_moments_than_asked_for_and_the_best_ones() -> None:
    frames = [segment(number, Signal.FRAME, number * 10, number * 10 + 1, number / 100) for number in range(1, 50)]
    assert [moment.segment_id for moment in merge(frames, noisy_or, 3)] == [49, 48, 47]


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Signal)), st.floats(0, 200), st.floats(0, 30), st.floats(0.01, 0.99)),
        max_size=40,
    )
)
def test_every_segment_is_in_exactly_one_moment_and_moments_fall_in_relevance(
    rows: list[tuple[Signal, float, float, float]],
) -> None:
    segments = [
        segment(number, signal, start, start + length, relevance)
        for number, (signal, start, length, relevance) in enumerate(rows, start=1)
    ]
    moments = merge(segments, noisy_or, 1000)
    stretches = [(moment.start_seconds or 0.0, moment.end_seconds or 0.0) for moment in moments]
    for number, (_, seconds, length, _) in enumerate(rows, start=1):
        assert any(start <= seconds and seconds + length <= end for start, end in stretches), number
    relevances = [moment.relevance for moment in moments]
    assert relevances == sorted(relevances, reverse=True)
    assert max((hit.relevance for hit in segments), default=0.0) <= max(relevances, default=0.0) + 1e-9


def on_page(number: int, signal: Signal, page: int, relevance: float, text: str | None = None) -> Weighed:
    return msgspec.structs.replace(segment(number, signal, None, None, relevance, text), page=page)


def test_passages_of_a_page_are_moments_and_its_picture_speaks_for_the_best_of_them() -> None:
    found = [
        on_page(1, Signal.PAGE, 3, 0.6),
        on_page(2, Signal.TEXT, 3, 0.5, "the rent"),
        on_page(3, Signal.TEXT, 3, 0.2, "pets"),
        on_page(4, Signal.TEXT, 4, 0.1, "notice"),
    ]
    moments = merge(found, noisy_or, 20)
    assert [(moment.segment_id, moment.page, moment.text) for moment in moments] == [
        (2, 3, "the rent"),
        (3, 3, "pets"),
        (4, 4, "notice"),
    ]
    assert moments[0].relevance == noisy_or([0.6, 0.5])


def test_a_page_that_shows_what_its_words_hardly_say_is_a_moment_of_its_own() -> None:
    segments_found = [on_page(1, Signal.PAGE, 1, 0.9), on_page(2, Signal.TEXT, 1, 0.01, "page one")]
    assert [moment.signal for moment in merge(segments_found, noisy_or, 20)] == [Signal.PAGE, Signal.TEXT]


def test_passages_of_a_text_file_are_moments_of_their_own() -> None:
    found = [
        msgspec.structs.replace(segment(number, Signal.TEXT, None, None, 0.5, "words"), line=10 * number)
        for number in (1, 2)
    ]
    assert [moment.line for moment in merge(found, noisy_or, 20)] == [10, 20]
