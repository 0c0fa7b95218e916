"""Traces from the command line: put together, converted, looked into, and refused with one line."""

from __future__ import annotations

import json
import os
import resource
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

import sim.traces.gather as gather_module
from mmctl.__main__ import run
from mmctl.local.home import Home
from mmctl.local.state import MESHD, Service, State
from sim.problems import TraceError
from sim.traces.files import read_trace
from sim.traces.gather import gather
from sim.traces.survey import Survey
from tests.sim.trace_files import HEADER, lines, write, write_lines

MODEL = {"model": "a", "type": "t"}


def told(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, what stands on stdout, words on stderr."""
    code = run(["trace", *map(str, arguments)])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def two(folder: Path) -> tuple[Path, Path]:
    """What two instances recorded, the second half a second after the first."""
    first = [
        {"t": 0, "m": "a", "at": "i0", "o": "cold", "ms": 90, "w": 80},
        {"t": 80, "m": "a", "k": "load", "at": "i0", "ms": 70, "size": 4096},
        {"t": 700, "m": "a", "at": "i0", "o": "hit", "ms": 9, "s": 8},
    ]
    second = [{"t": 100, "m": "b", "at": "i1", "o": "NOT_FOUND"}, {"t": 300, "m": "a", "at": "i1", "o": "hit", "s": 6}]
    start_ms = HEADER["start_ms"]
    assert isinstance(start_ms, int)
    return (
        write(folder / "i0.jsonl", [MODEL], first),
        write(folder / "i1.jsonl", [MODEL, {"model": "b"}], second, start_ms=start_ms + 500, by="i1"),
    )


MERGED: list[dict[str, Any]] = [
    HEADER | {"by": "a test, i1"},
    {"model": "a", "type": "t", "size_bytes": 4096, "load_ms": 70.0, "service_ms": 8.0},
    {"model": "b"},
    {"t": 0, "m": "a", "at": "i0", "o": "cold", "ms": 90, "w": 80},
    {"t": 80, "k": "load", "m": "a", "at": "i0", "ms": 70, "size": 4096},
    {"t": 600, "m": "b", "at": "i1", "o": "NOT_FOUND"},
    {"t": 700, "m": "a", "at": "i0", "o": "hit", "ms": 9, "s": 8},
    {"t": 800, "m": "a", "at": "i1", "o": "hit", "s": 6},
    {"end": 5, "t": 800},
]


@pytest.mark.parametrize("is_directory", [False, True])
def test_traces_of_instances_become_one_in_the_order_of_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], is_directory: bool
) -> None:
    paths = two(tmp_path)
    out = tmp_path / "all.jsonl"
    for _ in range(2):  # what is written is not read
        code, shown, words = told(capsys, "record", *([tmp_path] if is_directory else paths), "--out", out)
        assert (code, shown, words.strip()) == (0, "", f"{out}: 5 events")
        assert lines(out) == MERGED


def test_the_traces_of_the_mesh_on_this_machine_need_no_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    two(tmp_path)
    home, out = tmp_path / "home", tmp_path / "all.jsonl.zst"
    assert told(capsys, "record", "--data-dir", home, "--out", out)[0] == 3
    for env, code in (({}, 3), ({"MM_TRACE_PATH": f"{tmp_path}/{{instance}}.jsonl"}, 0)):
        services = tuple(Service(name, MESHD, name, ("x",), env) for name in ("i0", "i1"))
        with Home(home).locked():
            Home(home).write(State("0", "mesh", "memory", 1.0, services))
        assert told(capsys, "record", "--data-dir", home, "--out", out)[0] == code
    assert told(capsys, "convert", out, tmp_path / "plain.jsonl", "--from", "mesh")[0] == 0
    assert lines(tmp_path / "plain.jsonl") == MERGED


def test_where_one_ends_early_there_is_a_part_on_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = two(tmp_path)
    write_lines(first, [*lines(first)[:-2], {"end": 2, "t": 650, "early": "No space left on device"}])
    out = tmp_path / "all.jsonl"
    code, _, words = told(capsys, "record", first, second, "--out", out)
    assert (code, out.exists()) == (2, False)
    assert words.strip() == f"error: {first}: line 5: the trace is not whole, it ends early: No space left on device"
    assert told(capsys, "record", first, second, "--out", out, "--until-cut")[0] == 0
    assert [line["t"] for line in lines(out) if "m" in line] == [0, 80, 600]
    assert lines(out)[-1] == {"end": 3, "t": 650}


def test_no_event_is_taken_twice_however_its_file_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two(tmp_path)
    out = tmp_path / "all.jsonl"
    monkeypatch.chdir(tmp_path)
    for given in (out, Path("all.jsonl")):
        assert told(capsys, "record", tmp_path, first, ".", "--out", given)[0] == 0
        assert lines(out) == MERGED


def test_what_is_recorded_while_it_is_read_is_left_for_another_time(tmp_path: Path) -> None:
    first, second = two(tmp_path)
    late = {"model": "late"}, {"t": 300, "m": "late"}
    with second.open() as file:
        recorded = file.readlines()[:-1]

    def until_cut(more: Iterable[str]) -> int:
        second.write_text("".join(recorded))
        survey = gather_module.survey

        def surveyed(path: Path, is_part_enough: bool = False) -> Survey:
            found = survey(path, is_part_enough)
            if path == second:
                second.write_text("".join(more))
            return found

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(gather_module, "survey", surveyed)
            return gather([first, second], tmp_path / "out", is_part_enough=True)

    assert until_cut([*recorded, *(json.dumps(line) + "\n" for line in late)]) == 5
    assert list(read_trace(tmp_path / "out"))
    for other in (recorded[:-1], [*recorded[:-2], json.dumps(late[0]) + "\n", json.dumps(late[1]) + "\n"]):
        with pytest.raises(TraceError, match=r"i1\.jsonl: was changed while it was read"):
            until_cut(other)


@pytest.mark.parametrize("kind", ["csv", "mesh"])
def test_where_there_is_no_room_that_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    source = two(tmp_path)[0] if kind == "mesh" else tmp_path / "in"
    if kind == "csv":
        source.write_text("time,model\n1,a\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        code, _, words = told(capsys, "convert", source, tmp_path / "out", "--from", kind)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (code, words.strip()) == (1, f"error: {tmp_path}/out: cannot be written: File too large")
    assert [path for path in tmp_path.iterdir() if path.name.startswith("out")] == []


def test_who_interrupts_is_told_that_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, _ = two(tmp_path)

    def interrupted(*_: Any, **__: Any) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(gather_module, "gather", interrupted)
    code, _, words = told(capsys, "record", first, "--out", tmp_path / "out")
    assert (code, words) == (130, f"error: interrupted; {tmp_path}/out is not written\n")


def test_nothing_is_written_in_the_place_of_what_is_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = two(tmp_path)
    before = first.read_bytes()
    for arguments in (("convert", first, first, "--from", "mesh"), ("record", second, first, "--out", first)):
        code, _, words = told(capsys, *arguments)
        assert (code, words.strip()) == (2, f"error: {first}: is what is read, and would be replaced")
    assert first.read_bytes() == before


def test_only_a_file_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, _ = two(tmp_path)
    (tmp_path / "dir").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for name, said in (
        ("dir", "is a directory, and would be replaced"),
        ("pipe", "is no file, and would be replaced"),
        ("none/t", f"there is no directory {tmp_path}/none"),
        ("x" * 300, "cannot be looked at: File name too long"),
    ):
        code, _, words = told(capsys, "convert", first, tmp_path / name, "--from", "mesh")
        assert (code, words.strip()) == (2, f"error: {tmp_path}/{name}: {said}")


def test_traces_that_do_not_go_together_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = two(tmp_path)
    for wrong, said in (
        ({"sample": 0.5}, "line 1: sample: 0.5 must be that of"),
        ({"start_ms": None}, "line 1: start_ms: must be known to put several traces in order"),
    ):
        write_lines(second, [HEADER | wrong, *lines(second)[1:]])
        code, _, words = told(capsys, "record", first, second, "--out", tmp_path / "out")
        assert (code, said in words, (tmp_path / "out").exists()) == (2, True, False)


def test_another_format_becomes_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").write_text("a\t2000\nb\t1000\n")
    columns = ("--columns", "model=1,time=2", "--delimiter", "tab", "--time-unit", "ms", "--no-header", "--sort")
    assert told(capsys, "convert", tmp_path / "in", tmp_path / "out", "--from", "csv", *columns)[0] == 0
    assert [line["m"] for line in lines(tmp_path / "out") if "t" in line and "m" in line] == ["b", "a"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--from", "cvs"], "--from cvs: did you mean 'csv'?"),
        (["--from", "azure2021", "--columns", "a=1"], "--columns: --from azure2021 does not take it"),
        (["--from", "mesh", "--header"], "--header: --from mesh does not take it"),
        (["--from", "csv", "--time-unit", "h"], "--time-unit h: one of s, ms, us, ns"),
        (["--from", "csv", "--delimiter", "::"], "--delimiter '::': one character, or tab"),
        (["--from", "csv", "--columns", "time"], "--columns time: write NAME=COLUMN, as time=1,model=2"),
        (["--from", "csv", "--columns", "tme=1"], "--columns tme: must be one of time, model, size, service"),
        (["--from", "oracle-general"], "record 1 (byte 0): the file is cut: a record has 24 bytes, the last has 5"),
    ],
)
def test_what_cannot_be_converted_is_told_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    (tmp_path / "in").write_text("wrong")
    code, shown, words = told(capsys, "convert", tmp_path / "in", tmp_path / "out", *arguments)
    assert (code, shown, (tmp_path / "out").exists()) == (2, "", False)
    assert said in words
    assert words.count("\n") == 1


def test_inspect_says_what_is_in_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hour = 3_600_000
    instants = [(0, "a"), (500, "a"), (5000, "b"), (hour, "a"), (2 * hour + 1, "c"), (2 * hour + 2, "a")]
    events = [{"t": t, "m": model, "o": "hit" if t else "cold", "s": 2} for t, model in instants]
    models = [{"model": name, "size_bytes": 2**20 * size} for name, size in (("a", 1), ("b", 2), ("c", 30), ("d", 4))]
    path = write(tmp_path / "t", models, events, start_ms=0)
    code, shown, _ = told(capsys, "inspect", path, "-o", "json", "--top", "2")
    assert (code, json.loads(shown)) == (
        0,
        {
            "by": "a test",
            "start": "1970-01-01T00:00:00.000Z",
            "sample": 1,
            "events": 6,
            "requests": 6,
            "duration_s": 7200.002,
            "requests_per_s": 0.001,
            "models": 4,
            "models_asked": 3,
            "instances": [],
            "outcomes": {"cold": 1, "hit": 5},
            "hit_rate": 0.833333,
            "share_of_top": {"1%": 0.666667, "10%": 0.666667},
            "again_within_s": {"1": 0.166667, "10": 0.166667, "60": 0.166667, "600": 0.166667, "3600": 0.333333,
                               "86400": 0.5},
            "models_per_hour": [2, 1, 2],
            "size_bytes": {"count": 4, "least": 2**20, "p50": 2**22, "p90": 30 * 2**20, "most": 30 * 2**20,
                           "sum": 37 * 2**20},
            "load_ms": {"count": 0},
            "service_ms": {"count": 3, "least": 2.0, "p50": 2.0, "p90": 2.0, "most": 2.0, "sum": 6.0},
            "top": [{"model": "a", "requests": 4}, {"model": "b", "requests": 1}],
        },
    )  # fmt: skip
    code, shown, _ = told(capsys, "inspect", path)
    rows = [line.split() for line in shown.splitlines()]
    assert ["models", "asked", "for", "3"] in rows
    assert ["size", "(MiB)", "4", "1.0", "4.0", "30.0", "30.0", "37.0"] in rows
    assert ["a", "4"] in rows


def test_a_trace_without_requests_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, shown, _ = told(capsys, "inspect", write(tmp_path / "t", [], []), "-o", "json")
    assert (code, json.loads(shown)["requests_per_s"], json.loads(shown)["hit_rate"]) == (0, None, None)
    assert told(capsys, "inspect", tmp_path / "t")[0] == 0


def test_what_is_no_whole_trace_is_refused_with_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_lines(tmp_path / "cut", [HEADER])
    code, shown, words = told(capsys, "inspect", tmp_path / "cut")
    assert (code, shown) == (2, "")
    assert words.strip() == f"error: {tmp_path}/cut: line 1: the trace is cut: its last line must be the one with end"
