"""The bound on a run's loads: which of its requests were answered, and when a copy took each of them up."""

from __future__ import annotations

from array import array
from itertools import count
from math import ceil, floor, inf
from typing import Any

import numpy as np

from meshcore.asks import Answered, Done
from meshcore.units import to_units
from sim.arrivals import placed
from sim.bounds import Requests, least_loads
from sim.given import Book, Ending
from sim.mesh import Mesh
from sim.scenario import Scenario

UP_TO = 1_000_000
"""Requests of a run up to which the bound is computed: for more it would take memory that the run does not."""


class Noted:
    """Tells ``book`` all that it hears, and keeps of requests that the core was asked about when they were over.

    Those that it does not hear of a ready copy took up where they came to, or one way over the network later.
    """

    def __init__(self, book: Book) -> None:
        self._book = book
        self.answered, self.commanded = book.answered, book.commanded
        self.arrivals, self.ends = array("d"), array("d")
        """Of each, an end of inf if it had no answer; no more than are needed to know that there are too many."""

    def ended(self, ending: Ending) -> None:
        """A request that the core was asked about is over."""
        match ending.how:
            case Done(Answered()):  # whoever was let go on within a millisecond went on before the next began
                self._note(ending.arrival, floor(ending.end) + 1)
            case _:
                self._note(ending.arrival, inf)
        self._book.ended(ending)

    def left(self, instance: str, arrival: float) -> None:
        """A client went away."""
        self._note(arrival, inf)
        self._book.left(instance, arrival)

    def _note(self, arrival: float, end: float) -> None:
        if len(self.arrivals) <= UP_TO:
            self.arrivals.append(arrival)
            self.ends.append(end)


def loads_at_least(scenario: Scenario, mesh: Mesh, noted: Noted, sizes: dict[str, int]) -> dict[str, Any]:
    """``{"loads", "by"}``: no rules could do with fewer for the requests that were answered; None with the cause."""
    came = _arrivals(scenario)
    if came is None:
        return {"loads": None, "by": f"left out for more than {UP_TO:,} requests"}
    models, at_ms = came
    prompt_ms = longest_way_ms(scenario)
    until_ms = _until(at_ms, prompt_ms, noted)
    if scenario.mode == "cache":  # each is over before the next comes
        until_ms = np.where(until_ms < inf, at_ms, inf)
    is_counted = (at_ms >= ceil(scenario.warmup_s * 1000)) & (until_ms < inf)
    requests = Requests(models[is_counted], at_ms[is_counted], until_ms[is_counted], prompt_ms)
    nodes = [instance.node for instance in mesh.instances]
    capacity_units = sum(node.cache.params.capacity_units + node.peak_deficit_units for node in nodes)
    units = np.array([to_units(size) for size in sizes.values()], dtype=np.int64)
    loads, by = least_loads(requests, units, capacity_units, starts_empty=not scenario.warmup_s)
    return {"loads": loads, "by": by}


def longest_way_ms(scenario: Scenario) -> float:
    """Between any two instances; 0 where there is one."""
    network = scenario.network
    if len(scenario.all_instance_ids()) == 1:
        return 0.0
    return float(max(network.delay_ms, network.between_zones_ms or 0))


def _arrivals(scenario: Scenario) -> tuple[Any, Any] | None:
    """The numbers of the models and the instants; None: there are too many."""
    models, instants, total = [np.zeros(0, np.int64)], [np.zeros(0)], 0
    for at_ms, numbers, _ in placed(scenario):
        total += len(numbers)
        if total > UP_TO:
            return None
        models.append(np.asarray(numbers, dtype=np.int64))
        instants.append(np.asarray(at_ms, dtype=np.float64))
    if scenario.mode == "cache":
        instants = [np.arange(1, total + 1, dtype=np.float64)]
    return np.concatenate(models), np.concatenate(instants)


def _until(at_ms: Any, prompt_ms: float, noted: Noted) -> Any:
    """When each request was taken up at the latest. Of those that came at one instant nobody knows which one it was
    that the core was asked about, so all of them count as taken up as late as any."""
    until_ms = at_ms + prompt_ms
    arrivals, ends = np.array(noted.arrivals), np.array(noted.ends)
    first, behind = (np.searchsorted(at_ms, arrivals, side=side) for side in ("left", "right"))
    for further in count():
        is_there = first + further < behind
        if not is_there.any():
            return until_ms
        np.maximum.at(until_ms, first[is_there] + further, ends[is_there])
