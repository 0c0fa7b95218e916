"""As a cache alone, the mesh's own rules miss exactly as often as libCacheSim."""

from __future__ import annotations

from typing import Any

import libcachesim
import pytest

from meshcore.units import UNIT_BYTES
from sim import ScenarioError
from sim.reading import parse_scenario
from tests.sim.cache_traces import EQUAL, TRACES, UNEQUAL, misses, played, theirs

CAPACITY = 120 * UNIT_BYTES
CASES = [(trace, is_equal) for trace in TRACES for is_equal in (True, False)]


@pytest.mark.parametrize(("trace", "is_equal"), CASES)
def test_lru_misses_exactly_as_often_as_libcachesim_s(trace: str, is_equal: bool) -> None:
    data, sizes = played(trace, is_equal, CAPACITY), EQUAL if is_equal else UNEQUAL
    assert misses(data) == theirs(libcachesim.LRU, TRACES[trace](), sizes, CAPACITY)
    assert data["evictions"] > 50
    assert data["loads"] == data["cold_starts"]


@pytest.mark.parametrize(("trace", "is_equal"), [("drift", False)])
def test_lfu_misses_exactly_as_often_as_libcachesim_s(trace: str, is_equal: bool) -> None:
    data, sizes = played(trace, is_equal, CAPACITY, "mesh+lfu"), EQUAL if is_equal else UNEQUAL
    assert misses(data) == theirs(libcachesim.LFU, TRACES[trace](), sizes, CAPACITY)


@pytest.mark.parametrize(("rules", "kind"), [("mesh+gdsf", libcachesim.GDSF), ("mesh+s3fifo", libcachesim.S3FIFO)])
def test_others_miss_about_as_often(rules: str, kind: Any) -> None:
    """They differ in whom they take where two count the same, and in where the first copies of all come."""
    found, known = misses(played("loops", True, CAPACITY, rules)), theirs(kind, TRACES["loops"](), EQUAL, CAPACITY)
    assert abs(found - known) <= 0.01 * known
    assert found < 0.95 * misses(played("loops", True, CAPACITY)), "and less often than by age"


def test_a_model_larger_than_the_memory_is_a_miss_and_changes_nothing() -> None:
    data = played("zipf", False, CAPACITY)
    assert data["failed"] == {"INTERNAL": TRACES["zipf"]().count(5)}
    assert data["load_failures"] == 0


@pytest.mark.parametrize("trace", TRACES)
def test_the_bound_is_what_belady_s_rule_misses(trace: str) -> None:
    at_least = played(trace, True, CAPACITY)["at_least"]
    assert at_least == {"loads": theirs(libcachesim.Belady, TRACES[trace](), EQUAL, CAPACITY), "by": "MIN"}


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("instances: {count: 2, capacity: 1 GiB}", "instances.count: 2 must be 1 where mode is cache"),
        ("warmup_s: 1", "warmup_s: must be left out where mode is cache, as no time goes by in it"),
        ("mode: cash", "mode: 'cash' must be 'mesh' or 'cache'"),
    ],
)
def test_what_a_cache_has_not_is_refused(wrong: str, said: str) -> None:
    lines = {
        "mode": "mode: cache",
        "duration_s": "duration_s: 10",
        "instances": "instances: {count: 1, capacity: 1 GiB}",
        "models": "models: {count: 3, size: 10 MiB}",
        "runtime": "runtime: {load: {base_ms: 1}, service: {mean_ms: 1}}",
        "traffic": "traffic: {requests_per_s: 1}",
    }
    lines[wrong.partition(":")[0]] = wrong
    with pytest.raises(ScenarioError) as told:
        parse_scenario("\n".join(lines.values()), "a.yaml")
    (problem,) = told.value.problems
    assert problem.endswith(f": {said}")
