"""What a run showed, as plain values."""

from __future__ import annotations

from statistics import fmean
from typing import Any

from meshcore.reasons import Rule
from meshcore.units import UNIT_BYTES
from sim.answers import INTERVALS
from sim.histogram import Histogram
from sim.measure import Measure
from sim.mesh import Mesh
from sim.scenario import Scenario
from sim.spread import most_of_share
from sim.watch import Watch


def summary(scenario: Scenario, mesh: Mesh, measure: Measure, watch: Watch) -> dict[str, Any]:
    """What was seen, as plain values; rates and milliseconds are rounded to what they mean."""
    latency = {cause.value: _percentiles(histogram) for cause, histogram in measure.answers.latency().items()}
    tallies = measure.tallies.values()
    came, served = measure.answers.by_instance(), watch.served()
    answered, hits = (sum(column) for column in zip(*came.values(), strict=True))
    failed = sum(measure.failed.values())
    commits, publishes, conflicts = watch.stored()
    copies, most_copies = watch.counted(watch.copies), max(measure.most_copies, watch.copies_at_first)
    instances = []
    for instance, requests in zip(mesh.instances, served, strict=True):
        tally, cache = measure.tallies[instance.name], instance.node.cache
        answered_here, hits_here = came[instance.name]
        instances.append(
            {
                "instance": instance.name,
                "models": cache.count,
                "used_bytes": cache.used_units * UNIT_BYTES,
                "capacity_bytes": cache.capacity_units * UNIT_BYTES,
                "answered": answered_here,
                "hit_rate": _rate(hits_here, answered_here),
                "served": requests,
                "loads": tally.loads,
                "load_failures": tally.load_failures,
                "evictions": tally.evictions,
                "accepted": instance.node.publisher.accepted,
                "peak_loads": instance.node.peak_loads,
            }
        )
    return {
        "seed": scenario.seed,
        "measured_s": scenario.duration_s - scenario.warmup_s,
        "answered": answered,
        "failed": dict(sorted(measure.failed.items())),
        "hit_rate": _rate(hits, answered),
        "cold_starts": answered - hits,
        "cold_start_rate": _rate(answered - hits, answered),
        "failure_rate": _rate(failed, answered + failed),
        "loads": sum(tally.loads for tally in tallies),
        "load_failures": sum(tally.load_failures for tally in tallies),
        "evictions": sum(tally.evictions for tally in tallies),
        "reloads_within_5min": measure.reloads,
        "second_copies": measure.scaling[Rule.SECOND_COPY],
        "scale_ups": measure.scaling[Rule.SCALE_UP],
        "scale_downs": measure.scaling[Rule.SCALE_DOWN],
        "copies": {"mean": round(fmean(copies), 3) if copies else None, "max": most_copies},
        "memory": _memory(watch.counted(watch.memory)),
        "store": {"commits": commits, "publishes": publishes, "conflicts": conflicts},
        "spread": _spread(mesh, served),
        "latency_ms": {**latency, "all": _percentiles(measure.answers.all_latency())},
        "instances": instances,
        "series": _series(scenario.duration_s, measure, watch),
    }


def _memory(parts: list[float]) -> dict[str, float | None]:
    """The part of all memory that was in use."""
    if not parts:
        return {"mean": None, "max": None}
    return {"mean": round(fmean(parts), 4), "max": round(max(parts), 4)}


def _series(duration_s: float, measure: Measure, watch: Watch) -> dict[str, Any]:
    """The run in equal parts, the warm-up included: a number for each, None where there is nothing to tell."""
    answered, cold, p99_ms = measure.answers.over_time()
    failures = measure.failures_over_time
    return {
        "interval_s": round(duration_s / INTERVALS, 6),
        "requests": [count + failed for count, failed in zip(answered, failures, strict=True)],
        "failures": failures,
        "hit_rate": [_rate(count - waited, count) for count, waited in zip(answered, cold, strict=True)],
        "cold_starts": cold,
        "p99_ms": [round(p99, 1) if count else None for p99, count in zip(p99_ms, answered, strict=True)],
        "loads": measure.loads_over_time,
        "evictions": measure.evictions_over_time,
        "memory": [None if part is None else round(part, 4) for part in watch.memory],
        "copies": [None if mean is None else round(mean, 3) for mean in watch.copies],
    }


def _spread(mesh: Mesh, served: list[int]) -> dict[str, dict[str, float | None]]:
    """How evenly loads and requests came to the instances, by how many they load at a time and what they can hold."""
    nodes = [instance.node for instance in mesh.instances]
    weights = {
        "loaders": [node.cache.params.load_threads for node in nodes],
        "capacity": [node.cache.capacity_units for node in nodes],
    }
    counts = {
        "accepted": [node.publisher.accepted for node in nodes],
        "peak_loads": [node.peak_loads for node in nodes],
        "served": served,
    }
    return {
        what: {f"by_{by}": most_of_share(each, weight) for by, weight in weights.items()}
        for what, each in counts.items()
    }


def _percentiles(histogram: Histogram) -> dict[str, int | float]:
    parts = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
    found = {name: round(histogram.quantile_ms(part), 2) for name, part in parts.items()}
    return {"count": histogram.count, **found, "max": round(histogram.max_ms, 2)}


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
