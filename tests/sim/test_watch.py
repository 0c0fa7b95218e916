"""What a look at the mesh tells, on worlds that are small enough to count by hand."""

from __future__ import annotations

from typing import Any

import pytest

from sim import parse_scenario, run
from sim.answers import INTERVALS

BURST = """
duration_s: 60
warmup_s: {warmup_s}
instances: {{count: {count}, capacity: 100 MiB, default_model_size: 1 MiB}}
models: {{count: 4, size: 9 MiB}}
runtime: {{load: {{base_ms: 1000}}, service: {{mean_ms: 5}}}}
traffic: {{workload: burst, at_ms: 20000}}
settings: {{fill_period_ms: 0}}
"""


def played(count: int = 1, warmup_s: float = 0) -> dict[str, Any]:
    return run(parse_scenario(BURST.format(count=count, warmup_s=warmup_s), "a")).data


def test_memory_and_copies_are_those_of_the_instances_while_the_run_lasts() -> None:
    """Four models come into memory at 20 s, and the run is over when they have answered."""
    data = played()
    series, instance = data["series"], data["instances"][0]
    assert series["interval_s"] == 0.5
    full = round(instance["used_bytes"] / instance["capacity_bytes"], 4)
    assert series["memory"][:40] == [0.0] * 40
    assert series["memory"][40] == pytest.approx(full, abs=0.001)
    assert series["copies"][:42] == [None] * 40 + [1.0, 1.0]
    assert series["memory"][42:] == series["copies"][42:] == [None] * (INTERVALS - 42)
    assert data["memory"]["max"] == max(part for part in series["memory"] if part is not None)
    assert data["copies"] == {"mean": 1.0, "max": 1}


def test_requests_loads_and_waits_are_in_the_interval_of_their_arrival() -> None:
    series = played()["series"]
    for name in ("requests", "cold_starts", "loads"):
        assert series[name] == [0] * 40 + [4] + [0] * (INTERVALS - 41)
    assert series["hit_rate"] == [None] * 40 + [0.0] + [None] * (INTERVALS - 41)
    assert series["p99_ms"][40] == pytest.approx(1020, rel=0.03)


def test_each_request_is_served_by_one_instance() -> None:
    data = played(count=2)
    served = [row["served"] for row in data["instances"]]
    assert sum(served) == data["answered"] == 4
    assert data["spread"]["served"]["by_loaders"] == max(served) / 2


def test_each_load_is_a_write_of_a_model_and_each_instance_writes_itself() -> None:
    """A copy is written when its load is begun; that it is there is written when it is."""
    data = played()
    assert data["store"]["commits"] >= data["loads"] == 4
    assert data["store"]["publishes"] >= 1
    assert data["store"]["conflicts"] == 0


def test_what_was_written_and_served_in_the_warm_up_is_left_out() -> None:
    """An instance hears each second of what its runtime got, so that is known to the second."""
    text = BURST.format(count=1, warmup_s=19).replace("burst, at_ms: 20000", "zipf, requests_per_s: 5")
    late, whole = (run(parse_scenario(text.replace("warmup_s: 19", f"warmup_s: {at}"), "a")).data for at in (19, 0))
    assert whole["store"]["commits"] > 0 == late["store"]["commits"]
    assert 0 < late["instances"][0]["served"] < whole["instances"][0]["served"]
    assert late["instances"][0]["served"] == pytest.approx(late["answered"], abs=10)
    assert late["series"] == whole["series"]


def test_how_far_a_run_is_is_told_in_equal_steps() -> None:
    told: list[float] = []
    run(parse_scenario(BURST.format(count=1, warmup_s=0), "a"), told=told.append)
    assert told == [number / INTERVALS for number in range(1, 43)]


def test_copies_that_were_there_when_the_warm_up_ended_count() -> None:
    steady = BURST.format(count=1, warmup_s=30).replace("workload: burst, at_ms: 20000", "requests_per_s: 5")
    assert run(parse_scenario(steady, "a")).data["copies"] == {"mean": 1.0, "max": 1}
