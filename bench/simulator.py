"""What simulated requests cost: `python -m bench.simulator` says of each limit whether it is met.

A warm request is compared with a bare simpy timeout of the same run, as CPU times differ from machine to machine. It is
measured from when all models are loaded and the first block of requests is played, before which the models are named
and ranked. `--long` also plays 10,000,000 requests.
"""

from __future__ import annotations

import argparse
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from statistics import median
from time import process_time

from sim import parse_scenario
from sim.arrivals import arrivals
from sim.collector import spare
from sim.given import Arrivals
from sim.measure import Measure
from sim.mesh import Mesh
from sim.workloads.blocks import BLOCK
from sim.world import bare_timeouts_per_s, build

CALM_S = 40
"""Between the first request for each model and what is measured."""
RATE = 2000
"""Requests a second, however many instances there are."""
MOST_TIMEOUTS, MOST_BYTES, MOST_BY_INSTANCES, MOST_BY_MODELS = 4.0, 10**9, 1.5, 2.0

SCENARIO = """
seed: 1
duration_s: {duration_s}
instances: {{count: {instances}, capacity: {capacity} MiB, default_model_size: 16 MiB}}
models: {{count: {models}, size: 32 MiB}}
runtime:
  load: {{base_ms: 10}}
  service: {{mean_ms: 5, cv: 0.5}}
traffic: {{workload: zipf, requests_per_s: {rate}, alpha: 0.9}}
"""


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time of a request, in microseconds: that of the loop that serves it, and with all that the instances do."""

    requests: int
    inline_us: float
    whole_us: float
    timeout_us: float
    peak_bytes: int

    @property
    def timeouts(self) -> float:
        """The loop's, in bare simpy timeouts."""
        return self.inline_us / self.timeout_us


def cost(instances: int, models: int, requests: int) -> Cost:
    """Of warm requests: all models fit, and each is asked for once before it begins. In a process of its own, as what
    one figure leaves behind in memory should not tell on the next."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        return apart.submit(_cost, instances, models, requests).result()


def _cost(instances: int, models: int, requests: int) -> Cost:
    spare()  # as processes do that play runs
    text = SCENARIO.format(
        duration_s=(BLOCK + requests) // RATE, instances=instances, models=models, rate=RATE,
        capacity=max(512, 4 * 32 * models // instances),
    )  # fmt: skip
    scenario = parse_scenario(text, "bench")
    world = build(scenario)
    mesh: Mesh
    begin_ms = models * 1000 // RATE + CALM_S * 1000
    measure = Measure(world.instances, 0, begin_ms + scenario.duration_s * 1000, lambda: mesh.env.now)
    mesh = Mesh(world, measure)
    began_s = eventful_s = 0.0
    count = 0

    def traffic() -> Iterator[Arrivals]:
        nonlocal count, began_s, eventful_s
        for at, model in enumerate(scenario.model_ids()):
            yield (at * 1000 / RATE,), (model,), (at % instances,)
        for number, (instants, names, entries) in enumerate(arrivals(scenario)):
            if number == 1:
                began_s, eventful_s = process_time(), mesh.eventful_s
            count += len(entries) if number else 0
            yield [begin_ms + at for at in instants], names, entries

    mesh.play(traffic())
    whole_s, eventful_s = process_time() - began_s, mesh.eventful_s - eventful_s
    timeout_us = median(1e6 / bare_timeouts_per_s() for _ in range(5))
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return Cost(count, (whole_s - eventful_s) / count * 1e6, whole_s / count * 1e6, timeout_us, peak_bytes)


def told(what: str, is_met: bool) -> bool:
    """Print one line."""
    print(f"{what}: {'met' if is_met else 'not met'}", flush=True)
    return is_met


def shown(each: Cost) -> str:
    """A cost for people."""
    return (
        f"{each.inline_us:.2f} us a warm request, {each.whole_us:.2f} us with what instances do about it;"
        f" a bare timeout {each.timeout_us:.2f} us"
    )


def main() -> int:
    """Exit code 1 where a limit is not met."""
    parser = argparse.ArgumentParser(prog="python -m bench.simulator", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=400_000, help="for each figure (400,000)")
    parser.add_argument("--long", action="store_true", help="also 10,000,000 requests on 50 instances")
    given = parser.parse_args()
    usual = cost(20, 1000, given.requests)
    is_met = told(
        f"20 instances, 1,000 models: {shown(usual)}: {usual.timeouts:.1f} timeouts, at most {MOST_TIMEOUTS:g}",
        usual.timeouts <= MOST_TIMEOUTS,
    )
    few, many = cost(10, 1000, given.requests), cost(200, 1000, given.requests)
    growth = many.inline_us / few.inline_us
    is_met &= told(
        f"10 instances: {shown(few)}; 200 instances: {shown(many)}: {growth:.2f} x, below {MOST_BY_INSTANCES:g}",
        growth < MOST_BY_INSTANCES,
    )
    large = cost(20, 100_000, given.requests)
    growth = large.inline_us / usual.inline_us
    is_met &= told(f"100,000 models: {shown(large)}: {growth:.2f} x, below {MOST_BY_MODELS:g}", growth < MOST_BY_MODELS)
    if given.long:
        long = cost(50, 1000, 10_000_000)
        is_met &= told(
            f"{long.requests:,} requests on 50 instances: {shown(long)}; {long.peak_bytes / 1e6:,.0f} MB at most,"
            f" below {MOST_BYTES / 1e6:,.0f}",
            long.peak_bytes < MOST_BYTES,
        )
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
