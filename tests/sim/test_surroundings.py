"""Model servers, disks, stores and networks that are not all alike, nor always the same."""

from __future__ import annotations

from statistics import fmean, pstdev

import pytest
import simpy

from sim import parse_scenario, run
from sim.disk import Disk
from sim.driver import Gate
from sim.scenario import Scenario
from sim.ways import ScenarioWays
from sim.world import build

SCENARIO = """
duration_s: 30
instances: {count: 2, capacity: 1 GiB, default_model_size: 16 MiB}
models: {count: 40, size: 30 MiB}
runtime:
  load: {base_ms: 100, bandwidth: 30 MiB}
  service: {mean_ms: 5}
traffic: {requests_per_s: 30}
settings: {min_churn_age_ms: 0}
"""


def scenario_with(**changes: str) -> Scenario:
    text = SCENARIO
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return parse_scenario(text, "a.yaml")


def ways(scenario: Scenario) -> ScenarioWays:
    return ScenarioWays(scenario, dict.fromkeys(scenario.model_ids(), 30 << 20))


def test_a_load_takes_its_base_and_its_size_at_the_bandwidth() -> None:
    assert ways(scenario_with()).load("instance-0", "model-00", 1, 0) == (1100, 0, "")


def test_a_slow_disk_makes_the_loads_that_begin_meanwhile_take_longer() -> None:
    scenario = scenario_with(
        traffic="slow_disks: [{instances: [instance-1], from_s: 1, until_s: 2, factor: 3}]\ntraffic"
    )
    found = ways(scenario)
    assert [found.load("instance-1", "model-00", 1, at_ms)[0] for at_ms in (999, 1000, 1999, 2000)] == [
        1100, 3300, 3300, 1100,
    ]  # fmt: skip
    assert found.load("instance-0", "model-00", 1, 1500)[0] == 1100


def test_loads_vary_as_they_are_told_apart_for_each_instance() -> None:
    found = ways(scenario_with(**{"base_ms: 100": "base_ms: 100, cv: 0.5"}))
    times = {
        name: [found.load(name, "model-00", 1, 0)[0] for _ in range(4000)] for name in ("instance-0", "instance-1")
    }
    for each in times.values():
        assert fmean(each) == pytest.approx(1100, rel=0.03)
        assert pstdev(each) / fmean(each) == pytest.approx(0.5, rel=0.1)
    assert times["instance-0"] != times["instance-1"]


def test_commits_vary_and_each_instance_sees_them_when_it_is_told_to() -> None:
    found = ways(scenario_with(traffic="store: {commit_ms: 20, commit_cv: 0.3, watch_ms: [2, 50]}\ntraffic"))
    commits = [found.commit_ms("instance-0", "k", 0) for _ in range(2000)]
    assert fmean(commits) == pytest.approx(20, rel=0.05)
    assert min(commits) < 12 < 30 < max(commits)
    assert [found.watch_ms(name) for name in ("instance-0", "instance-1")] == [2, 50]


def test_predicted_sizes_are_off_and_true_ones_are_not() -> None:
    found = ways(scenario_with(**{"  service": "  size_cv: 0.4\n  service"}))
    predicted = {found.predicted_bytes(f"model-{number:02}") for number in range(40)}
    assert len(predicted) > 30
    assert {found.size_bytes(f"model-{number:02}") for number in range(40)} == {30 << 20}
    assert found.predicted_bytes("model-00") == found.predicted_bytes("model-00")


def test_models_larger_than_predicted_are_served_all_the_same() -> None:
    told = run(scenario_with(**{"  service": "  size_cv: 1.0\n  service", "count: 40": "count: 90"})).data
    assert told["failed"] == {}
    assert told["evictions"] > 0


def test_zones_are_further_apart_than_neighbours() -> None:
    scenario = scenario_with(
        **{
            "count: 2, capacity": "count: 4, zones: [a, b], capacity",
            "traffic": "network: {between_zones_ms: 9}\ntraffic",
        }
    )
    distance = build(scenario).network_ms
    assert [distance("instance-0", f"instance-{other}") for other in (1, 2, 3)] == [9, 1, 9]


class Reader:
    """Gates on a disk, and when they were opened."""

    def __init__(self) -> None:
        self.env = simpy.Environment()
        self.disk = Disk(self.env)
        self.opened: dict[str, float] = {}

    def read(self, name: str, at_ms: int, alone_ms: float) -> Gate:
        gate = Gate(self.env)

        def noted(_: simpy.Event) -> None:
            self.opened.setdefault(name, self.env.now)

        gate.callbacks.append(noted)
        self.env.timeout(at_ms).callbacks.append(lambda _: self.disk.read(alone_ms, gate, name))
        return gate


def test_who_reads_alone_has_all_and_two_have_half_each() -> None:
    reader = Reader()
    reader.read("a", 0, 100)  # alone until 50, then half: 50 more take 100
    reader.read("b", 50, 80)  # half until 150, then 30 alone
    reader.env.run()
    assert reader.opened == {"a": 150, "b": 180}


def test_those_that_begin_together_end_together() -> None:
    reader = Reader()
    for name in "abc":
        reader.read(name, 10, 100)
    reader.env.run()
    assert reader.opened == dict.fromkeys("abc", 310)


def test_a_load_that_is_given_up_leaves_its_part_to_the_others() -> None:
    reader = Reader()
    reader.read("a", 0, 100)
    given_up = reader.read("b", 0, 100)
    reader.env.timeout(40).callbacks.append(lambda _: given_up.open("cancelled"))
    reader.env.run()
    assert reader.opened == {"b": 40, "a": 120}


def test_loads_that_share_are_no_faster_together_than_one_after_the_other() -> None:
    alone = scenario_with(**{"requests_per_s: 30": "requests_per_s: 300"})
    shared = scenario_with(
        **{"requests_per_s: 30": "requests_per_s: 300", "bandwidth: 30 MiB": "bandwidth: 30 MiB, is_shared: true"}
    )
    first, second = run(alone).data, run(shared).data
    assert second["failed"] == {}
    assert second["latency_ms"]["cold"]["max"] > 2 * first["latency_ms"]["cold"]["max"]
