"""Stages side by side: no second counts twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vip5platform.study.timeline import Timeline

TIMES = st.tuples(st.sampled_from("abc"), st.integers(0, 50), st.integers(0, 50))


def test_seconds_are_told_by_what_was_under_way():
    timeline = Timeline()
    for stage, start, end in (("P5 stage", 0, 40), ("features", 2, 12), ("baselines", 12, 50), ("trials", 45, 90)):
        timeline.add(stage, start, end)
    assert timeline.seconds == {
        "P5 stage": 2.0,
        "P5 stage + features": 10.0,
        "P5 stage + baselines": 28.0,
        "baselines": 5.0,
        "baselines + trials": 5.0,
        "trials": 40.0,
    }


@given(st.lists(TIMES))
def test_they_add_up_to_the_time_in_which_any_was_under_way(spans):
    timeline = Timeline()
    for stage, start, length in spans:
        timeline.add(stage, start, start + length)
    busy = {second for _, start, length in spans for second in range(start, start + length)}
    assert sum(timeline.seconds.values()) == pytest.approx(len(busy))


def test_a_block_is_noted_even_if_it_fails():
    timeline = Timeline()
    with pytest.raises(KeyboardInterrupt), timeline.measure("data"):
        raise KeyboardInterrupt
    (span,) = timeline.spans
    assert span.start <= span.end <= timeline.start + timeline.total
