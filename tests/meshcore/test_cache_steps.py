"""Any sequence of steps that a node may take keeps the cache's promises."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from meshcore.cache import Cache, Evicted
from meshcore.entry import Entry, State
from meshcore.errors import FellThrough, NeverFits, NoRoomYet
from meshcore.eviction import EvictOrder, IsRedundant, lru_order
from tests.builders import NOW, entry, params
from tests.invariants import check_cache
from tests.steps import steps

units = st.integers(1, 10) | st.integers(1, 60)
ages = st.integers(0, 9).map(lambda minutes: minutes * 60_000)
models = st.integers(0, 11).map(lambda number: f"m{number}")
redundant = st.none() | st.frozensets(models, min_size=2, max_size=6).map(lambda extra: extra.__contains__)


class CacheSteps(RuleBasedStateMachine):
    """A cache, the memory that its runtime really uses, and a slow second opinion on who has to go."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = Cache(params(), self.order())
        self.now = NOW
        self.unloads: list[int] = []
        self.lost: list[int] = []

    def order(self) -> EvictOrder:
        """The default policy as one that nothing is known of."""
        return lambda copy, last_used, now, is_redundant: lru_order(copy, last_used, now, is_redundant)

    # -- rules -------------------------------------------------------------------------------------

    @rule(model=models, age=ages, priority=st.integers(4, 6), pin=st.integers(0, 5), extra=redundant)
    def admit(self, model: str, age: int, priority: int, pin: int, extra: IsRedundant | None) -> None:
        if model not in self.cache.entries:
            self.insert(entry(model, priority=priority, is_pinned=pin == 0), age, extra)

    @precondition(lambda self: self.some(State.NEW))
    @rule(data=st.data(), size=units | st.integers(80, 100), extra=redundant)
    def predict(self, data: st.DataObject, size: int, extra: IsRedundant | None) -> None:
        self.make_room(data.draw(st.sampled_from(self.some(State.NEW))), size, extra)

    @precondition(lambda self: self.claimable())
    @rule(data=st.data())
    def begin(self, data: st.DataObject) -> None:
        self.start(data.draw(st.sampled_from(self.claimable())))

    @precondition(lambda self: self.some(State.LOADING))
    @rule(data=st.data(), size=units, extra=redundant)
    def end(self, data: st.DataObject, size: int, extra: IsRedundant | None) -> None:
        self.finish(data.draw(st.sampled_from(self.some(State.LOADING))), size, extra)

    @rule(model=models, predicted=units, change=st.integers(-20, 20), age=ages, extra=redundant)
    def load(self, model: str, predicted: int, change: int, age: int, extra: IsRedundant | None) -> None:
        """All of a load at once, as far as it gets, so that the cache is full most of the time."""
        if model not in self.cache.entries:
            copy = entry(model)
            self.insert(copy, age, extra)
            if copy in self.some(State.NEW):
                self.make_room(copy, predicted, extra)
            if copy in self.claimable():
                self.start(copy)
                self.finish(copy, max(1, predicted + change), extra)

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
        due, _ = self.due(None, 0, size, None, takes_loads=True)
        self.gone(self.cache.unload_lost(size, self.now), due)

    @precondition(lambda self: self.cache.entries)
    @rule(data=st.data(), age=ages, in_flight=st.integers(0, 1))
    def use(self, data: st.DataObject, age: int, in_flight: int) -> None:
        self.cache.used(data.draw(st.sampled_from(list(self.cache.entries))), self.now - age, in_flight)

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

    def insert(self, copy: Entry, age: int, extra: IsRedundant | None) -> None:
        due, missing = self.due(copy, self.now - age, 1, extra)
        if missing is None:
            self.gone(self.cache.insert(copy, self.now - age, self.now, extra), due)
        else:
            with pytest.raises(missing):
                self.cache.insert(copy, self.now - age, self.now, extra)

    def make_room(self, copy: Entry, size: int, extra: IsRedundant | None) -> None:
        due, missing = self.due(copy, self.cache.last_used(copy.model), max(0, size - copy.weight), extra)
        before, most = self.state(), self.cache.buffer.capacity - self.cache.buffer.reserve
        if size <= most and missing is None:
            self.gone(self.cache.make_room(copy, size, self.now, extra), due)
            copy.to(State.QUEUED)
        else:
            with pytest.raises(NeverFits if size > most else missing or FellThrough):
                self.cache.make_room(copy, size, self.now, extra)
            assert self.state() == before

    def start(self, copy: Entry) -> None:
        owed = self.cache.buffer.deficit
        self.cache.claim(copy)
        copy.to(State.WAITING)
        copy.to(State.LOADING)
        assert self.cache.buffer.deficit == owed
        self.the_cache_agrees_with_the_memory_in_use()

    def finish(self, copy: Entry, size: int, extra: IsRedundant | None) -> None:
        copy.to(State.SIZING)
        copy.to(State.ACTIVE)
        used = self.cache.last_used(copy.model)
        due, missing = self.due(copy, used, size - copy.weight, extra, takes_loads=True)
        expected = due if missing is None or copy.is_pinned else [copy.model]
        self.gone(self.cache.sized(copy, size, self.now, extra), expected)

    # -- the second opinion ------------------------------------------------------------------------

    def due(
        self, copy: Entry | None, last_used: int, growth: int, extra: IsRedundant | None, takes_loads: bool = False
    ) -> tuple[list[str], type[Exception] | None]:
        """Who has to go for ``growth`` units, and what is raised if that is not enough."""
        short = self.cache.buffer.short_units(growth)

        def key(other: Entry, used: int, is_redundant: bool) -> tuple[int, int]:
            return other.priority, -(self.now - min(self.now, used)) * (4 if is_redundant else 1)

        ranked = []
        for model, other in self.cache.entries.items():
            is_redundant = extra is not None and other.is_serving and extra(model)
            place = key(other, self.cache.last_used(model), is_redundant)
            loads = other.is_pending or other.is_loading
            is_less = copy is None or copy.is_pinned or place <= key(copy, last_used, False)
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


class DefaultCacheSteps(CacheSteps):
    """The same under the default policy, which looks at no more than it must."""

    def order(self) -> EvictOrder:
        return lru_order


TestCacheSteps = CacheSteps.TestCase
TestCacheSteps.settings = steps(50)
TestDefaultCacheSteps = DefaultCacheSteps.TestCase
TestDefaultCacheSteps.settings = steps(50)
