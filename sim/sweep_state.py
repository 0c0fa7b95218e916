"""Results of finished runs, kept in a directory, so that what was played is not played again."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import meshcore
import sim
from sim.sweep_paths import Plan
from sim.workloads.trace import Trace

MOST_KEPT = 2_000
"""Runs; the oldest go first."""


class NotKept(Exception):
    """A finished run cannot be kept."""


class Kept:
    """One file for each run in ``directory``, which is made when the first is kept."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def get(self, key: str) -> dict[str, Any] | None:
        """The summary kept under ``key``; None: there is none that can be read."""
        try:
            found = json.loads(self._file(key).read_bytes())
        except (OSError, ValueError):
            return None
        return found if isinstance(found, dict) and "answered" in found else None

    def check(self) -> None:
        """Raises NotKept where nothing can be kept: better before the first run than after hours."""
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=self._directory).close()
        except OSError as error:
            raise self._not_kept(error) from None

    def put(self, key: str, data: dict[str, Any]) -> None:
        """Keep a summary: whole, or not at all; raises NotKept."""
        fresh = self._directory / f"{key}.{os.getpid()}.fresh"
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            fresh.write_text(json.dumps(data), encoding="utf-8")
            fresh.replace(self._file(key))
        except OSError as error:
            with suppress(OSError):
                fresh.unlink()
            raise self._not_kept(error) from None

    def _not_kept(self, error: OSError) -> NotKept:
        return NotKept(f"{self._directory}: finished runs cannot be kept there: {error.strerror or error}")

    def trim(self) -> None:
        """Let the oldest go; what another process is writing is young, and what a kill left half written grows old."""
        with suppress(OSError):  # nobody's runs are worse for it
            for file in sorted(self._directory.glob("*.*"), key=_written_at, reverse=True)[MOST_KEPT:]:
                file.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        return self._directory / f"{key}.json"


def _written_at(file: Path) -> int:
    """When it was written, in nanoseconds; 0: another process has just let it go."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


def key_of(plan: Plan) -> str:
    """A name for all that a run's result follows from: the scenario, the rules and the code that plays them.

    Of a trace that is the state it was in when the scenario was read: its contents may be larger than anybody would
    read for this.
    """
    scenario = plan.scenario
    file = scenario.traffic.state if isinstance(scenario.traffic, Trace) else None
    told = json.dumps([code(), plan.rules, scenario.model_dump(mode="json"), file], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:32]


@cache
def code() -> str:
    """A digest of the simulator's source and of the rules': results of another version are not taken for its own."""
    digest = hashlib.sha256()
    for package in (meshcore, sim):
        root = Path(package.__path__[0])
        for file in sorted(root.rglob("*.py")):
            digest.update(f"{package.__name__}/{file.relative_to(root).as_posix()}\0".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
