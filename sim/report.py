"""A run's summary for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sim.world import Result, Speed

MIB = 1 << 20


def as_json(result: Result) -> str:
    """The summary as JSON: the same bytes for the same scenario."""
    return json.dumps(result.data, indent=2) + "\n"


def as_table(result: Result) -> str:
    """The summary in aligned columns."""
    data = result.data
    failed = ", ".join(f"{count:,} {code}" for code, count in data["failed"].items()) or "0"
    head = [
        ("answered", f"{data['answered']:,}"),
        ("failed", failed),
        ("hit rate", _percent(data["hit_rate"])),
        ("cold starts", f"{data['cold_starts']:,}"),
        ("loads", f"{data['loads']:,}"),
        ("  at least, by any rules", _at_least(data)),
        ("load failures", f"{data['load_failures']:,}"),
        ("evictions", f"{data['evictions']:,}"),
        ("second copies", f"{data['second_copies']:,}"),
        ("scale-ups", f"{data['scale_ups']:,}"),
        ("scale-downs", f"{data['scale_downs']:,}"),
        ("most copies", f"{data['most_copies']:,}"),
        ("accepted, most of a share", _times(data["spread"]["accepted"]["by_loaders"])),
    ]
    latency = [("latency (ms)", *next(iter(data["latency_ms"].values())))]
    latency += [(cause, *map(_number, found.values())) for cause, found in data["latency_ms"].items()]
    instances: list[tuple[str, ...]] = [
        ("instance", "models", "MiB", "of", "answered", "hit rate", "loads", "failures", "evictions")
    ]
    instances += [_instance(row) for row in data["instances"]]
    return "\n".join("".join(f"{line}\n" for line in aligned(rows)) for rows in (head, latency, instances))


def as_comparison(results: Mapping[str, Result]) -> str:
    """The same scenario by several rules, a column for each."""
    rows: list[tuple[str, ...]] = [("", *results)]
    rows += [(name, *(show(result.data) for result in results.values())) for name, show in COMPARED]
    return "".join(f"{line}\n" for line in aligned(rows))


def speed_line(speed: Speed) -> str:
    """How fast this machine simulated."""
    warm, bare = speed.warm_requests_per_s, speed.simpy_timeouts_per_s
    return f"{warm:,.0f} warm requests and {bare:,.0f} bare simpy timeouts per second of CPU time"


def aligned(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows as lines: the first column to the left, the others to the right."""
    table = list(rows)
    first, *others = [max(map(len, column)) for column in zip(*table, strict=True)]
    return [
        "  ".join([name.ljust(first), *(cell.rjust(width) for cell, width in zip(cells, others, strict=True))])
        for name, *cells in table
    ]


def _instance(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["instance"],
        f"{row['models']:,}",
        f"{row['used_bytes'] // MIB:,}",
        f"{row['capacity_bytes'] // MIB:,}",
        f"{row['answered']:,}",
        _percent(row["hit_rate"]),
        f"{row['loads']:,}",
        f"{row['load_failures']:,}",
        f"{row['evictions']:,}",
    )


def _percent(part: float | None) -> str:
    return "-" if part is None else f"{part * 100:.2f} %"


def _times(share: float | None) -> str:
    return "-" if share is None else f"{share:.2f} x"


def _at_least(data: dict[str, Any]) -> str:
    loads, by = data["at_least"]["loads"], data["at_least"]["by"]
    return str(by) if loads is None else f"{loads:,} ({by})"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _most(name: str) -> Callable[[dict[str, Any]], str]:
    return lambda data: f"{max(row[name] for row in data['instances']):,}"


def _spread(what: str, by: str) -> Callable[[dict[str, Any]], str]:
    return lambda data: _times(data["spread"][what][by])


def _cold(part: str) -> Callable[[dict[str, Any]], str]:
    return lambda data: _number(data["latency_ms"]["cold"][part])


COMPARED: tuple[tuple[str, Callable[[dict[str, Any]], str]], ...] = (
    ("answered", lambda data: f"{data['answered']:,}"),
    ("hit rate", lambda data: _percent(data["hit_rate"])),
    ("loads", lambda data: f"{data['loads']:,}"),
    ("  at least, by any rules", _at_least),
    ("evictions", lambda data: f"{data['evictions']:,}"),
    ("most loads accepted by one", _most("accepted")),
    ("  of its share by loaders", _spread("accepted", "by_loaders")),
    ("  of its share by capacity", _spread("accepted", "by_capacity")),
    ("most loads queued and running on one", _most("peak_loads")),
    ("  of its share by loaders", _spread("peak_loads", "by_loaders")),
    ("  of its share by capacity", _spread("peak_loads", "by_capacity")),
    ("cold start, median (ms)", _cold("p50")),
    ("cold start, slowest (ms)", _cold("max")),
)
