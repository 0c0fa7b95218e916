"""Scenarios that name a trace: what the trace knows, models and length, is filled in before the scenario is checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import lru_cache
from math import floor, inf
from pathlib import Path
from typing import Any

from sim.catalogue import Models
from sim.problems import ScenarioError
from sim.traces.files import State, changed, state_of
from sim.traces.survey import Survey, survey

_NOT_SIZES = {"trace", "count", "names", "type", "types"}


def with_traces(tree: Mapping[str, Any], folder: Path) -> tuple[dict[str, Any], State | None]:
    """The same scenario, with what its trace says of models, instances and time; paths count from ``folder``. And the
    state that the trace was in, if it is replayed.

    All of a trace is read and checked, and nothing but its models kept: requests are read once more when they are
    played. In one pass that could not be done, as the catalogue, the sizes and the length are needed before the first
    request, stand anywhere in the file, and events are more than memory holds. Raises ScenarioError.
    """
    filled, traffic, models = dict(tree), tree.get("traffic"), tree.get("models", {})
    if not isinstance(models, Mapping):
        return filled, None
    replay = traffic if isinstance(traffic, Mapping) and traffic.get("workload") == "trace" else None
    key, named = ("models.trace", models.get("trace")) if replay is None else ("traffic.path", replay.get("path"))
    if named is None:
        return filled, None
    if not _is_path(named):
        raise ScenarioError([f"{key}: {named!r:.100} must be the name of a file"])
    if models.get("trace", named) != named:
        raise ScenarioError([f"models.trace: {models['trace']!r} must be that of traffic.path, {named!r}"])
    if "count" in models or "names" in models:
        raise ScenarioError(["models.count: must not be given, the models are those of the trace"])
    path = folder / named
    try:
        state = state_of(path)
        found = _survey_of(path, state)
        if state_of(path) != state:
            raise changed(path)
    except ScenarioError as error:
        raise ScenarioError([f"{key}: {problem}" for problem in error.problems]) from None
    filled["models"] = _models(path, models, found)
    if replay is not None:
        if replay.get("sample", 1) != (part := found.header.sample):
            why = f"the trace has the requests for {part:.4g} of all models; so much of the load is simulated"
            raise ScenarioError([f"traffic.sample: {replay.get('sample', 1)!r} must be {part:g}: {why}"])
        from_s = replay.get("from_s", 0)
        if isinstance(from_s, int | float) and from_s * 1000 > found.end_ms:
            raise ScenarioError(
                [f"traffic.from_s: {from_s:g} must be before the end of the trace, {found.end_ms / 1000:g}"]
            )
        filled["traffic"] = _traffic(path, replay, found, tree.get("instances"))
        if "duration_s" not in tree and (length_s := _length_s(filled["traffic"], found)):
            filled["duration_s"] = length_s
    return filled, None if replay is None else state


def _is_path(named: object) -> bool:
    try:
        return isinstance(named, str) and b"\0" not in os.fsencode(named)
    except UnicodeEncodeError:
        return False


@lru_cache(maxsize=8)
def _survey_of(path: Path, state: State) -> Survey:
    """What ``path`` says, read once for all runs of a sweep as long as it stays as it is. Raises TraceError."""
    return survey(path)


def _models(path: Path, models: Mapping[str, Any], found: Survey) -> dict[str, Any]:
    catalogue = found.catalogue()
    if not catalogue:
        raise ScenarioError([f"models: {path} has no models"])
    filled = {**models, "trace": str(path), "count": len(catalogue), "names": [model.id for model in catalogue]}
    if not (set(models) & set(Models.model_fields)) - _NOT_SIZES:
        for model in catalogue:
            if model.size_bytes is None:
                raise ScenarioError(
                    [f"models: must have a size or a distribution of sizes, {path} has none for {model.id!r}"]
                )
        filled["sizes"] = [model.size_bytes for model in catalogue]
    if not {"type", "types"} & set(models):
        usual = Models.model_fields["type"].default
        filled["types"] = [model.type or usual for model in catalogue]
    return filled


def _traffic(path: Path, traffic: Mapping[str, Any], found: Survey, fleet: object) -> dict[str, Any]:
    filled = {**traffic, "path": str(path)}
    count = fleet.get("count") if isinstance(fleet, Mapping) else None
    if "instances" not in traffic and count == len(found.instances):
        filled["instances"] = sorted(found.instances, key=lambda name: (len(name), name))
    return filled


def _length_s(traffic: Mapping[str, Any], found: Survey) -> float | None:
    """Whole seconds in which all that is played arrives; None: a wrong value is in the way."""
    from_s, until_s = traffic.get("from_s", 0), traffic.get("until_s") or found.end_ms / 1000
    scale = traffic.get("time_scale", 1)
    if not all(isinstance(value, int | float) for value in (from_s, until_s, scale)):
        return None
    length_s = (min(until_s, found.end_ms / 1000) - from_s) * scale
    return float(floor(length_s) + 1) if 0 <= length_s < inf else None
