"""Scenarios by the dozen: each file by each of the rules and with each combination of the values that are set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from sim.policies import rules_named
from sim.problems import ScenarioError
from sim.reading import Loader, parse_tree, read_text, scenario_of
from sim.scenario import Scenario
from sim.where import placed
from sim.world import fleet_params

MOST_RUNS = 10_000
"""In one sweep."""

Values = Mapping[str, Sequence[Any]]
"""What is to be tried for each path in a scenario, as ``instances.count``."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file: its text, the keys and values in it, unchecked, and what its first line asks."""

    name: str
    question: str
    tree: dict[str, Any]
    text: str


@dataclass(frozen=True, slots=True)
class Plan:
    """One run that is to be: ``changes`` are the values set instead of those in the file, by path."""

    source: str
    question: str
    rules: str
    scenario: Scenario
    changes: Mapping[str, Any] = field(default_factory=dict)


def read_source(path: Path) -> Source:
    """What ``path`` holds; raises ScenarioError."""
    text = read_text(path)
    first = text.partition("\n")[0]
    question = first.removeprefix("#").strip() if first.startswith("#") else path.stem
    return Source(str(path), question, parse_tree(text, str(path)), text)


def parse_values(text: str) -> tuple[str, list[Any]]:
    """Path and values of ``path=v1,v2``, written as in YAML; ValueError says what is allowed."""
    path, separator, values = text.partition("=")
    path = path.strip()
    if not separator or not all(path.split(".")):
        raise ValueError(f"{text!r} must be path=value or path=value,value, as instances.count=4,8")
    try:
        found = yaml.load(f"[{values}]", Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not found:
        raise ValueError(f"{text!r} must have values after the =, as in YAML, with commas between them")
    return path, found


def plan(source: Source, rules: str, changes: Mapping[str, Any]) -> Plan:
    """One run; raises ScenarioError where the changes make no scenario."""
    name = source.name
    if changes:
        name += " with " + ", ".join(f"{path}={written(value)}" for path, value in changes.items())
    tree = deepcopy(source.tree) if changes else source.tree
    for path, value in changes.items():
        _put(tree, path, value, name)
    scenario = scenario_of(tree, name, Path(source.name).parent, "" if changes else source.text)
    try:
        fleet_params(scenario)
    except ScenarioError as error:
        text = "" if changes else source.text
        raise ScenarioError([placed(problem, name, text) for problem in error.problems]) from None
    return Plan(source.name, source.question, rules, scenario, dict(changes))


def plans(paths: Iterable[Path], rules: Sequence[str], values: Values) -> list[Plan]:
    """All runs, file by file; raises ScenarioError with everything that is wrong."""
    for name in rules:
        try:
            rules_named(name)
        except ValueError as error:
            raise ScenarioError([f"--rules: {error}"]) from None
    combinations = [dict(zip(values, each, strict=True)) for each in product(*values.values())]
    found: list[Plan] = []
    problems: list[str] = []
    for path in paths:
        try:
            source = read_source(path)
        except ScenarioError as error:
            problems += error.problems
            continue
        if len(found) + len(combinations) * len(rules) > MOST_RUNS:
            raise ScenarioError([f"{len(combinations) * len(rules):,} runs of {path}: at most {MOST_RUNS:,} in all"])
        own: dict[str, str] | None = None
        for changes in combinations:
            try:
                found += [plan(source, name, changes) for name in rules]
            except ScenarioError as error:
                own = _own_problems(source) if own is None else own
                problems += [own.get(_sentence(problem), problem) for problem in error.problems]
    if problems:
        raise ScenarioError(list(dict.fromkeys(problems)))
    return found


def _own_problems(source: Source) -> dict[str, str]:
    """What is wrong with a file whatever is set, with the place in it, by the sentence that says so."""
    try:
        plan(source, "", {})
    except ScenarioError as error:
        return {_sentence(problem): problem for problem in error.problems}
    return {}


def _sentence(problem: str) -> str:
    """Without the file's name, what is set and the line."""
    return problem.partition(": ")[2]


def _put(tree: dict[str, Any], path: str, value: Any, name: str) -> None:
    """Set what ``path`` leads to; what is on the way and missing is made."""
    *way, last = path.split(".")
    at: Any = tree
    for number, part in enumerate(way):
        at = at[_index(at, part, name, path)] if isinstance(at, list) else at.setdefault(part, {})
        if not isinstance(at, dict | list):
            where = ".".join(way[: number + 1])
            raise ScenarioError([f"{name}: {where} is {written(at)}, so there is no {path}"])
    at[_index(at, last, name, path) if isinstance(at, list) else last] = value


def _index(items: list[Any], part: str, name: str, path: str) -> int:
    if not part.isdecimal() or int(part) >= len(items):
        raise ScenarioError([f"{name}: {path}: {part!r} must be a number less than {len(items)}"])
    return int(part)


def written(value: Any) -> str:
    """A value as it is written in a file, in short."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000).removesuffix("\n...\n").strip()
    return text if len(text) <= 40 else text[:37] + "..."


def labels(planned: Sequence[Plan]) -> list[str]:
    """What tells each run from the others: file, rules and values, as far as they differ."""
    has_files = len({each.source for each in planned}) > 1
    has_rules = len({each.rules for each in planned}) > 1
    paths = list(dict.fromkeys(path for each in planned for path in each.changes))
    ends = [path.rpartition(".")[2] for path in paths]
    short = {path: end if ends.count(end) == 1 else path for path, end in zip(paths, ends, strict=True)}
    names = []
    for each in planned:
        parts = [Path(each.source).stem] if has_files else []
        parts += [each.rules] if has_rules else []
        parts += [f"{short[path]}={written(value)}" for path, value in each.changes.items() if _varies(planned, path)]
        names.append(" ".join(parts) or Path(each.source).stem)
    return names


def numbered(names: Sequence[str]) -> list[str]:
    """Names, those that come again with a number."""
    seen: dict[str, int] = {}
    found = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        found.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return found


def _varies(planned: Sequence[Plan], path: str) -> bool:
    return len({written(each.changes.get(path)) for each in planned}) > 1


def not_defaults(scenario: Scenario) -> dict[str, Any]:
    """What a scenario sets otherwise than by default, by path."""
    found: dict[str, Any] = {"traffic.workload": scenario.traffic.workload}
    _flatten(scenario, "", found)
    return found


def _flatten(part: BaseModel, before: str, found: dict[str, Any]) -> None:
    for name, about in type(part).model_fields.items():
        value = getattr(part, name)
        if not about.is_required() and value == about.get_default(call_default_factory=True):
            continue
        if isinstance(value, BaseModel):
            _flatten(value, f"{before}{name}.", found)
        else:
            dumped = part.model_dump(mode="json", include={name}, exclude_defaults=True)[name]
            found[f"{before}{name}"] = dumped
