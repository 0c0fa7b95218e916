"""The numbers that runs are compared by, by name: what they are, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Data = Mapping[str, Any]
"""A run's summary."""


class Unit(StrEnum):
    """What a number is; it decides how it is shown, and which units a limit may be given in."""

    PART = "%"  # of 1
    MS = "ms"
    PER_S = "/s"
    COUNT = ""
    TIMES = "x"


@dataclass(frozen=True, slots=True)
class Metric:
    """``of`` takes it from a summary; None: there is nothing to tell."""

    title: str
    unit: Unit
    of: Callable[[Data], float | None]


def shown(value: float | None, unit: Unit) -> str:
    """A number with its unit."""
    match unit:
        case _ if value is None:
            return "-"
        case Unit.PART:
            return f"{value * 100:.2f} %"
        case Unit.MS:
            return f"{value:,.0f} ms" if value >= 100 else f"{value:,.2f} ms"
        case Unit.PER_S:
            return f"{value:,.3g} /s" if value < 100 else f"{value:,.0f} /s"
        case Unit.TIMES:
            return f"{value:.2f} x"
        case _:
            return f"{value:,}"


def failed(data: Data) -> int:
    """Requests without an answer."""
    return sum(data["failed"].values())


def _per_s(name: str) -> Callable[[Data], float]:
    return lambda data: round(data[name] / data["measured_s"], 6)


def _latency(cause: str, part: str) -> Callable[[Data], float | None]:
    """None where there is no answer of that cause."""
    return lambda data: data["latency_ms"][cause][part] if data["latency_ms"][cause]["count"] else None


_QUANTILES = {"p50": "median", "p90": "90 %", "p95": "95 %", "p99": "99 %", "p999": "99.9 %", "max": "slowest"}

METRICS: Mapping[str, Metric] = {
    "answered": Metric("answered", Unit.COUNT, lambda data: data["answered"]),
    "failed": Metric("failed", Unit.COUNT, failed),
    "failure_rate": Metric("failure rate", Unit.PART, lambda data: data["failure_rate"]),
    "hit_rate": Metric("hit rate", Unit.PART, lambda data: data["hit_rate"]),
    "cold_starts": Metric("cold starts", Unit.COUNT, lambda data: data["cold_starts"]),
    "cold_start_rate": Metric("cold start rate", Unit.PART, lambda data: data["cold_start_rate"]),
    **{
        f"cold_start_wait_{part}": Metric(f"cold start, {title}", Unit.MS, _latency("cold", part))
        for part, title in _QUANTILES.items()
    },
    **{
        f"latency_{part}": Metric(f"latency, {title}", Unit.MS, _latency("all", part))
        for part, title in _QUANTILES.items()
    },
    "loads": Metric("loads", Unit.COUNT, lambda data: data["loads"]),
    "loads_per_s": Metric("loads a second", Unit.PER_S, _per_s("loads")),
    "loads_at_least": Metric("loads, at least by any rules", Unit.COUNT, lambda data: data["at_least"]["loads"]),
    "load_failures": Metric("load failures", Unit.COUNT, lambda data: data["load_failures"]),
    "evictions": Metric("evictions", Unit.COUNT, lambda data: data["evictions"]),
    "evictions_per_s": Metric("evictions a second", Unit.PER_S, _per_s("evictions")),
    "reloads_within_5min": Metric("reloads within 5 min", Unit.COUNT, lambda data: data["reloads_within_5min"]),
    "memory_used": Metric("memory used, mean", Unit.PART, lambda data: data["memory"]["mean"]),
    "memory_used_max": Metric("memory used, most", Unit.PART, lambda data: data["memory"]["max"]),
    "copies": Metric("copies of a model, mean", Unit.COUNT, lambda data: data["copies"]["mean"]),
    "most_copies": Metric("copies of a model, most", Unit.COUNT, lambda data: data["copies"]["max"]),
    "load_spread": Metric("loads, most of a share", Unit.TIMES, lambda data: data["spread"]["accepted"]["by_loaders"]),
    "request_spread": Metric(
        "requests, most of a share", Unit.TIMES, lambda data: data["spread"]["served"]["by_capacity"]
    ),
    "store_commits": Metric("store: writes of models", Unit.COUNT, lambda data: data["store"]["commits"]),
    "store_publishes": Metric("store: writes of instances", Unit.COUNT, lambda data: data["store"]["publishes"]),
    "store_conflicts": Metric("store: conflicts", Unit.COUNT, lambda data: data["store"]["conflicts"]),
}
"""All of them, in the order in which they are listed."""
