"""Runs a scenario: builds its world and its traffic from the seed, plays it and sums up what was seen."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import compress, cycle
from random import Random
from time import process_time
from typing import Any

import numpy as np
import simpy

from meshcore.capacity import CacheParams
from meshcore.records import ModelRecord
from sim.atleast import Noted, loads_at_least
from sim.cachemode import as_cache, cache_params, in_turn
from sim.catalogue import model_sizes
from sim.given import Arrivals, Place, Restart, StoreOutage, World
from sim.measure import Measure
from sim.mesh import Mesh
from sim.plane import Server
from sim.policies import rules_named
from sim.problems import ScenarioError
from sim.registrations import at_first, errands, known_models
from sim.scenario import Scenario
from sim.summary import summary
from sim.watch import Told, Watch
from sim.ways import ScenarioWays, service_times
from sim.workloads.blocks import Block
from sim.workloads.curve import of_week_ms
from sim.workloads.recorded import DRAWN, Placed
from sim.workloads.streams import Streams

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
    return Result(data, Speed(measure.warm / max(mesh.inline_s, 1e-9), bare_timeouts_per_s()))


def build(scenario: Scenario) -> World:
    """The world of a scenario."""
    settings, seed = scenario.core_settings(), scenario.seed
    params = fleet_params(scenario)
    start_ms = int(scenario.start.timestamp() * 1000)
    models = scenario.model_ids()
    types = scenario.model_types()
    records = [ModelRecord(each, last_used=start_ms - settings.register_age_ms).encode() for each in types]
    places = {
        name: Place(scenario.zone(number), scenario.labels(number))
        for number, name in enumerate(scenario.instance_ids())
    }
    ways = ScenarioWays(scenario, sizes_of(scenario))
    runtime, delay_ms = scenario.runtime, scenario.network.delay_ms
    return World(
        instances=tuple(scenario.instance_ids()),
        registrations=dict(zip(models[: at_first(scenario)], cycle(records), strict=False)),
        start_ms=start_ms,
        seed=seed,
        settings=settings,
        params=params.__getitem__,
        ways=ways,
        delays=ways,
        network_ms=lambda _from, _to: delay_ms,
        server=lambda name: Server(runtime.concurrency, service_times(runtime.service, Random(f"{seed}/{name}/work"))),
        rules=rules_named("mesh", scenario.eviction),
        place=places.__getitem__,
        constraints=scenario.type_constraints(),
        restarts=_restarts(scenario),
        store_outages=tuple(
            StoreOutage(int(outage.from_s * 1000), int(outage.until_s * 1000)) for outage in scenario.store_outages
        ),
        churn=lambda: errands(scenario),
        patience_ms=scenario.traffic.patience_ms,
    )


def fleet_params(scenario: Scenario) -> dict[str, CacheParams]:
    """What each instance's model server says at its start; raises ScenarioError where none could say that."""
    try:
        return {name: _params(scenario, number) for number, name in enumerate(scenario.instance_ids())}
    except ValueError as error:
        raise ScenarioError([f"instances: {error}"]) from None


def sizes_of(scenario: Scenario) -> dict[str, int]:
    """Bytes of each model, by name."""
    return dict(zip(scenario.model_ids(), model_sizes(scenario.models, Random(f"{scenario.seed}/sizes")), strict=True))


def _params(scenario: Scenario, number: int) -> CacheParams:
    if scenario.mode == "cache":
        return cache_params(scenario)
    fleet = scenario.instances
    factor = fleet.capacity_factors[number % len(fleet.capacity_factors)]
    return CacheParams.from_runtime(
        int(fleet.capacity * factor),
        fleet.loading_concurrency,
        fleet.loading_timeout_ms,
        fleet.default_model_size,
        limits_concurrency=scenario.runtime.model_concurrency is not None,
        min_churn_age_ms=scenario.core_settings().min_churn_age_ms,
    )


def _restarts(scenario: Scenario) -> tuple[Restart, ...]:
    numbers = {name: number for number, name in enumerate(scenario.instance_ids())}
    return tuple(
        Restart(numbers[restart.instance], int(restart.from_s * 1000), int(restart.until_s * 1000))
        for restart in scenario.restarts
    )


def arrivals(scenario: Scenario) -> Iterator[Arrivals]:
    """The requests of a scenario, each at the instance that is on record, else at one drawn from all alike."""
    models, count = scenario.model_ids(), scenario.instances.count
    restarts = _restarts(scenario)
    known = known_models(scenario)
    source = np.random.Generator(np.random.PCG64([scenario.seed, 1]))
    for instants, numbers, *recorded in _blocks(scenario):
        entries = recorded[0] if recorded else [DRAWN] * len(instants)
        if DRAWN in entries:
            drawn = (source.random(len(instants)) * count).astype(np.int64).tolist()
            entries = [at if entry == DRAWN else entry for entry, at in zip(entries, drawn, strict=True)]
        if known is not None:
            kept = known.has(instants, numbers)
            instants, numbers, entries = (
                list(compress(instants, kept)),
                list(compress(numbers, kept)),
                list(compress(entries, kept)),
            )
        for restart in restarts:
            _divert(restart, instants, entries, count)
        yield instants, [models[number] for number in numbers], entries


def _blocks(scenario: Scenario) -> Iterator[Block | Placed]:
    traffic, models, duration_ms = scenario.traffic, scenario.models.count, scenario.duration_s * 1000
    if isinstance(traffic, Streams):
        return traffic.arrivals(scenario.seed, models, duration_ms, of_week_ms(scenario.start))
    return traffic.arrivals(scenario.seed, models, duration_ms)


def _divert(restart: Restart, instants: list[float], entries: list[int], count: int) -> None:
    """Let what would come to an instance that is away come to the others in turn."""
    others = [number for number in range(count) if number != restart.number]
    for at in range(bisect_left(instants, restart.from_ms), bisect_left(instants, restart.until_ms)):
        if entries[at] == restart.number:
            entries[at] = others[at % len(others)]


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
