"""The store answers nothing for a while: no request fails, and afterwards the records name what is loaded."""

from __future__ import annotations

import pytest

from meshcore.reasons import Rule
from meshcore.records import ModelRecord
from sim import ScenarioError, parse_scenario
from sim.arrivals import arrivals
from sim.measure import Measure
from sim.mesh import Mesh
from sim.store import REGISTRY
from sim.watch import Watch
from sim.world import build, summary

SCENARIO = """
duration_s: 90
instances: {count: 4, capacity: 1 GiB, default_model_size: 16 MiB}
models: {count: 90, size: 60 MiB}
runtime:
  load: {base_ms: 300}
  service: {mean_ms: 5}
traffic: {requests_per_s: 40}
settings: {min_churn_age_ms: 0, fill_period_ms: 0}
store_outages: [{from_s: 10, until_s: %s}]
"""
"""More models than fit: some are loaded, and others evicted, all the time."""


def played(text: str) -> tuple[Mesh, dict[str, object]]:
    scenario = parse_scenario(text, "a.yaml")
    world = build(scenario)
    duration_ms = scenario.duration_s * 1000
    measure = Measure(world.instances, 0, duration_ms, lambda: mesh.env.now)
    mesh = Mesh(world, measure)
    watch = Watch(mesh, 0, duration_ms)
    mesh.play(arrivals(scenario))
    mesh.env.run(until=mesh.env.now + 5_000)
    return mesh, summary(scenario, mesh, measure, watch)


@pytest.mark.parametrize("until_s", [14, 60], ids=["shorter than a lease", "longer"])
def test_every_request_is_answered_and_records_name_what_is_loaded(until_s: int) -> None:
    mesh, told = played(SCENARIO % until_s)
    assert told["failed"] == {}
    pairs = mesh.records._kv.snapshot(REGISTRY).pairs
    records = {pair.key.removeprefix(REGISTRY): ModelRecord.decode(pair.value) for pair in pairs}
    assert len(records) == 90
    for instance in mesh.instances:
        held = {model for model, entry in instance.node.cache.entries.items() if entry.is_serving}
        assert {model for model, record in records.items() if instance.name in record.copies} == held
        rules = [reason.rule for reason in instance.node.log.since(0)]
        assert rules.count(Rule.STORE) == 2
        assert Rule.PRUNE not in rules
    assert any(
        "in the order that all share" in reason.cause
        for instance in mesh.instances
        for reason in instance.node.log.since(0)
    )


@pytest.mark.parametrize(
    ("more", "wrong"),
    [
        ("store_outages: [{from_s: 10, until_s: 12}]", "store_outages.0.until_s: 12 must be 14 or later"),
        (
            "store_outages: [{from_s: 10, until_s: 20}, {from_s: 15, until_s: 30}]",
            "store_outages.1.from_s: 15 must be 20 or later, one at a time",
        ),
        (
            "store_outages: [{from_s: 10, until_s: 20}]\nrestarts: [{instance: instance-1, from_s: 15, until_s: 30}]",
            "store_outages.0: no instance may come, go or stop while the store is away",
        ),
    ],
)
def test_outages_that_cannot_be_are_refused(more: str, wrong: str) -> None:
    with pytest.raises(ScenarioError) as error:
        parse_scenario(SCENARIO.partition("store_outages")[0] + more, "a.yaml")
    assert wrong in str(error.value)
