"""Runs' summaries for people and for programs: tables, JSON and CSV."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from sim.metrics import METRICS, Data, Metric, Unit, shown
from sim.sweep_paths import Plan, written
from sim.world import Result, Speed

MIB = 1 << 20
SIDE_BY_SIDE = 6
"""Runs that have a column each; more have a line each."""


def as_json(result: Result) -> str:
    """The summary as JSON: the same bytes for the same scenario."""
    return json.dumps(result.data, indent=2) + "\n"


def as_table(result: Result) -> str:
    """The summary in aligned columns."""
    data = result.data
    statuses = ", ".join(f"{count:,} {code}" for code, count in data["failed"].items()) or "0"
    copies, memory, store = data["copies"], data["memory"], data["store"]
    writes = f"{store['commits']:,} of models, {store['publishes']:,} of instances, {store['conflicts']:,} conflicts"
    head = [
        ("answered", f"{data['answered']:,}"),
        ("failed", statuses),
        ("hit rate", _percent(data["hit_rate"])),
        ("cold starts", f"{data['cold_starts']:,}"),
        ("loads", f"{data['loads']:,}"),
        ("  at least, by any rules", _at_least(data)),
        ("load failures", f"{data['load_failures']:,}"),
        ("evictions", f"{data['evictions']:,}"),
        ("reloads within 5 min", f"{data['reloads_within_5min']:,}"),
        ("second copies", f"{data['second_copies']:,}"),
        ("scale-ups", f"{data['scale_ups']:,}"),
        ("scale-downs", f"{data['scale_downs']:,}"),
        ("copies of a model", f"{shown(copies['mean'], Unit.COUNT)}, at most {copies['max']:,}"),
        ("memory used", f"{_percent(memory['mean'])}, at most {_percent(memory['max'])}"),
        ("accepted, most of a share", shown(data["spread"]["accepted"]["by_loaders"], Unit.TIMES)),
        ("served, most of a share", shown(data["spread"]["served"]["by_capacity"], Unit.TIMES)),
        ("writes to the store", writes),
    ]
    width = max(len(name) for name, _ in head)
    latency = [("latency (ms)", *next(iter(data["latency_ms"].values())))]
    latency += [(cause, *map(_number, found.values())) for cause, found in data["latency_ms"].items()]
    instances: list[tuple[str, ...]] = [
        ("instance", "models", "MiB", "of", "answered", "hit rate", "served", "loads", "failures", "evictions")
    ]
    instances += [_instance(row) for row in data["instances"]]
    lines = [f"{name:{width}}  {value}" for name, value in head]
    return "\n".join("".join(f"{line}\n" for line in part) for part in (lines, aligned(latency), aligned(instances)))


def as_comparison(results: Mapping[str, Result]) -> str:
    """Runs beside each other: a column for each, of many a line for each."""
    if len(results) <= SIDE_BY_SIDE:
        rows: list[tuple[str, ...]] = [("", *results)]
        rows += [
            (metric.title, *(shown(metric.of(result.data), metric.unit) for result in results.values()))
            for metric in COMPARED
        ]
    else:
        chosen = [METRICS[name] for name in IN_A_LINE]
        rows = [("", *(metric.title for metric in chosen))]
        rows += [
            (label, *(shown(metric.of(result.data), metric.unit) for metric in chosen))
            for label, result in results.items()
        ]
    return "".join(f"{line}\n" for line in aligned(rows))


def as_csv(planned: Sequence[Plan], results: Sequence[Result]) -> str:
    """A line for each run: what it was, then every metric; rates are parts of 1, times are milliseconds."""
    paths = [path for path in dict.fromkeys(path for plan in planned for path in plan.changes) if path != "seed"]
    out = StringIO()
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow(["scenario", "rules", "seed", *paths, *METRICS])
    for plan, result in zip(planned, results, strict=True):
        changes = [written(plan.changes[path]) if path in plan.changes else "" for path in paths]
        values = [metric.of(result.data) for metric in METRICS.values()]
        lines.writerow([plan.source, plan.rules, plan.scenario.seed, *changes, *values])
    return out.getvalue()


def as_values(planned: Sequence[Plan], results: Sequence[Result]) -> list[dict[str, Any]]:
    """Each run's summary after what it was."""
    return [
        {"scenario": plan.source, "rules": plan.rules, **({"set": plan.changes} if plan.changes else {}), **result.data}
        for plan, result in zip(planned, results, strict=True)
    ]


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
        f"{row['served']:,}",
        f"{row['loads']:,}",
        f"{row['load_failures']:,}",
        f"{row['evictions']:,}",
    )


def _percent(part: float | None) -> str:
    return shown(part, Unit.PART)


def _at_least(data: dict[str, Any]) -> str:
    loads, by = data["at_least"]["loads"], data["at_least"]["by"]
    return str(by) if loads is None else f"{loads:,} ({by})"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"


def _most(name: str) -> Callable[[Data], float | None]:
    return lambda data: max(row[name] for row in data["instances"])


def _spread(what: str, by: str) -> Callable[[Data], float | None]:
    return lambda data: data["spread"][what][by]


IN_A_LINE = (
    "answered", "failure_rate", "hit_rate", "cold_starts", "cold_start_wait_p99", "latency_p99", "evictions",
    "memory_used",
)  # fmt: skip

COMPARED: Sequence[Metric] = (
    METRICS["answered"],
    METRICS["failed"],
    METRICS["hit_rate"],
    METRICS["cold_starts"],
    METRICS["latency_p50"],
    METRICS["latency_p99"],
    METRICS["cold_start_wait_p50"],
    METRICS["cold_start_wait_p99"],
    METRICS["cold_start_wait_max"],
    METRICS["loads"],
    METRICS["loads_at_least"],
    METRICS["evictions"],
    METRICS["reloads_within_5min"],
    METRICS["memory_used"],
    METRICS["copies"],
    METRICS["store_commits"],
    METRICS["store_conflicts"],
    METRICS["request_spread"],
    Metric("most loads accepted by one", Unit.COUNT, _most("accepted")),
    Metric("  of its share by loaders", Unit.TIMES, _spread("accepted", "by_loaders")),
    Metric("  of its share by capacity", Unit.TIMES, _spread("accepted", "by_capacity")),
    Metric("most loads queued and running on one", Unit.COUNT, _most("peak_loads")),
    Metric("  of its share by loaders", Unit.TIMES, _spread("peak_loads", "by_loaders")),
    Metric("  of its share by capacity", Unit.TIMES, _spread("peak_loads", "by_capacity")),
)
