"""Moments: what belongs together in time becomes one, and ends where the matter changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from search.fusion import noisy_or
from search.moments import GAP_SECONDS, LONGEST_SECONDS, Weighed, merge
from search.results import Signal, Why


def segment(
    number: int, signal: Signal, start: float | None, end: float | None, relevance: float, text=None
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


def times(moments):
    return [(moment.start_seconds, moment.end_seconds) for moment in moments]


def test_frames_that_follow_each_other_are_one_moment():
    frames = [segment(place, Signal.FRAME, place, place + 1, 0.8) for place in range(5)]
    assert times(merge(frames, noisy_or, 20)) == [(0, 5)]


def test_five_frames_of_one_scene_are_no_more_certain_than_one():
    frames = [segment(place, Signal.FRAME, place, place + 1, 0.4) for place in range(5)]
    assert merge(frames, noisy_or, 20)[0].relevance == 0.4


def test_what_is_seen_and_said_at_once_is_one_surer_moment_with_the_words():
    both = [segment(1, Signal.FRAME, 10, 12, 0.6), segment(2, Signal.SPEECH, 9, 14, 0.5, text="look, a whale")]
    (moment,) = merge(both, noisy_or, 20)
    assert (moment.segment_id, moment.signal, moment.text) == (1, Signal.FRAME, "look, a whale")
    assert (moment.start_seconds, moment.end_seconds) == (9, 14)
    assert moment.relevance == noisy_or([0.6, 0.5])
    assert [why.signal for why in moment.why] == ["frame", "speech"]


def test_a_moment_ends_where_the_matter_changes():
    frames = [segment(place, Signal.FRAME, place, place + 1, 0.9 if place == 3 else 0.2) for place in range(8)]
    moments = merge(frames, noisy_or, 20)
    assert times(moments)[0] == (3, 4)
    assert sorted(times(moments)) == [(0, 3), (3, 4), (4, 8)]


def test_a_pause_longer_than_the_gap_parts_moments():
    apart = [segment(1, Signal.FRAME, 0, 1, 0.8), segment(2, Signal.FRAME, 1 + GAP_SECONDS + 0.1, 4, 0.8)]
    assert len(merge(apart, noisy_or, 20)) == 2


def test_a_long_talk_about_one_subject_is_several_moments():
    frames = [segment(place, Signal.FRAME, place, place + 1, 0.8) for place in range(300)]
    moments = merge(frames, noisy_or, 20)
    assert len(moments) >= 5
    assert all(end - start <= LONGEST_SECONDS for start, end in times(moments))


def test_a_picture_and_the_text_seen_in_it_are_one_moment_without_times():
    parts = [segment(1, Signal.IMAGE, None, None, 0.3), segment(2, Signal.TEXT, None, None, 0.7, text="no parking")]
    (moment,) = merge(parts, noisy_or, 20)
    assert times([moment]) == [(None, None)]
    assert moment.text == "no parking"


def test_no_more_moments_than_asked_for_and_the_best_ones():
    frames = [segment(place, Signal.FRAME, place * 10, place * 10 + 1, place / 100) for place in range(1, 50)]
    assert [moment.segment_id for moment in merge(frames, noisy_or, 3)] == [49, 48, 47]


@given(
    st.lists(
        st.tuples(st.sampled_from(list(Signal)), st.floats(0, 200), st.floats(0, 30), st.floats(0.01, 0.99)),
        max_size=40,
    )
)
def test_every_segment_is_in_exactly_one_moment_and_moments_fall_in_relevance(rows):
    segments = [
        segment(place, signal, start, start + length, relevance)
        for place, (signal, start, length, relevance) in enumerate(rows, start=1)
    ]
    moments = merge(segments, noisy_or, 1000)
    for one in segments:
        assert any(
            moment.start_seconds <= one.start_seconds and one.end_seconds <= moment.end_seconds for moment in moments
        )
    relevances = [moment.relevance for moment in moments]
    assert relevances == sorted(relevances, reverse=True)
    assert max((one.relevance for one in segments), default=0.0) <= max(relevances, default=0.0) + 1e-9
