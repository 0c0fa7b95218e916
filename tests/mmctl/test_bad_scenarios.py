"""Scenarios and traces that cannot be, from the command line: one line with file, place and what is allowed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmctl.__main__ import run
from tests.sim.trace_files import HEADER

SCENARIO = """\
duration_s: 10
instances: {count: 2, capacity: 1 GiB}
models: {count: 3, size: 1 MiB}
runtime: {load: {base_ms: 1}, service: {mean_ms: 1}}
traffic: {workload: zipf, requests_per_s: 1}
"""
REPLAY = """\
instances: {count: 1, capacity: 1 GiB}
runtime: {load: {base_ms: 1}, service: {mean_ms: 1}}
traffic: {workload: trace, path: t}
"""
MODEL, EVENT = {"model": "a", "size_bytes": 5}, {"t": 5, "m": "a"}
SIZES = "must be a whole number of bytes from 1 to"


def refused(folder: Path, scenario: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What is said of it after the file's name."""
    (folder / "s.yaml").write_text(scenario)
    assert run(["simulate", str(folder / "s.yaml")]) == 2
    shown = capsys.readouterr()
    assert (shown.out, shown.err.count("\n")) == ("", 1)
    before = f"error: {folder}/s.yaml"
    assert shown.err.startswith(before)
    return shown.err.removeprefix(before).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("scenario", "said"),
    [
        (SCENARIO + "settings: [1\n", ":7:1: expected ',' or ']', but got '<stream end>'"),
        (SCENARIO + "seed:\t7\n", ":6:6: found character '\\t' that cannot start any token"),
        (SCENARIO + "duration_s: 20\n", ":6:1: duration_s is given twice"),
        ("just words\n", ": must be a mapping with the keys seed, start, duration_s, "),
        (SCENARIO + "warmup: 3\n", ":6: warmup: unknown key, did you mean warmup_s; allowed: seed, start, "),
        (
            SCENARIO.replace("{base_ms: 1}", "{base_ms: 1, bandwith: 5}"),
            ":4: runtime.load.bandwith: unknown key, did you mean bandwidth; allowed: base_ms, bandwidth, ",
        ),
        (SCENARIO.replace("count: 2", "count: -1"), ":2: instances.count: -1 must be greater than or equal to 1"),
        (SCENARIO.replace("1 MiB", "0"), ":3: models.size: 0 must be greater than or equal to 1"),
        (
            SCENARIO.replace("1 GiB", "a lot"),
            ":2: instances.capacity: 'a lot' must be a number of bytes, or one with a",
        ),
        (SCENARIO.replace("mean_ms: 1", "mean_ms: .inf"), ":4: runtime.service.mean_ms: inf must be a finite number"),
        (SCENARIO.replace("duration_s: 10\n", ""), ": duration_s: is missing"),
        (
            SCENARIO + "kills:\n  - {instance: instance-0, at_s: 1}\n  - {instance: instance-7, at_s: 2}\n",
            ":8: kills.1.instance: 'instance-7' must be one of instance-0 to instance-1",
        ),
        (SCENARIO + "warmup_s: 10\n", ":6: warmup_s: 10 must be less than duration_s, 10"),
    ],
)
def test_a_scenario_that_cannot_be_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], scenario: str, said: str
) -> None:
    assert refused(tmp_path, scenario, capsys).startswith(said)


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([HEADER, MODEL, EVENT], "line 3: the trace is cut: its last line must be the one with end"),
        ([HEADER, MODEL, '{"t": 5, "m'], "line 3: the line is cut: it does not end"),
        (
            [HEADER, MODEL, EVENT, EVENT | {"t": 4}, {"end": 2, "t": 5}],
            "line 4: t: 4 must not be less than the one before, 5",
        ),
        (["time,model\n", "1,a\n"], "line 1: must be a JSON object; other formats are read by mmctl trace convert"),
        ([HEADER, MODEL | {"size_bytes": 0}], f"line 2: size_bytes: 0 {SIZES}"),
        ([HEADER, MODEL, EVENT | {"k": "load", "size": 0}], f"line 3: size: 0 {SIZES}"),
        ([HEADER, MODEL, EVENT | {"t": -1}], "line 3: t: -1 must be milliseconds from 0 to"),
        ([HEADER, MODEL, EVENT | {"s": -1}], "line 3: s: -1 must be milliseconds from 0 to"),
        ([HEADER, MODEL, EVENT | {"siez": 5}], "line 3: siez: unknown key, did you mean size; allowed: t, k, m, "),
    ],
)
def test_a_trace_that_cannot_be_played_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], lines: list[Any], said: str
) -> None:
    text = "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines)
    (tmp_path / "t").write_text(text)
    assert refused(tmp_path, REPLAY, capsys).startswith(f":3: traffic.path: t: {said}")
