"""Which copies make room: the order they go in, and the whole set that goes, planned before the first one does.

The order (docs/design.md, eviction): idle before in use, lower priority, greater effective age, id. A pinned copy never
goes, and one that loads only where memory is short already: a load that gave way to the next would be work for nothing.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from meshcore.entry import Entry
from meshcore.reasons import Candidate, Rejected
from meshcore.units import NEVER, age_ms

REDUNDANT_AGE_FACTOR = 4
"""A ready copy beyond those a model must have counts as this many times as old: others answer in its place."""

MOST_USES = 16
"""Requests to a copy that count for it: what was in fashion once is not kept for ever."""

EvictKey = tuple[int, int]
"""(priority, effective age with a minus): the smallest goes first."""

EvictOrder = Callable[[Entry, int], int]
"""A policy: (entry, units that it takes) -> how many times as old as it is the copy counts, at least 1.

It looks at nothing that changes by itself: copies that count alike stay in the order of their last use, and nobody has
to look at all of them to find who goes.
"""


def lru_order(entry: Entry, units: int) -> int:
    """Age alone, unless others answer in its place."""
    return REDUNDANT_AGE_FACTOR if entry.is_redundant else 1


def cost_order(entry: Entry, units: int) -> int:
    """Age by the memory that comes free for a second of loading it again, and by how seldom it was used: what is large,
    quickly loaded or seldom wanted goes early.

    In steps of a third to a half, so that there are few different ones.
    """
    freed = units * 1_000_000 // max(1, entry.load_ms)
    weight = max(1, freed // max(1, min(entry.uses, MOST_USES)))
    step = max(0, weight.bit_length() - 2)
    return (weight >> step << step) * lru_order(entry, units)


EVICT_ORDERS: Mapping[str, EvictOrder] = {"lru": lru_order, "cost": cost_order}
"""The policies by the names that settings give them."""


@dataclass(slots=True)
class Plan:
    """Who goes for ``short_units`` more room, in order; ``spared`` were looked at and stay."""

    short_units: int
    loading_units: int = 0
    """What copies hold that load and were spared for it."""
    victims: list[Candidate] = field(default_factory=list)
    spared: list[Candidate] = field(default_factory=list)

    @property
    def is_enough(self) -> bool:
        return self.short_units <= 0


class Planner:
    """Ranks the copies that may go, and plans evictions; changes nothing in the cache.

    ``entries`` are the cache's; ``put`` is told of whatever may change a copy's rank.
    """

    def __init__(self, entries: Mapping[str, Entry], order: EvictOrder) -> None:
        self._entries, self._order = entries, order
        self._ranks: dict[EvictKey, list[tuple[int, str]]] = {}
        """(last use, model) ascending, of each (priority, age factor) that some copy has."""
        self._places: dict[str, tuple[int, int, int]] = {}
        """Each model's priority, age factor and last use there."""
        self._pinned: dict[str, None] = {}

    def put(self, entry: Entry, last_used: int) -> None:
        """Rank a copy of the cache, anew if it has a rank."""
        self.discard(entry.model)
        if entry.is_pinned:
            self._pinned[entry.model] = None
            return
        place = entry.priority, self._order(entry, entry.weight), last_used
        self._places[entry.model] = place
        insort(self._ranks.setdefault(place[:2], []), (last_used, entry.model))

    def discard(self, model: str) -> None:
        """The copy is no longer in the cache; fine if it has no rank."""
        self._pinned.pop(model, None)
        place = self._places.pop(model, None)
        if place is not None:
            ranked = self._ranks[place[:2]]
            del ranked[bisect_left(ranked, (place[2], model))]
            if not ranked:
                del self._ranks[place[:2]]

    def oldest(self) -> int:
        """The least recent last use of a copy that is not pinned; NEVER: there is none."""
        return min((ranked[0][0] for ranked in self._ranks.values()), default=NEVER)

    @property
    def pinned_units(self) -> int:
        """What pinned copies take."""
        return sum(self._entries[model].weight for model in self._pinned)

    def key(self, entry: Entry, units: int, last_used: int, now: int) -> EvictKey:
        """``entry``'s place in the order were it idle and had it ``units``."""
        return _key(entry.priority, self._order(entry, units), last_used, now)

    def plan(
        self,
        short_units: int,
        now: int,
        spare: str,
        most: EvictKey | None,
        takes_loads: bool,
    ) -> Plan:
        """Who goes for ``short_units``, none of them being ``spare`` or beyond the key ``most``.

        Copies in use go only once no idle one is left that may, and so, if ``takes_loads``, do those that load.
        """
        plan, busy = Plan(short_units), list[Candidate]()
        if plan.is_enough:
            return plan
        for key, model in self._ranked(now):
            if most is not None and key > most:
                plan.spared.append(Candidate(model, key, Rejected.NEWER))
                break
            entry = self._entries[model]
            if model == spare:
                continue
            if rejected := _busy(entry):
                busy.append(Candidate(model, key, rejected))
                continue
            plan.victims.append(Candidate(model, key))
            plan.short_units -= entry.weight
            if plan.is_enough:
                break
        for candidate in busy:
            if plan.is_enough:
                plan.spared.append(candidate)
            elif candidate.rejected is Rejected.LOADING and not takes_loads:
                plan.spared.append(candidate)
                plan.loading_units += self._entries[candidate.id].weight
            else:
                plan.victims.append(Candidate(candidate.id, candidate.score))
                plan.short_units -= self._entries[candidate.id].weight
        return plan

    def _ranked(self, now: int) -> Iterator[tuple[EvictKey, str]]:
        """(key, model) of all copies that are not pinned, smallest first, found as far as it is asked for."""
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


def _busy(entry: Entry) -> Rejected | None:
    if entry.is_pending or entry.is_loading:
        return Rejected.LOADING
    return Rejected.IN_USE if entry.in_flight else None
