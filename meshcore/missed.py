"""Whether a copy that makes room had better be loaded elsewhere at once."""

from __future__ import annotations

from typing import Protocol

from meshcore.capacity import CacheParams
from meshcore.entry import Entry
from meshcore.settings import Settings
from meshcore.totals import Totals
from meshcore.units import age_ms


class Surroundings(Protocol):
    """What this needs of the node around it."""

    now: int

    @property
    def settings(self) -> Settings: ...

    def totals_for(self, model_type: str) -> Totals: ...


def is_missed(entry: Entry, params: CacheParams, around: Surroundings) -> bool:
    """Whether it answers and no other does, was not loaded just now, and other instances have room.

    A copy that was loaded just now would begin a chain: it pushes out another there, which is loaded here.
    """
    settings, totals = around.settings, around.totals_for(entry.type)
    if not entry.is_serving or entry.is_redundant or totals.instances < 2:
        return False
    is_settled = age_ms(entry.load_ts, around.now) > settings.reload_load_timeouts * params.load_timeout_ms
    return is_settled and 100 * totals.free_units >= settings.reload_free_percent * totals.capacity_units
