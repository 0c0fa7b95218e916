"""From what each request met to a few figures, and the figures of both sides beside each other."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True, slots=True)
class Answer:
    """One request of the live mesh; ``planned_ms`` from the start, ``late_ms`` until it was sent.

    ``failure`` is the status that it ended with; empty: it was answered, by the runtime of ``by``.
    """

    planned_ms: float
    entry: str
    model: int
    late_ms: float
    took_ms: float
    by: str = ""
    failure: str = ""


def cold_ones(answers: Sequence[Answer], cold: Mapping[str, int]) -> list[Answer]:
    """The answers that waited for a load: of each entry as many as it counted, those that took longest.

    The mesh does not tell a client whether its request waited, but counts it. ValueError where it counted more than
    there are.
    """
    found: list[Answer] = []
    for entry, count in cold.items():
        here = sorted((each for each in answers if each.entry == entry and not each.failure), key=_took, reverse=True)
        if count > len(here):
            raise ValueError(f"{entry} counted {count} cold starts among {len(here)} answers")
        found += here[:count]
    return found


def _took(answer: Answer) -> float:
    return answer.took_ms


def quantile(values: Iterable[float], part: float) -> float:
    """The value that ``part`` of all are not above; NaN for none."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(part * len(ordered))) - 1] if ordered else math.nan


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run comes to; waits are without the time that the runtime works on a request."""

    answered: int
    failed: int
    cold_starts: int
    wait_p50_ms: float
    wait_p99_ms: float

    @property
    def hit_rate(self) -> float:
        return 1 - self.cold_starts / self.answered if self.answered else math.nan


def live_figures(answers: Sequence[Answer], cold: Mapping[str, int], warmup_ms: float, service_ms: float) -> Figures:
    """Of the requests that were to come after the warm-up; ``cold`` is what each entry counted of all."""
    counted = [answer for answer in answers if answer.planned_ms >= warmup_ms]
    waits = [answer.took_ms - service_ms for answer in cold_ones(answers, cold) if answer.planned_ms >= warmup_ms]
    failed = sum(bool(answer.failure) for answer in counted)
    return Figures(len(counted) - failed, failed, len(waits), quantile(waits, 0.5), quantile(waits, 0.99))


def simulated_figures(data: Mapping[str, Any], service_ms: float) -> Figures:
    """The same of a simulation's summary."""
    cold = data["latency_ms"]["cold"]
    waits = (cold["p50"] - service_ms, cold["p99"] - service_ms) if cold["count"] else (math.nan, math.nan)
    return Figures(data["answered"], sum(data["failed"].values()), data["cold_starts"], *waits)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: live as the median, the least and the most of the runs; how far the simulation is off, and may be."""

    name: str
    live: float
    least: float
    most: float
    simulated: float
    off: float
    limit: float
    unit: str
    """Of ``off`` and ``limit``."""

    @property
    def is_met(self) -> bool:
        return abs(self.off) <= self.limit


POINTS, PERCENT, REQUESTS = "points", "%", "requests"
_ROWS = (
    ("hit rate %", lambda it: 100 * it.hit_rate, POINTS, 1.0),
    ("cold starts", lambda it: float(it.cold_starts), PERCENT, 5.0),
    ("wait p50 ms", lambda it: it.wait_p50_ms, PERCENT, 15.0),
    ("wait p99 ms", lambda it: it.wait_p99_ms, PERCENT, 15.0),
    ("failed", lambda it: float(it.failed), REQUESTS, 0.0),
)


def compare(live: Sequence[Figures], simulated: Sequence[Figures]) -> list[Row]:
    """The medians of both sides; a figure that one side does not have is not met."""
    rows = []
    for name, value, unit, limit in _ROWS:
        seen, told = [value(each) for each in live], median(value(each) for each in simulated)
        middle = median(seen)
        off = 100 * (told / middle - 1) if unit is PERCENT and middle else told - middle
        rows.append(Row(name, middle, min(seen), max(seen), told, off, limit, unit))
    return rows
