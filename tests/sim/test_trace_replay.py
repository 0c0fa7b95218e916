"""Scenarios that replay a trace: the same as what was recorded, scaled as asked, and nothing that makes no sense."""

from __future__ import annotations

import gzip
import os
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml

from meshcore.trace import Event, Header, Model
from sim import ScenarioError, parse_scenario, run
from sim.arrivals import arrivals
from sim.catalogue import model_sizes
from sim.scenario import Scenario
from sim.traces.files import Writer
from sim.workloads.trace import Trace
from tests.sim.small import without_line
from tests.sim.trace_files import write, write_lines

SCENARIO: dict[str, Any] = {
    "seed": 3,
    "duration_s": 40,
    "warmup_s": 10,
    "instances": {"count": 3, "capacity": "1 GiB", "default_model_size": "32 MiB"},
    "models": {"count": 60, "lognormal": {"median": "48 MiB", "sigma": 0.5}, "types": ["a", "b"]},
    "runtime": {"load": {"base_ms": 200, "bandwidth": "200 MiB"}, "service": {"mean_ms": 5, "cv": 0.5}},
    "traffic": {"workload": "zipf", "requests_per_s": 40},
    "settings": {"min_churn_age_ms": 0},
}
MODELS = [{"model": "x", "size_bytes": 5, "type": "t"}, {"model": "y", "size_bytes": 6}]
EVENTS = [
    {"t": 0, "m": "y", "at": "mesh-10"},
    {"t": 500, "m": "x", "k": "load", "at": "mesh-9"},
    {"t": 1000, "m": "x", "at": "mesh-9"},
    {"t": 2500, "m": "x", "at": "mesh-9"},
]


def scenario(folder: Path, name: str = "t.jsonl", models: object = None, **changes: Any) -> Scenario:
    """A scenario in a file of ``folder`` with the trace ``name`` beside it."""
    changed = changes.pop("traffic", {})
    traffic = changed if changed.get("workload") else {"workload": "trace", "path": name} | changed
    tree = {key: value for key, value in SCENARIO.items() if key not in ("models", "duration_s", "warmup_s")}
    tree |= {"traffic": traffic} | changes
    if models is not None:
        tree["models"] = models
    return parse_scenario(yaml.safe_dump(tree), str(folder / "s.yaml"))


def played(of: Scenario) -> list[tuple[float, str, int]]:
    return [request for block in arrivals(of) for request in zip(*block, strict=True)]


def test_traffic_that_is_written_out_and_replayed_gives_the_same_summary(tmp_path: Path) -> None:
    made = parse_scenario(yaml.safe_dump(SCENARIO), "s.yaml")
    sizes = model_sizes(made.models, Random(f"{made.seed}/sizes"))
    with Writer(tmp_path / "t.jsonl", Header()) as writer:
        for number, (model, size_bytes) in enumerate(zip(made.model_ids(), sizes, strict=True)):
            writer.model(Model(model, "ab"[number % 2], size_bytes))
        for at_ms, model, instance in played(made):
            writer.event(Event(at_ms, model, instance=f"mesh-{instance}"))
        writer.end()
    again = scenario(tmp_path, duration_s=40, warmup_s=10)
    assert played(again) == played(made)
    data = run(again).data
    assert data == run(made).data
    assert data["evictions"] > 10


def test_a_scenario_needs_neither_models_nor_duration_where_the_trace_has_them(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", MODELS, EVENTS)
    found = scenario(tmp_path)
    assert (found.model_ids(), found.models.sizes, found.model_types()) == (["x", "y"], [5, 6], ["t", "simulated"])
    assert found.duration_s == 3
    assert [request[:2] for request in played(found)] == [(0.0, "y"), (1000.0, "x"), (2500.0, "x")]


def test_requests_come_to_the_instance_that_is_on_record_if_there_are_as_many(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", MODELS, EVENTS)
    fleet = SCENARIO["instances"]
    assert [request[2] for request in played(scenario(tmp_path, instances=fleet | {"count": 2}))] == [1, 0, 0]
    write(tmp_path / "many.jsonl", MODELS, [{"t": at, "m": "x", "at": "mesh-1"} for at in range(100)])
    drawn = [request[2] for request in played(scenario(tmp_path, "many.jsonl"))]
    assert set(drawn) == {0, 1, 2}
    given = scenario(tmp_path, "many.jsonl", traffic={"instances": ["none", "none", "mesh-1"]})
    assert {request[2] for request in played(given)} == {2}


def test_a_part_of_a_trace_begins_at_its_beginning_and_goes_by_its_own_time(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", MODELS, [{"t": at * 1000, "m": "x"} for at in range(10)])
    part = scenario(tmp_path, traffic={"from_s": 3, "until_s": 6, "time_scale": 0.5})
    assert [request[0] for request in played(part)] == [0.0, 500.0, 1000.0]
    assert part.duration_s == 2
    assert [request[0] for request in played(scenario(tmp_path, duration_s=1.5))] == [0.0, 1000.0]


@pytest.mark.parametrize(("scale", "least", "most"), [(0.25, 400, 600), (2.5, 4850, 5150), (3.0, 6000, 6000)])
def test_there_are_so_many_times_as_many_requests_in_the_same_time(
    tmp_path: Path, scale: float, least: int, most: int
) -> None:
    rng = Random(1)
    write(tmp_path / "t.jsonl", MODELS, [{"t": at, "m": rng.choice("xy")} for at in range(0, 20_000, 10)])
    found = scenario(tmp_path, traffic={"rate_scale": scale})
    requests = played(found)
    assert least <= len(requests) <= most
    assert all(before[0] <= after[0] for before, after in pairwise(requests))
    assert max(request[0] for request in requests) <= 20_000
    assert played(found) == requests


def test_a_long_trace_comes_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.workloads.trace.BLOCK", 64)
    write(tmp_path / "t.jsonl", MODELS, [{"t": at, "m": "x"} for at in range(200)])
    blocks = list(Trace(path=str(tmp_path / "t.jsonl")).arrivals(1, 2, 1e9))
    assert [len(instants) for instants, _, _ in blocks] == [64, 64, 64, 8]
    assert blocks[3][0] == [float(at) for at in range(192, 200)]


def test_a_trace_lends_its_models_to_other_traffic(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", MODELS, EVENTS)
    found = scenario(tmp_path, traffic=SCENARIO["traffic"], models={"trace": "t.jsonl"}, duration_s=5)
    assert {request[1] for request in played(found)} == {"x", "y"}


def test_what_loads_found_counts_where_the_model_has_no_size(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", [{"model": "x"}], [{"t": 1, "m": "x", "k": "load", "size": 77, "ms": 5}])
    assert scenario(tmp_path).models.sizes == [77]


def test_sizes_that_a_scenario_gives_count(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", [{"model": "x"}, *MODELS[1:]], EVENTS)
    assert scenario(tmp_path, models={"size": "1 KiB", "type": "u"}).models.size == 1024
    assert scenario(tmp_path, models={"size": "1 KiB", "type": "u"}).model_types() == ["u"]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "none"}, "traffic.path: {0}/none: there is no such file"),
        ({"name": "cut"}, "traffic.path: {0}/cut: line 3: the trace is cut: its last line must be the one with end"),
        ({"name": "unsorted"}, "traffic.path: {0}/unsorted: line 4: t: 4 must not be less than the one before, 5"),
        ({"name": "s.csv"}, "traffic.path: {0}/s.csv: line 1: must be a JSON object; other formats are read by"),
        ({"name": "sizeless"}, "models: must have a size or a distribution of sizes, {0}/sizeless has none for 'x'"),
        ({"name": "empty"}, "models: {0}/empty has no models"),
        ({"models": {"count": 2}}, "models.count: must not be given, the models are those of the trace"),
        ({"models": {"trace": "u"}}, "models.trace: 'u' must be that of traffic.path, 't.jsonl'"),
        ({"models": {"sise": 7}}, "models.sise: unknown key, did you mean size; allowed: count, "),
        ({"models": {"size": 0}}, "models.size: 0 must be greater than or equal to 1"),
        ({"traffic": {"path": 7}}, "traffic.path: 7 must be the name of a file"),
        ({"traffic": {"pth": "x"}}, "traffic.pth: unknown key, did you mean path; allowed: workload, path, from_s"),
        ({"traffic": {"path": "a\0b"}}, "traffic.path: 'a\\x00b' must be the name of a file"),
        ({"traffic": {"path": "\ud800"}}, "traffic.path: '\\ud800' must be the name of a file"),
        ({"name": "pipe"}, "traffic.path: {0}/pipe: must be a file, as it is read twice"),
        ({"name": "gzip"}, "traffic.path: {0}/gzip: byte 0: is compressed with gzip; it must be plain, or compressed"),
        ({"traffic": {"from_s": 2, "until_s": 1}}, "traffic: until_s: 1 must be more than from_s, 2"),
        ({"traffic": {"time_scale": float("inf")}}, "traffic.time_scale: inf must be a finite number"),
        ({"traffic": {"from_s": float("-inf")}}, "traffic.from_s: -inf must be a finite number"),
        ({"traffic": {"from_s": "a"}}, "traffic.from_s: 'a' must be a number"),
        ({"traffic": {"from_s": 99}}, "traffic.from_s: 99 must be before the end of the trace, 2.5"),
        ({"traffic": {"rate_scale": 0.0}}, "traffic.rate_scale: 0.0 must be greater than 0"),
        ({"name": "part"}, "traffic.sample: 1 must be 0.25: the trace has the requests for 0.25 of all models"),
        ({"traffic": {"sample": 0.5}}, "traffic.sample: 0.5 must be 1: the trace has the requests for 1 of all models"),
        ({"traffic": {"instances": ["a"] * 4}}, "traffic.instances: must have no more than instances.count, 3, not 4"),
    ],
)
def test_what_makes_no_sense_is_told_with_its_place(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    write(tmp_path / "t.jsonl", MODELS, EVENTS)
    write(tmp_path / "sizeless", [{"model": "x"}], [])
    write(tmp_path / "empty", [], [])
    write(tmp_path / "part", MODELS, EVENTS, sample=0.25)
    head = {"trace": 1, "unit": "ms"}
    write_lines(tmp_path / "cut", [head, MODELS[0], {"t": 5, "m": "x"}])
    write_lines(tmp_path / "unsorted", [head, MODELS[0], {"t": 5, "m": "x"}, {"t": 4, "m": "x"}, {"end": 2, "t": 5}])
    (tmp_path / "s.csv").write_text("time,model\n1,a\n")
    (tmp_path / "gzip").write_bytes(gzip.compress((tmp_path / "t.jsonl").read_bytes()))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ScenarioError) as caught:
        scenario(tmp_path, **changes)
    expected = said.format(tmp_path)
    assert any(
        without_line(problem, f"{tmp_path}/s.yaml").startswith(f": {expected}") for problem in caught.value.problems
    ), caught.value.problems


def test_a_sample_is_played_by_who_says_that_it_is_one(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", MODELS, EVENTS, sample=0.25)
    assert len(played(scenario(tmp_path, traffic={"sample": 0.25}))) == 3


def test_a_trace_that_was_changed_since_it_was_checked_is_refused(tmp_path: Path) -> None:
    """Its models, in another order, would be taken for each other."""
    write(tmp_path / "t.jsonl", MODELS, EVENTS)
    found = scenario(tmp_path)
    write(tmp_path / "t.jsonl", [*MODELS[::-1], {"model": "z", "size_bytes": 1}], EVENTS)
    with pytest.raises(ScenarioError, match=r"t\.jsonl: was changed while it was read"):
        played(found)


def test_a_trace_that_is_changed_while_it_is_played_is_no_result(tmp_path: Path) -> None:
    write(tmp_path / "t.jsonl", MODELS, EVENTS)
    requests = arrivals(scenario(tmp_path))
    next(requests)
    write(tmp_path / "t.jsonl", MODELS, EVENTS[:-1])
    with pytest.raises(ScenarioError, match=r"t\.jsonl: was changed while it was read"):
        list(requests)


def test_models_of_a_trace_keep_their_names_however_many_there_are(tmp_path: Path) -> None:
    """`model-1` of ten is not `model-01`."""
    models = [{"model": f"model-{number}", "size_bytes": 1} for number in range(11)]
    write(tmp_path / "t.jsonl", models, [{"t": 1, "m": "model-1"}])
    assert scenario(tmp_path, failures=[{"model": "model-1"}]).failures[0].model == "model-1"
