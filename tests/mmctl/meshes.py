"""Meshes for tests: brought up and taken down by the command line itself, with real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mmctl.__main__ import run
from mmctl.local.home import Home
from tests.etcd import find_etcd
from tests.ports import UP

GUARD_S = 180  # against hanging
MMCTL = (
    sys.executable,
    "-c",
    f"from mmctl.local import ports; ports.RANGE = {UP!r}; from mmctl.__main__ import main; main()",
)
"""The command line, which takes no ports that others who run tests beside these may take in the same moment."""
SMALL = ("--runtime", "fake", "--capacity", "256MiB", "--runtime-arg=--size", "--runtime-arg=64KiB")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as a value."""
        return json.loads(self.out)


def mmctl(*arguments: str, stdin: str = "") -> Ended:
    """Run a command to its end."""
    done = subprocess.run(
        [*MMCTL, *arguments], input=stdin, capture_output=True, text=True, timeout=GUARD_S, check=False
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def mmctl_here(capsys: pytest.CaptureFixture[str], *arguments: str) -> Ended:
    """Run a command to its end in this process, which starts sooner."""
    code = run(arguments)
    told = capsys.readouterr()
    return Ended(code, told.out, told.err)


def at(data_dir: Path, *arguments: str, stdin: str = "") -> Ended:
    return mmctl(arguments[0], "--data-dir", str(data_dir), *arguments[1:], stdin=stdin)


def left_running(data_dir: Path) -> list[str]:
    state = Home(data_dir).read()
    return [service.name for service in state.services if service.is_up] if state else []


@contextmanager
def mesh(data_dir: Path, *arguments: str) -> Iterator[dict[str, Any]]:
    """A detached mesh in ``data_dir``; what ``up -o json`` said of it."""
    find_etcd()
    up = mmctl("up", "--detach", "--data-dir", str(data_dir), "-o", "json", *arguments)
    try:
        assert up.code == 0, up.err
        yield up.json
    finally:
        mmctl("down", "--data-dir", str(data_dir))


def process(plan: dict[str, Any], name: str) -> dict[str, Any]:
    """One process of what ``up -o json`` said."""
    found: dict[str, Any] = next(process for process in plan["processes"] if process["name"] == name)
    return found
