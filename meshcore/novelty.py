"""Whether an instance's record says enough that is new to be worth a write that every other instance reads."""

from __future__ import annotations

from dataclasses import replace

from meshcore.records import InstanceRecord
from meshcore.units import NEVER, age_ms

ANY_AGE_MS = 160_000
"""What was written this long ago is written anew for any difference."""
CAPACITY_PART = 50
LRU_MS, LRU_PART = 20_000, 16
COUNT, COUNT_PERCENT = 10, 15
USED_PERCENT = 20
LOADS = 3
RPM, RPM_PERCENT = 100, 10


def is_worth_writing(old: InstanceRecord, new: InstanceRecord, written_at: int, now: int) -> bool:
    """Whether ``new`` is to be written where ``old`` was written at ``written_at``.

    Small differences in numbers that move all the time are not; they are compared with what was written, so they add
    up. All else is, and so is whatever placement decides by: fullness, and how many loads were accepted.
    """
    if old == new:
        return False
    if age_ms(written_at, now) >= ANY_AGE_MS or _without_numbers(old) != _without_numbers(new):
        return True
    return (
        old.is_full != new.is_full
        or abs(new.capacity_units - old.capacity_units) * CAPACITY_PART >= max(1, old.capacity_units)
        or _is_other_age(old.lru_ms, new.lru_ms, now)
        or _is_other(old.count, new.count, COUNT_PERCENT, COUNT)
        or _is_other(old.used_units, new.used_units, USED_PERCENT)
        or _are_other_loads(old.loads_in_progress, new.loads_in_progress, new.load_threads)
        or _is_other(old.rpm, new.rpm, RPM_PERCENT, RPM)
    )


def _without_numbers(record: InstanceRecord) -> InstanceRecord:
    return replace(record, lru_ms=0, count=0, capacity_units=0, used_units=0, loads_in_progress=0, rpm=0)


def _is_other(old: int, new: int, percent: int, few: int = 0) -> bool:
    """By so many percent, or, where ``few`` is given, by so much; from nothing or to nothing always."""
    if not old or not new:
        return old != new
    by = abs(new - old)
    return by * 100 >= percent * old or bool(few and by >= few)


def _is_other_age(old: int, new: int, now: int) -> bool:
    if NEVER in (old, new):
        return old != new
    by = abs(new - old)
    return by >= LRU_MS or by * LRU_PART >= max(1, age_ms(old, now))


def _are_other_loads(old: int, new: int, threads: int) -> bool:
    return old != new and (not old or not new or (old <= threads) != (new <= threads) or abs(new - old) >= LOADS)
