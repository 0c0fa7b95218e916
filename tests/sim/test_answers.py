"""Requests taken in by the thousand: durations in buckets, causes, instances and intervals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sim.answers import CAUSES, INTERVALS, Answers, Cause
from sim.histogram import BUCKETS, Histogram, buckets_of

COLD = CAUSES.index(Cause.COLD)


def histogram(durations: list[float]) -> Histogram:
    counts = np.bincount(buckets_of(np.array(durations, dtype=float)), minlength=BUCKETS)
    return Histogram(counts, max(durations, default=0.0))


def test_a_quantile_is_right_to_about_half_a_percent() -> None:
    found = histogram([number / 10 for number in range(1, 10_001)])
    assert found.count == 10_000
    for part in (0.5, 0.9, 0.99):
        assert found.quantile_ms(part) == pytest.approx(part * 1000, rel=0.01)
    assert found.quantile_ms(1.0) <= found.max_ms == 1000.0


def test_what_is_shorter_or_longer_than_all_buckets_is_in_the_first_or_last() -> None:
    assert buckets_of(np.array([0.0, 1e-9, 1e30])).tolist() == [0, 0, BUCKETS - 1]
    assert histogram([0.0, 3.0]).quantile_ms(0.99) == pytest.approx(3.0, rel=0.01)


def test_nothing_measured_is_zero() -> None:
    assert (histogram([]).count, histogram([]).quantile_ms(0.5), histogram([]).max_ms) == (0, 0.0, 0.0)


REQUESTS = st.lists(
    st.tuples(st.sampled_from(["a", "b"]), st.integers(0, len(CAUSES) - 1), st.integers(0, 200), st.integers(0, 9)),
    max_size=60,
)


@given(REQUESTS, st.integers(1, 7))
def test_what_is_counted_does_not_depend_on_how_much_is_taken_in_at_once(
    requests: list[tuple[str, int, int, int]], at_once: int
) -> None:
    """Against a count one by one: from 50 ms on, of 120 ms; what arrives later is in the last interval."""
    answers = Answers(("a", "b"), 50, 120)
    answers.FLUSHED_AT = at_once
    for instance, cause, arrival, took in requests:
        answers.add(instance, cause, ((float(arrival), float(arrival + took)),))
    counted = [each for each in requests if each[2] >= 50]
    for name in ("a", "b"):
        mine = [cause for instance, cause, _, _ in counted if instance == name]
        assert answers.by_instance()[name] == (len(mine), sum(cause != COLD for cause in mine))
    for at, cause in enumerate(CAUSES):
        assert answers.latency()[cause].count == sum(each[1] == at for each in counted)
        assert answers.latency()[cause].max_ms == max((each[3] for each in counted if each[1] == at), default=0)
    assert answers.all_latency().count == len(counted)
    totals, cold, p99_ms = answers.over_time()
    for at in range(INTERVALS):
        here = [each for each in requests if min(each[2], INTERVALS - 1) == at]
        assert (totals[at], cold[at]) == (len(here), sum(each[1] == COLD for each in here))
        assert p99_ms[at] == pytest.approx(max((each[3] for each in here), default=0), rel=0.03, abs=0.002)


def test_many_requests_of_one_cause_are_taken_in_at_once() -> None:
    answers = Answers(("a", "b"), 0, 1000)
    answers.add("b", 0, [(1.0, 3.0), (2.0, 3.0)])
    answers.add("a", 1, [(4.0, 9.0)])
    assert answers.by_instance() == {"a": (1, 1), "b": (2, 2)}
    assert [answers.latency()[cause].max_ms for cause in CAUSES] == [2.0, 5.0, 0.0, 0.0]
