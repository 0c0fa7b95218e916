"""How a scenario's models, runtimes, network and store behave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import repeat
from math import exp, log, log1p, sqrt
from random import Random
from statistics import fmean

from sim.normal import QUANTILES, quantiles
from sim.scenario import Scenario
from sim.surroundings import Service

DRAWN = 256
"""Service times drawn at once."""


def service_times(service: Service, rng: Random) -> Iterator[float]:
    """Draws milliseconds of the shape, the mean and the spread asked for; lognormal ones from a table."""
    uniform = rng.random
    if service.shape == "exponential":
        return _drawn(lambda: [-service.mean_ms * log1p(-uniform()) for _ in range(DRAWN)])
    if not service.cv:
        return repeat(service.mean_ms)
    sigma = sqrt(log(1 + service.cv**2))
    shape = [exp(sigma * quantile) for quantile in quantiles()]
    scale = service.mean_ms / fmean(shape)
    table = [scale * factor for factor in shape]
    return _drawn(lambda: [table[int(uniform() * QUANTILES)] for _ in range(DRAWN)])


def _drawn(draw: Callable[[], list[float]]) -> Iterator[float]:
    while True:
        yield from draw()


class ScenarioWays:
    """Answers for the model servers and for the store of a scenario."""

    def __init__(self, scenario: Scenario, sizes: dict[str, int]) -> None:
        self._load, self._runtime, self._store = scenario.runtime.load, scenario.runtime, scenario.store
        self._sizes = sizes
        self._failures: dict[str, list[tuple[float, float, frozenset[str], str]]] = {}
        for failure in scenario.failures:
            span = failure.from_s * 1000, failure.until_s * 1000
            instances = frozenset(failure.instances or scenario.instance_ids())
            self._failures.setdefault(failure.model, []).append((*span, instances, failure.text))

    def load(self, instance: str, model: str, gen: int, at_ms: int) -> tuple[int, str]:
        """How long a load takes, and why it fails."""
        takes_ms = self._load.base_ms
        if self._load.bandwidth is not None:
            takes_ms += self._sizes[model] * 1000 // self._load.bandwidth
        for from_ms, until_ms, instances, text in self._failures.get(model, ()):
            if from_ms <= at_ms < until_ms and instance in instances:
                return max(1, takes_ms), text
        return max(1, takes_ms), ""

    def unload_ms(self, instance: str, model: str, gen: int) -> int:
        """How long an unload takes."""
        return self._runtime.unload_ms

    def size_ms(self, instance: str, model: str, gen: int) -> int:
        """How long it takes to predict or to measure a size."""
        return self._runtime.size_ms

    def size_bytes(self, model: str) -> int:
        """What a model takes of memory."""
        return self._sizes[model]

    def max_concurrency(self, model: str) -> int:
        """How many requests a copy takes at once, where that is limited."""
        return self._runtime.model_concurrency or 0

    def commit_ms(self, instance: str, key: str, expect: int) -> int:
        """How long a commit takes."""
        return self._store.commit_ms

    def read_ms(self, instance: str, key: str) -> int:
        """How long a read takes."""
        return self._store.commit_ms

    def watch_ms(self, instance: str) -> int:
        """How long until an instance sees a commit."""
        return self._store.watch_ms
