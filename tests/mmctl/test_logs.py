"""Logs of several processes as one, in the order of time, and as they grow."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mmctl.__main__ import run
from mmctl.local.home import Home
from mmctl.local.logs import MOST_LINE_BYTES, Line, Log, instant_ms, merged
from mmctl.local.state import ETCD, MESHD, RUNTIME, Service, State

T0 = 1_790_000_000_000


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2026-09-21T14:13:20.678Z INFO    meshd.app: ready", T0 + 678),
        ('{"level":"info","ts":"2026-09-21T14:13:20.678Z","msg":"x"}', T0 + 678),
        ('{"time": "2026-09-21T14:13:20.678Z", "level": "info"}', T0 + 678),
        ('{"level":"info","ts":"2026-09-21T16:13:20.678+0200","msg":"x"}', T0 + 678),
        ("2026-09-21T14:13:20Z x", T0),
        ("2026-99-21T14:13:20Z x", 0),
        ("ready on 127.0.0.1:24125", 0),
        ("it was 2026-09-21T14:13:20Z", 0),
        ("", 0),
    ],
)
def test_line_says_when_it_was_written(text: str, at_ms: int) -> None:
    assert instant_ms(text) == at_ms


def test_lines_of_all_are_in_order_and_one_without_an_instant_stays_behind_its_own(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("2026-09-21T14:13:21Z one\n  traceback\n2026-09-21T14:13:23Z three\n")
    (tmp_path / "b").write_text("ready\n2026-09-21T14:13:22Z two\n")
    logs = [Log("a", tmp_path / "a"), Log("b", tmp_path / "b"), Log("none", tmp_path / "none")]
    assert [line.text.split()[-1] for line in merged(logs, 0)] == ["ready", "one", "traceback", "two", "three"]
    for log in logs:
        log.close()
    again = [Log("a", tmp_path / "a"), Log("b", tmp_path / "b")]
    assert [line.text.split()[-1] for line in merged(again, T0 + 2_000)] == ["two", "three"]
    for log in again:
        log.close()


def test_log_is_read_on_as_it_grows_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "log"
    log = Log("a", file)
    assert list(log.lines()) == []
    file.write_bytes(b"one\ntw")
    assert list(log.lines()) == [Line(0, "a", "one")]
    with file.open("ab") as more:
        more.write(b"o\n\xff\n" + b"x" * (MOST_LINE_BYTES + 1))
    assert [line.text for line in log.lines()] == ["two", "\ufffd", "x" * MOST_LINE_BYTES]
    file.write_bytes(b"new\n")
    assert [line.text for line in log.lines()] == ["new"]
    log.close()


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A mesh that was taken down."""
    home = Home(tmp_path / "data")
    home.logs.mkdir(parents=True)
    services = tuple(
        Service(name, role, "", ("x",))
        for name, role in (("etcd", ETCD), ("mesh-0", MESHD), ("mesh-0-runtime", RUNTIME))
    )
    home.write(State("1", "mesh", "etcd:x", 1.0, services, "down"))
    home.log("etcd").write_text('{"ts":"2026-09-21T14:13:20.000Z"}\n')
    home.log("mesh-0").write_text("2026-09-21T14:13:19.000Z \x1b[31mred\n")
    return home.path


def test_what_the_command_shows(data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["logs", "--data-dir", str(data_dir)]) == 0
    assert capsys.readouterr().out == (
        'mesh-0          2026-09-21T14:13:19.000Z \\x1b[31mred\netcd            {"ts":"2026-09-21T14:13:20.000Z"}\n'
    )
    assert run(["logs", "etcd", "--data-dir", str(data_dir)]) == 0
    assert capsys.readouterr().out == '{"ts":"2026-09-21T14:13:20.000Z"}\n'
    assert run(["logs", "mesh-0", "--data-dir", str(data_dir), "-o", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"name": "mesh-0", "at_ms": T0 - 1_000, "text": "2026-09-21T14:13:19.000Z \x1b[31mred"}


def test_what_makes_no_sense_is_told(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["logs", "mesh-1", "--data-dir", str(data_dir)]) == 3
    assert "has no process 'mesh-1'; did you mean 'mesh-0'?" in capsys.readouterr().err
    assert run(["logs", "--since", "5", "--data-dir", str(data_dir)]) == 2
    assert run(["logs", "-o", "yaml", "--data-dir", str(data_dir)]) == 2
    assert run(["logs", "--data-dir", str(tmp_path / "none")]) == 1
    assert "no mesh is kept in" in capsys.readouterr().err
