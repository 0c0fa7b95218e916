"""Requests wait for each other as queueing theory says; `python -m bench.queues` looks closer."""

from __future__ import annotations

import pytest

from bench.queues import erlang, simulated
from sim.reading import ScenarioError, parse_scenario

SCENARIO = """
duration_s: 10
instances: {count: 1, capacity: 1 GiB}
models: {count: 3, size: 10 MiB}
runtime: {load: {base_ms: 1}, service: {mean_ms: 1, shape: exponential}}
traffic: {requests_per_s: 1}
"""


def test_the_formula_is_known_where_it_is_simple() -> None:
    assert (erlang(0.5, 1).mean, erlang(0.5, 1).share) == (1.0, 0.5)
    assert erlang(0.8, 4).share == pytest.approx(0.5964, abs=1e-4)


@pytest.mark.parametrize(
    ("load", "servers", "within"), [(0.5, 1, 0.05), (0.5, 4, 0.05), (0.8, 1, 0.12), (0.8, 4, 0.12)]
)
def test_requests_wait_about_as_long_and_as_often_as_erlang_c_says(load: float, servers: int, within: float) -> None:
    """Within three standard deviations of so few requests, or so."""
    found, known = simulated(load, servers, 40_000, seed=1), erlang(load, servers)
    assert found.mean == pytest.approx(known.mean, rel=within)
    assert found.share == pytest.approx(known.share, rel=within)


def test_an_exponential_service_has_no_other_spread() -> None:
    assert parse_scenario(SCENARIO, "a.yaml").runtime.service.shape == "exponential"
    with pytest.raises(ScenarioError) as told:
        parse_scenario(SCENARIO.replace("mean_ms: 1,", "mean_ms: 1, cv: 0.5,"), "a.yaml")
    said = "a.yaml:5: runtime.service: must have no cv where shape is exponential, as it is 1"
    assert told.value.problems == [said]
