"""Making a process stand still as if its machine had stopped, with all its connections open."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

GUARD_S = 60  # against hanging


def freeze(pid: int) -> None:
    """Back once none of its threads goes on: on a busy machine some still answer after the signal was sent."""
    os.kill(pid, signal.SIGSTOP)
    deadline = time.monotonic() + GUARD_S
    while sys.platform == "linux" and not all(_is_still(task) for task in Path(f"/proc/{pid}/task").iterdir()):
        if time.monotonic() > deadline:
            raise AssertionError(f"process {pid} does not stand still")
        time.sleep(0.001)


def thaw(pid: int) -> None:
    """Let a frozen one go on."""
    os.kill(pid, signal.SIGCONT)


def _is_still(task: Path) -> bool:
    try:
        state = (task / "stat").read_text(encoding="latin-1").rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):  # the thread has ended meanwhile
        return True
    return state in ("T", "t", "Z", "X")
