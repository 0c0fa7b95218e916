"""Rules and orders of eviction by name, and what ModelMesh's rules of scaling say."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import pytest

from meshcore import scale_down, scale_up, second_copy
from meshcore.eviction import cost_order, lru_order
from meshcore.meter import Meter
from meshcore.ranking import ByAge
from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.totals import Totals
from meshcore.units import NEVER
from sim import run
from sim.policies import EVICTIONS, age_alone, rules_named
from sim.scalings import (
    cause_as_coded,
    further_as_coded,
    is_memory_wanted_as_coded,
    no_second_copy,
    use_as_coded,
)
from sim.scenario import Scenario
from sim.scored import Gdsf

SETTINGS = Settings()
MINUTE = 60_000
HOUR = 60 * MINUTE


@pytest.mark.parametrize(
    ("name", "eviction", "order", "ranking"),
    [
        ("mesh", "lru", lru_order, ByAge),
        ("mesh", "cost", cost_order, ByAge),
        ("mesh", "gdsf", lru_order, Gdsf),
        ("random+cost", "gdsf", cost_order, ByAge),
        ("mesh+gdsf", "cost", lru_order, Gdsf),
        ("modelmesh", "gdsf", age_alone, ByAge),
        ("modelmesh+lru", "gdsf", lru_order, ByAge),
        ("modelmesh+gdsf", "lru", lru_order, Gdsf),
    ],
)
def test_a_name_says_how_copies_go_or_the_rules_do_or_the_scenario(
    name: str, eviction: str, order: Any, ranking: Any
) -> None:
    rules = rules_named(name, eviction)
    assert (rules.evict_order, rules.ranking) == (order, ranking)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mash", "'mash' has no rules that there are, did you mean mesh; allowed: mesh, "),
        ("mesh+gdfs", "'mesh+gdfs' has no eviction that there are, did you mean gdsf; allowed: lru, cost, "),
        ("mesh+", "'mesh+' has no eviction that there are; allowed: lru, cost, gdsf, lfu, s3fifo"),
    ],
)
def test_a_wrong_name_is_told_the_nearest(name: str, said: str) -> None:
    with pytest.raises(ValueError) as told:
        rules_named(name)
    assert str(told.value).startswith(said)


def test_a_scenario_knows_all_orders_of_eviction() -> None:
    assert get_args(Scenario.model_fields["eviction"].annotation) == EVICTIONS


# -- as ModelMesh has it


def due(rule: Any, *uses: float) -> list[float]:
    """Those of the uses, in minutes, that are regular."""
    meter = Meter(0, 0)
    return [use for use in uses if rule(meter, int(use * MINUTE), SETTINGS)]


@pytest.mark.parametrize(
    ("uses", "regular"),
    [
        ((1, 9), [9]),
        ((1, 42), []),
        ((1, 5, 9), [9]),
        ((1, 1.5, 9), [9]),
        (range(1, 60), []),  # D-10
        ((*range(1, 30), 38), [38]),
    ],
)
def test_steady_use_is_never_regular_by_their_code(uses: Any, regular: list[float]) -> None:
    assert due(use_as_coded, *uses) == regular


def test_by_ours_it_is() -> None:
    assert due(second_copy.use, *range(1, 60))[:1] == [8]


BUSY = Standing(copies=1, instances=9, candidates=8, rpm=6000, threshold=2000)


@pytest.mark.parametrize(
    ("changed", "theirs", "ours"),
    [
        ({}, 3, 3),
        ({"rpm": 1999}, 0, 0),
        ({"busy": 3}, 2, 3),  # D-11
        ({"busy": 4}, 0, 3),
        ({"instances": 4, "candidates": 3}, 1, 2),  # D-11
        ({"instances": 4, "candidates": 3, "rpm": 4000}, 2, 2),
        ({"newest_ms": 20_000 + 6000, "load_ms": 3000}, 3, 3),
        ({"newest_ms": 20_000 + 5999, "load_ms": 3000}, 0, 3),
        ({"is_arriving": True}, 3, 0),
    ],
)
def test_busy_instances_count_twice_and_a_third_may_be_one(changed: dict[str, Any], theirs: int, ours: int) -> None:
    standing = replace(BUSY, **changed)
    assert (further_as_coded(standing, SETTINGS), scale_up.further(standing, SETTINGS)) == (theirs, ours)


@pytest.mark.parametrize(("free", "theirs", "ours"), [(50, True, True), (59, True, False), (60, False, False)])
def test_free_memory_is_told_in_whole_percent(free: int, theirs: bool, ours: bool) -> None:
    totals = Totals(2, 2, 1000, free, 0)
    assert (is_memory_wanted_as_coded(totals), scale_down.is_memory_wanted(totals)) == (theirs, ours)


TWO = Standing(copies=2, capacity_units=1000, lru_age_ms=200 * HOUR, unused_ms=11 * HOUR)
MANY = Standing(
    copies=3, capacity_units=1000, lru_age_ms=10 * HOUR, calm_ms=HOUR, settled_ms=HOUR, threshold=2000, rpm=1333
)


@pytest.mark.parametrize(
    ("standing", "theirs", "ours"),
    [
        (TWO, True, True),
        (replace(TWO, calm_ms=50 * HOUR), False, True),  # D-12
        (replace(TWO, calm_ms=30 * HOUR), True, False),
        (replace(TWO, calm_ms=50 * HOUR, unused_ms=20 * HOUR + 1), True, True),
        (replace(TWO, is_better_placed=True), False, False),
        (replace(TWO, copies=1), False, False),
        (replace(TWO, free_units=59), True, False),
        (replace(TWO, free_units=60), False, False),
        (MANY, False, True),  # D-13
        (replace(MANY, calm_ms=5 * HOUR), True, True),
        (replace(MANY, calm_ms=NEVER), True, True),
        (replace(MANY, calm_ms=NEVER, rpm=1334), False, False),
        (replace(MANY, calm_ms=NEVER, unloaded_ms=79_999), False, False),
        (replace(MANY, calm_ms=NEVER, settled_ms=MINUTE), False, False),
        (replace(MANY, calm_ms=NEVER, queued=2), False, False),
    ],
)
def test_copies_go_by_bounds_that_are_the_wrong_way_round(standing: Standing, theirs: bool, ours: bool) -> None:
    assert bool(cause_as_coded(standing, SETTINGS)) is theirs
    assert bool(scale_down.cause(standing, SETTINGS)) is ours


def test_a_model_in_steady_use_gets_a_second_copy_by_ours_alone() -> None:
    scenario = Scenario.model_validate(
        {
            "duration_s": 900.0,
            "instances": {"count": 2, "capacity": 1 << 30},
            "models": {"count": 1, "size": 1 << 20},
            "runtime": {"load": {"base_ms": 10}, "service": {"mean_ms": 1.0}},
            "traffic": {"workload": "recorded", "at_ms": [20_000.0 * n for n in range(45)], "models": [0] * 45},
        }
    )
    copies = {name: run(scenario, name).data["second_copies"] for name in ("mesh", "modelmesh", "no-second-copies")}
    assert copies == {"mesh": 1, "modelmesh": 0, "no-second-copies": 0}
    assert no_second_copy(Standing(is_regular=True, candidates=1), SETTINGS) == ""
