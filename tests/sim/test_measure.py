"""What is counted, under which cause, and from when."""

from __future__ import annotations

import pytest

from meshcore.asks import Answered, Done, Failed, RuntimeFailed
from meshcore.commands import Commit, Holder, Load, Route, Unload
from meshcore.errors import Code, LoadFailure
from meshcore.reasons import Reason, Rule
from sim.answers import INTERVALS
from sim.given import Ending
from sim.measure import SOON_MS, Measure

DONE = Done(Answered(None))
DURATION_MS = 1000 * INTERVALS
"""So that an interval is a second."""


class Clock:
    """The instant of what is decided."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def measured(from_ms: float = 0) -> tuple[Measure, Clock]:
    clock = Clock()
    return Measure(("a", "b"), from_ms, DURATION_MS, clock), clock


def load(model: str) -> Load:
    return Load(model, 1, "", "", "", 0, Reason(Rule.LOAD, model, "a", ""))


def unload(model: str, rule: Rule = Rule.EVICT) -> Unload:
    return Unload(model, 1, Reason(rule, model, "a", ""))


def counted(measure: Measure) -> dict[str, int]:
    return {cause.value: histogram.count for cause, histogram in measure.answers.latency().items()}


def test_a_hit_is_an_answer_that_did_not_wait_for_a_load() -> None:
    measure, _ = measured()
    measure.answered("a", False, [1], [2])
    measure.answered("a", True, [1], [2])
    measure.ended(Ending("a", 1, 2, DONE))
    measure.ended(Ending("a", 1, 2, DONE, is_forwarded=True))
    measure.ended(Ending("a", 1, 2, DONE, has_waited=True))
    measure.ended(Ending("a", 1, 2, DONE, has_waited=True, is_forwarded=True))
    assert counted(measure) == {"local": 2, "forwarded": 2, "retried": 0, "cold": 2}
    assert measure.answers.by_instance()["a"] == (6, 4)
    assert measure.warm == 2


def test_an_answer_after_a_copy_that_did_not_take_it_is_a_retry_unless_it_waited() -> None:
    measure, _ = measured()
    measure.ended(Ending("a", 1, 2, DONE, is_forwarded=True, is_retried=True))
    measure.ended(Ending("a", 1, 2, DONE, has_waited=True, is_forwarded=True, is_retried=True))
    assert counted(measure) == {"local": 0, "forwarded": 0, "retried": 1, "cold": 1}
    assert measure.answers.by_instance()["a"] == (2, 1)


def test_failures_count_under_their_status_and_are_no_answers() -> None:
    measure, _ = measured()
    measure.ended(Ending("a", 1, 2, Failed(LoadFailure("no")), has_waited=True))
    measure.ended(Ending("a", 1, 2, Failed(LoadFailure("no", Code.DEADLINE_EXCEEDED)), has_waited=True))
    measure.ended(Ending("a", 1, 2, Done(RuntimeFailed(Code.INTERNAL, "oops")), has_waited=True))
    measure.left("a", 2500)
    assert measure.failed == {"INTERNAL": 2, "DEADLINE_EXCEEDED": 1, "CLIENT_LEFT": 1}
    assert measure.answers.by_instance()["a"] == (0, 0)
    assert measure.failures_over_time[:4] == [3, 0, 1, 0]


def test_the_warm_up_is_left_out_by_arrival_and_by_decision_but_not_of_the_series() -> None:
    measure, clock = measured(from_ms=1000)
    for clock.now in (999, 1000):
        measure.answered("a", False, [clock.now], [1001])
        measure.ended(Ending("a", clock.now, 5000, DONE, has_waited=True))
        measure.left("a", clock.now)
        measure.commanded("a", load("m"))
        measure.commanded("a", unload("m"))
        measure.commanded("a", Route("m", None, (Holder("a", 1, True),)))
    assert counted(measure) == {"local": 1, "forwarded": 0, "retried": 0, "cold": 1}
    assert (measure.failed, measure.most_copies) == ({"CLIENT_LEFT": 1}, 1)
    tally = measure.tallies["a"]
    assert (tally.loads, tally.evictions) == (1, 1)
    totals, cold, _ = measure.answers.over_time()
    for series, each in ((totals, 2), (cold, 1)):
        assert series[:3] == [each, each, 0]
    for series in (measure.failures_over_time, measure.loads_over_time, measure.evictions_over_time):
        assert series[:3] == [1, 1, 0]


def test_what_is_decided_after_the_end_counts_but_is_in_no_interval() -> None:
    measure, clock = measured()
    for clock.now in (DURATION_MS - 1, DURATION_MS):
        measure.commanded("a", load("m"))
    assert (measure.loads_over_time[-1], sum(measure.loads_over_time), measure.tallies["a"].loads) == (1, 1, 2)


def test_unloads_are_told_apart_by_their_reason() -> None:
    measure, _ = measured()
    for rule in (Rule.EVICT, Rule.EVICT, Rule.FAIL, Rule.REMOVE):
        measure.commanded("a", unload("m", rule))
    tally = measure.tallies["a"]
    assert (tally.evictions, tally.load_failures) == (2, 1)


@pytest.mark.parametrize(
    ("what", "reloads"),
    [
        ([(0, unload("m")), (SOON_MS, load("m"))], 1),
        ([(0, unload("m")), (SOON_MS + 1, load("m"))], 0),
        ([(0, unload("m")), (1, load("n"))], 0),
        ([(0, unload("m", Rule.REMOVE)), (1, load("m"))], 0),
        ([(0, unload("m")), (1, load("m")), (2, load("m"))], 1),
        ([(0, unload("m")), (SOON_MS, unload("m")), (SOON_MS + 9, load("m"))], 1),
        ([(0, load("m"))], 0),
    ],
    ids=["soon", "late", "another model", "not evicted", "once for an eviction", "after the last", "never there"],
)
def test_a_reload_is_a_load_within_five_minutes_of_the_eviction_anywhere(
    what: list[tuple[float, Load | Unload]], reloads: int
) -> None:
    measure, clock = measured()
    for clock.now, command in what:
        measure.commanded("b" if isinstance(command, Load) else "a", command)
    assert measure.reloads == reloads


def test_an_eviction_in_the_warm_up_makes_a_load_after_it_a_reload() -> None:
    measure, clock = measured(from_ms=1000)
    for clock.now, command in ((1, unload("m")), (2, load("m")), (3, unload("m")), (1000, load("m"))):
        measure.commanded("a", command)
    assert measure.reloads == 1


def test_decisions_for_more_copies_are_counted_by_their_rule() -> None:
    measure, _ = measured()
    for rule in (Rule.SCALE_DOWN, Rule.LOAD):
        measure.commanded("a", Commit(1, "m", 0, b"", Reason(rule, "m", "a", "")))
    assert measure.scaling == {Rule.SECOND_COPY: 0, Rule.SCALE_UP: 0, Rule.SCALE_DOWN: 1}
