"""What is said about streams, models' sizes and churn that cannot be."""

from __future__ import annotations

import pytest

from sim.reading import ScenarioError, parse_scenario
from tests.sim.small import without_line

SMALL = """
duration_s: 10
instances: {count: 3, capacity: 1.5 GiB}
models: {count: 12, MODELS}
runtime:
  load: {base_ms: 100}
  service: {mean_ms: 2}
traffic: {workload: streams, streams: [{STREAM}]}
"""
POISSON = "poisson: {requests_per_s: 1}"


def problem(stream: str = POISSON, models: str = "size: 10MB", more: str = "") -> str:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(SMALL.replace("STREAM", stream).replace("MODELS", models) + more, "a.yaml")
    return without_line(caught.value.problems[0], "a.yaml")


@pytest.mark.parametrize(
    ("stream", "said"),
    [
        ("", ": must have one of poisson, gamma, on_off, flash_crowd and sweep"),
        (f"{POISSON}, sweep: {{every_s: 1}}", ": must have one of poisson, gamma, on_off, flash_crowd and sweep"),
        ("poison: {requests_per_s: 1}", ".poison: unknown key, did you mean poisson; allowed: poisson, gamma, "),
        (
            f"{POISSON}, zipf: {{alfa: 1}}",
            ".zipf.alfa: unknown key, did you mean alpha; allowed: alpha, offset",
        ),
        (
            "on_off: {requests_per_s: 2, on_s: 0.001, off_s: 1}",
            ".on_off: on_s: 0.001 must be at least 0.005 with 2 a second",
        ),
        ("poisson: {requests_per_s: 0}", ".poisson.requests_per_s: 0 must be greater than or equal to 0.000000001"),
        ("poisson: 5", ".poisson: 5 must be a mapping with the keys requests_per_s"),
        ("gamma: {requests_per_s: 1, cv: -1}", ".gamma.cv: -1 must be greater than or equal to 0"),
        ("gamma: {requests_per_s: 1}", ".gamma.cv: is missing"),
        ("on_off: {requests_per_s: 1, on_s: 1, off_s: 1, shape: 1}", ".on_off.shape: 1 must be greater than or equal"),
        ("flash_crowd: {requests_per_s: 1, half_life_s: 0}", ".flash_crowd.half_life_s: 0 must be greater than 0"),
        ("sweep: {every_s: 1, jitter_s: 2}", ".sweep: jitter_s: 2 must not be more than every_s, 1"),
        ("sweep: {every_s: 0}", ".sweep.every_s: 0 must be greater than or equal to 0.001"),
        ("sweep: {every_s: 1, share: 1.5}", ".sweep.share: 1.5 must be less than or equal to 1"),
        ("sweep: {every_s: 1}, zipf: {}", ": zipf: must not be beside sweep, which asks for each model once"),
        (f"{POISSON}, zipf: {{}}, hot_cold: {{hot: 0.1, requests: 0.9}}", ": must have one of zipf and hot_cold"),
        (f"{POISSON}, hot_cold: {{hot: 0, requests: 1}}", ".hot_cold.hot: 0 must be greater than 0"),
        (f"{POISSON}, drift: {{every_s: 0.1, share: 1}}", ".drift.every_s: 0.1 must be greater than or equal to 1"),
        (f"{POISSON}, curve: {{week: [1, 2]}}", ".curve.week: [1, 2] must have at least 7 items, not 2"),
        (f"{POISSON}, curve: {{day: [0, 0]}}", ".curve: must have a number above 0 in day and in week"),
        (f"{POISSON}, curve: {{day: [-1]}}", ".curve.day.0: -1 must be greater than or equal to 0"),
        (
            "flash_crowd: {requests_per_s: 1, half_life_s: 1}, curve: {day: [1]}",
            ": curve: must not be beside flash_crowd, which has a course of its own",
        ),
        (f"{POISSON}, models: [3, 9-4]", ".models.1: '9-4' must be a model's number, or two with a dash in between"),
        (f"{POISSON}, models: [-1]", ".models.0: -1 must be a model's number, or two with a dash in between"),
        (f"{POISSON}, models: [true]", ".models.0: True must be a model's number, or two with a dash in between"),
        (f"{POISSON}, models: [3, 10-12]", ".models.1: 12 must be less than models.count, 12"),
        (f"{POISSON}, models: []", ".models: [] must have at least 1 item, not 0"),
        (f"{POISSON}, from_s: 5, until_s: 5", ": until_s: 5 must be more than from_s, 5"),
        (f"{POISSON}, from_s: 10", ".from_s: 10 must be less than duration_s, 10"),
        (f"{POISSON}, requests: 0", ".requests: 0 must be greater than or equal to 1"),
    ],
)
def test_a_stream_that_cannot_be_is_named_with_what_is_allowed(stream: str, said: str) -> None:
    assert problem(stream).startswith(f": traffic.streams.0{said}")


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("quantiles: [2 MB]", ".quantiles: ['2 MB'] must have at least 2 items, not 1"),
        ("quantiles: [2 MB, 1 MB]", ": quantiles.1: 1000000 must not be less than the one before, 2000000"),
        ("mixture: []", ".mixture: [] must have at least 1 item, not 0"),
        ("mixture: [{weight: 1}]", ".mixture.0: must have one of size, lognormal and quantiles"),
        ("mixture: [{weight: 0, size: 1}]", ".mixture.0.weight: 0 must be greater than 0"),
        ("mixture: [{weigth: 1, size: 1}]", ".mixture.0.weigth: unknown key, did you mean weight; allowed: "),
        (
            "mixture: [{weight: 1, size: 1}], size: 1",
            ": must have one of size, sizes, lognormal, quantiles and mixture",
        ),
    ],
)
def test_sizes_that_cannot_be_are_named_with_what_is_allowed(models: str, said: str) -> None:
    assert problem(models=models).startswith(f": models{said}")


@pytest.mark.parametrize(
    ("churn", "said"),
    [
        ("{}", ": must have changes, or registrations_per_s and lifetime_s or one of them"),
        ("{lifetime_s: 1, changes: [{at_s: 1, registers: [1]}]}", ": must have changes, or registrations_per_s"),
        ("{lifetime_s: 0}", ".lifetime_s: 0 must be greater than 0"),
        ("{lifetime_s: 1, initially: 13}", ".initially: 13 must not be more than models.count, 12"),
        ("{lifetimes: 1}", ".lifetimes: unknown key, did you mean lifetime_s; allowed: initially, "),
        ("{changes: [{at_s: 1}]}", ".changes.0: must have registers or unregisters"),
        ("{changes: [{at_s: 1, unregister: [1]}]}", ".changes.0.unregister: unknown key, did you mean unregisters; "),
        (
            "{changes: [{at_s: 1, unregisters: [12]}]}",
            ".changes.0.unregisters.0: 12 must be less than models.count, 12",
        ),
        ("{changes: [{at_s: 1, registers: [3]}]}", ".changes.0.registers: 3 is registered at that time"),
        (
            "{initially: 5, changes: [{at_s: 1, unregisters: [2-5]}]}",
            ".changes.0.unregisters: 5 is not registered at that time",
        ),
        (
            "{changes: [{at_s: 2, unregisters: [3]}, {at_s: 1, registers: [3]}]}",
            ".changes.1.at_s: 1 must not be less than the one before, 2",
        ),
    ],
)
def test_churn_that_cannot_be_is_named_with_what_is_allowed(churn: str, said: str) -> None:
    assert problem(more=f"churn: {churn}\n").startswith(f": churn{said}")
