"""What a run showed, as plain values."""

from __future__ import annotations

from typing import Any

from meshcore.reasons import Rule
from meshcore.units import UNIT_BYTES
from sim.measure import Cause, Histogram, Measure
from sim.mesh import Mesh
from sim.scenario import Scenario
from sim.spread import most_of_share


def summary(scenario: Scenario, mesh: Mesh, measure: Measure) -> dict[str, Any]:
    """What was seen, as plain values; rates and milliseconds are rounded to what they mean."""
    latency = {cause.value: _percentiles(measure.latency[cause]) for cause in Cause}
    tallies = measure.tallies.values()
    answered, hits = sum(tally.answered for tally in tallies), sum(tally.hits for tally in tallies)
    instances = []
    for instance in mesh.instances:
        tally, cache = measure.tallies[instance.name], instance.node.cache
        instances.append(
            {
                "instance": instance.name,
                "models": cache.count,
                "used_bytes": cache.used_units * UNIT_BYTES,
                "capacity_bytes": cache.capacity_units * UNIT_BYTES,
                "answered": tally.answered,
                "hit_rate": _rate(tally.hits, tally.answered),
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
        "loads": sum(tally.loads for tally in tallies),
        "load_failures": sum(tally.load_failures for tally in tallies),
        "evictions": sum(tally.evictions for tally in tallies),
        "second_copies": measure.scaling[Rule.SECOND_COPY],
        "scale_ups": measure.scaling[Rule.SCALE_UP],
        "scale_downs": measure.scaling[Rule.SCALE_DOWN],
        "most_copies": measure.most_copies,
        "spread": _spread(mesh),
        "latency_ms": latency,
        "instances": instances,
    }


def _spread(mesh: Mesh) -> dict[str, dict[str, float | None]]:
    """How evenly loads came to the instances, by how many they load at a time and by what they can hold."""
    nodes = [instance.node for instance in mesh.instances]
    weights = {
        "loaders": [node.cache.params.load_threads for node in nodes],
        "capacity": [node.cache.capacity_units for node in nodes],
    }
    counts = {
        "accepted": [node.publisher.accepted for node in nodes],
        "peak_loads": [node.peak_loads for node in nodes],
    }
    return {
        what: {f"by_{by}": most_of_share(each, weight) for by, weight in weights.items()}
        for what, each in counts.items()
    }


def _percentiles(histogram: Histogram) -> dict[str, int | float]:
    parts = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
    found = {name: round(histogram.quantile_ms(part), 2) for name, part in parts.items()}
    return {"count": histogram.count, **found, "max": round(histogram.max_ms, 2)}


def _rate(part: int, whole: int) -> float | None:
    return round(part / whole, 6) if whole else None
