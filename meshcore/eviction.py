"""Which copies make room: the order they go in, and the whole set that goes, planned before the first one does.

The order (docs/design.md, eviction): idle before in use, then the policy's key, then the id. A pinned copy never goes,
and one that loads only where memory is short already: a load that gave way to the next would be work for nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush

from meshcore.entry import Entry
from meshcore.lru import Lru
from meshcore.reasons import Candidate, Rejected
from meshcore.units import age_ms

REDUNDANT_AGE_FACTOR = 4
"""A ready copy beyond those a model must have counts as this many times as old: others answer in its place."""

EvictKey = tuple[int, ...]

EvictOrder = Callable[[Entry, int, int, bool], EvictKey]
"""A policy: (entry, last used, now, is redundant) -> key; the smallest key goes first."""

IsRedundant = Callable[[str], bool]
"""Whether the copy of this model here is one more than the model must have."""


def lru_order(entry: Entry, last_used: int, now: int, is_redundant: bool) -> EvictKey:
    """Lower priority first, then greater effective age."""
    age = age_ms(last_used, now)
    return entry.priority, -age * REDUNDANT_AGE_FACTOR if is_redundant else -age


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
    """Plans evictions from what the cache holds; changes nothing."""

    NOT_STATE = frozenset({"_is_lru"})  # a rule

    def __init__(self, entries: Mapping[str, Entry], lru: Lru, order: EvictOrder) -> None:
        self._entries, self._lru, self._order = entries, lru, order
        self._is_lru = order is lru_order
        self._of_priority: dict[int, int] = {}

    def count(self, priority: int, change: int) -> None:
        """``change`` (+1, -1) entries more of ``priority`` are in the cache."""
        left = self._of_priority.get(priority, 0) + change
        if left:
            self._of_priority[priority] = left
        else:
            del self._of_priority[priority]

    def key(self, entry: Entry, last_used: int, now: int) -> EvictKey:
        """``entry``'s place in the order were it idle and its model's only copy."""
        return self._order(entry, last_used, now, False)

    def plan(
        self,
        short_units: int,
        now: int,
        spare: str,
        most: EvictKey | None,
        is_redundant: IsRedundant | None,
        takes_loads: bool,
    ) -> Plan:
        """Who goes for ``short_units``, none of them being ``spare`` or beyond the key ``most``.

        Copies in use go only once no idle one is left that may, and so, if ``takes_loads``, do those that load.
        """
        plan, busy = Plan(short_units), list[Candidate]()
        if plan.is_enough:
            return plan
        for key, model in self._ranked(now, is_redundant):
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

    def _ranked(self, now: int, is_redundant: IsRedundant | None) -> Iterator[tuple[EvictKey, str]]:
        """(key, model) of all copies that are not pinned, smallest first.

        Under the default policy a copy is known to be next as soon as nothing used later can have a smaller key, so
        only as much of the cache is looked at as goes, and up to a quarter of the oldest's age where some copies may
        be redundant. Another policy looks at all.
        """
        heap: list[tuple[EvictKey, str]] = []
        lowest = min(self._of_priority, default=0)
        for model, last_used in self._lru.ascending():
            if self._is_lru:
                age = age_ms(last_used, now)
                best = lowest, -age * REDUNDANT_AGE_FACTOR if is_redundant else -age
                while heap and heap[0][0] < best:
                    yield heappop(heap)
            entry = self._entries[model]
            if not entry.is_pinned:
                is_extra = is_redundant is not None and entry.is_serving and is_redundant(model)
                heappush(heap, (self._order(entry, last_used, now, is_extra), model))
        while heap:
            yield heappop(heap)


def _busy(entry: Entry) -> Rejected | None:
    if entry.is_pending or entry.is_loading:
        return Rejected.LOADING
    return Rejected.IN_USE if entry.in_flight else None
