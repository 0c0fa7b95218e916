"""Instances that come, go, die, stand still and lose sight of each other: who is answered, and what is refused."""

from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from sim import ScenarioError, parse_scenario, run
from sim.arrivals import arrivals
from sim.lines import Answers, Line, Returns
from sim.measure import Measure
from sim.mesh import Mesh
from sim.world import build

SCENARIO = """
duration_s: 60
instances: {count: 3, capacity: 1 GiB, default_model_size: 16 MiB}
models: {count: 60, size: 30 MiB}
runtime:
  load: {base_ms: 300}
  service: {mean_ms: 200}
  concurrency: 100
traffic: {requests_per_s: 150}
settings: {min_churn_age_ms: 0}
"""
IN_FLIGHT = 150 * 0.2
"""On average."""


def played(more: str = "", scenario: str = SCENARIO) -> dict[str, Any]:
    return run(parse_scenario(scenario + more, "a.yaml")).data


def sent(told: dict[str, Any]) -> int:
    return int(told["answered"]) + sum(told["failed"].values())


@pytest.fixture(scope="module")
def calm() -> dict[str, Any]:
    told = played()
    assert told["failed"] == {}
    return told


def test_only_clients_of_an_instance_that_is_killed_lose_what_is_under_way(calm: dict[str, Any]) -> None:
    told = played("kills: [{instance: instance-1, at_s: 30}]\n")
    assert sent(told) == calm["answered"]
    assert set(told["failed"]) == {"UNAVAILABLE"}
    assert 0 < told["failed"]["UNAVAILABLE"] < 2.5 * IN_FLIGHT / 3
    assert told["loads"] > calm["loads"]


def test_clients_that_ask_again_lose_nothing(calm: dict[str, Any]) -> None:
    told = played("kills: [{instance: instance-1, at_s: 30}]\nretries: {times: 1}\n")
    assert (told["failed"], told["answered"]) == ({}, calm["answered"])
    assert told["latency_ms"]["retried"]["count"] > 0


def test_an_instance_that_is_back_is_empty_and_takes_part() -> None:
    told = played("kills: [{instance: instance-1, at_s: 10, back_s: 12}]\nretries: {times: 1}\n")
    assert told["failed"] == {}
    assert told["instances"][1]["answered"] > 0.9 * told["instances"][0]["answered"]


def test_with_nobody_left_clients_find_nobody_until_somebody_is_back() -> None:
    kills = ", ".join(f"{{instance: instance-{number}, at_s: 30, back_s: 40}}" for number in range(3))
    told = played(f"kills: [{kills}]\n")
    assert told["failed"]["UNAVAILABLE"] == pytest.approx(10 * 150 + IN_FLIGHT, rel=0.1)
    patient = played(f"kills: [{kills}]\nretries: {{times: 100, pause_ms: 200}}\n")
    assert patient["failed"] == {}


@pytest.mark.parametrize("until_s", [25, 35], ids=["shorter than a lease", "longer"])
def test_what_comes_to_a_frozen_instance_waits_until_it_goes_on(until_s: int, calm: dict[str, Any]) -> None:
    told = played(f"freezes: [{{instance: instance-1, from_s: 20, until_s: {until_s}}}]\n")
    assert (told["failed"], told["answered"]) == ({}, calm["answered"])
    assert (until_s - 20) * 1000 * 0.95 < told["latency_ms"]["all"]["max"] < (until_s - 20) * 1000 + 2000


@pytest.mark.parametrize("until_s", [25, 50], ids=["shorter than a lease", "longer"])
def test_those_apart_serve_what_they_have_and_load_the_rest(until_s: int, calm: dict[str, Any]) -> None:
    told = played(f"partitions: [{{instances: [instance-1], from_s: 20, until_s: {until_s}}}]\n")
    assert (told["failed"], told["answered"]) == ({}, calm["answered"])
    assert told["loads"] > calm["loads"]
    assert told["latency_ms"]["all"]["max"] > 15_000  # a connection that is silent for 17 s is given up


def test_an_instance_that_joins_takes_part_and_one_that_leaves_loses_nothing(calm: dict[str, Any]) -> None:
    joined = played("joins: [{instance: instance-2, at_s: 30}]\n")
    left = played("leaves: [{instance: instance-2, at_s: 30}]\n")
    for told in (joined, left):
        assert (told["failed"], told["answered"]) == ({}, calm["answered"])
        assert 0 < told["instances"][2]["answered"] < 0.7 * calm["instances"][2]["answered"]
    assert left["instances"][2]["models"] == 0


def test_an_upgrade_puts_a_new_instance_in_the_place_of_each_and_nobody_waits_for_it(calm: dict[str, Any]) -> None:
    told = played("upgrade: {from_s: 10, each_s: 10}\n")
    assert (told["failed"], told["answered"]) == ({}, calm["answered"])
    assert [row["instance"] for row in told["instances"]][3:] == [f"instance-{number}-new" for number in range(3)]
    assert [row["models"] for row in told["instances"][:3]] == [0, 0, 0]
    assert sum(row["models"] for row in told["instances"][3:]) >= 60
    assert told["cold_starts"] <= calm["cold_starts"] * 1.1


def test_an_answer_that_comes_to_a_frozen_instance_is_taken_in_when_it_goes_on() -> None:
    done, returns = Answers(), Returns(count())
    line = Line("here", "there", done, returns)
    for end in (5.0, 15.0, 30.0):
        line.out += 1
        line.fresh.append((end, 1.0, line))
    returns.hold(10, 20)
    assert line.under_way(40) == 0
    assert list(done.ends) == [5, 20, 30]


def test_an_instance_that_is_killed_soon_after_it_was_frozen_loses_what_is_under_way_for_it() -> None:
    calmer = SCENARIO.replace("requests_per_s: 150", "requests_per_s: 20")
    told = played(
        "freezes: [{instance: instance-1, from_s: 10, until_s: 30}]\nkills: [{instance: instance-1, at_s: 30.2}]\n",
        calmer,
    )
    assert sent(told) == played(scenario=calmer)["answered"]
    assert told["failed"]["UNAVAILABLE"] > 0


def test_what_happens_to_an_instance_waits_until_what_happened_to_it_before_is_over() -> None:
    slow = SCENARIO.replace("mean_ms: 200", "mean_ms: 9000").replace("requests_per_s: 150", "requests_per_s: 5")
    told = played(
        "restarts: [{instance: instance-1, from_s: 10, until_s: 14}]\n"
        "kills: [{instance: instance-1, at_s: 15, back_s: 40}]\n"
        "freezes: [{instance: instance-1, from_s: 40, until_s: 45}]\n",
        slow,
    )
    assert sent(told) == played(scenario=slow)["answered"]
    assert told["instances"][1]["models"] > 0


def after(more: str, until_ms: int) -> Mesh:
    scenario = parse_scenario(SCENARIO.replace("requests_per_s: 150", "requests_per_s: 20") + more, "a.yaml")
    world = build(scenario)
    mesh = Mesh(world, Measure(world.instances, 0, 60_000, lambda: 0))
    mesh.play(arrivals(scenario))
    mesh.env.run(until=until_ms)
    return mesh


def test_an_instance_that_died_cut_off_has_no_lease_and_does_not_lead() -> None:
    more = (
        "partitions: [{instances: [instance-0], from_s: 10, until_s: 30}]\nkills: [{instance: instance-0, at_s: 12}]\n"
    )
    assert after(more, 61_000).records.lease("instance-0") == 0


def test_an_instance_that_was_gone_while_others_were_cut_off_hears_of_what_happens_when_it_is_back() -> None:
    more = (
        "partitions: [{instances: [instance-0], from_s: 12, until_s: 30}]\n"
        "kills: [{instance: instance-0, at_s: 10, back_s: 40}, {instance: instance-1, at_s: 45}]\n"
    )
    mesh = after(more, 100_000)
    seen = [{model: known.route.holders for model, known in each.plane.known.items()} for each in mesh.instances]
    assert seen[0] == seen[2]


def test_an_upgrade_takes_instances_that_joined_late_in_their_turn() -> None:
    instances = after("joins: [{instance: instance-1, at_s: 5}]\nupgrade: {from_s: 10, each_s: 5}\n", 61_000).present()
    assert [instance.name for instance in instances] == [f"instance-{number}-new" for number in range(3)]


def test_clocks_that_differ_cost_nobody_an_answer(calm: dict[str, Any]) -> None:
    clocks = SCENARIO.replace("capacity: 1 GiB", "capacity: 1 GiB, clock_offsets_ms: [0, 60000, -60000]")
    told = played(scenario=clocks)
    assert (told["failed"], told["answered"]) == ({}, calm["answered"])


def test_the_same_fates_give_the_same_numbers() -> None:
    more = (
        "kills: [{instance: instance-1, at_s: 10, back_s: 20}]\n"
        "freezes: [{instance: instance-0, from_s: 25, until_s: 30}]\n"
        "partitions: [{instances: [instance-2], from_s: 35, until_s: 50}]\nretries: {times: 2}\n"
    )
    assert played(more) == played(more)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("kills: [{instance: i, at_s: 1}]", "kills.0.instance: 'i' must be one of instance-0 to instance-2"),
        ("kills: [{instance: instance-1, at_s: 9, back_s: 9}]", "kills.0: back_s: 9 must be more than at_s, 9"),
        ("freezes: [{instance: instance-1, from_s: 9, until_s: 3}]", "until_s: 3 must be more than from_s, 9"),
        (
            "partitions: [{instances: [], from_s: 1, until_s: 3}]",
            "partitions.0.instances: [] must have at least 1 item",
        ),
        (
            "partitions: [{instances: [instance-1], from_s: 1, until_s: 9},"
            " {instances: [instance-2], from_s: 8, until_s: 9}]",
            "partitions.1.from_s: 8 must be 9 or later, one at a time",
        ),
        (
            "kills: [{instance: instance-1, at_s: 5}]\nleaves: [{instance: instance-1, at_s: 9}]",
            "leaves.0: instance-1 is not there at 9 s, as it does not come back from kills.0",
        ),
        (
            "store_outages: [{from_s: 1, until_s: 9}]\npartitions: [{instances: [instance-1], from_s: 8, until_s: 12}]",
            "partitions.0: must not be while the store is away",
        ),
        (
            "upgrade: {from_s: 1, each_s: 5}\nkills: [{instance: instance-1, at_s: 9}]",
            "kills.0: instance-1 is not there at 9 s, as it does not come back from upgrade",
        ),
        (
            "partitions: [{instances: [instance-1], from_s: 5, until_s: 20}]\n"
            "kills: [{instance: instance-1, at_s: 9, back_s: 12}]",
            "partitions.0: instance-1 may not come by kills.0 while it is cut off",
        ),
        ("upgrade: {from_s: 1, each_s: 1}", "upgrade.each_s: 1 must be greater than or equal to 5"),
        ("retries: {times: 1000}", "retries.times: 1000 must be less than or equal to 100"),
        ("network: {between_zones_ms: 5}", "network.between_zones_ms: must be left out where instances have no zones"),
        ("kill: []", "kill: unknown key, did you mean kills"),
    ],
)
def test_what_cannot_happen_is_refused(more: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(f"{SCENARIO}{more}\n", "a.yaml")
    assert said in caught.value.problems[0]
