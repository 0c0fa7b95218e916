"""What the eviction policies make of the same traffic, in simulated time: `python -m bench.eviction [--seeds N]`.

Each row is the sum over the seeds of one scenario; hit rate, cold starts and waits are those of docs/simulator.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any

from meshcore.eviction import EVICT_ORDERS
from sim import run
from sim.report import aligned
from sim.scenario import Scenario

MIB, GIB = 1 << 20, 1 << 30
MEASURED_S, WARMUP_S = 900, 300
REQUESTS_PER_S = 10.0


def scenario(seed: int, policy: str, sizes: Sequence[int], traffic: Mapping[str, Any]) -> Scenario:
    """Three instances of 1 GiB; a load takes 0.2 s and a second for each 200 MiB."""
    return Scenario.model_validate(
        {
            "seed": seed,
            "duration_s": float(MEASURED_S),
            "warmup_s": float(WARMUP_S),
            "instances": {"count": 3, "capacity": GIB, "default_model_size": 32 * MIB},
            "models": {"count": len(sizes), "sizes": list(sizes)},
            "runtime": {
                "load": {"base_ms": 200, "bandwidth": 200 * MIB},
                "service": {"mean_ms": 5.0, "cv": 0.5},
                "concurrency": 4,
            },
            "traffic": traffic,
            "eviction": policy,
            "settings": {"min_churn_age_ms": 0},
        }
    )


def zipf(seed: int, policy: str) -> Scenario:
    """300 models of 32 MiB, of which a good quarter fits."""
    return scenario(
        seed, policy, [32 * MIB] * 300, {"workload": "zipf", "requests_per_s": REQUESTS_PER_S, "alpha": 0.9}
    )


def giant(seed: int, policy: str) -> Scenario:
    """300 models of 8 to 64 MiB and one of 512 MiB, which is asked for twice a minute."""
    rng = Random(f"{seed}/giant")
    sizes = [8 * MIB << rng.randrange(4) for _ in range(300)]
    calls = popular(rng, 300, REQUESTS_PER_S)
    calls += [(at * 1000.0, 300) for at in range(7, MEASURED_S, 30)]
    return scenario(seed, policy, [*sizes, 512 * MIB], recorded(calls))


def scan(seed: int, policy: str) -> Scenario:
    """300 models of 32 MiB; every 150 s somebody asks for 100 others, once each, in 20 s."""
    rng = Random(f"{seed}/scan")
    calls = popular(rng, 300, REQUESTS_PER_S)
    for start in range(320, MEASURED_S, 150):
        calls += [(start * 1000.0 + 200.0 * number, 300 + number) for number in range(100)]
    return scenario(seed, policy, [32 * MIB] * 400, recorded(calls))


def drift(seed: int, policy: str) -> Scenario:
    """300 models of 32 MiB; every 150 s others are popular."""
    rng = Random(f"{seed}/drift")
    calls = []
    for start in range(0, MEASURED_S, 150):
        end_ms = (start + 150) * 1000
        calls += [call for call in popular(rng, 300, REQUESTS_PER_S) if start * 1000 <= call[0] < end_ms]
    return scenario(seed, policy, [32 * MIB] * 300, recorded(calls))


def popular(rng: Random, models: int, requests_per_s: float) -> list[tuple[float, int]]:
    """Poisson arrivals (ms, model); the k-th most popular of a shuffled list is asked for in proportion to 1/k^0.9."""
    names = list(range(models))
    rng.shuffle(names)
    weights = [rank**-0.9 for rank in range(1, models + 1)]
    at, found = 0.0, []
    while (at := at + rng.expovariate(requests_per_s)) < MEASURED_S:
        found.append(at * 1000)
    return list(zip(found, rng.choices(names, weights, k=len(found)), strict=True))


def recorded(calls: list[tuple[float, int]]) -> dict[str, Any]:
    calls.sort()
    return {"workload": "recorded", "at_ms": [at for at, _ in calls], "models": [model for _, model in calls]}


SCENARIOS: Mapping[str, Callable[[int, str], Scenario]] = {
    "zipf, equal sizes": zipf,
    "mixed sizes, one giant": giant,
    "scan of cold models": scan,
    "popularity changes": drift,
}


def row(make: Callable[[int, str], Scenario], policy: str, seeds: int) -> tuple[str, ...]:
    """One scenario under one policy."""
    found = [run(make(seed, policy)).data for seed in range(1, seeds + 1)]
    answered, cold = sum(each["answered"] for each in found), sum(each["cold_starts"] for each in found)
    waited_s = sum(each["latency_ms"]["cold"]["count"] * each["latency_ms"]["cold"]["p50"] for each in found) / 1000
    failed = sum(sum(each["failed"].values()) for each in found)
    worst = max(each["latency_ms"]["cold"]["p99"] for each in found)
    return (
        f"{100 * (answered - cold) / answered:.1f} %", f"{cold:,}", f"{sum(each['loads'] for each in found):,}",
        f"{waited_s:,.0f} s", f"{worst / 1000:.2f} s", f"{failed:,}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.eviction", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=2, metavar="N", help="runs of each scenario (2)")
    seeds = parser.parse_args().seeds
    rows: list[Sequence[str]] = [
        ("scenario", "policy", "hit rate", "cold starts", "loads", "waits", "p99 wait", "failed")
    ]
    for name, make in SCENARIOS.items():
        rows += [(name, policy, *row(make, policy, seeds)) for policy in EVICT_ORDERS]
    print("\n".join(aligned(rows)))


if __name__ == "__main__":
    main()
