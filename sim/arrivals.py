"""The requests of a scenario, in order: when, for which model, to which instance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import compress

import numpy as np

from sim.given import Arrivals
from sim.registrations import known_models
from sim.scenario import Scenario
from sim.workloads.blocks import Block
from sim.workloads.curve import of_week_ms
from sim.workloads.recorded import DRAWN, Placed
from sim.workloads.streams import Streams


def arrivals(scenario: Scenario) -> Iterator[Arrivals]:
    """Each request at the instance that is on record, else at one drawn from all alike."""
    models = scenario.model_ids()
    for instants, numbers, entries in placed(scenario):
        yield instants, [models[number] for number in numbers], entries


def placed(scenario: Scenario) -> Iterator[Placed]:
    """The same by the numbers of the models; what no model is registered for is left out, if clients know that."""
    count, known = len(scenario.all_instance_ids()), known_models(scenario)
    source = np.random.Generator(np.random.PCG64([scenario.seed, 1]))
    for instants, numbers, *recorded in _blocks(scenario):
        entries = recorded[0] if recorded else None
        if entries is None:
            entries = _drawn(source, len(instants), count)
        elif DRAWN in entries:
            drawn = _drawn(source, len(instants), count)
            entries = [at if entry == DRAWN else entry for entry, at in zip(entries, drawn, strict=True)]
        if known is None:
            yield instants, numbers, entries
        else:
            kept = known.has(instants, numbers)
            yield list(compress(instants, kept)), list(compress(numbers, kept)), list(compress(entries, kept))


def _drawn(source: np.random.Generator, length: int, count: int) -> list[int]:
    numbers: list[int] = (source.random(length) * count).astype(np.int64).tolist()
    return numbers


def _blocks(scenario: Scenario) -> Iterator[Block | Placed]:
    traffic, models, duration_ms = scenario.traffic, scenario.models.count, scenario.duration_s * 1000
    if isinstance(traffic, Streams):
        return traffic.arrivals(scenario.seed, models, duration_ms, of_week_ms(scenario.start))
    return traffic.arrivals(scenario.seed, models, duration_ms)
