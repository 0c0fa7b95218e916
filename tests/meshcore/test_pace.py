"""Time as it is lived, and how busy an instance is by it."""

from __future__ import annotations

from meshcore.busyness import Busyness
from meshcore.pace import Pace
from meshcore.units import NEVER
from tests.builders import NOW

HOUR = 3_600_000


def test_time_between_looks_counts() -> None:
    pace = Pace()
    assert pace.look(NOW, NEVER, 30)
    assert pace.lived_ms == 0
    assert pace.look(NOW + 10, NOW + 10, 30)
    assert pace.look(NOW + 50, NOW + 20, 30)  # late, as a busy process is
    assert pace.lived_ms == 50


def test_time_in_which_nobody_looked_as_was_due_does_not_count() -> None:
    """A clock that jumped, or a process that stood still."""
    pace = Pace()
    pace.look(NOW, NEVER, 30)
    assert not pace.look(NOW + HOUR, NOW + 10, 30)
    assert pace.lived_ms == 0
    assert pace.look(NOW + HOUR + 10, NOW + HOUR + 10, 30)
    assert pace.lived_ms == 10


def test_busyness_is_the_mean_of_the_last_minutes() -> None:
    """From the newest sample that is old enough; before there is one, from the first."""
    busy = Busyness()
    assert busy.is_quiet
    busy.add(60)
    assert not busy.is_quiet
    assert busy.rate(1_000, 60_000, 10_000) == 360  # of ten seconds at least
    assert busy.rate(60_000, 60_000, 10_000) == 60
    for minute in range(1, 8):
        busy.sample(minute * 60_000, 360_000)
    assert busy.rate(420_000, 60_000, 10_000) == 0
    assert busy.is_quiet
    busy.add(36)
    assert busy.rate(420_000, 60_000, 10_000) == 6
