"""Runtimes that limit how many requests a copy answers at once: further copies by how long requests take."""

from __future__ import annotations

from typing import Any

import pytest

from sim import parse_scenario, run

SLOW = """
duration_s: 120
instances: {count: 4, capacity: 1 GiB}
models: {count: 1, size: 16 MiB}
runtime:
  load: {base_ms: 100}
  service: {mean_ms: 100}
  model_concurrency: 1
traffic: {requests_per_s: 10, alpha: 0}
settings: {min_churn_age_ms: 0}
"""
"""A copy can answer ten requests a second, and as many come; that is far from 2,000 a minute."""

AT_ONCE = """
duration_s: 10
instances: {count: 1, capacity: 1 GiB}
models: {count: 1, size: 16 MiB}
runtime:
  load: {base_ms: 100}
  service: {mean_ms: 100}
  model_concurrency: 2
traffic: {workload: recorded, at_ms: [1000.0, %s], models: [0, %s]}
"""


def data(text: str) -> dict[str, Any]:
    return run(parse_scenario(text, "a.yaml")).data


def at_once(count: int) -> str:
    """One request has the model loaded; so many come together later."""
    return AT_ONCE % (", ".join(["5000.0"] * count), ", ".join("0" * count))


def test_a_copy_that_is_busy_most_of_its_time_gets_others() -> None:
    told = data(SLOW)
    assert (told["scale_ups"], told["copies"]["max"]) == (1, 2)
    assert told["failed"] == {}


def test_a_copy_that_has_time_left_does_not() -> None:
    """Busy for six tenths of its time; and without a limit nothing counts but that 600 a minute are few."""
    limited = data(SLOW.replace("requests_per_s: 10", "requests_per_s: 6"))
    unlimited = data(SLOW.replace("  model_concurrency: 1\n", ""))
    assert (limited["scale_ups"], unlimited["scale_ups"]) == (0, 0)


@pytest.mark.parametrize(("settings", "most"), [("", 16), ("settings: {max_inflight_per_copy: 5}", 5)])
def test_requests_beyond_what_a_copy_takes_with_those_that_wait_are_turned_away(settings: str, most: int) -> None:
    """There is no other copy to try. Two are worked on at once, so the last one waits for all pairs before it."""
    told = data(at_once(20) + settings)
    assert told["failed"] == {"RESOURCE_EXHAUSTED": 20 - most}
    assert told["latency_ms"]["local"]["count"] == most
    assert told["latency_ms"]["local"]["max"] == pytest.approx((most + 1) // 2 * 100, rel=0.01)


def test_requests_that_are_turned_away_are_answered_by_a_copy_that_they_have_loaded() -> None:
    """One copy takes 16; for the others another one is loaded once, and they wait for that."""
    told = data(at_once(32).replace("count: 1", "count: 2", 1))
    assert told["failed"] == {}
    assert (told["loads"], told["cold_starts"], told["answered"]) == (2, 1 + 16, 1 + 32)
