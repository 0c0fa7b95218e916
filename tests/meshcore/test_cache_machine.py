"""Any sequence of steps that a node may take keeps the cache's promises."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshcore.cache import Cache, Evicted
from meshcore.entry import Entry, State
from meshcore.errors import FellThrough, NeverFits, NoRoomYet
from meshcore.eviction import cost_order, lru_order
from meshcore.ranking import ByAge, EvictOrder
from tests.builders import NOW, entry, params
from tests.invariants import check_cache
from tests.steps import steps

units = st.integers(1, 10) | st.integers(1, 60)
ages = st.integers(0, 9).map(lambda minutes: minutes * 60_000)
models = st.integers(0, 11).map(lambda number: f"m{number}")
load_times = st.sampled_from((1, 100, 1_000, 60_000))


class CacheSteps(RuleBasedStateMachine):
    """A cache, the memory that its runtime really uses, and a slow second opinion on who has to go."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(params(), ByAge(self.order))
        self.now = NOW
        self.unloads: list[int] = []
        self.lost: list[int] = []

    order: EvictOrder = staticmethod(lru_order)

    def factor(self, copy: Entry, units: int) -> int:
        """How many times as old as it is a copy counts, said once more."""
        return 4 if copy.is_redundant else 1

    # -- rules -------------------------------------------------------------------------------------

    @rule(
        model=models, age=ages, priority=st.integers(4, 6), pin=st.integers(0, 5), predicted=units, load_ms=load_times,
        is_asked_for=st.booleans(),
    )  # fmt: skip
    def admit(
        self, model: str, age: int, priority: int, pin: int, predicted: int, load_ms: int, is_asked_for: bool
    ) -> None:  # fmt: skip
        if model not in self.cache.entries:
            copy = entry(
                model, priority=priority, is_pinned=pin == 0, predicted_units=predicted, load_ms=load_ms,
                is_asked_for=is_asked_for,
            )  # fmt: skip
            self.insert(copy, age)

    @precondition(lambda self: self.some(State.NEW))
    @rule(data=st.data(), size=units | st.integers(80, 100))
    def predict(self, data: st.DataObject, size: int) -> None:
        self.make_room(data.draw(st.sampled_from(self.some(State.NEW))), size)

    @precondition(lambda self: self.claimable())
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.start(data.draw(st.sampled_from(self.claimable())))

    @precondition(lambda self: self.some(State.LOADING))
    @rule(data=st.data(), size=units)
    def end(self, data: st.DataObject, size: int) -> None:
        self.finish(data.draw(st.sampled_from(self.some(State.LOADING))), size)

    @rule(model=models, predicted=units, change=st.integers(-20, 20), age=ages)
    def load(self, model: str, predicted: int, change: int, age: int) -> None:
        """All of a load at once, as far as it gets, so that the cache is full most of the time."""
        if model not in self.cache.entries:
            copy = entry(model)
            self.insert(copy, age)
            if copy in self.some(State.NEW):
                self.make_room(copy, predicted)
            if copy in self.claimable():
                self.start(copy)
                self.finish(copy, max(1, predicted + change))

    @precondition(lambda self: self.some(State.NEW, State.QUEUED, State.LOADING))
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        copy = data.draw(st.sampled_from(self.some(State.NEW, State.QUEUED, State.LOADING)))
        copy.to(State.FAILED)
        self.unloads.append(self.cache.fail(copy))

    @precondition(lambda self: self.cache.entries)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        copy = data.draw(st.sampled_from(list(self.cache.entries.values())))
        self.cache.remove(copy)
        self.left(copy)

    @precondition(lambda self: self.unloads)
    @rule(data=st.data())
    def unload(self, data: st.DataObject) -> None:
        self.cache.unloaded(self.unloads.pop(data.draw(st.integers(0, len(self.unloads) - 1))))

    @precondition(lambda self: self.unloads)
    @rule()
    def lose_an_unload(self) -> None:
        size = self.unloads.pop()
        self.lost.append(size)
        due, _ = self.due(None, 0, size, 0, takes_loads=True)
        self.gone(self.cache.unload_lost(size, self.now), due)

    @precondition(lambda self: self.lost)
    @rule(data=st.data())
    def find_what_was_lost(self, data: st.DataObject) -> None:
        self.cache.found(self.lost.pop(data.draw(st.integers(0, len(self.lost) - 1))))

    @precondition(lambda self: self.cache.entries)
    @rule(data=st.data(), is_redundant=st.booleans())
    def hear_of_other_copies(self, data: st.DataObject, is_redundant: bool) -> None:
        self.cache.mark_redundant(data.draw(st.sampled_from(list(self.cache.entries))), is_redundant)

    @precondition(lambda self: self.some(State.ACTIVE))
    @rule(data=st.data(), load_ms=load_times)
    def see_how_long_it_loads(self, data: st.DataObject, load_ms: int) -> None:
        self.cache.took(data.draw(st.sampled_from(self.some(State.ACTIVE))), load_ms)

    @precondition(lambda self: self.cache.entries)
    @rule(data=st.data(), age=ages, in_flight=st.integers(0, 1), count=st.integers(0, 9))
    def use(self, data: st.DataObject, age: int, in_flight: int, count: int) -> None:
        self.cache.used(data.draw(st.sampled_from(list(self.cache.entries))), self.now - age, in_flight, count)

    @precondition(lambda self: self.cache.entries)
    @rule(data=st.data(), priority=st.integers(4, 6), pin=st.integers(0, 3))
    def register_anew(self, data: st.DataObject, priority: int, pin: int) -> None:
        copy = data.draw(st.sampled_from(list(self.cache.entries.values())))
        for gone in self.cache.reprioritise(copy, priority, pin == 0, self.now):
            self.left(gone.entry)

    @rule(pause=ages)
    def pass_time(self, pause: int) -> None:
        self.now += pause

    # -- steps -------------------------------------------------------------------------------------

    def insert(self, copy: Entry, age: int) -> None:
        due, missing = self.due(copy, self.now - age, 1, max(1, copy.predicted_units))
        if missing is None:
            self.gone(self.cache.insert(copy, self.now - age, self.now), due)
        else:
            with pytest.raises(missing):
                self.cache.insert(copy, self.now - age, self.now)

    def make_room(self, copy: Entry, size: int) -> None:
        due, missing = self.due(copy, self.cache.last_used(copy.model), max(0, size - copy.weight), size)
        before, most = self.state(), self.cache.buffer.capacity - self.cache.buffer.reserve
        if size <= most and missing is None:
            self.gone(self.cache.make_room(copy, size, self.now), due)
            copy.to(State.QUEUED)
        else:
            with pytest.raises(NeverFits if size > most else missing or FellThrough):
                self.cache.make_room(copy, size, self.now)
            assert self.state() == before

    def start(self, copy: Entry) -> None:
        owed = self.cache.buffer.deficit
        self.cache.claim(copy)
        copy.to(State.WAITING)
        copy.to(State.LOADING)
        assert self.cache.buffer.deficit == owed
        self.the_cache_agrees_with_the_memory_in_use()

    def finish(self, copy: Entry, size: int) -> None:
        copy.to(State.SIZING)
        copy.to(State.ACTIVE)
        used = self.cache.last_used(copy.model)
        due, missing = self.due(copy, used, size - copy.weight, size, takes_loads=True)
        expected = due if missing is None or copy.is_pinned else [copy.model]
        self.gone(self.cache.sized(copy, size, self.now), expected)

    # -- the second opinion ------------------------------------------------------------------------

    def due(
        self, copy: Entry | None, last_used: int, growth: int, units: int, takes_loads: bool = False
    ) -> tuple[list[str], type[Exception] | None]:
        """Who has to go for ``growth`` units, so that ``copy`` has ``units``, and what is raised if that is not
        enough."""
        short = self.cache.buffer.short_units(growth)

        if copy is not None and not copy.is_asked_for:
            last_used -= 1  # of two that were used at once the one that is there stays

        def key(other: Entry, used: int, units: int) -> tuple[int, int]:
            return other.priority, -(self.now - min(self.now, used)) * self.factor(other, units)

        ranked = []
        for model, other in self.cache.entries.items():
            place = key(other, self.cache.last_used(model), other.weight)
            loads = other.is_pending or other.is_loading
            is_less = copy is None or copy.is_pinned or place <= key(copy, last_used, units)
            if not other.is_pinned and other is not copy and is_less:
                ranked.append((loads or other.in_flight > 0, place, model, other.weight, loads))
        due, loading = [], 0
        for _, _, model, weight, loads in sorted(ranked):
            if loads and not takes_loads:
                loading += weight
            elif short > 0:
                due.append(model)
                short -= weight
        return due, None if short <= 0 else NoRoomYet if short <= loading else FellThrough

    def gone(self, evicted: list[Evicted], expected: list[str]) -> None:
        assert [victim.entry.model for victim in evicted] == expected
        for victim in evicted:
            self.left(victim.entry)

    def left(self, copy: Entry) -> None:
        copy.to(State.REMOVED)
        self.unloads.append(copy.weight)

    def some(self, *states: State) -> list[Entry]:
        return [copy for copy in self.cache.entries.values() if copy.state in states]

    def claimable(self) -> list[Entry]:
        return [copy for copy in self.some(State.QUEUED) if self.cache.is_claimable(copy)]

    def state(self) -> tuple[object, ...]:
        buffer = self.cache.buffer
        return list(self.cache.lru.ascending()), buffer.resident, buffer.unloading, buffer.deficit

    # -- what must hold ----------------------------------------------------------------------------

    @invariant()
    def the_cache_agrees_with_itself(self) -> None:
        check_cache(self.cache)

    @invariant()
    def the_cache_agrees_with_the_memory_in_use(self) -> None:
        buffer, copies = self.cache.buffer, self.cache.entries.values()
        in_use = sum(copy.weight for copy in copies if copy.is_claimed) + sum(self.unloads)
        assert in_use == buffer.resident + buffer.unloading + buffer.deficit
        assert in_use <= buffer.capacity + buffer.deficit
        assert buffer.capacity == max(1, self.cache.params.capacity_units - sum(self.lost))
        assert self.cache.lost_units == sum(self.lost)
        pinned = sum(copy.weight for copy in copies if copy.is_pinned)
        assert self.cache.unsatisfied_units == max(0, pinned + buffer.reserve - buffer.capacity)


class CostCacheSteps(CacheSteps):
    """The same where what is large and quickly loaded goes early."""

    order: EvictOrder = staticmethod(cost_order)

    def factor(self, copy: Entry, units: int) -> int:
        freed = max(1, units * 1_000_000 // max(1, copy.load_ms) // max(1, min(copy.uses, 16)))
        rounded = next(
            step for exponent in range(99, -1, -1) for step in (3 * 2**exponent // 2, 2**exponent) if step <= freed
        )
        return rounded * super().factor(copy, units)


TestCacheSteps = CacheSteps.TestCase
TestCacheSteps.settings = steps(50)
TestCostCacheSteps = CostCacheSteps.TestCase
TestCostCacheSteps.settings = steps(50)
