"""What `mmctl top` costs with many registered models: `python -m bench.top`.

A mesh of three instances on this machine, with a real etcd and 100,000 registered models of which some are loaded and
asked for, and `mmctl top` in a terminal, both ways: through an instance, and through the registry. What counts is the
CPU time of its process from one look at it to the next, once the first screen is there.
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

MODELS = 100_000
LOADED = 2_000
PERIOD_S = 2.0
LOOK_S = 10.0
MOST_PERCENT = 5.0
TICKS = os.sysconf("SC_CLK_TCK")
MMCTL = [sys.executable, "-m", "mmctl"]


def registrations(path: Path, models: int, loaded: int) -> None:
    """Write a file of ``models``, of which the first ``loaded`` are to be loaded."""
    with path.open("w", encoding="utf-8") as out:
        for number in range(models):
            wanted = {"name": f"model-{number:06}", "type": "fake", "path": "fake:?size=64KiB", "load": number < loaded}
            out.write(json.dumps(wanted) + "\n")


def cpu_s(pid: int) -> float:
    """The CPU time that a process took so far."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


class Session:
    """``mmctl top`` on a terminal of its own."""

    def __init__(self, arguments: list[str]) -> None:
        self._fd, terminal = pty.openpty()
        self.seen = bytearray()
        env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        command = [*MMCTL, "top", "--every", str(PERIOD_S), *arguments]
        self.process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, env=env)
        os.close(terminal)
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._fd, 65_536)
            except OSError:
                return
            self.seen += data

    def key(self, key: bytes) -> None:
        """Press one."""
        os.write(self._fd, key)

    def end(self) -> int:
        """Quit; the exit code."""
        self.key(b"q")
        return self.process.wait(10)


def measure(way: str, arguments: list[str], meshds: list[int], look_s: float) -> bool:
    """Look at one way for so long; whether it keeps to the limit."""
    begun_s = time.monotonic()
    session = Session(arguments)
    while b"registered" not in session.seen and session.process.poll() is None:
        time.sleep(0.1)
    first_s = time.monotonic() - begun_s
    time.sleep(2 * PERIOD_S)
    results = []
    for screen, key in (("instances", b""), ("models of an instance", b"\r"), ("a model", b"\r")):
        if key:
            session.key(key)
            time.sleep(2 * PERIOD_S)
        before, mesh_before, at_s = cpu_s(session.process.pid), sum(map(cpu_s, meshds)), time.monotonic()
        time.sleep(look_s)
        took_s = time.monotonic() - at_s
        share = 100 * (cpu_s(session.process.pid) - before) / took_s
        mesh_share = 100 * (sum(map(cpu_s, meshds)) - mesh_before) / took_s
        is_met = share < MOST_PERCENT
        results.append(is_met)
        print(
            f"{way}, {screen}: {share:.1f} % of a core, {share * PERIOD_S * 10:.0f} ms for each refresh "
            f"({mesh_share:.1f} % in {len(meshds)} meshd), below {MOST_PERCENT:g} %: {'met' if is_met else 'not met'}",
            flush=True,
        )
    is_over = session.end() == 0
    print(f"{way}: first screen after {first_s:.1f} s" + ("" if is_over else "; it did not end as it should"))
    return all(results) and is_over


def main() -> int:
    """0 where all is met."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=MODELS)
    parser.add_argument("--loaded", type=int, default=LOADED)
    parser.add_argument("--seconds", type=float, default=LOOK_S)
    said = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-top-") as scratch:
        data_dir, models = Path(scratch) / "data", Path(scratch) / "models.jsonl"
        registrations(models, said.models, said.loaded)
        up = [*MMCTL, "up", "--detach", "--data-dir", str(data_dir), "--runtime", "fake", "--capacity", "512MiB"]
        plan = json.loads(subprocess.run([*up, "-o", "json"], stdout=subprocess.PIPE, check=True).stdout)
        try:
            begun_s = time.monotonic()
            way = ["--data-dir", str(data_dir)]
            subprocess.run(
                [*MMCTL, "register", "-f", str(models), *way, "-o", "name"], stdout=subprocess.DEVNULL, check=True
            )
            print(f"{said.models:,} models registered in {time.monotonic() - begun_s:.0f} s, {said.loaded:,} to load")
            meshds = [each["pid"] for each in plan["processes"] if each["role"] == "meshd"]
            ways = {
                "through an instance": ["--endpoint", ",".join(plan["endpoints"])],
                "through the registry": ["--kv-store", plan["kv_store"], "--service", plan["service"]],
            }
            met = [measure(name, arguments, meshds, said.seconds) for name, arguments in ways.items()]
        finally:
            subprocess.run([*MMCTL, "down", "--data-dir", str(data_dir)], check=False)
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
