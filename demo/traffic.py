"""Which model is asked for when, with which row: the same from run to run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from demo.training import Model
from demo.zoo import SEED
from sim.workloads.zipf import Zipf

REQUESTS = 3_000
REQUESTS_PER_S = 75.0
ALPHA = 1.0
FOREVER_MS = 1e12


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: row ``row`` of model number ``model``, ``at_s`` after the start."""

    at_s: float
    model: int
    row: int


def traffic(models: Sequence[Model], requests: int = REQUESTS) -> list[Ask]:
    """Requests at random instants, Zipf among the models: half of them are for a few."""
    rng = Random(SEED)
    zipf = Zipf(requests_per_s=REQUESTS_PER_S, alpha=ALPHA, requests=requests)
    return [
        Ask(at_ms / 1000, number, rng.randrange(len(models[number].rows)))
        for instants, numbers in zipf.arrivals(SEED, len(models), FOREVER_MS)
        for at_ms, number in zip(instants, numbers, strict=True)
    ]
