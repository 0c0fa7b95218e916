"""A burst of cold models after a restart: loads come evenly by our rule, and not by others.

By our rule with the scenario's own seed it is not played here: that gives what is frozen beside it (test_scenarios).
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest

from meshcore.events import Seen
from meshcore.placement import Want
from meshcore.reasons import Rejected
from meshcore.records import InstanceRecord
from meshcore.rules import Place
from meshcore.settings import Settings
from meshcore.view import ClusterView
from sim import read_scenario, run
from sim.placements import as_coded, by_chance
from sim.report import as_comparison
from sim.spread import most_of_share
from sim.world import Result
from tests.meshcore.instances import T, full, instance

BURST = Path(__file__).resolve().parents[2] / "scenarios" / "burst.yaml"
ALLOWED = 1.2


@cache
def played(rules: str, seed: int = 5) -> Result:
    scenario = read_scenario(BURST)
    if (rules, seed) == ("mesh", scenario.seed):
        return Result(json.loads(BURST.with_suffix(".expected.json").read_text(encoding="utf-8")), None)
    return run(scenario.model_copy(update={"seed": seed}), rules)


def counts(data: dict[str, Any], name: str) -> list[int]:
    return [row[name] for row in data["instances"]]


@pytest.mark.parametrize("seed", [5, 6])
def test_no_instance_gets_more_than_its_share(seed: int) -> None:
    """Of 200 loads at once each of 50 instances accepts, and has at a time, at most 1.2 x the mean."""
    data = played("mesh", seed).data
    assert sum(counts(data, "accepted")) == data["answered"] == 200
    for name in ("accepted", "peak_loads"):
        assert max(counts(data, name)) <= ALLOWED * 200 / 50
        assert data["spread"][name]["by_loaders"] <= ALLOWED


@pytest.mark.parametrize("rules", ["random", "modelmesh"])
def test_other_rules_pile_loads_up(rules: str) -> None:
    """By chance some get twice the mean; as ModelMesh's code has it nearly all go to one."""
    data = played(rules).data
    assert data["answered"] == 200
    assert data["spread"]["accepted"]["by_loaders"] >= 2.0
    assert data["latency_ms"]["cold"]["max"] > played("mesh").data["latency_ms"]["cold"]["max"]


def test_rules_are_shown_beside_each_other() -> None:
    """A column for each, a line for each number that they are compared by."""
    names = ["mesh", "random", "modelmesh"]
    shown = as_comparison({name: played(name) for name in names}).splitlines()
    assert shown[0].split() == names
    most = next(line for line in shown if line.startswith("most loads accepted by one")).split()[-3:]
    assert most == [f"{max(counts(played(name).data, 'accepted')):,}" for name in names]


def test_share_is_in_proportion_to_the_weight() -> None:
    """Twice the loaders, twice the share; of nothing there is no share."""
    assert most_of_share([2, 4], [1, 2]) == 1.0
    assert most_of_share([3, 3], [1, 2]) == 1.5
    assert most_of_share([0, 0], [1, 2]) is None


def view_of(**records: InstanceRecord) -> ClusterView:
    view = ClusterView("a", T - 1, Settings(), 300_000)
    view.reset_instances(1, tuple(Seen(name, record.encode(), 1) for name, record in records.items()))
    return view


@pytest.mark.parametrize("place", [by_chance, as_coded])
def test_other_rules_choose_among_those_who_may_be_chosen(place: Place) -> None:
    """Excluded or too small: as with ours that leaves one, or nobody."""
    view = view_of(a=instance(), b=instance())
    both = {"a": Rejected.TRIED, "b": Rejected.TRIED}
    assert place(view, Want("m", "t", 10, 0, both), T, Random(1))[0] is None
    assert place(view, Want("m", "t", 5000), T, Random(1))[0] is None
    assert place(view, Want("m", "t", 10, 0, {"b": Rejected.TRIED}), T, Random(1))[0] == "a"


def test_modelmesh_compares_others_by_the_record_of_the_instance_that_asks() -> None:
    """D-08 as coded: a full ingress makes the best the only one, however good the others are."""
    fit = {f"i{number}": instance() for number in range(9)}
    alone = {as_coded(view_of(a=full(), **fit), Want("m", "t", 10), T, Random(seed))[0] for seed in range(20)}
    assert alone == {"i0"}
    spread = {
        as_coded(view_of(a=instance(count=9), **fit), Want("m", "t", 10), T, Random(seed))[0] for seed in range(99)
    }
    assert len(spread) > 5
