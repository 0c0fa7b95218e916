"""Instances that are taken out of service in order and come back with nothing loaded."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from sim import ScenarioError, parse_scenario, run

SCENARIO = """
duration_s: 60
instances: {count: 3, capacity: 1 GiB, default_model_size: 16 MiB}
models: {count: 90, size: 60 MiB}
runtime:
  load: {base_ms: 300}
  service: {mean_ms: 5}
traffic: {requests_per_s: 40}
settings: {min_churn_age_ms: 0}
"""

RESTART = SCENARIO + "restarts: [{instance: instance-1, from_s: 30, until_s: 45}]\n"
HOT = SCENARIO.replace("count: 90", "count: 6")
"""Everything fits into one instance."""


@cache
def played(text: str) -> dict[str, Any]:
    return run(parse_scenario(text, "a.yaml")).data


def test_every_request_is_answered_while_an_instance_is_away() -> None:
    told = played(RESTART)
    assert told["failed"] == {}
    assert told["answered"] == played(SCENARIO)["answered"]


def test_nothing_comes_to_an_instance_that_is_away() -> None:
    told, whole = played(RESTART), played(SCENARIO)
    away_s, all_s = 15, 60
    for number, part in ((0, 1 + away_s / all_s / 2), (1, 1 - away_s / all_s), (2, 1 + away_s / all_s / 2)):
        expected = whole["instances"][number]["answered"] * part
        assert told["instances"][number]["answered"] == pytest.approx(expected, rel=0.05)


def test_what_was_loaded_there_is_loaded_elsewhere_and_the_instance_comes_back_empty() -> None:
    """As nothing is evicted, an instance has what was loaded since it came back."""
    restart = HOT + "restarts: [{instance: instance-1, from_s: 20, until_s: 40}]\n"
    told, undisturbed = played(restart), played(HOT)
    lost = undisturbed["instances"][1]["models"]
    assert lost > 0
    assert told["loads"] == undisturbed["loads"] + lost
    assert told["evictions"] == 0
    assert [each["models"] for each in told["instances"]].count(0) == 1
    assert told["instances"][1]["models"] == 0
    assert told["instances"][1]["answered"] > 0


def test_an_instance_that_came_back_takes_loads_again() -> None:
    told = played(RESTART)
    assert told["instances"][1]["models"] > 0


def test_an_instance_goes_only_when_nothing_is_under_way_on_it() -> None:
    """Every request takes 4 s, longer than an instance waits for clients to hear that it goes."""
    slow = RESTART.replace("mean_ms: 5", "mean_ms: 4000").replace("service:", "concurrency: 1000\n  service:")
    told = played(slow)
    assert told["failed"] == {}
    assert told["answered"] == played(RESTART)["answered"]


def test_instances_are_restarted_one_after_the_other() -> None:
    rolling = ", ".join(
        f"{{instance: instance-{number}, from_s: {10 + 15 * number}, until_s: {25 + 15 * number}}}"
        for number in range(3)
    )
    told = played(SCENARIO + f"restarts: [{rolling}]\n")
    assert told["failed"] == {}
    assert told["answered"] == played(SCENARIO)["answered"]


@pytest.mark.parametrize(
    ("restarts", "said"),
    [
        (
            "{instance: instance-3, from_s: 1, until_s: 9}",
            "restarts.0.instance: 'instance-3' must be one of instance-0",
        ),
        ("{instance: instance-1, from_s: 1, until_s: 3.5}", "restarts.0.until_s: 3.5 must be 4 or later"),
        (
            "{instance: instance-1, from_s: 1, until_s: 9}, {instance: instance-1, from_s: 8, until_s: 20}",
            "restarts.1: 8 s must be 9 or later, as restarts.0 lasts so long",
        ),
    ],
)
def test_restarts_that_cannot_be_are_refused(restarts: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(SCENARIO + f"restarts: [{restarts}]\n", "a.yaml")
    assert said in caught.value.problems[0]


def test_the_only_instance_is_not_restarted() -> None:
    with pytest.raises(ScenarioError, match="nobody would be left"):
        parse_scenario(RESTART.replace("count: 3", "count: 1"), "a.yaml")
