"""Small traces for a cache, the same every time, and what libCacheSim makes of them."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import libcachesim
import numpy as np

from meshcore.units import UNIT_BYTES
from sim import run
from sim.scenario import Scenario

MODELS, LENGTH = 80, 500
EQUAL = [4 * UNIT_BYTES] * MODELS
UNEQUAL = [UNIT_BYTES * (1 + number * number % 37) for number in range(MODELS)]
UNEQUAL[5] = 1000 * UNIT_BYTES
"""Larger than any cache here."""


def _popular(seed: int) -> list[int]:
    shares = np.cumsum(np.arange(1, MODELS + 1) ** -0.9)
    draws = np.random.Generator(np.random.PCG64(seed)).random(LENGTH)
    numbers: list[int] = np.searchsorted(shares / shares[-1], draws).tolist()
    return numbers


def zipf() -> list[int]:
    """Few are popular."""
    return _popular(1)


def loops() -> list[int]:
    """In between, many in turn."""
    popular = iter(_popular(2))
    return [(at * 7 // 5) % MODELS if at // 60 % 2 else next(popular) for at in range(LENGTH)]


def drift() -> list[int]:
    """Others are popular after a while."""
    return [(number + at // 10) % MODELS for at, number in enumerate(_popular(3))]


TRACES: dict[str, Callable[[], list[int]]] = {"zipf": zipf, "loops": loops, "drift": drift}


def theirs(kind: Any, trace: list[int], sizes: list[int], capacity: int) -> int:
    """libCacheSim's misses."""
    following: dict[int, int] = {}
    again = [0] * len(trace)
    for at in range(len(trace) - 1, -1, -1):
        again[at] = following.get(trace[at], 1 << 40)
        following[trace[at]] = at
    cached = kind(cache_size=capacity)
    requests = (
        libcachesim.Request(obj_size=sizes[number], obj_id=number, clock_time=at, next_access_vtime=again[at])
        for at, number in enumerate(trace)
    )
    return sum(not cached.get(request) for request in requests)


@cache
def played(trace: str, is_equal: bool, capacity: int, rules: str = "mesh") -> dict[str, Any]:
    """The summary of a trace played as a cache."""
    numbers = TRACES[trace]()
    scenario = {
        "mode": "cache",
        "duration_s": 10.0,
        "instances": {"count": 1, "capacity": capacity},
        "models": {"count": MODELS, "sizes": EQUAL if is_equal else UNEQUAL},
        "runtime": {"load": {"base_ms": 500}, "service": {"mean_ms": 50.0}},
        "traffic": {"workload": "recorded", "at_ms": [5.0] * len(numbers), "models": numbers},
    }
    return run(Scenario.model_validate(scenario), rules).data


def misses(data: dict[str, Any]) -> int:
    """Requests that were no hits."""
    answered: int = data["answered"]
    return LENGTH - (answered - int(data["cold_starts"]))
