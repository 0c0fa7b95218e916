"""Whether a model with one copy gets a second because it is used regularly (D-10)."""

from __future__ import annotations

from meshcore.meter import Meter
from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.units import NEVER

LEAST_FREE_PERCENT = 10
"""Of the cluster's memory, for a copy that nobody waits for."""


def use(meter: Meter, at: int, settings: Settings) -> bool:
    """The copy was used at ``at``; whether it was also used within the window before.

    The first of two uses is kept until it leaves the window, so that steady use counts as much as use with pauses.
    """
    first, last = meter.first_use, meter.last_use
    if first < 0 or at - first > settings.second_copy_max_ms:
        first = last if last >= 0 and at - last <= settings.second_copy_max_ms else at
    meter.first_use, meter.last_use = first, at
    return at - first >= settings.second_copy_min_ms


def is_due(standing: Standing, settings: Settings) -> str:
    """Why the model gets a second copy; empty: it does not."""
    if standing.copies != 1 or standing.max_copies == 1 or not standing.is_regular or not standing.candidates:
        return ""
    if standing.free_units * 100 >= standing.capacity_units * LEAST_FREE_PERCENT:
        return "used regularly, and there is room"
    if settings.second_copy_lru_ms < standing.lru_age_ms < NEVER:
        return "used regularly, and what would make room was not used for long"
    return ""
