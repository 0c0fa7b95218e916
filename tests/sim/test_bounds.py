"""No rules do with fewer loads than the bound says, and it says no fewer than some could do with."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sim import parse_scenario, run
from sim.atleast import longest_way_ms
from sim.bounds import Requests, least_loads
from sim.policies import EVICTIONS, POLICIES
from sim.scenario import Scenario

MIB = 1 << 20


def fewest(models: tuple[int, ...], units: tuple[int, ...], capacity: int) -> int:
    """By trying every set of models that may stay."""

    @cache
    def from_on(at: int, held: frozenset[int]) -> int:
        if at == len(models):
            return 0
        asked = models[at]
        here = held | {asked}
        loads = 0 if asked in held else 1
        subsets = [here]
        for model in here - {asked}:
            subsets += [kept - {model} for kept in subsets]
        fitting = [kept for kept in subsets if sum(units[model] for model in kept) <= capacity]
        return loads + min(from_on(at + 1, kept) for kept in fitting)

    return from_on(0, frozenset())


@given(
    models=st.lists(st.integers(0, 4), min_size=1, max_size=12).map(tuple),
    units=st.lists(st.integers(1, 4), min_size=5, max_size=5).map(tuple),
    capacity=st.integers(4, 9),
)
@settings(max_examples=80, deadline=None)
def test_it_is_never_above_the_fewest_loads(models: tuple[int, ...], units: tuple[int, ...], capacity: int) -> None:
    loads, by = least_loads(Requests.in_turn(np.array(models)), np.array(units), capacity)
    assert loads <= fewest(models, units, capacity)
    assert loads >= len(set(models))
    assert by == ("MIN" if len({units[model] for model in models}) == 1 else "PFOO-L")


@given(models=st.lists(st.integers(0, 4), min_size=1, max_size=14).map(tuple), places=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_for_equal_sizes_it_is_the_fewest_loads(models: tuple[int, ...], places: int) -> None:
    units = (3,) * 5
    assert least_loads(Requests.in_turn(np.array(models)), np.array(units), 3 * places + 2) == (
        fewest(models, units, 3 * places),
        "MIN",
    )


@pytest.mark.parametrize(
    ("until_ms", "loads"),
    [
        ([0.0, 1.0, 2.0], 3),
        ([0.0, 3.0, 2.0], 2),  # the second model may have been taken up last
        ([0.0, 1.0, 9.0], 3),
        ([2.0, 1.0, 2.0], 2),  # the first model's requests may have been taken up together
    ],
)
def test_requests_that_may_have_waited_for_one_load_need_one(until_ms: list[float], loads: int) -> None:
    """Two models in turn, of which one fits."""
    requests = Requests(np.array([0, 1, 0]), np.array([0.0, 1.0, 2.0]), np.array(until_ms))
    assert least_loads(requests, np.array([1, 1]), 1) == (loads, "MIN")


def test_what_was_there_before_is_no_load() -> None:
    requests, units = Requests.in_turn(np.array([0, 1, 2, 0])), np.array([1, 1, 1])
    assert [least_loads(requests, units, places, starts_empty=False)[0] for places in (1, 2, 3)] == [3, 1, 0]


def test_models_that_never_fit_need_no_load() -> None:
    assert least_loads(Requests.in_turn(np.array([1, 0, 1])), np.array([1, 9]), 5) == (1, "MIN")
    assert least_loads(Requests.in_turn(np.array([1])), np.array([1, 9]), 5) == (0, "MIN")


# -- runs


@st.composite
def scenarios(draw: st.DrawFn) -> dict[str, Any]:
    """Few models, memory for some of them, and requests that come close after each other."""
    count = draw(st.integers(2, 8))
    instances = draw(st.integers(1, 3))
    sizes = draw(
        st.just([10 * MIB] * count) | st.lists(st.integers(1, 30).map(MIB.__mul__), min_size=count, max_size=count)
    )
    gaps = draw(st.lists(st.sampled_from((0.0, 0.4, 3.0, 40.0, 700.0)), min_size=5, max_size=40))
    models = draw(st.lists(st.integers(0, count - 1), min_size=len(gaps), max_size=len(gaps)))
    return {
        "seed": draw(st.integers(0, 3)),
        "duration_s": 600.0,
        "warmup_s": draw(st.sampled_from((0.0, 0.9))),
        "instances": {
            "count": instances,
            "capacity": draw(st.sampled_from((33, 64))) * MIB,
            "default_model_size": 3 * MIB,
        },
        "models": {"count": count, "sizes": sizes},
        "runtime": {"load": {"base_ms": draw(st.sampled_from((1, 60, 900)))}, "service": {"mean_ms": 2.0}},
        "traffic": {
            "workload": "recorded",
            "at_ms": np.cumsum(gaps).round(3).tolist(),
            "models": models,
            "patience_ms": 2000,
        },
        "settings": {"min_churn_age_ms": 0},
    }


@given(scenario=scenarios(), policy=st.sampled_from(list(POLICIES)), eviction=st.sampled_from(EVICTIONS))
@settings(max_examples=20, deadline=None)
def test_no_rules_beat_it(scenario: dict[str, Any], policy: str, eviction: str) -> None:
    data = run(Scenario.model_validate(scenario), f"{policy}+{eviction}").data
    assert data["loads"] >= data["at_least"]["loads"]
    if not scenario["warmup_s"] and not data["failed"]:
        assert data["at_least"]["loads"] >= len(set(scenario["traffic"]["models"]))


@pytest.mark.parametrize(
    ("count", "network", "way_ms"),
    [(1, "{delay_ms: 3}", 0), (2, "{delay_ms: 3}", 3), (2, "{between_zones_ms: 40}", 40)],
)
def test_a_copy_takes_a_request_up_one_way_later_in_another_zone_too(count: int, network: str, way_ms: float) -> None:
    text = f"""
duration_s: 1
instances: {{count: {count}, capacity: 64 MiB, zones: [a, b]}}
models: {{count: 2, size: 1 MiB}}
runtime: {{load: {{base_ms: 1}}, service: {{mean_ms: 1}}}}
network: {network}
traffic: {{requests_per_s: 1}}
"""
    assert longest_way_ms(parse_scenario(text, "a.yaml")) == way_ms
