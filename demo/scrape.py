"""What instances count of themselves, added up over restarts."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

Series = dict[str, float]
"""Values by name; a histogram's buckets have their upper bound after a colon."""


_SAMPLE = re.compile(r"([^\s{#]+)(?:\{(.*)\})? (\S+)")
_BOUND = re.compile(r'\ble="([^"]*)"')


def parse(exposition: str) -> Series:
    """The series of one scrape, those that differ in other labels than a histogram's bound added up."""
    series: Series = {}
    for line in exposition.splitlines():
        if sample := _SAMPLE.fullmatch(line):
            bound = _BOUND.search(sample[2] or "")
            name = f"{sample[1]}:{bound[1]}" if bound else sample[1]
            series[name] = series.get(name, 0.0) + float(sample[3])
    return series


@dataclass(slots=True)
class Counted:
    """One instance's counts: those of runs that are over, and the latest of the present one.

    Counters end with their process. Nothing is lost as long as the last scrape of a run comes after its last request,
    and an instance that is going is idle for a while before it ends.
    """

    over: list[Series] = field(default_factory=list)
    now: Series = field(default_factory=dict)

    def restarted(self) -> None:
        """What is scraped from here on is another run's."""
        self.over.append(self.now)
        self.now = {}

    def total(self, name: str) -> float:
        """A counter, over all runs."""
        return sum(run.get(name, 0.0) for run in (*self.over, self.now))

    def buckets(self, histogram: str) -> dict[float, float]:
        """How many observations each upper bound has at or below it, over all runs."""
        prefix = f"{histogram}_bucket:"
        names = sorted({name for run in (*self.over, self.now) for name in run if name.startswith(prefix)})
        return {float(name.removeprefix(prefix)): self.total(name) for name in names}


def total(counted: Iterable[Counted], name: str) -> float:
    """A counter of all instances."""
    return sum(each.total(name) for each in counted)


def mean(counted: Iterable[Counted], histogram: str) -> float:
    """The mean of what all instances observed; NaN where they observed nothing."""
    instances = list(counted)
    count = total(instances, f"{histogram}_count")
    return total(instances, f"{histogram}_sum") / count if count else math.nan


def quantile(counted: Iterable[Counted], histogram: str, part: float) -> float:
    """What ``part`` of all observations are not above, linear within a bucket; NaN for none."""
    buckets: dict[float, float] = {}
    for each in counted:
        for bound, below in each.buckets(histogram).items():
            buckets[bound] = buckets.get(bound, 0.0) + below
    bounds = sorted(buckets)
    if not bounds or not buckets[bounds[-1]]:
        return math.nan
    rank = part * buckets[bounds[-1]]
    low, before = 0.0, 0.0
    for bound in bounds:
        if buckets[bound] >= rank:
            inside = buckets[bound] - before
            return low if math.isinf(bound) else low + (bound - low) * (rank - before) / inside
        low, before = bound, buckets[bound]
    raise AssertionError("the last bucket has all")
