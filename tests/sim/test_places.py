"""In a scenario, too, zones, labels and what models of a type ask of an instance decide where copies are."""

from __future__ import annotations

from typing import Any

import pytest

from sim import parse_scenario, run
from sim.policies import POLICIES
from sim.world import build

TWO_KINDS = """
duration_s: 60
instances: {count: 4, capacity: 1 GiB, labels: [[gpu, big], []]}
models: {count: 40, size: 16 MiB, types: [vision, text, text, text]}
constraints:
  vision: {required: [gpu]}
runtime:
  load: {base_ms: 100}
  service: {mean_ms: 2}
traffic: {requests_per_s: 20, alpha: 0}
settings: {min_churn_age_ms: 0}
"""
"""Of 40 models 10 need a label that instances 0 and 2 have."""

EACH_TWICE = """
duration_s: 600
instances: {count: 4, capacity: 1 GiB, zones: [north, north, north, south]}
models: {count: 6, size: 16 MiB}
runtime:
  load: {base_ms: 100}
  service: {mean_ms: 2}
traffic: {requests_per_s: 20, alpha: 0}
settings: {min_churn_age_ms: 0}
"""
"""Every model is asked for all the time, which is a reason for a second copy, and too seldom for a third."""


def held(text: str, rules: str = "mesh") -> list[int]:
    """How many models each instance holds at the end, if all requests were answered."""
    data: dict[str, Any] = run(parse_scenario(text, "a.yaml"), rules).data
    assert data["failed"] == {}
    return [instance["models"] for instance in data["instances"]]


@pytest.mark.parametrize("rules", POLICIES)
def test_models_of_a_type_are_loaded_only_where_the_labels_are_that_it_requires(rules: str) -> None:
    """Half of the requests come to instances that have none of them."""
    only = TWO_KINDS.replace("types: [vision, text, text, text]", "type: vision")
    first, second, third, fourth = held(only, rules)
    assert (second, fourth) == (0, 0)
    assert first + third == 40


@pytest.mark.parametrize("asked", ["required: [gpu]", "preferred: [new, big]"])
def test_models_go_where_their_labels_are_and_leave_these_instances_to_each_other(asked: str) -> None:
    """The others are three times as many; spread evenly, there would be as many of all here as there."""
    first, second, third, fourth = held(TWO_KINDS.replace("required: [gpu]", asked))
    assert (first + third, second + fourth) == (10, 30)


def test_types_that_are_not_named_go_by_the_default() -> None:
    first, second, third, fourth = held(TWO_KINDS.replace("  vision:", "  _default:"))
    assert (first + third, second, fourth) == (40, 0, 0)


def test_two_copies_of_a_model_are_in_two_zones() -> None:
    """So one of each is in the zone that is one instance, which would have had fewer."""
    first, second, third, alone = held(EACH_TWICE)
    assert (first + second + third, alone) == (6, 6)
    first, second, third, alone = held(EACH_TWICE.replace(", zones: [north, north, north, south]", ""))
    assert first + second + third + alone == 12
    assert alone < 6


def test_instances_have_zones_and_labels_in_turn() -> None:
    """Labels are sorted, each once."""
    text = TWO_KINDS.replace("[gpu, big]", "[gpu, big, gpu]").replace(
        "capacity: 1 GiB", "capacity: 1 GiB, zones: [a, b, c]"
    )
    world = build(parse_scenario(text, "a.yaml"))
    places = [world.place(name) for name in world.instances]
    assert [place.zone for place in places] == ["a", "b", "c", "a"]
    assert [place.labels for place in places] == [("big", "gpu"), (), ("big", "gpu"), ()]
