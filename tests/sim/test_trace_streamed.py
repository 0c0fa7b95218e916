"""Traces that are larger than the memory that there is for them: nobody keeps more than a piece."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from sim import parse_scenario
from sim.arrivals import arrivals
from sim.traces import REGISTRY, order
from sim.traces.convert import convert
from sim.traces.gather import gather
from sim.traces.inspect import inspect
from sim.traces.rows import Options
from tests.sim.trace_files import write

EVENTS = 6_000
MODEL = "m" * 1000
"""So that a file of few lines is large."""
MOST_BYTES = 2 << 20


def replay(path: Path) -> int:
    text = (
        "instances: {count: 1, capacity: 1 GiB}\nruntime: {load: {base_ms: 1}, service: {mean_ms: 1}}\n"
        f"traffic: {{workload: trace, path: {path.name}}}\n"
    )
    return sum(len(instants) for instants, _, _ in arrivals(parse_scenario(text, str(path.with_name("s.yaml")))))


def joined(path: Path) -> int:
    return gather([path, path], path.with_name("out")) // 2


def inspected(path: Path) -> int:
    return int(inspect(path, 10)["events"])


def from_table(path: Path) -> int:
    table = path.with_name("in")
    with table.open("w") as file:
        file.write("time,model\n")
        file.writelines(f"{EVENTS - number},{MODEL}\n" for number in range(EVENTS))
    return convert(table, path.with_name("out"), REGISTRY["csv"], Options(), sort=True)


@pytest.mark.parametrize("read", [replay, joined, inspected, from_table])
def test_no_more_than_a_piece_of_a_large_trace_is_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], int]
) -> None:
    monkeypatch.setattr(order, "PIECE_ROWS", 500)
    path = write(tmp_path / "t", [{"model": MODEL, "size_bytes": 5}], ({"t": at, "m": MODEL} for at in range(EVENTS)))
    assert path.stat().st_size > 5 << 20
    tracemalloc.start()
    try:
        assert read(path) == EVENTS
        assert tracemalloc.get_traced_memory()[1] < MOST_BYTES
    finally:
        tracemalloc.stop()
