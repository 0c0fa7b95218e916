"""What is counted, under which cause, and from when."""

from __future__ import annotations

import pytest

from meshcore.asks import Answered, Done, Failed, RuntimeFailed
from meshcore.commands import Load, Unload
from meshcore.errors import Code, LoadFailure
from meshcore.reasons import Reason, Rule
from sim.measure import Cause, Histogram, Measure


def test_a_quantile_is_right_to_about_half_a_percent() -> None:
    histogram = Histogram()
    for number in range(1, 10_001):
        histogram.add(number / 10)
    assert histogram.count == 10_000
    for part in (0.5, 0.9, 0.99):
        assert histogram.quantile_ms(part) == pytest.approx(part * 1000, rel=0.01)
    assert histogram.quantile_ms(1.0) <= histogram.max_ms == 1000.0


def test_the_quantile_of_one_duration_is_that_duration() -> None:
    histogram = Histogram()
    histogram.add(0.0)
    histogram.add(3.0)
    assert histogram.quantile_ms(0.5) == pytest.approx(0.001, rel=0.01)
    assert histogram.quantile_ms(0.99) == pytest.approx(3.0, rel=0.01)


def test_nothing_measured_is_zero() -> None:
    assert (Histogram().count, Histogram().quantile_ms(0.5), Histogram().max_ms) == (0, 0.0, 0.0)


def test_buckets_grow_with_what_comes_later() -> None:
    histogram = Histogram()
    histogram.add(1.0)
    assert histogram.count == 1
    histogram.add(1000.0)
    assert histogram.count == 2
    histogram.add(1.0)
    assert histogram.count == 3


def counted(measure: Measure) -> dict[str, int]:
    return {cause.value: measure.latency[cause].count for cause in Cause}


def test_a_hit_is_an_answer_that_did_not_wait_for_a_load() -> None:
    measure = Measure(("a",), 0, lambda: 0)
    done = Done(Answered(None))
    measure.answered("a", False, [1.0], [2.0])
    measure.answered("a", True, [1.0], [2.0])
    measure.ended("a", 1, 2, has_waited=False, is_forwarded=False, how=done)
    measure.ended("a", 1, 2, has_waited=False, is_forwarded=True, how=done)
    measure.ended("a", 1, 2, has_waited=True, is_forwarded=False, how=done)
    measure.ended("a", 1, 2, has_waited=True, is_forwarded=True, how=done)
    assert counted(measure) == {"local": 2, "forwarded": 2, "cold": 2}
    assert (measure.tallies["a"].answered, measure.tallies["a"].hits) == (6, 4)
    assert measure.warm == 2


def test_failures_count_under_their_status_and_are_no_answers() -> None:
    measure = Measure(("a",), 0, lambda: 0)
    measure.ended("a", 1, 2, True, False, Failed(LoadFailure("no")))
    measure.ended("a", 1, 2, True, False, Failed(LoadFailure("no", Code.DEADLINE_EXCEEDED)))
    measure.ended("a", 1, 2, True, False, Done(RuntimeFailed(Code.INTERNAL, "oops")))
    measure.left("a", 1)
    assert measure.failed == {"INTERNAL": 2, "DEADLINE_EXCEEDED": 1, "CLIENT_LEFT": 1}
    assert measure.tallies["a"].answered == 0


def test_the_warm_up_is_left_out_by_arrival_and_by_decision() -> None:
    now = 99
    measure = Measure(("a",), 100, lambda: now)
    load = Load("m", 1, "", "", "", 0, Reason(Rule.LOAD, "m", "a", ""))
    measure.answered("a", False, [99.0], [101.0])
    measure.ended("a", 99, 500, True, False, Done(Answered(None)))
    measure.left("a", 99)
    measure.commanded("a", load)
    assert (counted(measure), measure.failed, measure.tallies["a"].loads) == (
        {"local": 0, "forwarded": 0, "cold": 0}, {}, 0,
    )  # fmt: skip
    now = 100
    measure.answered("a", False, [99.0, 100.0], [101.0, 101.0])
    measure.commanded("a", load)
    assert (measure.tallies["a"].answered, measure.tallies["a"].loads) == (1, 1)


def test_unloads_are_told_apart_by_their_reason() -> None:
    measure = Measure(("a",), 0, lambda: 0)
    for rule in (Rule.EVICT, Rule.EVICT, Rule.FAIL, Rule.REMOVE):
        measure.commanded("a", Unload("m", 1, Reason(rule, "m", "a", "")))
    tally = measure.tallies["a"]
    assert (tally.evictions, tally.load_failures) == (2, 1)
