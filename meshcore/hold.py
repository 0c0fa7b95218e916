"""When instances that have no record may not be taken for gone: the store, and not they, may have been away."""

from __future__ import annotations

from collections import deque

from meshcore.settings import Settings
from meshcore.units import NEVER

TOGETHER = 2
"""Fewer than this do not go together."""
SHARE = 3
"""More than one in so many is too many at once."""


class Hold:
    """Until when nothing is pruned: from the start, and from the store's return, for twice the lease; for longer where
    many instances went within one grace. All by this instance's own clock.
    """

    def __init__(self, settings: Settings, now: int) -> None:
        self._settings = settings
        self._until = now + 2 * settings.lease_ttl_ms
        self._is_away = False
        self._went: deque[tuple[int, str]] = deque()
        """Who went within the last grace, and when."""

    @property
    def until(self) -> int:
        """The instant from which on may be pruned; NEVER: the store is away."""
        return NEVER if self._is_away else self._until

    def store_lost(self) -> None:
        """Nothing is known for certain until it is back."""
        self._is_away = True

    def store_found(self, now: int) -> None:
        """It is back."""
        self._is_away = False
        self.lease_lost(now)

    def lease_lost(self, now: int) -> None:
        """This instance had lost its lease; whoever else did has time to come back."""
        self._until = max(self._until, now + 2 * self._settings.lease_ttl_ms)

    def holds(self, now: int) -> bool:
        """Whether nothing may be pruned."""
        return now < self.until

    def came(self, instance: str) -> None:
        """It is there (again)."""
        if any(gone == instance for _, gone in self._went):
            self._went = deque(item for item in self._went if item[1] != instance)

    def went(self, instance: str, left: int, now: int) -> bool:
        """It is not there any more, and ``left`` others are; True iff that makes it too many at once."""
        self._went.append((now, instance))
        while self._went[0][0] < now - self._settings.missing_grace_ms:
            self._went.popleft()
        together = len({gone for _, gone in self._went})
        if together < TOGETHER or SHARE * together <= left + together:
            return False
        self._until = max(self._until, now + self._settings.vanished_hold_ms)
        return True
