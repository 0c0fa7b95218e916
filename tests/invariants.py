"""What must hold after every step, whatever the steps were."""

from __future__ import annotations

from itertools import pairwise

from meshcore.cache import Cache
from meshcore.entry import State
from meshcore.ranking import ByAge


def check_ranks(cache: Cache) -> None:
    """Every copy that may go has the one place that its worth of now gives it."""
    planner, ranking = cache._planner, cache._planner._ranking
    assert isinstance(ranking, ByAge)
    expected: dict[tuple[int, int], list[tuple[int, str]]] = {}
    for model, entry in cache.entries.items():
        if not entry.is_pinned:
            rank = entry.priority, ranking._order(entry, entry.weight)
            expected.setdefault(rank, []).append((cache.last_used(model), model))
    assert ranking._ranks == {rank: sorted(members) for rank, members in expected.items()}
    assert planner._pinned.keys() == {model for model, entry in cache.entries.items() if entry.is_pinned}
    assert ranking._places.keys() == cache.entries.keys() - planner._pinned.keys()


def check_cache(cache: Cache) -> None:
    """The cache's sums agree with its copies, and no more memory is promised than there is."""
    buffer, entries = cache.buffer, cache.entries
    order = list(cache.lru.ascending())
    assert sorted(model for model, _ in order) == sorted(entries), "every copy has one place in the order"
    assert all(earlier <= later for (_, earlier), (_, later) in pairwise(order))
    assert all(entry.model == model for model, entry in entries.items())
    assert all(entry.weight >= 1 for entry in entries.values())
    assert all(entry.state is not State.REMOVED for entry in entries.values())
    check_ranks(cache)

    resident = sum(entry.weight for entry in entries.values())
    claimed = sum(entry.weight for entry in entries.values() if entry.is_claimed)
    assert buffer.resident == resident
    unloading = buffer.unloading + (resident - claimed) + buffer.deficit
    assert unloading >= 0, "what is being unloaded, without what is borrowed and owed"
    assert buffer.deficit >= 0
    assert claimed + unloading <= buffer.capacity + buffer.deficit, "memory in use"

    expected = buffer.reserve if buffer.unloading <= buffer.reserve else min(buffer.unloading, buffer.capacity)
    assert buffer.buffer == expected
    assert buffer.total == resident + buffer.buffer
    only_pinned_left = all(entry.is_pinned for entry in entries.values())
    assert buffer.total <= buffer.capacity or only_pinned_left, "the cache is over its capacity"

    assert cache.capacity_units == max(0, buffer.capacity - buffer.buffer)
    assert cache.used_units == resident
    assert cache.free_units == max(0, cache.capacity_units - cache.used_units)
    assert cache.count == len(entries)
