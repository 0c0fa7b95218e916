"""Loads that were sent to an instance and that its published record does not show yet."""

from __future__ import annotations

from collections import deque
from collections.abc import Container
from dataclasses import dataclass, field

from meshcore.settings import Settings


@dataclass(frozen=True, slots=True)
class _Hold:
    units: int
    until: int
    model: str


@dataclass(slots=True)
class _Target:
    holds: deque[_Hold] = field(default_factory=deque)
    units: int = 0
    accepted: int = 0
    """How many loads it has accepted, as far as it has told."""

    def release(self) -> None:
        self.units -= self.holds.popleft().units


class Reservations:
    """Holds on the space and the loaders of other instances (docs/design.md, placement).

    A hold ends when the target has told of one more accepted load than before the hold, when the load is known not
    to come, or after ``reservation_ms``. Every load that the target accepts ends one hold, the oldest: whose load it
    was does not matter, its record shows the space as taken either way.
    """

    NOT_STATE = frozenset({"_lifetime_ms"})  # a setting

    def __init__(self, settings: Settings) -> None:
        self._lifetime_ms = settings.reservation_ms
        self._targets: dict[str, _Target] = {}
        self._expiries: deque[tuple[int, str]] = deque()
        """(until, target) of every hold since, those that ended early included; ascending as all last alike."""

    def add(self, target: str, units: int, now: int, model: str = "") -> None:
        """A load of ``units`` cache units is on its way to ``target``."""
        held = self._targets.setdefault(target, _Target())
        hold = _Hold(units, now + self._lifetime_ms, model)
        held.holds.append(hold)
        held.units += units
        self._expiries.append((hold.until, target))

    def settle(self, target: str, accepted: int) -> bool:
        """``target`` tells that it has accepted that many loads since it started; True iff a hold ended.

        A smaller number than before is old news and says nothing.
        """
        held = self._targets.setdefault(target, _Target())
        shown = min(accepted - held.accepted, len(held.holds))
        held.accepted = max(held.accepted, accepted)
        for _ in range(shown):
            held.release()
        return shown > 0

    def drop(self, target: str, units: int) -> bool:
        """A load of ``units`` will not come to ``target`` after all; True iff it was held."""
        held = self._targets.get(target)
        if held is None:
            return False
        for hold in held.holds:
            if hold.units == units:
                held.holds.remove(hold)
                held.units -= units
                return True
        return False

    def forget(self, target: str) -> None:
        """``target`` is gone or has started anew: what was sent to it is lost and its counter begins at 0."""
        self._targets.pop(target, None)

    def expire(self, now: int) -> list[str]:
        """End the holds whose time is over; the targets that had one, ascending by id."""
        changed: dict[str, None] = {}
        while self._expiries and self._expiries[0][0] <= now:
            target = self._expiries.popleft()[1]
            held = self._targets.get(target)
            if held is not None and held.holds and held.holds[0].until <= now:
                held.release()
                changed[target] = None
        return sorted(changed)

    def units(self, target: str) -> int:
        """Cache units held on ``target``."""
        held = self._targets.get(target)
        return held.units if held else 0

    def loads(self, target: str, but: Container[str] = ()) -> int:
        """Loads held on ``target``, those of the models ``but`` left out."""
        held = self._targets.get(target)
        return sum(hold.model not in but for hold in held.holds) if held else 0
