"""How a scenario's models, runtimes, network and store behave."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, repeat
from math import exp, log, log1p, sqrt
from random import Random
from statistics import fmean

from sim.normal import QUANTILES, quantiles
from sim.scenario import Scenario
from sim.surroundings import Service

DRAWN = 256
"""Service times drawn at once."""


def spread(cv: float) -> list[float]:
    """Equally probable factors of a lognormal distribution with a mean of 1 and that standard deviation."""
    sigma = sqrt(log(1 + cv**2))
    shape = [exp(sigma * quantile) for quantile in quantiles()]
    mean = fmean(shape)
    return [factor / mean for factor in shape]


def service_times(service: Service, rng: Random) -> Iterator[float]:
    """Draws milliseconds of the shape, the mean and the spread asked for; lognormal ones from a table."""
    uniform = rng.random
    if service.shape == "exponential":
        return _drawn(lambda: [-service.mean_ms * log1p(-uniform()) for _ in range(DRAWN)])
    if not service.cv:
        return repeat(service.mean_ms)
    table = _quantiles_ms(service.mean_ms, service.cv)
    return _drawn(lambda: [table[int(uniform() * QUANTILES)] for _ in range(DRAWN)])


@lru_cache(maxsize=16)
def _quantiles_ms(mean_ms: float, cv: float) -> list[float]:
    """Equally probable service times: one table for all servers, as what is looked up for every request should be near
    also where there are hundreds of these."""
    sigma = sqrt(log(1 + cv**2))
    shape = [exp(sigma * quantile) for quantile in quantiles()]
    scale = mean_ms / fmean(shape)
    return [scale * factor for factor in shape]


def _drawn(draw: Callable[[], list[float]]) -> Iterator[float]:
    """All that ``draw`` gives, again and again, without a step of Python for each."""
    return chain.from_iterable(iter(draw, None))


class Factors:
    """Draws factors with a mean of 1, apart for each instance; without a spread nothing is drawn."""

    def __init__(self, seed: str, cv: float) -> None:
        self._seed, self._cv = seed, cv
        self._table = spread(cv) if cv else []
        self._sources: dict[str, Random] = {}

    def of(self, instance: str) -> float:
        """The next one of an instance."""
        if not self._cv:
            return 1.0
        source = self._sources.get(instance)
        if source is None:
            source = self._sources[instance] = Random(f"{self._seed}/{instance}")
        return self._table[int(source.random() * QUANTILES)]


class ScenarioWays:
    """Answers for the model servers and for the store of a scenario."""

    def __init__(self, scenario: Scenario, sizes: dict[str, int]) -> None:
        self._load, self._runtime, self._store = scenario.runtime.load, scenario.runtime, scenario.store
        self._sizes = sizes
        names = scenario.all_instance_ids()
        self._numbers = {name: number for number, name in enumerate(names)}
        self._failures: dict[str, list[tuple[float, float, frozenset[str], str]]] = {}
        for failure in scenario.failures:
            span = failure.from_s * 1000, failure.until_s * 1000
            self._failures.setdefault(failure.model, []).append(
                (*span, frozenset(failure.instances or names), failure.text)
            )
        self._slow = [
            (disk.from_s * 1000, disk.until_s * 1000, frozenset(disk.instances or names), disk.factor)
            for disk in scenario.slow_disks
        ]
        self._load_factors = Factors(f"{scenario.seed}/loads", self._load.cv)
        self._commit_factors = Factors(f"{scenario.seed}/commits", self._store.commit_cv)
        predicted = Factors(f"{scenario.seed}/predicted", self._runtime.size_cv)
        self._predicted = {model: max(1, int(size * predicted.of(""))) for model, size in sizes.items()}

    def load(self, instance: str, model: str, gen: int, at_ms: int) -> tuple[int, int, str]:
        """How long a load takes, how long what it shares with others would take alone, and why it fails."""
        base_ms, read_ms, factor = float(self._load.base_ms), 0.0, self._load_factors.of(instance)
        if self._load.bandwidth is not None:
            read_ms = float(self._sizes[model] * 1000 // self._load.bandwidth)
        for from_ms, until_ms, instances, slower in self._slow:
            if from_ms <= at_ms < until_ms and instance in instances:
                factor *= slower
        problem = ""
        for from_ms, until_ms, instances, text in self._failures.get(model, ()):
            if from_ms <= at_ms < until_ms and instance in instances:
                problem = text
                break
        if self._load.is_shared:
            return max(1, int(base_ms * factor)), int(read_ms * factor), problem
        return max(1, int((base_ms + read_ms) * factor)), 0, problem

    def unload_ms(self, instance: str, model: str, gen: int) -> int:
        """How long an unload takes."""
        return self._runtime.unload_ms

    def size_ms(self, instance: str, model: str, gen: int) -> int:
        """How long it takes to predict or to measure a size."""
        return self._runtime.size_ms

    def size_bytes(self, model: str) -> int:
        """What a model takes of memory."""
        return self._sizes[model]

    def predicted_bytes(self, model: str) -> int:
        """What a model server says of that beforehand."""
        return self._predicted[model]

    def max_concurrency(self, model: str) -> int:
        """How many requests a copy takes at once, where that is limited."""
        return self._runtime.model_concurrency or 0

    def commit_ms(self, instance: str, key: str, expect: int) -> int:
        """How long a commit takes."""
        return max(1, int(self._store.commit_ms * self._commit_factors.of(instance)))

    def read_ms(self, instance: str, key: str) -> int:
        """How long a read takes."""
        return max(1, int(self._store.commit_ms * self._commit_factors.of(instance)))

    def watch_ms(self, instance: str) -> int:
        """How long until an instance sees a commit."""
        watch_ms = self._store.watch_ms
        return watch_ms[self._numbers[instance] % len(watch_ms)] if isinstance(watch_ms, list) else watch_ms
