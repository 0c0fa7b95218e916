"""Runs a scenario: builds its world and its traffic from the seed, plays it and sums up what was seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import cycle
from random import Random
from time import process_time
from typing import Any

import simpy

from meshcore.capacity import CacheParams
from meshcore.records import ModelRecord
from sim.arrivals import arrivals
from sim.atleast import Noted, loads_at_least
from sim.cachemode import as_cache, cache_params, in_turn
from sim.catalogue import model_sizes
from sim.given import Place, World
from sim.measure import Measure
from sim.mesh import Mesh
from sim.plane import Server
from sim.policies import rules_named
from sim.problems import ScenarioError
from sim.registrations import at_first, errands
from sim.scenario import Scenario
from sim.summary import summary
from sim.watch import Told, Watch
from sim.ways import ScenarioWays, service_times

BARE_TIMEOUTS = 100_000


@dataclass(frozen=True, slots=True)
class Speed:
    """What the machine did in a second of CPU time: another machine, or day, another number."""

    warm_requests_per_s: float
    simpy_timeouts_per_s: float


@dataclass(frozen=True, slots=True)
class Result:
    """``data`` is plain values, the same for the same scenario; ``speed`` is not part of it. None: it is an old one."""

    data: dict[str, Any]
    speed: Speed | None


def run(scenario: Scenario, rules: str = "mesh", told: Told | None = None) -> Result:
    """Play ``scenario`` by the rules of that name (``rules_named``); ``told`` hears how far it is. Raises ScenarioError
    for a fleet that no model server could be, ValueError for rules that there are not."""
    mesh: Mesh
    world, traffic = replace(build(scenario), rules=rules_named(rules, scenario.eviction)), arrivals(scenario)
    from_ms, duration_ms = scenario.warmup_s * 1000, scenario.duration_s * 1000
    measure = Measure(world.instances, from_ms, duration_ms, lambda: mesh.env.now)
    noted, sizes = Noted(measure), sizes_of(scenario)
    if scenario.mode == "cache":
        world = as_cache(scenario, world, sizes)
        traffic = in_turn(traffic, sizes, world, noted)
    mesh = Mesh(world, noted)
    watch = Watch(mesh, from_ms, duration_ms, told)
    mesh.play(traffic)
    data = summary(scenario, mesh, measure, watch) | {"at_least": loads_at_least(scenario, mesh, noted, sizes)}
    return Result(data, Speed(measure.warm / max(mesh.inline_s, 1e-9), _bare()))


def build(scenario: Scenario) -> World:
    """The world of a scenario."""
    settings, seed = scenario.core_settings(), scenario.seed
    params = fleet_params(scenario)
    start_ms = int(scenario.start.timestamp() * 1000)
    models = scenario.model_ids()
    types = scenario.model_types()
    records = [ModelRecord(each, last_used=start_ms - settings.register_age_ms).encode() for each in types]
    names = scenario.all_instance_ids()
    places = {name: _place(scenario, number) for number, name in enumerate(names)}
    ways = ScenarioWays(scenario, sizes_of(scenario))
    runtime = scenario.runtime
    return World(
        instances=tuple(names),
        registrations=dict(zip(models[: at_first(scenario)], cycle(records), strict=False)),
        start_ms=start_ms,
        seed=seed,
        settings=settings,
        params=params.__getitem__,
        ways=ways,
        delays=ways,
        network_ms=_network(scenario, places),
        server=lambda name: Server(runtime.concurrency, service_times(runtime.service, Random(f"{seed}/{name}/work"))),
        rules=rules_named("mesh", scenario.eviction),
        place=places.__getitem__,
        constraints=scenario.type_constraints(),
        fates=scenario,
        retries=scenario.retries,
        churn=lambda: errands(scenario),
        patience_ms=scenario.traffic.patience_ms,
    )


def fleet_params(scenario: Scenario) -> dict[str, CacheParams]:
    """What each instance's model server says at its start; raises ScenarioError where none could say that."""
    try:
        return {name: _params(scenario, number) for number, name in enumerate(scenario.all_instance_ids())}
    except ValueError as error:
        raise ScenarioError([f"instances: {error}"]) from None


def sizes_of(scenario: Scenario) -> dict[str, int]:
    """Bytes of each model, by name."""
    return dict(zip(scenario.model_ids(), model_sizes(scenario.models, Random(f"{scenario.seed}/sizes")), strict=True))


def _params(scenario: Scenario, number: int) -> CacheParams:
    if scenario.mode == "cache":
        return cache_params(scenario)
    fleet = scenario.instances
    factor = fleet.capacity_factors[number % fleet.count % len(fleet.capacity_factors)]
    return CacheParams.from_runtime(
        int(fleet.capacity * factor),
        fleet.loading_concurrency,
        fleet.loading_timeout_ms,
        fleet.default_model_size,
        limits_concurrency=scenario.runtime.model_concurrency is not None,
        min_churn_age_ms=scenario.core_settings().min_churn_age_ms,
    )


def _place(scenario: Scenario, number: int) -> Place:
    """New instances of an upgrade are where the old ones are whose place they take."""
    count = scenario.instances.count
    offsets = scenario.instances.clock_offsets_ms
    version, replica_set = 0, ""
    if scenario.upgrade is not None:
        version, replica_set = (1, "old") if number < count else (2, "new")
    number %= count
    return Place(scenario.zone(number), scenario.labels(number), version, replica_set, offsets[number % len(offsets)])


def _network(scenario: Scenario, places: Mapping[str, Place]) -> Callable[[str, str], int]:
    near_ms, far_ms = scenario.network.delay_ms, scenario.network.between_zones_ms
    if far_ms is None:
        return lambda _from, _to: near_ms
    return lambda one, other: near_ms if places[one].zone == places[other].zone else far_ms


@cache
def _bare() -> float:
    return bare_timeouts_per_s()


def bare_timeouts_per_s() -> float:
    """How many timeouts simpy alone gets through in a second of CPU time."""
    env = simpy.Environment()

    def ticking() -> Any:
        for _ in range(BARE_TIMEOUTS):
            yield env.timeout(1)

    env.process(ticking())
    began = process_time()
    env.run()
    return BARE_TIMEOUTS / max(process_time() - began, 1e-9)
