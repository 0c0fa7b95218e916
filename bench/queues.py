"""How far the simulator's queues are from Erlang's formula: `python -m bench.queues [--seeds N] [--requests N]`.

One instance whose one model is there, requests at random instants (Poisson), exponential service, ``c`` at once and the
others in order: M/M/c, of which the mean wait and the share that waits are known.
"""

from __future__ import annotations

import argparse
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import factorial
from statistics import fmean

import numpy as np

from meshcore.commands import Command
from sim.arrivals import arrivals
from sim.given import Ending
from sim.mesh import Mesh
from sim.plane import Server
from sim.scenario import Scenario
from sim.world import build

MEAN_MS = 10.0
LOADS, SERVERS = (0.5, 0.8), (1, 4)
WITHIN = 0.02
SKIPPED = 1000
"""Requests at first, while the queue fills."""
NO_WAIT_MS = 1e-6


@dataclass(frozen=True, slots=True)
class Waits:
    """The mean wait as a part of the mean service time, and the share of requests that wait at all."""

    mean: float
    share: float


def erlang(load: float, servers: int) -> Waits:
    """What queueing theory says (Erlang C) where each server is busy for ``load`` of its time."""
    offered = load * servers
    all_busy = offered**servers / factorial(servers) / (1 - load)
    share = all_busy / (sum(offered**n / factorial(n) for n in range(servers)) + all_busy)
    return Waits(share / (servers * (1 - load)), share)


class Ends:
    """Keeps when requests came and when they were over."""

    def __init__(self) -> None:
        self.spans: list[tuple[float, float]] = []

    def answered(self, instance: str, is_forwarded: bool, arrivals: array[float], ends: array[float]) -> None:
        self.spans += zip(arrivals, ends, strict=True)

    def ended(self, ending: Ending) -> None: ...

    def left(self, instance: str, arrival: float) -> None: ...

    def commanded(self, instance: str, command: Command) -> None: ...


def simulated(load: float, servers: int, requests: int, seed: int) -> Waits:
    """What the simulator shows."""
    scenario = Scenario.model_validate(
        {
            "seed": seed,
            "duration_s": 31_622_400.0,
            "instances": {"count": 1, "capacity": 1 << 30},
            "models": {"count": 1, "size": 1 << 20},
            "runtime": {
                "load": {"base_ms": 1},
                "service": {"mean_ms": MEAN_MS, "shape": "exponential"},
                "concurrency": servers,
            },
            "traffic": {"workload": "zipf", "requests_per_s": load * servers * 1000 / MEAN_MS, "requests": requests},
        }
    )
    worked: list[float] = []
    world, ends = build(scenario), Ends()
    mesh = Mesh(replace(world, server=lambda name: _noting(world.server(name), servers, worked)), ends)
    mesh.play(arrivals(scenario))
    kept = requests - SKIPPED  # served in the order in which they came, so that the last of both belong together
    spans = np.array(sorted(ends.spans))[-kept:]
    waits = spans[:, 1] - spans[:, 0] - np.array(worked)[-kept:]
    return Waits(float(waits.mean()) / MEAN_MS, float((waits > NO_WAIT_MS).mean()))


def _noting(server: Server, servers: int, worked: list[float]) -> Server:
    """Works as ``server`` does, and notes for how long."""

    def noted() -> Iterator[float]:
        for service_ms in server.service_ms:
            worked.append(service_ms)
            yield service_ms

    return Server(servers, noted())


def main() -> None:
    """Print each case beside the formula, and whether it is within the limit."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--requests", type=int, default=1_000_000)
    chosen = parser.parse_args()
    for load in LOADS:
        for servers in SERVERS:
            runs = [simulated(load, servers, chosen.requests, seed) for seed in range(1, chosen.seeds + 1)]
            found, known = (
                Waits(fmean(run.mean for run in runs), fmean(run.share for run in runs)),
                erlang(load, servers),
            )
            off = max(abs(found.mean / known.mean - 1), abs(found.share / known.share - 1))
            print(
                f"load {load}, {servers} at once: mean wait {found.mean:.4f} of {known.mean:.4f},"
                f" share that waits {found.share:.4f} of {known.share:.4f}: off by {off:.2%},"
                f" {'met' if off <= WITHIN else 'not met'}",
                flush=True,
            )


if __name__ == "__main__":
    main()
