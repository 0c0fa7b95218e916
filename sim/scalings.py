"""How many copies a model gets by other rules than ours: as ModelMesh decides by its code, defects included."""

from __future__ import annotations

from meshcore.meter import Meter
from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.totals import Totals
from meshcore.units import NEVER

LEAST_OF_PEERS = 2
"""Further copies beyond these are a third of the instances at most, which may be fewer than these (D-11)."""
MOST_FREE_PERCENT = 5
UNUSED_PART, HEAVY_PART = 10, 5
QUIET_PERIODS = 8


def use_as_coded(meter: Meter, at: int, settings: Settings) -> bool:
    """Whether one of two uses that are kept was in the window before this one.

    The older of them follows the latest as long as that is not past the window, so that steady use is never regular
    (D-10).
    """
    from_ms, until_ms = at - settings.second_copy_max_ms, at - settings.second_copy_min_ms
    first, last = meter.first_use, meter.last_use
    is_first_in = is_last_in = False
    if last >= max(0, from_ms) and first <= until_ms:
        is_first_in, is_last_in = first >= max(0, from_ms), last <= until_ms
    if is_last_in or not is_first_in:
        meter.first_use = last
    meter.last_use = at
    return is_first_in or is_last_in


def no_second_copy(standing: Standing, settings: Settings) -> str:
    """However regularly it is used."""
    return ""


def further_as_coded(standing: Standing, settings: Settings) -> int:
    """The number of further copies; those on their way count by when their loads began, and busy instances twice
    (D-11)."""
    if standing.rpm < standing.threshold:
        return 0
    if standing.newest_ms < 2 * settings.rate_period_ms + 2 * standing.load_ms:
        return 0
    candidates = standing.candidates - 2 * standing.busy
    more = min(standing.rpm // standing.threshold, candidates)
    if more > LEAST_OF_PEERS:
        more = min(more, standing.instances // 3)
    return max(0, more)


def is_memory_wanted_as_coded(totals: Totals) -> bool:
    """Whether at most so many whole percent are free."""
    return totals.free_units * 100 // max(1, totals.capacity_units) <= MOST_FREE_PERCENT


def cause_as_coded(standing: Standing, settings: Settings) -> str:
    """Why the copy here goes; empty: it stays. The time without heavy use is always the longest (D-13)."""
    if standing.copies < 2 or standing.free_units * 100 // max(1, standing.capacity_units) > MOST_FREE_PERCENT:
        return ""
    if standing.copies == 2:
        return _cause_of_two(standing, settings)
    is_quiet = standing.unloaded_ms >= QUIET_PERIODS * settings.rate_period_ms
    is_calm = standing.calm_ms >= settings.scale_down_heavy_max_ms
    is_settled = standing.settled_ms >= settings.scale_down_settled_ms
    is_idle = standing.rpm <= 2 * standing.threshold // 3 and standing.queued <= 1
    return "one of many copies, and little used" if is_quiet and is_calm and is_settled and is_idle else ""


def _cause_of_two(standing: Standing, settings: Settings) -> str:
    """The bound on the time unused holds where heavy use was recent, or never was (D-12)."""
    limit_ms = standing.lru_age_ms // UNUSED_PART
    if standing.calm_ms == NEVER or standing.calm_ms < standing.lru_age_ms // HEAVY_PART:
        limit_ms = min(limit_ms, settings.scale_down_unused_ms)
    if standing.unused_ms <= limit_ms or standing.is_better_placed:
        return ""
    return "one of two copies, and unused for long"
