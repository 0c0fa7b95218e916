"""What `mmctl up` does with processes that end, and when it is to end itself, with real ones."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mmctl.local.home import Home
from tests.mmctl.meshes import GUARD_S, MMCTL, SMALL, at, left_running
from tests.processes import until

pytestmark = [pytest.mark.e2e, pytest.mark.etcd]


@contextmanager
def foreground(data_dir: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``mmctl up`` of one instance, which is killed when it outlasts all patience."""
    command = [*MMCTL, "up", "--data-dir", str(data_dir), "--instances", "1", *SMALL, *arguments]
    up = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    guard = threading.Timer(GUARD_S, up.kill)
    guard.start()
    try:
        yield up
        up.communicate()
    finally:
        guard.cancel()
        up.kill()


def lines_until(up: subprocess.Popen[str], text: str) -> list[str]:
    """What ``up`` says on stderr, up to a line with ``text``."""
    assert up.stderr is not None
    lines = []
    for line in up.stderr:
        lines.append(line.rstrip())
        if text in line:
            return lines
    raise AssertionError(f"mmctl ended without saying {text!r}: {lines}")


def test_foreground_is_taken_down_by_an_interrupt(data_dir: Path) -> None:
    with foreground(data_dir, "--set", "MM_MIN_CHURN_AGE_MS=0") as up:
        said = lines_until(up, "Ctrl-C takes them down")
        assert "settings other than the defaults: MM_MIN_CHURN_AGE_MS=0" in said
        assert at(data_dir, "instances", "-o", "name").out == "mesh-0\n"
        # Ctrl-C in a terminal reaches mmctl alone: its processes have sessions of their own.
        up.send_signal(signal.SIGINT)
        out, rest = up.communicate()
    assert up.returncode == 0, rest
    stopped = ["mesh-0 has stopped", "mesh-0-runtime has stopped", "etcd has stopped"]
    assert rest.splitlines() == ["taking it down", *stopped]
    assert out.splitlines()[1].startswith("mesh-0  ")


def test_what_ends_by_itself_is_brought_back_when_that_was_asked_for(data_dir: Path) -> None:
    with foreground(data_dir, "--restart") as up:
        lines_until(up, "Ctrl-C takes them down")
        killed = pid_of(data_dir, "mesh-0")
        os.kill(killed, signal.SIGKILL)
        lines_until(up, "mesh-0 was ended by SIGKILL; starting it again in 1 s")
        until(lambda: pid_of(data_dir, "mesh-0") != killed, "mesh-0 is started again")
        assert at(data_dir, "down").code == 0
        _, rest = up.communicate()
    assert (up.returncode, rest) == (0, "it was taken down\n")


def test_what_ends_by_itself_is_told_and_stays_down_otherwise(data_dir: Path) -> None:
    with foreground(data_dir) as up:
        lines_until(up, "Ctrl-C takes them down")
        os.kill(pid_of(data_dir, "mesh-0"), signal.SIGKILL)
        lines_until(up, "`mmctl restart mesh-0` brings it back")
        assert left_running(data_dir) == ["etcd", "mesh-0-runtime"]
        up.terminate()
        up.communicate()
    assert up.returncode == 0


def pid_of(data_dir: Path, name: str) -> int:
    state = Home(data_dir).read()
    assert state is not None
    running = state.get(name).process
    return running.pid if running else 0


def test_detached_mesh_with_restart_looks_after_itself(data_dir: Path) -> None:
    assert at(data_dir, "up", "--detach", "--restart", "--instances", "1", *SMALL).code == 0
    killed = pid_of(data_dir, "mesh-0-runtime")
    os.kill(killed, signal.SIGKILL)
    until(lambda: pid_of(data_dir, "mesh-0-runtime") != killed, "the runtime is started again")
    down = at(data_dir, "down", "-o", "json").json
    assert "watch" in down["stopped"]
    assert down["killed"] == []


def test_start_that_fails_shows_why_and_leaves_nothing(data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        taken = at(data_dir, "up", "--runtime", "fake", "--base-port", str(port))
    assert taken.code == 1
    assert taken.err == (
        f"error: port {port} (etcd client) is in use; choose another --base-port, or none for any free ports\n"
    )
    broken = at(data_dir, "up", "--runtime", "fake", "--runtime-arg=--colour=red")
    assert (broken.code, broken.out) == (1, "")
    assert re.search(r"mesh-\d-runtime ended with exit code 2 before it was ready", broken.err)
    assert "unrecognized arguments: --colour=red" in broken.err
    wrong = at(data_dir, "up", "--instances", "1", "--runtime", "fake", "--set", "MM_MIN_CHURN_AGE_MS=often")
    assert wrong.code == 1
    assert "mesh-0 ended with exit code" in wrong.err
    assert "MM_MIN_CHURN_AGE_MS" in wrong.err
    assert "often" in wrong.err
    assert left_running(data_dir) == []
