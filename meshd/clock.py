"""The instance's clock: wall time at its start, then an even pace that drifts back to wall time without a step."""

from __future__ import annotations

import time
from collections.abc import Callable

SLEW = 1000
"""The clock gains or loses at most one part in this many (docs/design.md, two clocks)."""

# Where there is a choice, time counts that the machine slept through: a laptop that wakes up is on time at once.
_STEADY = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def steady_ns() -> int:
    """Nanoseconds since some fixed moment."""
    return time.clock_gettime_ns(_STEADY)


class Clock:
    """Epoch milliseconds that never go back and never jump, whatever is done to the machine's wall clock.

    ``wall_ns`` and ``steady_ns`` answer nanoseconds; the second must never go back.
    """

    def __init__(self, wall_ns: Callable[[], int] = time.time_ns, steady_ns: Callable[[], int] = steady_ns) -> None:
        self._wall_ns = wall_ns
        self._steady_ns = steady_ns
        self._reading_ns = wall_ns()
        self._steady_at = steady_ns()
        self._unspent = 0

    def now(self) -> int:
        """The present instant in epoch milliseconds."""
        steady = self._steady_ns()
        elapsed = steady - self._steady_at
        self._steady_at = steady
        # What is left of the division is kept: a clock that is read every few nanoseconds slews like any other.
        most, self._unspent = divmod(elapsed + self._unspent, SLEW)
        self._reading_ns += elapsed
        behind = self._wall_ns() - self._reading_ns
        self._reading_ns += max(-most, min(most, behind))
        return self._reading_ns // 1_000_000
