"""Many runs from the command line: set, compared, kept when they are interrupted, tuned."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from mmctl.__main__ import run
from sim.sweep_state import Kept
from tests.sim.small import SMALL
from tests.sim.trace_files import write

MMCTL = [sys.executable, "-m", "mmctl"]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0})  # tests have processes enough
    return tmp_path / "state" / "mmctl" / "runs"


@pytest.fixture
def small(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(SMALL)
    return str(file)


def test_values_are_combined_and_shown_beside_each_other(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["simulate", small, "--set", "instances.count=2,3", "--set", "eviction=lru,cost"]
    assert run(command) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[0].split("  ") [-4:] == [
        "count=2 eviction=lru", "count=2 eviction=cost", "count=3 eviction=lru", "count=3 eviction=cost",
    ]  # fmt: skip
    assert "count=3 eviction=cost: " in shown.err
    assert "(4 of 4)" in shown.err
    assert run([*command, "-o", "csv"]) == 0
    shown = capsys.readouterr()
    rows = list(csv.DictReader(StringIO(shown.out)))
    assert [(row["instances.count"], row["eviction"]) for row in rows] == [
        (count, eviction) for count in ("2", "3") for eviction in ("lru", "cost")
    ]
    assert "4 of 4 runs were finished before and are not played again" in shown.err
    assert run([*command, "-o", "json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert listed[0]["set"] == {"instances.count": 2, "eviction": "lru"}
    assert [str(each["hit_rate"]) for each in listed] == [row["hit_rate"] for row in rows]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--set", "instances.cuont=3"],
            "small.yaml with models.count=20, instances.cuont=3: instances.cuont: unknown key, did",
        ),
        (["--set", "instances.count=0"], "instances.count: 0 must be greater than or equal to 1"),
        (["--set", "seed"], "--set 'seed' must be path=value or path=value,value"),
        (["--set", "seed=1", "--set", "seed=2"], "--set seed is given twice"),
        (
            ["--set", "network.delay_ms=1,2", "--set", "network={delay_ms: 3}"],
            "--set network and --set network.delay_ms: one is in the other",
        ),
        (["--report", "nowhere/at/all.html"], "--report nowhere/at/all.html: there is no directory nowhere/at"),
    ],
)
def test_what_cannot_be_is_told_in_a_line_before_anything_is_played(
    small: str, state: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["simulate", small, "--set", "models.count=20,21", *options]) == 2
    shown = capsys.readouterr()
    assert (shown.out, state.exists()) == ("", False)
    assert told in shown.err
    assert "Traceback" not in shown.err


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["interrupted", "killed"])
def test_a_sweep_that_is_ended_keeps_what_is_finished_and_goes_on(
    how: signal.Signals, small: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second of the runs would take many minutes; what goes on after the end plays another in its place."""
    sweep = ["simulate", small, "-o", "csv", "--set"]
    command = [*MMCTL, *sweep, "duration_s=6,1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as ended:
        assert ended.stderr is not None
        assert "(1 of 2)" in ended.stderr.readline()
        ended.send_signal(how)
        out, err = ended.communicate()  # returns when the processes that play have ended, too
    assert out == ""
    if how is signal.SIGINT:
        assert ended.returncode == 130
        assert err.splitlines()[-1].endswith(
            "interrupted; 1 of 2 runs are finished and kept, the same command goes on from there"
        )
    assert run([*sweep, "duration_s=6,7"]) == 0
    again = capsys.readouterr()
    assert again.err.splitlines()[0] == "1 of 2 runs were finished before and are not played again"
    monkeypatch.setenv("XDG_STATE_HOME", f"{small}.state")
    assert run([*sweep, "duration_s=6,7"]) == 0
    assert capsys.readouterr().out == again.out


def test_where_nothing_can_be_kept_that_is_said(small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "state").write_text("a file")
    assert run(["simulate", small, "--set", "seed=1,2"]) == 1
    (line,) = capsys.readouterr().err.splitlines()  # and none of a run: nothing is played
    assert line.endswith("finished runs cannot be kept there: Not a directory")


def test_a_trace_that_is_changed_between_two_runs_is_a_failure_and_what_is_finished_is_kept(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = write(tmp_path / "t", [{"model": "a", "size_bytes": 1}], [{"t": 1, "m": "a"}])
    text = SMALL.replace("models:", "x:").replace("traffic:", "y:")
    kept = "\n".join(line for line in text.splitlines() if not line.startswith(("x:", "y:")))
    Path(small).write_text(f"{kept}\ntraffic: {{workload: trace, path: t}}\n")
    put = Kept.put

    def changing(self: Kept, key: str, data: dict[str, Any]) -> None:
        put(self, key, data)
        write(trace, [{"model": "a", "size_bytes": 1}, {"model": "b", "size_bytes": 1}], [{"t": 1, "m": "b"}])

    monkeypatch.setattr(Kept, "put", changing)
    assert run(["simulate", small, "--set", "seed=1,2", "-o", "json"]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines()[-1].startswith(f"error: {trace}: was changed while it was read; 1 of 2 runs are")


def test_a_report_is_written_beside_what_is_printed(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "report.html"
    assert run(["simulate", small, "--report", str(file)]) == 0
    assert capsys.readouterr().out.startswith("answered ")
    text = file.read_text(encoding="utf-8")
    assert "<h1>Is it small?</h1>" in text
    assert [each.name for each in tmp_path.iterdir() if "fresh" in each.name] == []


def test_a_mistake_of_the_file_is_told_once_for_all_values(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path(small).write_text(SMALL + "sede: 3\n")
    assert run(["simulate", small, "--set", "models.count=20,21,0"]) == 2
    first, second = capsys.readouterr().err.splitlines()
    line = SMALL.count("\n") + 1
    assert first.startswith(f"error: {small}:{line}: sede: unknown key, did you mean seed; ")
    assert second == f"{small} with models.count=0: models.count: 0 must be greater than or equal to 1"


@pytest.mark.parametrize(
    ("name", "code", "said"),
    [
        ("dir", 2, "is a directory, and would be replaced"),
        ("small.yaml", 2, "is what is read, and would be replaced"),
        ("x" * 251, 1, "cannot be written: File name too long"),  # with what is added while it is not whole
    ],
)
def test_a_report_that_cannot_be_written_is_told_of_in_a_line(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, code: int, said: str
) -> None:
    (tmp_path / "dir").mkdir()
    assert run(["simulate", small, "--report", str(tmp_path / name)]) == code
    assert capsys.readouterr().err.splitlines()[-1] == f"error: --report {tmp_path / name}: {said}"


def test_without_plotly_nothing_is_played_for_a_report(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    assert run(["simulate", small, "--report", str(tmp_path / "a.html")]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert 'pip install "meshd[report]"' in shown.err


def test_tune_finds_the_fewest_instances_and_says_why_not_fewer(
    small: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "tuned.html"
    command = ["tune", small, "--slo", "cold_start_rate<15%", "--seeds", "2", "--most", "6"]
    assert run([*command, "--report", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["instances", "memory", "hit", "rate", "cold", "starts", "cold_start_rate<15%", "met"]
    (said,) = [line for line in lines if "is the least that meets all limits with 2 seeds" in line]
    found = int(said.split()[0])
    assert any(line.startswith(f"With {found - 1} instances, cold_start_rate<15% is missed: ") for line in lines)
    assert "<h2>By size</h2>" in file.read_text(encoding="utf-8")
    assert run([*command, "-o", "json"]) == 0
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["found"] == found
    by_value = {point["value"]: point for point in told["points"]}
    assert (by_value[found]["is_met"], by_value[found - 1]["is_met"]) == (True, False)
    assert [each["seed"] for each in by_value[found]["runs"]] == [7, 8]
    assert "warm requests" not in shown.err


def test_tune_says_why_no_size_is_enough(small: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["tune", small, "--vary", "instances.capacity", "--slo", "cold_start_rate<0.01%", "--seeds", "1"]
    assert run([*command, "--most", "96 MiB", "--step", "16 MiB"]) == 1
    shown = capsys.readouterr()
    assert "No size up to 0.094 GiB of each instance meets all limits." in shown.out
    assert "No size up to 0.094 GiB" in shown.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--slo", "cold_starts_rate<1%"],
            "there is no metric cold_starts_rate, did you mean cold_start_rate;",
        ),
        (
            ["--slo", "hit_rate>90%", "--slo", "hit_rate<80%"],
            "--slo 'hit_rate<80%' and 'hit_rate>90%' cannot both be met",
        ),
        (["--slo", "latency_p99<200"], "200 must be a number with ms or s or min"),
        (["--slo", "hit_rate>1%", "--most", "0"], "--most 0: must be at least 1"),
        (["--slo", "hit_rate>1%", "--step", "x"], "--step x: must be a number of bytes"),
        (["--slo", "hit_rate>1%", "--most", "1001"], "instances.count: 1001 must be less than or equal to 1000"),
        (
            ["--slo", "hit_rate>1%", "--rules", "mash"],
            "--rules: 'mash' has no rules that there are",
        ),
    ],
)
def test_tune_refuses_what_makes_no_sense(
    small: str, state: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["tune", small, *options]) == 2
    shown = capsys.readouterr()
    assert (shown.out, state.exists()) == ("", False)
    assert told in shown.err
