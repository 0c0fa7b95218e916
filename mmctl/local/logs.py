"""The logs of a mesh on this machine, several as one in the order of time."""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

MOST_LINE_BYTES = 64 << 10
"""What is longer is several lines."""

_INSTANT = re.compile(r'^(?:\{.*?"(?:ts|time)": ?")?(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))')


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the log of the service ``name``; ``at_ms`` 0: neither it nor one before it says when."""

    at_ms: int
    name: str
    text: str


def instant_ms(text: str) -> int:
    """When a line says that it was written, in epoch milliseconds; 0: it does not say."""
    match = _INSTANT.match(text)
    if match is None:
        return 0
    try:
        return int(datetime.fromisoformat(match[1]).timestamp() * 1000)
    except ValueError:
        return 0


class Log:
    """One file that is read on and on as it grows; a file that is not there yet is empty."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._path = name, path
        self._file: BinaryIO | None = None
        self._at_ms = 0

    def lines(self) -> Iterator[Line]:
        """What was written since the last time. A line without an instant has that of the line before it."""
        if self._file is None:
            try:
                self._file = self._path.open("rb")
            except FileNotFoundError:
                return
        if self._path.stat().st_size < self._file.tell():
            self._file.seek(0)  # somebody has emptied it
        while line := self._file.readline(MOST_LINE_BYTES):
            if not line.endswith(b"\n") and len(line) < MOST_LINE_BYTES:
                self._file.seek(-len(line), 1)  # its end is still to come
                return
            text = line.decode("utf-8", "replace").rstrip("\n")
            self._at_ms = instant_ms(text) or self._at_ms
            yield Line(self._at_ms, self.name, text)

    def close(self) -> None:
        """Read no more of it."""
        if self._file is not None:
            self._file.close()


def merged(logs: Sequence[Log], since_ms: int) -> Iterator[Line]:
    """What is new in all of them, in the order of time; with ``since_ms`` only what is known to be no older."""
    lines = heapq.merge(*(log.lines() for log in logs), key=lambda line: line.at_ms)
    return (line for line in lines if line.at_ms >= since_ms)
