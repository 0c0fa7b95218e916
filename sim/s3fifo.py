"""Eviction as in S3-FIFO (Yang, Zhang, Qiu, Yue and Vinayak 2023): queues, not an order of last use."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from meshcore.entry import Entry
from meshcore.lru import Lru
from meshcore.ranking import EvictKey, EvictOrder
from sim.scored import ALWAYS

SMALL_PART = 10
"""The small queue has a tenth of the memory."""
MOST_USES = 3
ENOUGH_USES = 2
"""Further uses in the small queue that take a copy to the main one."""


@dataclass(slots=True)
class _Held:
    """A copy in a queue; ``uses`` are those that count for it, ``counted`` all so far."""

    units: int
    uses: int = 0
    counted: int = 1  # the request that it was loaded for does not count

    def copy(self) -> _Held:
        return _Held(self.units, self.uses)


@dataclass(slots=True)
class _Queues:
    """The copies of one priority, first in first out."""

    small: OrderedDict[str, _Held] = field(default_factory=OrderedDict)
    main: OrderedDict[str, _Held] = field(default_factory=OrderedDict)
    small_units: int = 0
    units: int = 0

    def copy(self) -> _Queues:
        small, main = (OrderedDict((model, held.copy()) for model, held in q.items()) for q in (self.small, self.main))
        return _Queues(small, main, self.small_units, self.units)

    def get(self, model: str) -> _Held | None:
        return self.small.get(model) or self.main.get(model)

    def put(self, model: str, held: _Held, in_main: bool) -> None:
        (self.main if in_main else self.small)[model] = held
        self.units += held.units
        self.small_units += 0 if in_main else held.units

    def resize(self, model: str, held: _Held, units: int) -> None:
        self.units += units - held.units
        self.small_units += units - held.units if model in self.small else 0
        held.units = units

    def take_out(self, model: str) -> None:
        if held := self.small.pop(model, None):
            self.small_units -= held.units
        else:
            held = self.main.pop(model)
        self.units -= held.units

    def leave(self) -> Iterator[tuple[str, _Held, bool]]:
        """Take copies out, one after the other, with whether they were in the main queue; those used enough stay."""
        while self.small or self.main:
            if self.small and (not self.main or self.small_units * SMALL_PART >= self.units):
                model, held = next(iter(self.small.items()))
                self.take_out(model)
                if held.uses >= ENOUGH_USES:
                    self.put(model, held, in_main=True)
                else:
                    yield model, held, False
            else:
                model, held = next(iter(self.main.items()))
                if held.uses:
                    held.uses -= 1
                    self.main.move_to_end(model)
                else:
                    self.take_out(model)
                    yield model, held, True


class S3Fifo:
    """New copies go through a small queue, which those leave soon that are not used again; others come to the main one,
    where a use is a further turn. What left the small queue and is loaded again comes to the main one at once."""

    def __init__(self, _order: EvictOrder) -> None:
        self._queues: dict[int, _Queues] = {}
        """By priority."""
        self._priorities: dict[str, int] = {}
        self._ghosts: OrderedDict[str, int] = OrderedDict()
        """Models that left the small queue lately and their units, as many as the main queue may have."""
        self._ghost_units = 0
        self._lru = Lru()

    def put(self, entry: Entry, last_used: int) -> None:
        """Rank a copy."""
        model = entry.model
        if self._priorities.get(model, entry.priority) != entry.priority:
            self.discard(model)
        queues = self._queues.setdefault(entry.priority, _Queues())
        held = queues.get(model)
        if held is None:
            held = _Held(entry.weight)
            queues.put(model, held, in_main=self._was_here(model))
            self._priorities[model] = entry.priority
        else:
            queues.resize(model, held, entry.weight)
            self._lru.remove(model)
        self._lru.insert(model, last_used)
        if entry.uses > held.counted:
            held.uses = min(MOST_USES, held.uses + entry.uses - held.counted)
            held.counted = entry.uses

    def discard(self, model: str, made_room: bool = False) -> None:
        """The copy went; what came before it and stayed is where it would be, had it all been done at once."""
        priority = self._priorities.pop(model, None)
        if priority is None:
            return
        self._lru.remove(model)
        queues = self._queues[priority]
        if not made_room:
            queues.take_out(model)
            return
        spared = []
        for left, held, was_in_main in queues.leave():
            if left == model:
                if not was_in_main:
                    self._remember(model, held.units)
                break
            spared.append((left, held, was_in_main))
        for passed_over in spared:
            queues.put(*passed_over)

    def oldest(self) -> int:
        """The least recent last use."""
        return self._lru.oldest()

    def key(self, entry: Entry, units: int, last_used: int, now: int) -> EvictKey:
        """What a load may push out is below this: nothing, where nobody asked for it."""
        return entry.priority, ALWAYS if entry.is_asked_for else -1

    def ascending(self, now: int) -> Iterator[tuple[EvictKey, str]]:
        """(key, model) of all copies, smallest first."""
        for priority in sorted(self._queues):
            for place, (model, _, _) in enumerate(self._queues[priority].copy().leave()):
                yield (priority, place), model

    def _was_here(self, model: str) -> bool:
        units = self._ghosts.pop(model, None)
        self._ghost_units -= units or 0
        return units is not None

    def _remember(self, model: str, units: int) -> None:
        self._ghosts[model] = units
        self._ghost_units += units
        most = sum(queues.units for queues in self._queues.values()) * (SMALL_PART - 1) // SMALL_PART
        while self._ghost_units > most:
            _, forgotten = self._ghosts.popitem(last=False)
            self._ghost_units -= forgotten
