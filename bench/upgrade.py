"""Rolls new versions through a mesh on this machine under load: `python -m bench.upgrade` says what is met.

Three instances on the fake model server, whose loads take 100 ms; 200 requests a second to the instances that say they
are ready, as the endpoints of a Service are chosen. First to a version that works, then to one whose loads all fail,
with --auto-rollback, then mmctl is killed in the middle and another one goes back.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmctl.local.home import Home
from tests.steady import Load

RATE, MODELS = 200, 60
WORKS = ("--version=2", "--set=MM_SCALEUP_RPM_THRESHOLD=2500")
FAILS = ("--version=3", *(f"--runtime-arg={arg}" for arg in ("--size=1MiB", "--fail=INTERNAL")))


def mmctl(data_dir: Path, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """One command, to its end."""
    command = [sys.executable, "-m", "mmctl", *arguments, "--data-dir", str(data_dir)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)


@contextmanager
def mesh(data_dir: Path, instances: int, models: Sequence[str], load_ms: int) -> Iterator[Home]:
    """A mesh whose models are all loaded."""
    up = mmctl(
        data_dir, "up", "--detach", f"--instances={instances}", "--runtime=fake", "--capacity=256MiB",
        "--runtime-arg=--size=1MiB", f"--runtime-arg=--load-ms={load_ms}", "--set=MM_MIN_CHURN_AGE_MS=0",
    )  # fmt: skip
    assert up.returncode == 0, up.stderr
    try:
        lines = "\n".join(json.dumps({"name": name, "type": "fake"}) for name in models)
        assert mmctl(data_dir, "register", "-f", "-", stdin=lines).returncode == 0
        assert mmctl(data_dir, "load", "--wait", *models).returncode == 0
        yield Home(data_dir)
    finally:
        mmctl(data_dir, "down")


def status(data_dir: Path) -> dict[str, Any]:
    """How the upgrade is."""
    found: dict[str, Any] = json.loads(mmctl(data_dir, "upgrade", "status", "-o", "json").stdout or "{}")
    return found


def killed(data_dir: Path) -> int:
    """Kill the mmctl that carries an upgrade out while an old instance goes, and abort; the exit code of that."""
    command = [sys.executable, "-m", "mmctl", "upgrade", "start", "--data-dir", str(data_dir), "--version=4"]
    runner = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert runner.stderr is not None
    for line in runner.stderr:
        if line.startswith("drains"):
            break
    runner.send_signal(signal.SIGKILL)
    runner.communicate()
    print(f"  another terminal sees: {status(data_dir)['phase']}, {status(data_dir)['reason']}", flush=True)
    return mmctl(data_dir, "upgrade", "abort").returncode


def main() -> int:
    """Play all three; 0 when everything is met."""
    is_met = True
    models = [f"model-{number:02}" for number in range(MODELS)]

    def says(text: str, met: bool) -> None:
        nonlocal is_met
        is_met = is_met and met
        print(f"{'met    ' if met else 'NOT MET'}  {text}", flush=True)

    with tempfile.TemporaryDirectory() as folder, mesh(Path(folder) / "data", 3, models, 100) as home:
        scenes = (
            ("to a version that works", lambda: mmctl(home.path, "upgrade", "start", *WORKS).returncode, 0, "done"),
            (
                "to one whose loads fail, --auto-rollback",
                lambda: mmctl(home.path, "upgrade", "start", *FAILS, "--auto-rollback").returncode,
                1,
                "rolled_back",
            ),
            ("mmctl killed in the middle, abort by another", lambda: killed(home.path), 0, "rolled_back"),
        )
        for name, play, code, phase in scenes:
            begun_s = time.monotonic()
            with Load(home, RATE, models) as load:
                ended = play()
            took_s = time.monotonic() - begun_s
            found = status(home.path)
            says(
                f"{name}: ended {found['phase']} with {ended} after {took_s:.0f} s",
                (ended, found["phase"]) == (code, phase),
            )
            for event in found["events"]:
                print(f"    {event['text']}")
            sent = len(load.took_ms) + len(load.failures)
            slowest = max(load.took_ms)
            says(
                f"{name}: {len(load.failures)} of {sent:,} requests failed, the slowest took {slowest:.0f} ms",
                not load.failures,
            )
            for failure in load.failures[:3]:
                print(f"    {failure}")
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
