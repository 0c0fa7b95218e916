"""Limits as they are written, and the search for the smallest fleet that keeps to them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import ScenarioError
from sim.metrics import METRICS
from sim.reading import parse_tree
from sim.sweep import Sweep
from sim.sweep_paths import Plan, Source
from sim.tune import CAPACITY, COUNT, FRACTIONS, Question, as_values, ask, tune
from sim.tune_report import as_table, verdict
from sim.tune_slo import parse_slo, parse_slos
from sim.world import Result
from tests.sim.small import SMALL

SOURCE = Source("small.yaml", "Is it small?", parse_tree(SMALL, "small.yaml"), SMALL)
QUANTILES = dict.fromkeys(("p50", "p90", "p95", "p99", "p999", "max"), 10.0)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("cold_start_rate<0.1%", 0.001),
        ("hit_rate >= 99.5 %", 0.995),
        ("failure_rate<=0.01", 0.01),
        ("latency_p99<200ms", 200.0),
        ("cold_start_wait_p50<1.5s", 1500.0),
        ("evictions_per_s<.5/s", 0.5),
        ("evictions_per_s<2", 2.0),
        ("load_spread<1.2x", 1.2),
        ("cold_starts<10", 10.0),
        ("memory_used<90%", 0.9),
    ],
)
def test_a_limit_has_a_metric_and_a_number_with_its_unit(text: str, limit: float) -> None:
    assert parse_slo(text).limit == pytest.approx(limit)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cold_start_rat<1%", "there is no metric cold_start_rat, did you mean cold_start_rate; there are answered, "),
        ("qqq<1", f"there is no metric qqq; there are {', '.join(METRICS)}"),
        ("latency_p99<200", "200 must be a number with ms or s or min"),
        ("latency_p99<5%", "5% must be a number with ms or s or min"),
        ("hit_rate>90ms", "90ms must be a number with % or no unit"),
        ("hit_rate>101%", "101% must be at most 100%"),
        ("hit_rate=90%", "must be a metric, one of < <= > >=, and a number with its unit"),
        ("hit_rate>-1%", "must be a metric, one of"),
        ("latency_p99<0ms", "can never be met, as latency_p99 is never less than 0"),
        ("hit_rate>100%", "can never be met, as hit_rate is never more than 100%"),
        ("", "must be a metric, one of"),
    ],
)
def test_what_is_no_limit_is_told_with_what_is_allowed(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=re.escape(told)):
        parse_slo(text)


@pytest.mark.parametrize(
    ("least", "most", "is_one"),
    [
        ("hit_rate>99%", "hit_rate<90%", False),
        ("hit_rate>=90%", "hit_rate<90%", False),
        ("hit_rate>=90%", "hit_rate<=90%", True),
        ("hit_rate>90%", "hit_rate<99%", True),
        ("hit_rate>90%", "cold_start_rate<1%", True),
    ],
)
def test_limits_that_exclude_each_other_are_refused(least: str, most: str, is_one: bool) -> None:
    if is_one:
        assert [slo.text for slo in parse_slos([most, least])] == [most, least]
        return
    with pytest.raises(ValueError, match=f"'{most}' and '{least}' cannot both be met"):
        parse_slos([most, least])


def data(seed: int, hit_rate: float | None, answered: int = 1000, cold_ms: float = 10.0) -> dict[str, Any]:
    """A summary, as far as metrics look at it."""
    causes = {"all": {"count": answered, **QUANTILES}, "cold": {"count": int(cold_ms > 0), **QUANTILES}}
    rate = None if hit_rate is None else round(1 - hit_rate, 6)
    cold = 0 if hit_rate is None else round((1 - hit_rate) * answered)
    return {
        "seed": seed, "answered": answered, "failed": {}, "failure_rate": 0.0, "hit_rate": hit_rate,
        "cold_starts": cold, "cold_start_rate": rate, "evictions": 3, "measured_s": 10.0, "latency_ms": causes,
        "memory": {"mean": 0.5, "max": 0.5},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value", "is_met"),
    [
        ("hit_rate>90%", 0.9, False),
        ("hit_rate>=90%", 0.9, True),
        ("cold_start_rate<10%", 0.9, False),
        ("cold_start_rate<=10%", 0.9, True),
    ],
)
def test_a_limit_is_met_up_to_itself_or_short_of_it(text: str, value: float, is_met: bool) -> None:
    assert parse_slo(text).is_met(data(1, value)) is is_met


def test_a_wait_that_nobody_had_is_not_too_long_but_nothing_answered_is_no_success() -> None:
    slo = parse_slo("cold_start_wait_p99<1ms")
    assert slo.is_met(data(1, 1.0, cold_ms=0))
    assert not slo.is_met(data(1, 1.0, cold_ms=5))
    assert not slo.is_met(data(1, None, answered=0, cold_ms=0))
    assert not parse_slo("hit_rate>1%").is_met(data(1, None, answered=0))


def player(hit_rate: Callable[[int, int], float], path: str) -> Callable[[Sequence[Plan]], list[Result]]:
    """Plays by a formula of size and seed."""

    def play(planned: Sequence[Plan]) -> list[Result]:
        found = []
        for plan in planned:
            size = plan.scenario.instances.count if path == COUNT else plan.scenario.instances.capacity
            found.append(Result(data(plan.scenario.seed, hit_rate(size, plan.scenario.seed)), None))
        return found

    return play


def question(path: str = COUNT, seeds: int = 1, most: int | None = None, step: int | None = None) -> Question:
    return ask(SOURCE, "mesh", path, [parse_slo("hit_rate>=90%")], seeds, most, step)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 60), st.integers(1, 3))
def test_the_smallest_that_is_met_is_found_and_the_next_smaller_was_played(least: int, most: int, seeds: int) -> None:
    asked = question(seeds=seeds, most=most)
    answer = tune(asked, player(lambda size, seed: 0.95 if size >= least else 0.5, COUNT))
    if least > most:
        assert answer.found is None
        assert most in answer.points
        return
    assert answer.found is not None
    assert answer.found.value == least
    assert answer.found.is_met
    assert least == 1 or (answer.before is not None and not answer.before.is_met)
    assert least == most or (answer.after is not None and answer.after.is_met)
    assert not answer.exceptions
    assert {round(least * part) for part in FRACTIONS if 1 <= round(least * part) <= most} <= answer.points.keys()
    assert all(len(point.results) == seeds for point in answer.points.values())


def test_every_seed_has_to_meet_the_limit() -> None:
    """Seed 8 needs two instances more than the others."""
    answer = tune(question(seeds=3), player(lambda size, seed: 0.95 if size >= 5 + 2 * (seed == 8) else 0.5, COUNT))
    assert answer.found is not None
    assert answer.found.value == 7
    assert answer.before is not None
    assert answer.before.missed == ("hit_rate>=90% is missed: 50.00 % with seed 8",)
    assert verdict(answer)[0] == "7 instances is the least that meets all limits with 3 seeds."


def test_capacity_is_looked_for_in_steps_from_the_smallest_that_can_be() -> None:
    """A model server has at least ten times its default size, so the steps below that are left out."""
    mib = 1 << 20
    asked = question(CAPACITY, most=128 * mib, step=4 * mib)
    assert (asked.least, asked.most, asked.start) == (3, 32, 16)
    answer = tune(asked, player(lambda size, _: 0.95 if size >= 50 * mib else 0.1, CAPACITY))
    assert answer.found is not None
    assert (answer.found.value, answer.found.memory_bytes) == (52 * mib, 104 * mib)
    least = tune(asked, player(lambda size, _: 0.95, CAPACITY))
    assert least.found is not None
    assert least.found.value == 12 * mib
    assert "It is the smallest fleet that there can be." in verdict(least)


def test_where_more_is_not_always_better_that_is_said() -> None:
    answer = tune(question(), player(lambda size, _: 0.95 if size >= 8 and size != 12 else 0.5, COUNT))
    assert answer.found is not None
    assert [point.value for point in answer.exceptions] == [12]
    assert "12 misses all limits" in verdict(answer)[-1]
    assert as_values(answer)["is_monotone"] is False


def test_a_limit_that_no_size_meets_is_told_with_what_the_largest_misses() -> None:
    stuck = verdict(tune(question(most=8), player(lambda size, _: 0.5, COUNT)))
    assert stuck[:2] == [
        "No size up to 8 instances meets all limits.",
        "With 8 instances, hit_rate>=90% is missed: 50.00 % with seed 7.",
    ]
    assert "more does not help" in stuck[2]
    growing = verdict(tune(question(most=8), player(lambda size, _: size / 10, COUNT)))
    assert growing[2] == "More still helps hit_rate: --most allows larger sizes."


@pytest.mark.parametrize("asked", [{"most": 1, "step": 2}, {"most": 1001}])
def test_bounds_that_cannot_be_are_refused(asked: dict[str, int]) -> None:
    with pytest.raises(ScenarioError):
        question(**asked)


def test_a_small_scenario_is_tuned_by_playing_it() -> None:
    with Sweep(None, lambda _: None, workers=1) as sweep:
        answer = tune(ask(SOURCE, "mesh", COUNT, [parse_slo("cold_start_rate<15%")], 1, most=6), sweep.play)
    assert answer.found is not None
    assert answer.before is not None
    rates = [point.results[0].data["cold_start_rate"] for point in (answer.before, answer.found)]
    assert rates[1] < 0.15 <= rates[0]
    lines = as_table(answer).splitlines()
    assert lines[0].split("  ")[0] == "instances"
    assert f"{answer.found.value} instances is the least that meets all limits with one seed." in lines
