"""From a YAML file to a scenario, or to an error that says where, what and what is allowed."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from datetime import date
from difflib import get_close_matches
from pathlib import Path
from reprlib import Repr
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError
from yaml.reader import ReaderError

from sim.names import with_names
from sim.problems import ScenarioError
from sim.scenario import Scenario
from sim.traces.scenario import with_traces
from sim.where import placed
from sim.workloads import REGISTRY

MOST_BITS = 1000
"""Of a whole number: what is larger has no float, and is a page of digits."""
LARGE = "the number is larger than any that may be given"

_EXPONENT = re.compile(r"[-+]?[0-9.]+[eE][-+]?[0-9]+")

_SHORT = Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxlong, _SHORT.maxother = 2, 100, 60, 100
_NO_KEYS = {f"tag:yaml.org,2002:{kind}" for kind in ("bool", "float", "int", "null", "timestamp")}


class Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, as one of the two would be ignored, keys that are no text, and values that no
    one could have meant."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _wrong(key, f"{key.value} is given twice")
                if key.tag in _NO_KEYS:
                    raise _wrong(key, f"the key {key.value} must be text; in quotes it is")
                seen.add(key.value)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            found = super().construct_object(node, deep)
        except ValueError as error:  # a date that there is not, or a number that Python does not read
            raise _wrong(node, LARGE if len(node.value) > MOST_BITS else str(error)) from None
        if isinstance(found, int) and found.bit_length() > MOST_BITS:
            raise _wrong(node, LARGE)
        return found


def _wrong(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def read_scenario(path: Path) -> Scenario:
    """The scenario that ``path`` holds; raises ScenarioError."""
    return parse_scenario(read_text(path), str(path))


def read_text(path: Path) -> str:
    """What ``path`` holds; raises ScenarioError."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise ScenarioError([f"{path}: there is no such file"]) from None
    except OSError as error:
        raise ScenarioError([f"{path}: cannot be read: {error.strerror or error}"]) from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ScenarioError([f"{path}:{line}: byte {error.start + 1} of the file is not UTF-8"]) from None


def parse_scenario(text: str, name: str) -> Scenario:
    """The scenario that ``text`` describes; ``name`` stands in front of every problem, and files that the text names
    are beside it."""
    return scenario_of(parse_tree(text, name), name, Path(name).parent, text)


def parse_tree(text: str, name: str) -> dict[str, Any]:
    """The keys and values of ``text``, unchecked; raises ScenarioError where it is no mapping."""
    try:
        tree = yaml.load(text, Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        problem = error.problem or error.context or ""
        if problem.startswith("but "):
            problem = f"{error.context}, {problem}"
        raise ScenarioError([f"{where}: {' '.join(problem.split())}"]) from None
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ScenarioError([f"{name}:{line}: the character {chr(error.character)!r} must not be in it"]) from None
    except RecursionError:
        raise ScenarioError([f"{name}: has brackets in brackets deeper than can be read"]) from None
    if not isinstance(tree, dict):
        raise ScenarioError([f"{name}: must be a mapping with the keys {_listed(Scenario)}"])
    return tree


def scenario_of(tree: dict[str, Any], name: str, folder: Path, text: str = "") -> Scenario:
    """The scenario of these keys and values, with the traces that they name in ``folder``; raises ScenarioError, with
    lines if all of them stand in ``text``."""
    try:
        filled, state = with_traces(tree, folder)
        return Scenario.model_validate(with_names(filled), context=state)
    except ScenarioError as error:
        raise ScenarioError([placed(problem, name, text) for problem in error.problems]) from None
    except ValidationError as error:
        raise ScenarioError([placed(problem, name, text) for problem in _problems(error)]) from None


def _problems(error: ValidationError) -> Iterator[str]:
    """Unknown keys first, and what is missing last: one is often the reason for the other."""
    order = {"extra_forbidden": 0, "missing": 2}
    for item in sorted(error.errors(include_url=False), key=lambda item: order.get(item["type"], 1)):
        where = ".".join(_place(item["loc"]))
        given = _SHORT.repr(item["input"])
        match item["type"]:
            case "union_tag_invalid" | "union_tag_not_found":
                given = _SHORT.repr(item["input"]["workload"])
                yield f"{where}.workload: {given} must be one of {', '.join(REGISTRY)}"
            case "datetime_type" | "timezone_aware":
                given = str(item["input"]) if isinstance(item["input"], date) else given
                yield f"{where}: {given} must be a day and a time with its zone, as 2026-01-05T08:00:00Z"
            case "extra_forbidden":
                yield f"{where}: {_unknown(item['loc'])}"
            case "missing":
                yield f"{where}: is missing"
            case "model_type":
                yield f"{where}: {given} must be a mapping with the keys {_listed(_model_at(item['loc']))}"
            case "value_error" if isinstance(item["input"], dict | BaseModel):
                yield ": ".join(filter(None, (where, str(item["ctx"]["error"]))))
            case "value_error":
                yield f"{where}: {given} {item['ctx']['error']}"
            case "float_type" if isinstance(item["input"], str) and _EXPONENT.fullmatch(item["input"]):
                yield f"{where}: {given} must be a number; YAML takes it for text, as 1.0e+3 it is one"
            case _:
                yield f"{where}: {given} {_bounds(item['msg'])}"


def _bounds(message: str) -> str:
    return (
        message.replace("Input should be", "must be")
        .replace("List should have", "must have")
        .replace("String should have", "must have")
        .replace(" after validation", "")
        .replace("a valid integer", "a whole number")
        .replace("a valid ", "a ")
    )


def _place(loc: tuple[int | str, ...]) -> list[str]:
    """Where something is in the file. In pydantic's words the way into the traffic has its workload's name in it."""
    parts = [str(part) if str(part).isprintable() else repr(part) for part in loc]
    return [*parts[:1], *parts[2:]] if parts[:1] == ["traffic"] else parts


def _unknown(loc: tuple[int | str, ...]) -> str:
    model = _model_at(loc[:-1])
    near = get_close_matches(str(loc[-1]), model.model_fields, n=1)
    return f"unknown key{f', did you mean {near[0]}' if near else ''}; allowed: {_listed(model)}"


def _model_at(loc: tuple[int | str, ...]) -> type[BaseModel]:
    """What stands at a place: the part of a scenario that is read there."""
    model: type[BaseModel] = Scenario
    for depth, part in enumerate(loc):
        if loc[0] == "traffic" and depth == 1:
            model = REGISTRY[str(part)]
        field = model.model_fields.get(str(part))
        model = _model_in(field.annotation) or model if field else model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _listed(model: type[BaseModel]) -> str:
    """The keys that are its own, then those that it shares with others."""
    return ", ".join(sorted(model.model_fields, key=lambda name: name not in model.__annotations__))
