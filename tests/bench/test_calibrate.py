"""The figures of the calibration, and that a live mesh is made from the same scenario as the simulated one."""

from __future__ import annotations

import math

import pytest

from bench.calibrate.__main__ import Outcome
from bench.calibrate.constants import Constants
from bench.calibrate.figures import Answer, Figures, cold_ones, compare, live_figures, quantile, simulated_figures
from bench.calibrate.fleets import LEAD_S, Fleet, changed, fleets, recorded, shortened
from bench.calibrate.mesh import CannotPlay, check, environment, registrations
from bench.calibrate.play import Played
from meshcore.settings import Settings
from runtimes.behaviour import Behaviour, behaviour
from runtimes.runtime import ModelInfo
from sim import ScenarioError, parse_scenario, run
from sim.scenario import Scenario

TEXT = """
seed: 3
duration_s: 10
warmup_s: 2
instances: {count: 2, capacity: 16 MiB, default_model_size: 1 MiB}
models: {count: 5, lognormal: {median: 1 MiB, sigma: 0.4}}
runtime: {load: {base_ms: 60, bandwidth: 16 MiB}, service: {mean_ms: 4}}
traffic: {workload: zipf, requests_per_s: 5}
settings: {min_churn_age_ms: 0, second_copy_min_ms: 60000, failfast_ms: 5}
"""


def scenario() -> Scenario:
    return parse_scenario(TEXT, "test")


def answers(entry: str, *took_ms: float) -> list[Answer]:
    return [Answer(100.0 * number, entry, 0, 0.0, ms) for number, ms in enumerate(took_ms)]


def test_as_many_answers_waited_as_their_entry_counted_and_they_took_longest() -> None:
    seen = [*answers("a", 5, 100, 7, 80), *answers("b", 200, 6)]
    assert [each.took_ms for each in cold_ones(seen, {"a": 2, "b": 0})] == [100, 80]


def test_a_request_that_failed_did_not_wait() -> None:
    failed = Answer(0.0, "a", 0, 0.0, 900.0, failure="UNAVAILABLE: gone")
    assert [each.took_ms for each in cold_ones([failed, *answers("a", 5, 9)], {"a": 1})] == [9]


def test_more_cold_starts_than_answers_cannot_be() -> None:
    with pytest.raises(ValueError, match="a counted 3 cold starts among 2 answers"):
        cold_ones(answers("a", 5, 9), {"a": 3})


@pytest.mark.parametrize(("part", "expected"), [(0.0, 1), (0.5, 2), (0.51, 3), (0.99, 4), (1.0, 4)])
def test_a_quantile_is_one_of_the_values(part: float, expected: float) -> None:
    assert quantile([3, 1, 4, 2], part) == expected


def test_of_nothing_there_is_no_quantile() -> None:
    assert math.isnan(quantile([], 0.5))


def test_what_was_to_come_in_the_warm_up_is_not_counted() -> None:
    seen = answers("a", 104, 204, 5, 64, 6)  # at 0, 100, 200, 300 and 400 ms
    figures = live_figures(seen, {"a": 3}, warmup_ms=100, service_ms=4)
    assert figures == Figures(4, 0, 2, 60, 200)
    assert figures.hit_rate == 0.5


def test_medians_are_compared_and_limits_hold_both_ways() -> None:
    live = [Figures(1000, 0, cold, 100, 200) for cold in (90, 100, 150)]
    rows = {row.name: row for row in compare(live, [Figures(1000, 0, 96, 86, 231)])}
    assert (rows["cold starts"].live, rows["cold starts"].least, rows["cold starts"].most) == (100, 90, 150)
    assert rows["cold starts"].off == pytest.approx(-4)
    assert rows["hit rate %"].off == pytest.approx(0.4)
    assert {name: row.is_met for name, row in rows.items()} == {
        "hit rate %": True, "cold starts": True, "wait p50 ms": True, "wait p99 ms": False, "failed": True,
    }  # fmt: skip


def test_a_figure_that_one_side_does_not_have_is_not_met() -> None:
    rows = compare([Figures(10, 0, 1, 50, 50)], [Figures(10, 0, 0, math.nan, math.nan)])
    assert not any(row.is_met for row in rows if row.name.startswith("wait"))


@pytest.mark.parametrize(
    ("cpu", "machine_cpu", "cold", "problems"),
    [
        (0.4, 0.6, 2000, []),
        (0.6, 0.7, 2000, ["the mesh took 60% of the machine, 50% at most are fine"]),
        (0.4, 0.9, 2000, ["other processes took 50% of the machine, 25% at most are fine"]),
        (0.4, 0.6, 1999, ["1999 cold starts, at least 2000 are needed"]),
    ],
)
def test_figures_of_a_busy_machine_or_of_few_requests_say_less(
    cpu: float, machine_cpu: float, cold: int, problems: list[str]
) -> None:
    figures = Figures(9000, 0, cold, 100, 200)
    played = Played([], {}, Constants(5, 0.5, 1, 2, 14, 5, 6, 1, 0.4), cpu, machine_cpu)
    assert Outcome(Fleet("tight", scenario(), 2000), [played], [figures], [figures]).problems == problems


def test_what_is_drawn_is_written_down_and_simulates_alike_but_later() -> None:
    given = scenario()
    written = recorded(given)
    assert written.warmup_s == given.warmup_s + LEAD_S
    once, again = run(given).data, run(written).data
    assert once["answered"] == again["answered"] > 0
    assert simulated_figures(again, 4.0).answered == once["answered"]


def test_models_of_the_live_mesh_are_as_large_and_slow_as_the_simulated_ones() -> None:
    written = recorded(scenario())
    for entry, size in zip(registrations(written), written.models.sizes or [], strict=True):
        said = behaviour(ModelInfo(entry["name"], entry["type"], entry["path"], ""), Behaviour())
        assert said == Behaviour(size, 60 + size * 1000 // (16 << 20), unload_ms=10, infer_ms=4)


def test_meshd_is_set_to_the_numbers_of_the_scenario() -> None:
    assert environment(scenario()) == {
        "MM_MIN_CHURN_AGE_MS": "0", "MM_MIN_SECOND_COPY_AGE_SECS": "60", "BOOTSTRAP_CLEARANCE_PERIOD_MS": "5",
    }  # fmt: skip


@pytest.mark.parametrize("setting", ["max_rounds", "second_copy_min_ms"])
def test_a_number_that_meshd_cannot_be_set_to_is_not_played(setting: str) -> None:
    value = getattr(Settings(), setting) + 1
    with pytest.raises(CannotPlay, match=f"settings.{setting}: meshd cannot be set to {value}"):
        environment(changed(scenario(), {"settings": {setting: value}}))


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        ({"instances": {"capacity_factors": [1.0, 2.0]}}, "instances.capacity_factors"),
        ({"restarts": [{"instance": "instance-0", "from_s": 1.0, "until_s": 5.0}]}, "restarts"),
    ],
)
def test_what_a_live_mesh_is_not_given_is_not_played(parts: dict[str, object], name: str) -> None:
    with pytest.raises(CannotPlay, match=f"{name}: is not played live"):
        check(changed(scenario(), parts))


def test_how_the_live_mesh_differs_is_said() -> None:
    assert check(changed(scenario(), {"runtime": {"service": {"cv": 0.5}}})) == [
        "each request takes service.mean_ms, 4, as if cv were 0",
        "the runtimes work on any number of requests at once",
    ]


def test_a_change_that_cannot_be_is_a_line() -> None:
    with pytest.raises(ScenarioError, match=r"^instances\.count: "):
        changed(scenario(), {"instances": {"count": 0}})


@pytest.mark.parametrize("fleet", fleets(), ids=lambda fleet: fleet.name)
def test_each_fleet_can_be_played_and_shortened(fleet: object) -> None:
    given = fleet.scenario  # type: ignore[attr-defined]
    assert check(given) == ["the runtimes work on any number of requests at once"]
    assert shortened(given, given.duration_s / 2).warmup_s == given.warmup_s / 2
