"""A scenario says by which policy copies make room."""

from __future__ import annotations

from typing import Any

import pytest

from sim import run
from sim.scenario import Scenario

MIB = 1 << 20


def played(**chosen: Any) -> dict[str, Any]:
    """Six small models, each asked for every second, and a giant every ten: all but one small one fit beside it."""
    calls = [(1000.0 * second + 100.0 * model, model) for second in range(120) for model in range(6)]
    calls += [(10_000.0 * turn + 950.0, 6) for turn in range(12)]
    calls.sort()
    scenario = {
        "duration_s": 120.0,
        "instances": {"count": 1, "capacity": 128 * MIB, "default_model_size": 8 * MIB, "loading_concurrency": 1},
        "models": {"count": 7, "sizes": [*[10 * MIB] * 6, 100 * MIB]},
        "runtime": {"load": {"base_ms": 50}, "service": {"mean_ms": 1.0}},
        "traffic": {"workload": "recorded", "at_ms": [at for at, _ in calls], "models": [model for _, model in calls]},
        "settings": {"min_churn_age_ms": 0},
        **chosen,
    }
    return run(Scenario.model_validate(scenario)).data


def test_by_cost_the_giant_goes_and_the_small_ones_stay() -> None:
    """The first small one that comes back pushes it out; by age it pushes out another small one, and so do the next."""
    by_age, by_cost = played(eviction="lru"), played(eviction="cost")
    assert by_cost["loads"] == 6 + 12 * (1 + 5), "the giant, and the five it cannot be loaded beside"
    assert by_age["loads"] > by_cost["loads"]
    assert by_age["cold_starts"] > by_cost["cold_starts"]
    assert (by_age["failed"], by_cost["failed"]) == ({}, {})


def test_the_default_is_by_age() -> None:
    assert played() == played(eviction="lru")


def test_another_policy_is_none() -> None:
    with pytest.raises(ValueError, match="Input should be 'lru', 'cost', 'gdsf', 'lfu' or 's3fifo'"):
        played(eviction="fifo")
