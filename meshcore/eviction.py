"""Which copies make room: the order they go in, and the whole set that goes, planned before the first one does.

The order (docs/design.md, eviction): idle before in use, lower priority, greater effective age, id. A pinned copy never
goes, and one that loads only where memory is short already: a load that gave way to the next would be work for nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from meshcore.entry import Entry
from meshcore.ranking import EvictKey, EvictOrder, Ranking
from meshcore.reasons import Candidate, Rejected

REDUNDANT_AGE_FACTOR = 4
"""A ready copy beyond those a model must have counts as this many times as old: others answer in its place."""

MOST_USES = 16
"""Requests to a copy that count for it: what was in fashion once is not kept for ever."""


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
    """Plans evictions in the order of ``ranking``, and changes nothing in the cache.

    ``entries`` are the cache's; ``put`` is told of whatever may change a copy's rank.
    """

    def __init__(self, entries: Mapping[str, Entry], ranking: Ranking) -> None:
        self._entries, self._ranking = entries, ranking
        self._pinned: dict[str, None] = {}

    def put(self, entry: Entry, last_used: int) -> None:
        """Rank a copy of the cache, anew if it has a rank."""
        if entry.is_pinned:
            self._ranking.discard(entry.model)
            self._pinned[entry.model] = None
        else:
            self._pinned.pop(entry.model, None)
            self._ranking.put(entry, last_used)

    def discard(self, model: str, made_room: bool = False) -> None:
        """The copy is no longer in the cache; fine if it has no rank."""
        self._pinned.pop(model, None)
        self._ranking.discard(model, made_room)

    def oldest(self) -> int:
        """The least recent last use of a copy that is not pinned; NEVER: there is none."""
        return self._ranking.oldest()

    @property
    def pinned_units(self) -> int:
        """What pinned copies take."""
        return sum(self._entries[model].weight for model in self._pinned)

    def key(self, entry: Entry, units: int, last_used: int, now: int) -> EvictKey:
        """``entry``'s place in the order were it idle and had it ``units``."""
        return self._ranking.key(entry, units, last_used, now)

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
        for key, model in self._ranking.ascending(now):
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


def _busy(entry: Entry) -> Rejected | None:
    if entry.is_pending or entry.is_loading:
        return Rejected.LOADING
    return Rejected.IN_USE if entry.in_flight else None
