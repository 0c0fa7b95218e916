"""Whether the copy here goes because its model has more copies than it needs (D-12, D-13)."""

from __future__ import annotations

from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.totals import Totals
from meshcore.units import NEVER

MOST_FREE_PERCENT = 5
"""Where more of the cluster's memory is free nobody needs the copy's."""
UNUSED_PART, CALM_PART = 10, 5
"""A second copy goes when unused for a tenth of the age of the cluster's least recently used model; that counts in
full only for a model that was heavily used within a fifth of it."""
HEAVY_PERCENT = 3
"""Part of that age which a model with more copies has to be calm for."""
QUIET_PERIODS = 8
"""Of the rate pass, after another copy went."""
MOST_QUEUED = 1


def is_memory_wanted(totals: Totals) -> bool:
    """Whether any copy may go, by what the instances add up to that may load models of its type."""
    return totals.free_units * 100 <= totals.capacity_units * MOST_FREE_PERCENT


def cause(standing: Standing, settings: Settings) -> str:
    """Why the copy here goes; empty: it stays."""
    if standing.copies < 2 or standing.copies <= standing.min_copies:
        return ""
    if 0 < standing.max_copies < standing.copies:
        return "more copies than there may be"
    if standing.free_units * 100 > standing.capacity_units * MOST_FREE_PERCENT:
        return ""
    if standing.copies == 2:
        return _cause_of_two(standing, settings)
    heavy_ms = standing.lru_age_ms * HEAVY_PERCENT // 100 + settings.scale_down_heavy_base_ms
    heavy_ms = max(settings.scale_down_heavy_ms, min(settings.scale_down_heavy_max_ms, heavy_ms))
    is_new = standing.settled_ms < settings.scale_down_settled_ms
    is_quiet = standing.unloaded_ms >= QUIET_PERIODS * settings.rate_period_ms and standing.calm_ms >= heavy_ms
    is_idle = standing.rpm <= 2 * standing.threshold // 3 and standing.queued <= MOST_QUEUED
    return "one of many copies, and little used" if is_quiet and is_idle and not is_new else ""


def _cause_of_two(standing: Standing, settings: Settings) -> str:
    limit_ms = standing.lru_age_ms // UNUSED_PART
    is_unmeasured = NEVER in (standing.calm_ms, standing.lru_age_ms)
    if is_unmeasured or standing.calm_ms >= standing.lru_age_ms // CALM_PART:
        limit_ms = min(limit_ms, settings.scale_down_unused_ms)
    if standing.unused_ms <= limit_ms or standing.is_better_placed:
        return ""
    return "one of two copies, and unused for long"
