"""What ends this process from outside: a signal, the line ``stop`` on standard input, the end of its anchor file."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Callable
from pathlib import Path

LOOK_S = 1.0
"""How often it is looked whether the anchor file is still there; ``stop.sh wait`` looks as often for the process."""
CHUNK_BYTES = 4096
STOP = b"stop"
STANDARD_INPUT = 0

_log = logging.getLogger(__name__)


def on_signals(stop: Callable[[], None]) -> None:
    """Have SIGTERM and SIGINT call ``stop``."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


async def on_line(stop: Callable[[], None], descriptor: int = STANDARD_INPUT) -> None:
    """Call ``stop`` when a line that says ``stop`` comes in, as from a terminal or a pipe.

    Returns then, or at the end of the input, which means nothing: in a container there is none. Neither does a file
    mean anything, which cannot be waited for.
    """
    # A process in the background that reads from its terminal would be halted; so it is told of an error.
    signal.signal(signal.SIGTTIN, signal.SIG_IGN)
    loop, lines = asyncio.get_running_loop(), _Lines()
    is_told: asyncio.Future[bool] = loop.create_future()

    def read() -> None:
        try:
            chunk = os.read(descriptor, CHUNK_BYTES)
        except OSError:
            chunk = b""
        if not chunk or lines.has_stop(chunk):
            loop.remove_reader(descriptor)
            is_told.set_result(bool(chunk))

    try:
        loop.add_reader(descriptor, read)
    except OSError:  # none at all, or a file
        return
    try:
        if await is_told:
            _log.info("told to stop on standard input")
            stop()
    finally:
        loop.remove_reader(descriptor)


async def on_anchor(path: str, stop: Callable[[], None]) -> None:
    """Call ``stop`` as soon as the file at ``path`` is not there, or says something else than it did first.

    Else is what another process has written that took its place before anybody looked. Any other trouble with reading
    says nothing about that.
    """
    first = b""  # not known yet
    while (current := _contents(path, first)) is not None and first in (b"", current):
        first = current
        await asyncio.sleep(LOOK_S)
    _log.info("told to stop: the anchor file %s is %s", path, "gone" if current is None else "another process's")
    stop()


class _Lines:
    """Puts lines together from what comes in; of one that does not end only the last part is kept."""

    def __init__(self) -> None:
        self._begun = b""

    def has_stop(self, chunk: bytes) -> bool:
        *whole, begun = (self._begun + chunk).split(b"\n")
        self._begun = begun[-CHUNK_BYTES:]
        return any(line.strip() == STOP for line in whole)


def _contents(path: str, unreadable: bytes) -> bytes | None:
    """None: it is not there; ``unreadable`` where it is not known what it says."""
    try:
        return Path(path).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError:
        return unreadable
