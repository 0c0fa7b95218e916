"""How long to wait before the next try, so that many do not come back at once."""

from __future__ import annotations

from random import Random
from typing import Final

FIRST_S: Final = 0.05
LONGEST_S: Final = 2.0


def pause_s(failures: int, rng: Random) -> float:
    """Seconds to wait after ``failures`` (1 or more) in a row: doubling, between half and all of it."""
    return min(LONGEST_S, FIRST_S * 2.0 ** min(failures - 1, 16)) * rng.uniform(0.5, 1.0)
