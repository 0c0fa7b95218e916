"""Processes by pid and start time, so that a pid that was used again is never taken for ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_POLL_S = 0.05


@dataclass(frozen=True, slots=True)
class Process:
    """One run of a program: ``started`` says when in the words of the system, unique for its pid.

    ``log_at`` is where in its log what it writes begins.
    """

    pid: int
    started: str
    log_at: int = 0


def spawn(command: Sequence[str], env: Mapping[str, str], log: Path) -> Process:
    """Start ``command`` in its own session with both outputs appended to ``log``; OSError when it cannot be."""
    log.parent.mkdir(parents=True, exist_ok=True)
    log_at = log.stat().st_size if log.exists() else 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        command[0],
        list(command),
        dict(env),
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), flags, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ],
        setsid=True,
    )
    return Process(pid, started_at(pid) or "", log_at)


def started_at(pid: int) -> str | None:
    """When the process with ``pid`` was started; None when there is none, or only its exit status is left."""
    if sys.platform == "linux":
        try:
            stat = Path(f"/proc/{pid}/stat").read_text(encoding="latin-1")
        except OSError:
            return None
        # The name, the second field, is in brackets and may hold anything.
        fields = stat[stat.rindex(")") + 2 :].split()
        # Killed with several threads, it is a zombie before the last of them is gone, and its ports with it.
        is_over = fields[0] == "X" or (fields[0] == "Z" and fields[17] in ("0", "1"))
        return None if is_over else f"{_boot()}:{fields[19]}"
    shown = subprocess.run(["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)
    state, _, started = shown.stdout.strip().partition(" ")
    return None if not state or state.startswith("Z") else started.strip()


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")[:8]
    except OSError:
        return ""


def is_running(process: Process) -> bool:
    """Whether this very run goes on."""
    return process.pid > 0 and bool(process.started) and started_at(process.pid) == process.started


def exit_status(pid: int) -> int | None:
    """The exit code (negative: the signal) of a child that has ended, which is forgotten by this; else None."""
    try:
        done, status = os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:
        return None
    return os.waitstatus_to_exitcode(status) if done else None


def describe_exit(status: int | None) -> str:
    """How it ended, for people."""
    if status is None:
        return "has ended"
    if status < 0:
        with suppress(ValueError):
            return f"was ended by {signal.Signals(-status).name}"
    return f"ended with exit code {status}"


def stop(processes: Iterable[Process], bound_s: float, tell: Callable[[Process], None]) -> list[Process]:
    """SIGTERM to all at once, then wait; those that outlast ``bound_s`` are killed and returned.

    ``tell`` is called with each as it ends.
    """
    left = [process for process in processes if is_running(process)]
    for process in left:
        _signal(process, signal.SIGTERM)
    left = _wait(left, bound_s, tell)
    for process in left:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        _signal(process, signal.SIGKILL)
    _wait(left, 10.0, tell)
    return left


def _signal(process: Process, number: signal.Signals) -> None:
    if is_running(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


def _wait(processes: list[Process], bound_s: float, tell: Callable[[Process], None]) -> list[Process]:
    until = time.monotonic() + bound_s
    left = list(processes)
    while left:
        for process in list(left):
            if not is_running(process):
                exit_status(process.pid)
                left.remove(process)
                tell(process)
        if time.monotonic() >= until:
            break
        if left:
            time.sleep(_POLL_S)
    return left


def last_lines(log: Path, lines: int = 12, log_at: int = 0) -> list[str]:
    """The end of a log, from ``log_at`` on, for a message about what wrote it."""
    try:
        with log.open("rb") as file:
            file.seek(max(log_at, log.stat().st_size - 16_384))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line for line in text.splitlines() if line.strip()][-lines:]
