"""One instance's cache: its copies in the order of their last use, within the memory that the runtime has."""

from __future__ import annotations

from dataclasses import dataclass

from meshcore.capacity import CacheParams, UnloadBuffer
from meshcore.entry import Entry
from meshcore.errors import FellThrough, NeverFits, NoRoomYet
from meshcore.eviction import Plan, Planner, lru_order
from meshcore.lru import Lru
from meshcore.ranking import ByAge, Ranking
from meshcore.reasons import Candidate
from meshcore.units import NEVER, UNIT_BYTES, age_ms


@dataclass(frozen=True, slots=True)
class Evicted:
    """A copy that made room; ``entry.weight`` is now what its unload will give back (0: there is nothing to unload)."""

    entry: Entry
    last_used: int
    units: int
    """What it took of the cache."""
    score: tuple[int | str, ...]
    spared: tuple[Candidate, ...]
    """Others that were looked at for the same room, and why they stay."""


class Cache:
    """The copies here and what each takes; sizes in cache units, instants in epoch ms.

    A load goes through ``insert`` (one unit), ``make_room`` (its predicted size), ``claim`` once ``is_claimable``, and
    ``sized``; or ``fail``. ``remove`` and eviction take a copy out at once and leave ``entry.weight`` charged until
    ``unloaded`` or ``unload_lost`` is told of it.
    """

    def __init__(self, params: CacheParams, ranking: Ranking | None = None) -> None:
        self.params = params
        self.entries: dict[str, Entry] = {}
        """By model; changed by this class alone."""
        self.lru = Lru()
        """The models by last use; changed by this class alone."""
        self.buffer = UnloadBuffer(params.capacity_units, params.reserve_units)
        """The sums; changed by this class alone."""
        self._planner = Planner(self.entries, ranking or ByAge(lru_order))

    # -- what others see ---------------------------------------------------------------------------

    @property
    def capacity_units(self) -> int:
        """What models may use: memory that is being given back is not advertised."""
        return max(0, self.buffer.capacity - self.buffer.buffer)

    @property
    def used_units(self) -> int:
        return self.buffer.resident

    @property
    def free_units(self) -> int:
        return max(0, self.buffer.capacity - self.buffer.total)

    @property
    def is_full(self) -> bool:
        return self.free_units < self.params.min_space_units

    @property
    def count(self) -> int:
        """Copies, failed ones included."""
        return len(self.entries)

    @property
    def oldest_ms(self) -> int:
        """When the copy used least recently was used; NEVER: there is none.

        Pinned copies do not count: a cache is as fresh as what a load would push out of it.
        """
        return self._planner.oldest()

    @property
    def unsatisfied_units(self) -> int:
        """Units that pinned copies take beyond what there is for copies: they stay, and so will be in each other's
        way."""
        return max(0, self._planner.pinned_units + self.buffer.reserve - self.buffer.capacity)

    @property
    def lost_units(self) -> int:
        """Units that the runtime never gave back."""
        return self.buffer.lost

    def last_used(self, model: str) -> int:
        """When the copy here was last used."""
        return self.lru.last_used(model)

    # -- use ---------------------------------------------------------------------------------------

    def touch(self, model: str, at: int) -> None:
        """The copy was used at ``at``; it may be gone by the time that is known."""
        if entry := self.entries.get(model):
            self.lru.touch(model, at)
            self._rank(entry)

    def used(self, model: str, at: int, in_flight: int, count: int = 1) -> None:
        """The copy got ``count`` requests, the last at ``at``, and is answering ``in_flight``; it may be gone."""
        if entry := self.entries.get(model):
            entry.in_flight = in_flight
            entry.uses += count
            self.touch(model, at)

    def churn_refuses(self, now: int, last_used: int, pending_units: int = 0) -> bool:
        """Whether a load of a model last used at ``last_used`` is refused because it would begin to thrash.

        ``pending_units`` are what loads that wait for their turn will take.

        So it is when the cache is full and even its least recently used copy was used within ``min_churn_age_ms``. A
        model used less recently than that copy is not refused, which would count as a failure: it falls through.
        """
        oldest = self.oldest_ms
        is_full = self.free_units - pending_units < self.params.min_space_units
        if not is_full or oldest == NEVER or last_used < oldest:
            return False
        return age_ms(oldest, now) < self.params.min_churn_age_ms

    def reprioritise(self, entry: Entry, priority: int, is_pinned: bool, now: int) -> list[Evicted]:
        """The registration says otherwise; the copies that go because less is pinned than did not fit."""
        entry.priority, entry.is_pinned = priority, is_pinned
        self._rank(entry)
        return self._shrink(now)

    def mark_redundant(self, model: str, is_redundant: bool) -> None:
        """Whether others answer in place of the copy here, so that the model has one more than it must."""
        entry = self.entries.get(model)
        if entry is not None and entry.is_redundant != is_redundant:
            entry.is_redundant = is_redundant
            self._rank(entry)

    # -- loads -------------------------------------------------------------------------------------

    def insert(self, entry: Entry, last_used: int, now: int) -> list[Evicted]:
        """Give a new copy one unit; raises FellThrough (nothing has changed) where it is needed least of all."""
        if entry.model in self.entries:
            raise ValueError(f"{entry.model} is in the cache already")
        plan = self._room(entry, 1, max(1, entry.predicted_units), last_used, now)
        evicted = self._evict(plan)
        entry.weight = 1
        self.entries[entry.model] = entry
        self.lru.insert(entry.model, last_used)
        self._rank(entry)
        self.buffer.grow(1)
        return evicted

    def foresee(self, entry: Entry, last_used: int, now: int) -> tuple[str, ...]:
        """The models that would go until a new copy has its predicted size; raises FellThrough as ``insert``."""
        units = max(1, entry.predicted_units)
        self._room(entry, 1, units, last_used, now)
        plan = self._plan(entry, units, units, last_used, now, takes_loads=False)
        return tuple(victim.id for victim in plan.victims)

    def make_room(self, entry: Entry, to_units: int, now: int, takes_loads: bool = False) -> list[Evicted]:
        """Give a copy that has claimed nothing ``to_units`` (never fewer than it has); ``takes_loads``: from other
        loads too, if need be.

        Raises NeverFits, NoRoomYet where loads have to end first, or FellThrough where copies needed more would have
        to go; then nothing has changed.
        """
        self.check_fits(to_units)
        growth, last_used = max(0, to_units - entry.weight), self.last_used(entry.model)
        evicted = self._evict(self._room(entry, growth, to_units, last_used, now, takes_loads))
        entry.weight += growth
        self._rank(entry)
        self.buffer.grow(growth)
        return evicted

    def check_fits(self, units: int) -> None:
        """Raises NeverFits where a model of that size has no place even in an empty cache."""
        most = self.buffer.capacity - self.buffer.reserve
        if units > most:
            raise NeverFits(
                f"Predicted size of {units * UNIT_BYTES} bytes ({units} units) is larger than capacity ({most} units)"
            )

    def is_claimable(self, entry: Entry) -> bool:
        """Whether the memory for the copy's place is there, so that its load may start."""
        return self.buffer.can_claim(entry.weight)

    def claim(self, entry: Entry) -> None:
        """The copy's load starts; only where ``is_claimable``, lest the runtime run out of memory."""
        if entry.is_claimed or not self.is_claimable(entry):
            raise ValueError(f"{entry.model} must not claim {entry.weight} units now")
        entry.is_claimed = True
        self.buffer.claim(entry.weight)

    def took(self, entry: Entry, load_ms: int) -> None:
        """The copy was loaded in ``load_ms``, and would be again."""
        entry.load_ms = load_ms
        self._rank(entry)

    def sized(self, entry: Entry, units: int, now: int) -> list[Evicted]:
        """A loaded copy turns out to take ``units``; those that go for it.

        That is the copy itself where all others that could go are needed more.
        """
        units = max(1, units)
        change, last_used = units - entry.weight, self.last_used(entry.model)
        plan = self._plan(entry, change, units, last_used, now, takes_loads=True)
        entry.weight = units
        self._rank(entry)
        self.buffer.sized(change)
        if not plan.is_enough and not entry.is_pinned:
            plan.victims = [Candidate(entry.model, self._planner.key(entry, units, last_used, now))]
        return self._evict(plan)

    def fail(self, entry: Entry) -> int:
        """The copy's load failed: it keeps one unit; the units that stay charged until ``unloaded``."""
        to_unload = entry.weight if entry.is_claimed else 0
        self.buffer.failed(entry.weight)
        entry.weight, entry.is_claimed = 1, False
        self._rank(entry)
        return to_unload

    # -- removal -----------------------------------------------------------------------------------

    def remove(self, entry: Entry) -> int:
        """Take a copy out; its last use. ``entry.weight`` stays charged until ``unloaded``, 0 if nothing does."""
        if self.entries.get(entry.model) is not entry:
            raise ValueError(f"{entry.model} (gen {entry.gen}) is not in the cache")
        del self.entries[entry.model]
        self._planner.discard(entry.model)
        self.buffer.removed(entry.weight)
        if not entry.is_claimed:
            entry.weight = 0
        return self.lru.remove(entry.model)

    def unloaded(self, units: int) -> None:
        """The runtime gave ``units`` back."""
        self.buffer.unloaded(units)

    def unload_lost(self, units: int, now: int) -> list[Evicted]:
        """The runtime will not give ``units`` back; the copies that go because there is less capacity."""
        self.buffer.unload_lost(units)
        return self._shrink(now)

    def found(self, units: int) -> None:
        """The runtime gave ``units`` back after all that had counted as lost."""
        self.buffer.found(units)

    def renew(self, params: CacheParams, now: int) -> list[Evicted]:
        """The runtime's memory is empty and of another size: nothing claimed may be here any more.

        Loads that have not begun keep their places; those that go because there are fewer.
        """
        if claimed := [model for model, entry in self.entries.items() if entry.is_claimed]:
            raise ValueError(f"{', '.join(claimed)} would be in memory that is empty")
        self.params = params
        self.buffer = UnloadBuffer(params.capacity_units, params.reserve_units)
        for entry in self.entries.values():
            self.buffer.grow(entry.weight)
        return self._shrink(now)

    # -- eviction ----------------------------------------------------------------------------------

    def _rank(self, entry: Entry) -> None:
        """Something that the order of eviction goes by is another."""
        self._planner.put(entry, self.lru.last_used(entry.model))

    def _plan(self, entry: Entry, growth: int, units: int, last_used: int, now: int, takes_loads: bool) -> Plan:
        """Who goes so that ``entry`` may grow by ``growth`` and, in the end, have ``units``: nobody who is needed more
        than it is, which a pinned one is most."""
        if not entry.is_asked_for:
            last_used -= 1  # else two of those that were last used at once could take each other's place for ever
        most = None if entry.is_pinned else self._planner.key(entry, units, last_used, now)
        return self._planner.plan(self.buffer.short_units(growth), now, entry.model, most, takes_loads)

    def _room(self, entry: Entry, growth: int, units: int, last_used: int, now: int, takes_loads: bool = False) -> Plan:
        plan = self._plan(entry, growth, units, last_used, now, takes_loads)
        if plan.is_enough:
            return plan
        if plan.short_units <= plan.loading_units:
            raise NoRoomYet(f"there is no room for {entry.model} until a load under way has ended")
        raise FellThrough(
            f"{entry.model} does not fit: {plan.short_units} more units would have to come from models that are pinned,"
            " of higher priority or used more recently"
        )

    def _shrink(self, now: int) -> list[Evicted]:
        return self._evict(self._planner.plan(self.buffer.short_units(0), now, "", None, takes_loads=True))

    def _evict(self, plan: Plan) -> list[Evicted]:
        evicted, spared = [], tuple(plan.spared)
        for victim in plan.victims:
            entry = self.entries[victim.id]
            self._planner.discard(victim.id, made_room=True)
            units, last_used = entry.weight, self.remove(entry)
            evicted.append(Evicted(entry, last_used, units, victim.score, spared))
        return evicted
