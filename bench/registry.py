"""Many models in a real etcd, by the command line: `python -m bench.registry` says of each limit whether it is met.

One process registers them from JSON lines, another lists them. Rates are by the wall clock, as a person waits by it;
beside each stands what it took of a core: on a machine that does other things too, the CPU says more.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.etcd import EtcdServer

LEAST_PER_S = 10_000
"""Models registered in a second of CPU of the command."""
MOST_OF_LIST = 0.25
"""What the first page may take of the time that the whole list takes."""


@dataclass(frozen=True, slots=True)
class Took:
    """What a command took: until it printed anything, until its end, and of a core."""

    first_s: float
    whole_s: float
    cpu_s: float
    lines: int


def took(arguments: Sequence[str]) -> Took:
    """Run a command; what it prints is counted in lines. SystemExit where it fails."""
    begun, before = time.monotonic(), os.times()
    process = subprocess.Popen([sys.executable, "-m", "mmctl", *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    first_s, lines = 0.0, 0
    for _ in process.stdout:
        first_s = first_s or time.monotonic() - begun
        lines += 1
    if process.wait():
        sys.exit(f"mmctl {' '.join(arguments)}: exit code {process.returncode}")
    after = os.times()
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    return Took(first_s, time.monotonic() - begun, cpu_s, lines)


def told(what: str, is_met: bool) -> bool:
    """Print one line."""
    print(f"{what}: {'met' if is_met else 'not met'}", flush=True)
    return is_met


def measure(count: int, directory: Path, kv_store: str) -> bool:
    """Register so many models, again, and list them."""
    models = directory / "models.jsonl"
    with models.open("w", encoding="utf-8") as file:
        for at in range(count):
            model = {"name": f"team-{at % 50}/model-{at:06}", "type": "onnx", "path": f"models/{at:06}.onnx"}
            file.write(json.dumps({**model, "size": 50 << 20, "labels": {"team": str(at % 50)}}) + "\n")
    way = ["--kv-store", kv_store, "--service", "bench"]
    idle = took(["version", *way])
    is_met = True
    for what in ("new", "unchanged"):
        done = took(["register", *way, "-f", str(models), "-o", "name"])
        assert done.lines == count
        cpu_s = done.cpu_s - idle.cpu_s
        is_met &= told(
            f"register -f of {count:,} models, {what}: {count / done.whole_s:,.0f} a second,"
            f" {count / cpu_s:,.0f} a second of CPU, at least {LEAST_PER_S:,}",
            count / cpu_s >= LEAST_PER_S,
        )
    listed = took(["list", *way])
    part = listed.first_s / listed.whole_s
    return is_met & told(
        f"list of {count:,}: its first line after {listed.first_s:.2f} s, its last after {listed.whole_s:.2f} s:"
        f" {part:.0%} of the way, below {MOST_OF_LIST:.0%}",
        part < MOST_OF_LIST,
    )


def main() -> int:
    """Exit code 1 where a limit is not met."""
    parser = argparse.ArgumentParser(prog="python -m bench.registry", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, default=100_000, help="how many (100,000)")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        etcd = EtcdServer(Path(folder)).start()
        try:
            return 0 if measure(given.models, Path(folder), f"etcd:{etcd.address}") else 1
        finally:
            etcd.stop()


if __name__ == "__main__":
    sys.exit(main())
