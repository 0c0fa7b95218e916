"""Eviction by a score that each use of a copy gives it: LFU, and GDSF by Cherkasova (1998)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections.abc import Iterator

from meshcore.entry import Entry
from meshcore.lru import Lru
from meshcore.ranking import EvictKey, EvictOrder

ALWAYS = 1 << 256
"""More than any score: what a request waits for finds room, however little those score that make it."""
SCALE = 1 << 40
"""What one use counts for a copy of one unit; scores are whole numbers."""


class Scored(ABC):
    """Lowest score first, then the least recently used; the order by age that rules have besides is not looked at."""

    def __init__(self, _order: EvictOrder) -> None:
        self._order: list[tuple[int, int, int, str]] = []
        """(priority, score, last use, model), ascending."""
        self._places: dict[str, tuple[int, int, int, str]] = {}
        self._lru = Lru()

    @abstractmethod
    def score(self, entry: Entry) -> int:
        """What the copy scores now; asked whenever something of it is another."""

    @abstractmethod
    def least(self) -> int:
        """A score below that of all copies: a copy that nobody asked for may push out none."""

    def put(self, entry: Entry, last_used: int) -> None:
        """Rank a copy."""
        self._take_out(entry.model)
        place = entry.priority, self.score(entry), last_used, entry.model
        self._places[entry.model] = place
        insort(self._order, place)
        self._lru.insert(entry.model, last_used)

    def discard(self, model: str, made_room: bool = False) -> None:
        """The copy went."""
        self._take_out(model)

    def oldest(self) -> int:
        """The least recent last use."""
        return self._lru.oldest()

    def key(self, entry: Entry, units: int, last_used: int, now: int) -> EvictKey:
        """What a load may push out is below this."""
        return entry.priority, ALWAYS if entry.is_asked_for else self.least()

    def ascending(self, now: int) -> Iterator[tuple[EvictKey, str]]:
        """(key, model) of all copies, smallest first."""
        return (((priority, score), model) for priority, score, _, model in self._order)

    def _take_out(self, model: str) -> None:
        if place := self._places.pop(model, None):
            del self._order[bisect_left(self._order, place)]
            self._lru.remove(model)


class Lfu(Scored):
    """The copy that was used least often since it was loaded."""

    def score(self, entry: Entry) -> int:
        """Its uses; the request that it was loaded for is one, before it is counted, too."""
        return max(1, entry.uses)

    def least(self) -> int:
        """No use at all."""
        return 0


class Gdsf(Scored):
    """Uses by size, above what the copy scored that made room last when it was used: size counts, and so does age.

    The cost of a miss is 1 for every model, which is the form of it that is after few misses.
    """

    def __init__(self, order: EvictOrder) -> None:
        super().__init__(order)
        self._floor = 0
        self._used: dict[str, tuple[int, int]] = {}
        """Each model's uses so far, and the floor when the last of them came."""

    def score(self, entry: Entry) -> int:
        """As of its last use."""
        uses, floor = self._used.get(entry.model, (-1, 0))
        if entry.uses != uses:
            floor = self._floor
            self._used[entry.model] = entry.uses, floor
        return floor + max(1, entry.uses) * SCALE // max(1, entry.weight)

    def least(self) -> int:
        """What scores nothing above the floor."""
        return self._floor

    def discard(self, model: str, made_room: bool = False) -> None:
        """The copy went; if for room, it raises the floor."""
        if made_room:
            _, score, _, _ = self._places[model]
            self._floor = max(self._floor, score)
        self._used.pop(model, None)
        super().discard(model, made_room)
