"""Requests that were answered, taken in by the thousand: by cause, by instance and over time."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from enum import StrEnum
from typing import Any

import numpy as np

from sim.histogram import BUCKETS, PER_DOUBLING, Histogram, buckets_of

COARSER = 4
"""Buckets of the latency over time are this much wider."""
INTERVALS = 120
"""Equal parts of a run that the time series have a number for."""


class Cause(StrEnum):
    """Why an answer took as long as it did. All but the last are hits: no wait for a load."""

    LOCAL = "local"  # a ready copy on the instance that the request came to
    FORWARDED = "forwarded"  # a ready copy on another
    RETRIED = "retried"  # a ready copy, after another had not taken the request
    COLD = "cold"  # it waited for a load


CAUSES = tuple(Cause)
HITS = slice(0, CAUSES.index(Cause.COLD))


class Answers:
    """What arrives from ``from_ms`` on is counted; the series have what comes before, too.

    ``add`` only notes what it is told; the counting is done on arrays.
    """

    FLUSHED_AT = 1 << 16

    def __init__(self, instances: Sequence[str], from_ms: float, duration_ms: float) -> None:
        self._from_ms, self._duration_ms = from_ms, duration_ms
        self._codes = {name: number * len(CAUSES) for number, name in enumerate(instances)}
        self._arrivals, self._ends = array("d"), array("d")
        self._runs: list[tuple[int, int]] = []
        """Instance and cause as one number, and of how many of the times."""
        causes = len(CAUSES)
        self._by_instance = np.zeros(len(instances) * causes, dtype=np.int64)
        self._by_duration = np.zeros(causes * BUCKETS, dtype=np.int64)
        self._max_ms = np.zeros(causes)
        self._over_time = np.zeros(INTERVALS * causes, dtype=np.int64)
        self._durations_over_time = np.zeros(INTERVALS * (BUCKETS // COARSER), dtype=np.int64)

    def add(self, instance: str, cause: int, arrivals: Sequence[float], ends: Sequence[float]) -> None:
        """Take in requests by arrival and end, milliseconds from the start; ``cause`` is a place in CAUSES."""
        self._arrivals.extend(arrivals)
        self._ends.extend(ends)
        self._runs.append((self._codes[instance] + cause, len(ends)))
        if len(self._ends) >= self.FLUSHED_AT:
            self._flush()

    def _flush(self) -> None:
        if not self._ends:
            return
        arrivals, ends = np.array(self._arrivals), np.array(self._ends)
        codes = np.repeat(*np.array(self._runs, dtype=np.int64).T)
        self._arrivals, self._ends = array("d"), array("d")
        self._runs.clear()
        took_ms = ends - arrivals
        causes, buckets = codes % len(CAUSES), buckets_of(took_ms)
        parts = self.interval(arrivals)
        self._over_time += np.bincount(parts * len(CAUSES) + causes, minlength=len(self._over_time))
        places = parts * (BUCKETS // COARSER) + buckets // COARSER
        self._durations_over_time += np.bincount(places, minlength=len(self._durations_over_time))
        is_counted = arrivals >= self._from_ms
        codes, causes, took_ms, buckets = (
            codes[is_counted],
            causes[is_counted],
            took_ms[is_counted],
            buckets[is_counted],
        )
        self._by_instance += np.bincount(codes, minlength=len(self._by_instance))
        self._by_duration += np.bincount(causes * BUCKETS + buckets, minlength=len(self._by_duration))
        np.maximum.at(self._max_ms, causes, took_ms)

    def interval(self, at_ms: Any) -> Any:
        """The part of the run that an instant, or each of an array, is in; what comes after its end is in the last."""
        return np.minimum(np.asarray(at_ms) * (INTERVALS / self._duration_ms), INTERVALS - 1).astype(np.int64)

    def by_instance(self) -> dict[str, tuple[int, int]]:
        """How many requests that came to each instance were answered, and how many of them were hits."""
        self._flush()
        rows = self._by_instance.reshape(-1, len(CAUSES))
        return {name: (int(row.sum()), int(row[HITS].sum())) for name, row in zip(self._codes, rows, strict=True)}

    def latency(self) -> dict[Cause, Histogram]:
        """How long answers took, by cause."""
        self._flush()
        rows = self._by_duration.reshape(-1, BUCKETS)
        return {cause: Histogram(rows[at], float(self._max_ms[at])) for at, cause in enumerate(CAUSES)}

    def all_latency(self) -> Histogram:
        """How long all answers took."""
        self._flush()
        return Histogram(self._by_duration.reshape(-1, BUCKETS).sum(axis=0), float(self._max_ms.max()))

    def over_time(self) -> tuple[list[int], list[int], list[float]]:
        """For each interval by arrival: answers, of these cold starts, and what 99 % took no longer than, in ms."""
        self._flush()
        counts = self._over_time.reshape(-1, len(CAUSES))
        rows = self._durations_over_time.reshape(INTERVALS, -1)
        p99 = [Histogram(row, np.inf, PER_DOUBLING // COARSER).quantile_ms(0.99) for row in rows]
        return counts.sum(axis=1).tolist(), counts[:, HITS.stop].tolist(), p99
