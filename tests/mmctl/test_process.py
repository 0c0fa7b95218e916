"""Processes that are started, watched and stopped, and never confused with others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from mmctl.local.process import Process, describe_exit, exit_status, is_running, last_lines, spawn, started_at, stop

PAUSE = "import signal; print('here', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {PAUSE}"


@pytest.fixture
def started(tmp_path: Path) -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(process.pid, 0)


def start(code: str, tmp_path: Path, started: list[Process]) -> Process:
    """A process that runs ``code`` and has got as far as to say ``here``."""
    log = tmp_path / f"{len(started)}.log"
    process = spawn([sys.executable, "-c", code], dict(os.environ), log)
    started.append(process)
    while "here" not in log.read_text() and is_running(process):
        os.sched_yield()
    return process


def test_process_runs_in_its_own_session_with_its_output_in_a_log(tmp_path: Path, started: list[Process]) -> None:
    process = start(PAUSE, tmp_path, started)
    assert is_running(process)
    assert os.getsid(process.pid) == process.pid
    assert last_lines(tmp_path / "0.log") == ["here"]


def test_stopped_process_is_told_and_leaves_nothing(tmp_path: Path, started: list[Process]) -> None:
    processes = [start(PAUSE, tmp_path, started) for _ in range(2)]
    told: list[Process] = []
    assert stop(processes, 30, told.append) == []
    assert sorted(process.pid for process in told) == sorted(process.pid for process in processes)
    assert [started_at(process.pid) for process in processes] == [None, None]


def test_process_that_ignores_the_signal_is_killed_and_named(tmp_path: Path, started: list[Process]) -> None:
    process = start(STUBBORN, tmp_path, started)
    assert stop([process], 0, lambda _: None) == [process]
    assert not is_running(process)


def test_reused_pid_is_not_taken_for_ours(tmp_path: Path, started: list[Process]) -> None:
    """A pid alone says nothing: what is stopped is the run that was recorded, or nothing."""
    process = start(PAUSE, tmp_path, started)
    earlier = Process(process.pid, "an earlier start")
    assert not is_running(earlier)
    assert stop([earlier], 0, lambda _: None) == []
    assert is_running(process)


def test_process_that_has_ended_but_was_not_waited_for_does_not_run(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    process = Process(child.pid, started_at(child.pid) or "")
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(process)
    child.wait()


def test_process_killed_with_many_threads_has_its_exit_status_as_soon_as_it_does_not_run(
    tmp_path: Path, started: list[Process]
) -> None:
    """The first thread of a process can be over while others are still on their way out."""
    threads = "import threading; [threading.Thread(target=threading.Event().wait).start() for _ in range(50)]; "
    for _ in range(10):
        process = start(threads + PAUSE, tmp_path, started)
        os.kill(process.pid, signal.SIGKILL)
        while is_running(process):
            os.sched_yield()
        assert exit_status(process.pid) == -signal.SIGKILL


def test_exit_status_is_told_once_and_only_of_children(tmp_path: Path) -> None:
    process = spawn([sys.executable, "-c", "raise SystemExit(3)"], dict(os.environ), tmp_path / "log")
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert exit_status(process.pid) == 3
    assert exit_status(process.pid) is None
    assert exit_status(os.getppid()) is None


def test_end_is_described_for_people() -> None:
    assert describe_exit(3) == "ended with exit code 3"
    assert describe_exit(-9) == "was ended by SIGKILL"
    assert describe_exit(None) == "has ended"


def test_last_lines_of_a_long_log_are_its_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n\n" for number in range(10_000)))
    assert last_lines(log, 2) == ["line 9998", "line 9999"]
    assert last_lines(tmp_path / "none") == []


def test_last_lines_are_of_this_run_alone(tmp_path: Path, started: list[Process]) -> None:
    log = tmp_path / "0.log"
    log.write_text("what an earlier run had to say\n")
    process = start(PAUSE, tmp_path, started)
    assert last_lines(log, log_at=process.log_at) == ["here"]
