"""The three fleets, each one scenario from which both the live mesh and the simulation are made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from sim import ScenarioError, parse_scenario
from sim.arrivals import arrivals
from sim.scenario import Scenario
from sim.world import build

LEAD_S = 20.0
"""Requests begin this long after the youngest instance, live and simulated; models are registered meanwhile."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """A scenario by name, and how many cold starts it has to have in order to say anything."""

    name: str
    scenario: Scenario
    least_cold: int


_TIGHT = """
seed: 7
duration_s: 270
warmup_s: 30
instances: {count: 3, capacity: 64 MiB, default_model_size: 1 MiB, loading_concurrency: 4, loading_timeout_ms: 30000}
models: {count: 205, lognormal: {median: 1 MiB, sigma: 0.4}}
runtime:
  load: {base_ms: 60, bandwidth: 16 MiB}
  service: {mean_ms: 4}
  concurrency: 1000
traffic: {workload: zipf, requests_per_s: 80, alpha: 0.5}
settings: {min_churn_age_ms: 0}
"""

_OVERCOMMITTED = """
seed: 8
duration_s: 240
warmup_s: 30
instances: {count: 3, capacity: 64 MiB, default_model_size: 1 MiB, loading_concurrency: 4, loading_timeout_ms: 30000}
models: {count: 400, lognormal: {median: 1 MiB, sigma: 0.4}}
runtime:
  load: {base_ms: 60, bandwidth: 16 MiB}
  service: {mean_ms: 4}
  concurrency: 1000
traffic: {workload: zipf, requests_per_s: 45, alpha: 0.9}
settings: {min_churn_age_ms: 0}
"""

_ROOMY = """
seed: 6
duration_s: 90
instances: {count: 3, capacity: 256 MiB, default_model_size: 1 MiB, loading_concurrency: 4, loading_timeout_ms: 30000}
models: {count: 400, lognormal: {median: 1 MiB, sigma: 0.4}}
runtime:
  load: {base_ms: 60, bandwidth: 16 MiB}
  service: {mean_ms: 4}
  concurrency: 1000
traffic: {workload: zipf, requests_per_s: 50, alpha: 0.5}
settings: {fill_period_ms: 0}
"""


def fleets() -> list[Fleet]:
    """Roomy: everything fits; tight: the models are a bit more than there is room for; overcommitted: twice as much.

    In the roomy one nothing is loaded in advance, else hardly a request waits. The others let go what was used just
    now: by default that is refused, and requests fail.
    """
    texts = (("roomy", _ROOMY, 0), ("tight", _TIGHT, 2000), ("overcommitted", _OVERCOMMITTED, 2000))
    return [Fleet(name, parse_scenario(text, name), least) for name, text, least in texts]


def shortened(scenario: Scenario, duration_s: float) -> Scenario:
    """The same for a shorter time, with as large a part of it to warm up."""
    warmup_s = scenario.warmup_s * duration_s / scenario.duration_s
    return changed(scenario, {"duration_s": float(duration_s), "warmup_s": warmup_s})


def changed(scenario: Scenario, parts: dict[str, Any]) -> Scenario:
    """The same but for some of its parts; a part that is a mapping is changed in turn. Raises ScenarioError."""
    return _checked(_merged(scenario.model_dump(exclude_unset=True), parts))


def _checked(tree: dict[str, Any]) -> Scenario:
    try:
        return Scenario.model_validate(tree)
    except ValidationError as error:
        places = (".".join(str(part) for part in problem["loc"]) for problem in error.errors())
        texts = (f"{place}: {problem['msg']}" for place, problem in zip(places, error.errors(), strict=True))
        raise ScenarioError(list(texts)) from None


def _merged(tree: dict[str, Any], parts: dict[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for name, part in parts.items():
        inner = merged.get(name)
        merged[name] = _merged(inner, part) if isinstance(part, dict) and isinstance(inner, dict) else part
    return merged


def recorded(scenario: Scenario) -> Scenario:
    """The scenario with all that is drawn written down: the size of each model, each request and where it comes to.

    All is ``LEAD_S`` later, the warm-up too.
    """
    ways = build(scenario).ways
    numbers = {model: number for number, model in enumerate(scenario.model_ids())}
    at_ms: list[float] = []
    models: list[int] = []
    instances: list[int] = []
    for instants, names, entries in arrivals(scenario):
        at_ms += (round(at + LEAD_S * 1000, 3) for at in instants)
        models += (numbers[name] for name in names)
        instances += entries
    tree = scenario.model_dump(exclude_unset=True)
    tree["duration_s"], tree["warmup_s"] = scenario.duration_s + LEAD_S, scenario.warmup_s + LEAD_S
    named = {name: value for name, value in tree["models"].items() if name in ("type", "types")}
    sizes = [ways.size_bytes(model) for model in numbers]
    tree["models"] = {"count": len(sizes), "sizes": sizes, **named}
    tree["traffic"] = {"workload": "recorded", "at_ms": at_ms, "models": models, "instances": instances}
    if scenario.traffic.patience_ms is not None:
        tree["traffic"]["patience_ms"] = scenario.traffic.patience_ms
    return _checked(tree)
