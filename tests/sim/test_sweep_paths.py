"""From files, rules and values to runs, or to errors that say where and what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sim import ScenarioError
from sim.sweep_paths import MOST_RUNS, Plan, labels, not_defaults, numbered, parse_values, plans
from tests.sim.small import SMALL


@pytest.fixture
def small(tmp_path: Path) -> Path:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return file


@pytest.mark.parametrize(
    ("text", "path", "values"),
    [
        ("instances.count=4", "instances.count", [4]),
        ("traffic.alpha=0.8,1.1", "traffic.alpha", [0.8, 1.1]),
        ("instances.capacity=1 GiB, 2 GiB", "instances.capacity", ["1 GiB", "2 GiB"]),
        ("eviction=lru,cost", "eviction", ["lru", "cost"]),
        ("instances.labels=[[gpu], []]", "instances.labels", [[["gpu"], []]]),
    ],
)
def test_values_are_written_as_in_yaml(text: str, path: str, values: list[Any]) -> None:
    assert parse_values(text) == (path, values)


@pytest.mark.parametrize(
    "text", ["seed", "seed=", "=4", "a..b=4", "seed=[", "seed={a", "start=2026-13-45", "seed={a: 1, a: 2}"]
)
def test_what_is_no_path_with_values_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"must (be path=value|have values)"):
        parse_values(text)


def test_every_combination_is_a_run_by_each_of_the_rules(small: Path) -> None:
    found = plans([small], ["mesh", "random"], {"instances.count": [2, 3], "settings.fill_period_ms": [0, 5]})
    told = [(p.scenario.instances.count, p.scenario.settings.fill_period_ms, p.rules) for p in found]
    assert told == [(count, fill, rules) for count in (2, 3) for fill in (0, 5) for rules in ("mesh", "random")]
    assert {(plan.question, plan.source) for plan in found} == {("Is it small?", str(small))}


def test_a_value_can_be_set_that_the_file_does_not_have_and_within_a_list(small: Path) -> None:
    small.write_text(SMALL + "restarts: [{instance: instance-0, from_s: 1, until_s: 90}]\n")
    values = {"store.commit_ms": [9], "restarts.0.instance": ["instance-1"]}
    (only,) = plans([small], ["mesh"], values)
    assert (only.scenario.store.commit_ms, only.scenario.restarts[0].instance) == (9, "instance-1")


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        ("instances.cuont", 3, "with instances.cuont=3: instances.cuont: unknown key, did you mean count; allowed: "),
        ("trafic.alpha", 3, "trafic: unknown key, did you mean traffic; allowed: "),
        ("seed.of", 3, "with seed.of=3: seed is 7, so there is no seed.of"),
        ("instances.count", "x", "with instances.count=x: instances.count: 'x' must be a whole number"),
        ("instances.count", 0, "instances.count: 0 must be greater than or equal to 1"),
        ("instances.capacity", "1 MiB", "instances: The model server reports capacityInBytes = 1048576; it must be"),
        ("restarts.0.from_s", 1, "with restarts.0.from_s=1: "),
    ],
)
def test_what_makes_no_scenario_is_told_with_file_path_and_value(
    small: Path, path: str, value: object, told: str
) -> None:
    with pytest.raises(ScenarioError) as caught:
        plans([small], ["mesh"], {path: [value]})
    assert caught.value.problems[0].startswith(str(small))
    assert told in caught.value.problems[0]


def test_an_item_that_a_list_does_not_have_is_named(small: Path) -> None:
    small.write_text(SMALL.replace("{count: 2,", "{count: 2, labels: [[]],"))
    with pytest.raises(ScenarioError, match=r"instances.labels.5: '5' must be a number less than 1"):
        plans([small], ["mesh"], {"instances.labels.5": [["a"]]})


def test_all_that_is_wrong_is_told_at_once_and_once(small: Path) -> None:
    with pytest.raises(ScenarioError) as caught:
        plans([small, small.with_name("none.yaml")], ["mesh", "random"], {"seed": [-1, 1, -2]})
    assert len(caught.value.problems) == 3
    with pytest.raises(ScenarioError, match="--rules: 'mash' has no rules that there are, did you mean mesh"):
        plans([small], ["mash"], {})


def test_more_runs_than_anybody_waits_for_are_refused(small: Path) -> None:
    with pytest.raises(ScenarioError, match=f"at most {MOST_RUNS:,} in all"):
        plans([small], ["mesh"], {"seed": list(range(MOST_RUNS + 1))})


def test_runs_are_named_by_what_differs(small: Path) -> None:
    def named(rules: list[str], values: dict[str, list[Any]]) -> list[str]:
        return labels(plans([small], rules, values))

    assert named(["mesh"], {}) == ["small"]
    assert named(["mesh", "random"], {}) == ["mesh", "random"]
    assert named(["mesh"], {"instances.count": [2, 3], "seed": [1]}) == ["count=2", "count=3"]
    both = {"instances.count": [2, 3], "models.count": [20, 21]}
    assert named(["mesh"], both)[0] == "instances.count=2 models.count=20"
    assert numbered(["a", "b", "a"]) == ["a", "b", "a (2)"]


def test_what_is_set_is_told_but_for_defaults(small: Path) -> None:
    (only,) = plans([small], ["mesh"], {"store.commit_ms": [3], "network.delay_ms": [4]})
    found = not_defaults(only.scenario)
    assert found["network.delay_ms"] == 4
    assert found["instances.capacity"] == 64 << 20
    assert found["settings.min_churn_age_ms"] == 0
    assert found["traffic.workload"] == "zipf"
    assert not {"store.commit_ms", "network", "eviction"} & found.keys()


def test_a_plan_without_a_question_is_named_after_its_file(small: Path) -> None:
    small.write_text(SMALL.partition("\n")[2])
    found: list[Plan] = plans([small], ["mesh"], {})
    assert found[0].question == "small"
