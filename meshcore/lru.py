"""Keys in the order of their last use."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator

from meshcore.units import NEVER


class Lru:
    """Keys by (last use, order of arrival there): among equal instants the later inserted or touched is more recent.

    A sorted list: insertion in the past, which proactive loads and moved copies need, is a bisection, and for the few
    thousand models of an instance the shift behind it costs less than a linked structure's objects.
    """

    def __init__(self) -> None:
        self._order: list[tuple[int, int, str]] = []
        self._places: dict[str, tuple[int, int, str]] = {}
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._order)

    def __contains__(self, key: str) -> bool:
        return key in self._places

    def insert(self, key: str, last_used: int) -> None:
        """Add ``key``, last used at the instant ``last_used``."""
        if key in self._places:
            raise ValueError(f"{key} is there already: touch it")
        self._arrivals += 1
        place = last_used, self._arrivals, key
        self._places[key] = place
        insort(self._order, place)

    def touch(self, key: str, at: int) -> None:
        """``key`` was used at the instant ``at``; not later than known so far, it keeps its place."""
        if at > self.last_used(key):
            self.remove(key)
            self.insert(key, at)

    def remove(self, key: str) -> int:
        """Take ``key`` out; its last use."""
        place = self._places.pop(key)
        del self._order[bisect_left(self._order, place)]
        return place[0]

    def last_used(self, key: str) -> int:
        """The instant of ``key``'s last use."""
        return self._places[key][0]

    def oldest(self) -> int:
        """The least recent last use, NEVER when empty."""
        return self._order[0][0] if self._order else NEVER

    def ascending(self) -> Iterator[tuple[str, int]]:
        """(key, last use), the least recent first; nothing may change meanwhile."""
        return ((key, last_used) for last_used, _, key in self._order)

    def since(self, instant: int) -> Iterator[tuple[str, int]]:
        """(key, last use) of those last used at ``instant`` or later; nothing may change meanwhile."""
        first = bisect_left(self._order, (instant, 0, ""))
        return ((key, last_used) for last_used, _, key in self._order[first:])
