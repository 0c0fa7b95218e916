"""The order that copies would make room in, kept up to date copy by copy."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from heapq import heappop, heappush
from typing import Protocol

from meshcore.entry import Entry
from meshcore.units import NEVER, age_ms

EvictKey = tuple[int, int]
"""(priority, a number by which those of a priority are told apart): the smallest goes first."""

EvictOrder = Callable[[Entry, int], int]
"""A policy by age: (entry, units that it takes) -> how many times as old as it is the copy counts, at least 1.

It looks at nothing that changes by itself: copies that count alike stay in the order of their last use, and nobody has
to look at all of them to find who goes.
"""


class Ranking(Protocol):
    """Knows of every copy that is not pinned; a cache has one of its own, made for it."""

    def put(self, entry: Entry, last_used: int) -> None: ...  # rank it, anew if it has a rank
    def discard(self, model: str, made_room: bool = False) -> None: ...  # it went, for room or not; fine if unknown
    def oldest(self) -> int: ...  # the least recent last use; NEVER: there is no copy
    def key(self, entry: Entry, units: int, last_used: int, now: int) -> EvictKey: ...  # with ``units``, were it idle
    def ascending(self, now: int) -> Iterator[tuple[EvictKey, str]]: ...  # (key, model), as far as it is asked for


class ByAge:
    """The key is (priority, effective age with a minus), the age being multiplied as ``order`` says."""

    def __init__(self, order: EvictOrder) -> None:
        self._order = order
        self._ranks: dict[EvictKey, list[tuple[int, str]]] = {}
        """(last use, model) ascending, of each (priority, age factor) that some copy has."""
        self._places: dict[str, tuple[int, int, int]] = {}
        """Each model's priority, age factor and last use there."""

    def put(self, entry: Entry, last_used: int) -> None:
        """Rank a copy."""
        self.discard(entry.model)
        place = entry.priority, self._order(entry, entry.weight), last_used
        self._places[entry.model] = place
        insort(self._ranks.setdefault(place[:2], []), (last_used, entry.model))

    def discard(self, model: str, made_room: bool = False) -> None:
        """The copy went."""
        place = self._places.pop(model, None)
        if place is not None:
            ranked = self._ranks[place[:2]]
            del ranked[bisect_left(ranked, (place[2], model))]
            if not ranked:
                del self._ranks[place[:2]]

    def oldest(self) -> int:
        """The least recent last use."""
        return min((ranked[0][0] for ranked in self._ranks.values()), default=NEVER)

    def key(self, entry: Entry, units: int, last_used: int, now: int) -> EvictKey:
        """``entry``'s place in the order."""
        return _key(entry.priority, self._order(entry, units), last_used, now)

    def ascending(self, now: int) -> Iterator[tuple[EvictKey, str]]:
        """(key, model) of all copies, smallest first."""
        heap: list[tuple[EvictKey, str, EvictKey, int]] = []

        def push(rank: EvictKey, at: int) -> None:
            if at < len(self._ranks[rank]):
                last_used, model = self._ranks[rank][at]
                heappush(heap, (_key(*rank, last_used, now), model, rank, at))

        for rank in self._ranks:
            push(rank, 0)
        while heap:
            key, model, rank, at = heappop(heap)
            yield key, model
            push(rank, at + 1)


def _key(priority: int, factor: int, last_used: int, now: int) -> EvictKey:
    return priority, -age_ms(last_used, now) * factor
