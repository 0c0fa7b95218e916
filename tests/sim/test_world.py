"""Whole runs, small enough to follow by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest

from sim import Result, ScenarioError, parse_scenario, run
from sim.report import as_json, as_table, speed_line

SMALL = """
duration_s: 60
instances: {count: 1, capacity: 1 GiB, default_model_size: 16 MiB}
models: {count: 1, size: 100 MiB}
runtime:
  load: {base_ms: 500, bandwidth: 200 MiB}
  service: {mean_ms: 2}
traffic: {requests_per_s: 10}
settings: {min_churn_age_ms: 0}
"""

SEVERAL = SMALL.replace("count: 1,", "count: 3,", 1).replace("models: {count: 1,", "models: {count: 40,")


def played(text: str) -> Result:
    return run(parse_scenario(text, "a.yaml"))


def data(text: str) -> dict[str, Any]:
    return played(text).data


def test_the_first_request_waits_for_the_load_and_the_others_do_not() -> None:
    """The load takes 500 ms and 100 MiB at 200 MiB/s, another 500 ms; before it a size is predicted (1 ms) and the
    copy is registered (3 ms); after it the runtime works for 2 ms."""
    told = data(SMALL)
    assert told["loads"] == 1
    assert told["latency_ms"]["cold"]["max"] == pytest.approx(1006, abs=1)
    assert told["cold_starts"] == told["latency_ms"]["cold"]["count"] == pytest.approx(10, abs=5)
    assert told["latency_ms"]["local"]["p50"] == pytest.approx(2.0, rel=0.01)
    assert told["answered"] == pytest.approx(600, abs=75)
    assert told["failed"] == {}
    assert told["instances"][0]["models"] == 1
    assert told["instances"][0]["used_bytes"] == 100 << 20


def test_a_warm_up_leaves_only_hits() -> None:
    told = data(SMALL + "warmup_s: 10")
    assert told["hit_rate"] == 1.0
    assert told["loads"] == 0
    assert told["answered"] == pytest.approx(500, abs=70)


def test_a_request_that_comes_to_another_instance_is_passed_on_for_two_network_delays() -> None:
    told = data(SMALL.replace("count: 1,", "count: 2,", 1) + "warmup_s: 10\nnetwork: {delay_ms: 7}")
    assert told["latency_ms"]["local"]["p50"] == pytest.approx(2.0, rel=0.01)
    assert told["latency_ms"]["forwarded"]["p50"] == pytest.approx(2 + 2 * 7, rel=0.01)
    assert told["cold_starts"] == 0


def test_models_that_do_not_fit_together_are_evicted() -> None:
    told = data(SMALL.replace("models: {count: 1,", "models: {count: 12,"))
    assert told["evictions"] > 10
    assert told["loads"] == pytest.approx(told["evictions"] + told["instances"][0]["models"], abs=3)
    assert told["failed"] == {}


def test_scripted_failures_fail_requests_and_end_with_their_time() -> None:
    failing = SMALL + "failures: [{model: model-0, until_s: 20}]\n"
    told = data(failing.replace("settings: {", "settings: {failure_expiry_ms: 5000, "))
    assert told["failed"]["INTERNAL"] == pytest.approx(200, abs=60)
    assert told["load_failures"] >= 1
    assert told["answered"] > 300


def test_a_load_beyond_the_loading_timeout_fails() -> None:
    told = data(SMALL.replace("capacity:", "loading_timeout_ms: 900, capacity:"))
    assert told["answered"] == 0
    assert sum(told["failed"].values()) > 500


def test_a_model_larger_than_the_instance_fails_without_a_load() -> None:
    told = data(SMALL.replace("100 MiB}", "3 GiB}"))
    assert told["loads"] == 0
    assert told["answered"] == 0
    assert told["latency_ms"]["cold"]["count"] == 0


def test_a_client_without_patience_goes_away_while_the_load_goes_on() -> None:
    told = data(SMALL.replace("requests_per_s: 10", "requests_per_s: 10, patience_ms: 300"))
    assert told["failed"]["CLIENT_LEFT"] >= 1
    assert told["loads"] == 1
    assert told["latency_ms"]["cold"]["max"] <= 301


def test_traffic_may_end_by_count() -> None:
    assert data(SMALL.replace("requests_per_s: 10", "requests_per_s: 10, requests: 25"))["answered"] == 25


def test_requests_queue_for_the_runtime() -> None:
    """One at a time, 80 ms each, ten a second: the runtime is busy for 80 % of the time, so half wait."""
    busy = SMALL.replace("mean_ms: 2}", "mean_ms: 80}\n  concurrency: 1")
    told = data(busy + "warmup_s: 10")
    assert told["latency_ms"]["local"]["p99"] > 200


def test_a_fleet_that_no_runtime_could_be_is_refused() -> None:
    with pytest.raises(
        ScenarioError, match="instances: The model server reports capacityInBytes = 1048576; it must be"
    ):
        data(SMALL.replace("1 GiB", "1 MiB"))


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not() -> None:
    first, second, other = played(SEVERAL), played(SEVERAL), played(SEVERAL + "seed: 9")
    assert as_json(first) == as_json(second) != as_json(other)


def test_the_bytes_do_not_depend_on_how_python_hashes() -> None:
    program = f"import sim, sim.report; sys_out = sim.report.as_json(sim.run(sim.parse_scenario({SEVERAL!r}, 'a')))"
    outputs = [
        subprocess.run(
            [sys.executable, "-c", f"{program}; print(sys_out)"],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            timeout=300,
        ).stdout
        for seed in ("0", "4711")
    ]
    assert outputs[0] == outputs[1] != b""


def test_the_table_shows_what_the_json_says() -> None:
    result = played(SMALL)
    table = as_table(result)
    assert f"answered                   {result.data['answered']:,}\n" in table
    assert "instance-0       1  100" in table
    blocks = [block.splitlines() for block in table.split("\n\n")]
    assert len(blocks) == 3
    assert all(len({len(line) for line in block}) == 1 for block in blocks[1:]), "columns are aligned"


def test_speed_is_said_apart_from_the_data() -> None:
    result = played(SMALL)
    assert result.speed.warm_requests_per_s > 0
    assert result.speed.simpy_timeouts_per_s > 0
    assert "bare simpy timeouts per second of CPU time" in speed_line(result.speed)
    assert "speed" not in result.data
