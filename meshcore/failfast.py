"""Whether what a new instance loads goes so wrong that it had better not take over from others: a rule on counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from meshcore.records import ModelRecord
from meshcore.settings import Settings
from meshcore.units import age_ms


class Blame(StrEnum):
    """What a failed load says of the instance."""

    FATAL = "fatal"  # others hold the model: it is the instance
    GENERAL = "general"  # it may be either
    NONE = "none"  # it may well be the model: it failed long ago already, or lay idle until the mesh took it up


@dataclass(slots=True)
class Trials:
    """Loads since the start that count, by how they ended; fatal ones are among the failed ones.

    Of those that nobody asked for only the fatal ones count: what lies idle in a registry may be broken for long.
    """

    loaded: int = 0
    failed: int = 0
    fatal: int = 0


def blame(
    record: ModelRecord, is_asked_for: bool, me: str, is_there: Callable[[str, int], bool], load_timeout_ms: int,
    now: int, settings: Settings,
) -> Blame:  # fmt: skip
    """What the failure of a load here says. ``record`` is the model's as it was before; ``is_asked_for``: clients want
    it; ``is_there`` tells of a copy, by instance and instant, whether its instance has been up since."""
    others = ((instance, load_ts) for instance, load_ts in record.copies.items() if instance != me)
    if any(age_ms(load_ts, now) >= load_timeout_ms and is_there(instance, load_ts) for instance, load_ts in others):
        return Blame.FATAL
    has_failed = any(age_ms(failure.at, now) >= settings.failfast_old_ms for failure in record.failures.values())
    return Blame.GENERAL if is_asked_for and not has_failed else Blame.NONE


def verdict(trials: Trials, in_progress: int, settings: Settings) -> str:
    """Why the instance had better not take over; empty: it may. ``in_progress``: loads that clients want."""
    if trials.fatal > settings.failfast_fatal:
        return f"{trials.fatal} models that other instances hold could not be loaded here"
    tried = trials.loaded + trials.failed + in_progress
    if tried > settings.failfast_loads and trials.failed * 100 > tried * settings.failfast_percent:
        return f"{trials.failed} of {tried} loads failed here"
    return ""
