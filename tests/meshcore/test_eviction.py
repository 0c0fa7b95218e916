from __future__ import annotations

import pytest

from meshcore.cache import Cache
from meshcore.entry import State
from meshcore.errors import FellThrough, NoRoomYet
from meshcore.eviction import EVICT_ORDERS, cost_order, lru_order
from meshcore.ranking import ByAge
from meshcore.reasons import Candidate, Rejected
from tests.builders import NOW, entry, loaded, names, params, placed, start
from tests.invariants import check_cache

MINUTE = 60_000


def test_the_least_recently_used_make_room_and_no_more_of_them_than_needed() -> None:
    cache = Cache(params())
    for number in range(9):
        loaded(cache, f"m{number}", 10, age_ms=MINUTE * number)
    copy = entry("new")
    evicted = cache.insert(copy, NOW, NOW)
    assert names(evicted) == ["m8"]
    assert (evicted[0].last_used, evicted[0].units, evicted[0].entry.weight) == (NOW - 8 * MINUTE, 10, 10)
    assert names(cache.make_room(copy, 21, NOW)) == ["m7", "m6"]
    check_cache(cache)


def test_lower_priority_goes_first_then_greater_age_then_the_smaller_id() -> None:
    cache = Cache(params())
    loaded(cache, "old", 18, age_ms=9 * MINUTE)
    loaded(cache, "z", 18, age_ms=5 * MINUTE)
    loaded(cache, "a", 18, age_ms=5 * MINUTE)
    loaded(cache, "low", 18, age_ms=MINUTE, priority=4)
    loaded(cache, "high", 18, age_ms=10 * MINUTE, priority=6)
    copy = entry("new", priority=9)
    victims = cache.insert(copy, NOW, NOW) + cache.make_room(copy, 90, NOW)
    assert names(victims) == ["low", "old", "a", "z", "high"]


def test_a_redundant_copy_counts_as_four_times_as_old() -> None:
    cache = Cache(params())
    loaded(cache, "oldest", 30, age_ms=8 * MINUTE)
    loaded(cache, "extra", 30, age_ms=3 * MINUTE)
    loaded(cache, "fresh-extra", 30, age_ms=MINUTE)
    for model in ("extra", "fresh-extra"):
        cache.mark_redundant(model, True)
    copy = entry("new")
    victims = cache.insert(copy, NOW, NOW)
    assert names(victims) == ["extra"]
    assert victims[0].score == (5, -12 * MINUTE)
    assert names(cache.make_room(copy, 90, NOW)) == ["oldest", "fresh-extra"]


def test_a_copy_that_is_not_redundant_any_more_is_as_old_as_it_is() -> None:
    cache = Cache(params())
    loaded(cache, "old", 45, age_ms=2 * MINUTE)
    loaded(cache, "extra", 45, age_ms=MINUTE)
    for is_redundant in (True, True, False):
        cache.mark_redundant("extra", is_redundant)
        cache.mark_redundant("gone", is_redundant)
        check_cache(cache)
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["old"]


def test_a_redundant_copy_of_higher_priority_stays_before_all_of_lower() -> None:
    cache = Cache(params())
    loaded(cache, "extra", 45, age_ms=9 * MINUTE, priority=6)
    cache.mark_redundant("extra", True)
    loaded(cache, "single", 45, age_ms=MINUTE)
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["single"]


def test_no_more_of_the_cache_is_looked_at_than_decides() -> None:
    """One copy of each rank, and those behind the ones that go."""
    cache = Cache(params())
    for number in range(90):
        loaded(cache, f"m{number:02}", 1, age_ms=MINUTE * number)
    ranked = cache._planner._ranking.ascending(NOW)
    assert [next(ranked)[1] for _ in range(3)] == ["m89", "m88", "m87"]
    frame = ranked.gi_frame  # type: ignore[attr-defined]
    assert len(frame.f_locals["heap"]) <= 1


def test_a_pinned_copy_never_goes() -> None:
    cache = Cache(params())
    loaded(cache, "pinned", 60, age_ms=9 * MINUTE, is_pinned=True)
    loaded(cache, "free", 30)
    copy = entry("new")
    assert names(cache.insert(copy, NOW, NOW)) == ["free"]
    with pytest.raises(FellThrough, match="new does not fit: 1 more units"):
        cache.make_room(copy, 31, NOW)
    assert cache.make_room(copy, 30, NOW) == []
    check_cache(cache)


def test_a_pinned_load_pushes_out_whatever_is_not() -> None:
    cache = Cache(params())
    loaded(cache, "hot", 90, priority=9)
    assert names(cache.insert(entry("new", is_pinned=True, priority=0), NOW - MINUTE, NOW)) == ["hot"]


def test_what_is_in_use_goes_last_and_what_loads_stays() -> None:
    cache = Cache(params())
    loaded(cache, "used", 30, age_ms=9 * MINUTE).in_flight = 1
    placed(cache, "waits", 20, age_ms=8 * MINUTE)
    loading = placed(cache, "loads", 20, age_ms=7 * MINUTE)
    start(cache, loading)
    loaded(cache, "idle", 20)
    copy = entry("new")
    (victim,) = cache.insert(copy, NOW, NOW)
    assert victim.entry.model == "idle"
    assert victim.spared == (
        Candidate("used", (5, -9 * MINUTE), Rejected.IN_USE),
        Candidate("waits", (5, -8 * MINUTE), Rejected.LOADING),
        Candidate("loads", (5, -7 * MINUTE), Rejected.LOADING),
    )
    with pytest.raises(NoRoomYet, match="until a load under way has ended"):
        cache.make_room(copy, 70, NOW)
    evicted = cache.make_room(copy, 50, NOW)
    assert names(evicted) == ["used"]
    assert [candidate.id for candidate in evicted[0].spared] == ["waits", "loads"]


def test_what_loads_goes_where_memory_is_short_already() -> None:
    """A copy that turned out larger takes what it has taken from whatever there is."""
    cache = Cache(params())
    copy = loaded(cache, "grown", 30)
    placed(cache, "waits", 60, age_ms=MINUTE)
    assert names(cache.sized(copy, 60, NOW)) == ["waits"]


def test_a_failed_copy_goes_like_any_other() -> None:
    cache = Cache(params())
    failed = placed(cache, "failed", 20, age_ms=9 * MINUTE)
    failed.to(State.FAILED)
    cache.fail(failed)
    loaded(cache, "other", 89)
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["failed"]
    assert failed.weight == 0


def test_a_load_older_than_all_it_would_push_out_falls_through_and_nothing_goes() -> None:
    cache = Cache(params())
    loaded(cache, "a", 45, age_ms=MINUTE)
    loaded(cache, "b", 44, age_ms=3 * MINUTE)
    copy = placed(cache, "old", 1, age_ms=2 * MINUTE)
    with pytest.raises(FellThrough):
        cache.make_room(copy, 46, NOW)
    assert names(cache.make_room(copy, 45, NOW)) == ["b"]
    with pytest.raises(FellThrough, match="older"):
        cache.insert(entry("older"), NOW - 4 * MINUTE, NOW)
    check_cache(cache)


def test_a_load_of_lower_priority_falls_through_however_recent() -> None:
    cache = Cache(params())
    loaded(cache, "a", 90, age_ms=9 * MINUTE)
    with pytest.raises(FellThrough):
        cache.insert(entry("low", priority=4), NOW, NOW)
    assert names(cache.insert(entry("high", priority=6), NOW - 10 * MINUTE, NOW)) == ["a"]


def test_a_load_used_when_the_oldest_was_takes_its_place() -> None:
    cache = Cache(params())
    loaded(cache, "z", 90)
    assert names(cache.insert(entry("a"), NOW, NOW)) == ["z"]


def test_a_changed_priority_changes_who_goes() -> None:
    cache = Cache(params())
    loaded(cache, "a", 45, age_ms=MINUTE)
    b = loaded(cache, "b", 45)
    assert cache.reprioritise(b, 4, False, NOW) == []
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["b"]


# -- cost


def costly(cache: Cache, model: str, units: int, load_ms: int, age_ms: int) -> None:
    cache.took(loaded(cache, model, units, age_ms), load_ms)


def test_what_gives_more_memory_for_a_second_of_loading_goes_first() -> None:
    """By cost a copy counts as old as it is times what it takes and by how quickly it is loaded again."""
    cache = Cache(params(), ByAge(cost_order))
    costly(cache, "slow", 30, load_ms=60_000, age_ms=9 * MINUTE)
    costly(cache, "quick", 30, load_ms=1_000, age_ms=MINUTE)
    costly(cache, "middle", 30, load_ms=8_000, age_ms=4 * MINUTE)
    victims = cache.insert(copy := entry("new"), NOW, NOW) + cache.make_room(copy, 90, NOW)
    assert names(victims) == ["quick", "middle", "slow"]


def test_by_cost_a_large_copy_goes_before_small_ones_that_load_as_long() -> None:
    cache = Cache(params(), ByAge(cost_order))
    for number in range(6):
        costly(cache, f"small-{number}", 5, load_ms=1_000, age_ms=3 * MINUTE)
    costly(cache, "giant", 60, load_ms=1_000, age_ms=MINUTE)
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["giant"]


def test_by_cost_a_redundant_copy_counts_four_times_too() -> None:
    cache = Cache(params(), ByAge(cost_order))
    costly(cache, "single", 45, load_ms=1_000, age_ms=3 * MINUTE)
    costly(cache, "extra", 45, load_ms=1_000, age_ms=MINUTE)
    cache.mark_redundant("extra", True)
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["extra"]


def test_by_cost_what_is_used_now_may_push_out_all_and_what_is_old_falls_through() -> None:
    """The model that is to come counts with the size and the load that are expected of it."""
    cache = Cache(params(), ByAge(cost_order))
    costly(cache, "a", 90, load_ms=60_000, age_ms=MINUTE)
    expected = {"predicted_units": 90, "load_ms": 1_000}
    with pytest.raises(FellThrough):
        cache.insert(entry("old", **expected), NOW - MINUTE, NOW)
    assert names(cache.insert(entry("now", **expected), NOW, NOW)) == ["a"]


@pytest.mark.parametrize(("minutes", "expected"), [(15, "scanned"), (17, "hot")])
def test_by_cost_a_copy_that_was_asked_for_often_stays_longer(minutes: int, expected: str) -> None:
    """Up to sixteen times as long as one that was asked for once; so a scan of cold models passes by."""
    cache = Cache(params(), ByAge(cost_order))
    costly(cache, "hot", 45, load_ms=1_000, age_ms=minutes * MINUTE)
    costly(cache, "scanned", 45, load_ms=1_000, age_ms=MINUTE)
    cache.used("hot", NOW - minutes * MINUTE, 0, 1_000)
    cache.used("scanned", NOW - MINUTE, 0, 1)
    check_cache(cache)
    assert names(cache.insert(entry("new"), NOW, NOW)) == [expected]


@pytest.mark.parametrize(
    ("units", "load_ms", "factor"),
    [
        (1, 1_000_000, 1),
        (1, 2_000_000, 1),
        (5, 1_000_000, 4),
        (7, 1_000_000, 6),
        (100, 0, 100_000_000 // 2**25 * 2**25),
    ],
)
def test_costs_that_differ_little_count_the_same(units: int, load_ms: int, factor: int) -> None:
    assert cost_order(entry("m", load_ms=load_ms), units) == factor


def test_the_policies_have_the_names_that_settings_give_them() -> None:
    assert {"lru": lru_order, "cost": cost_order} == EVICT_ORDERS


# -- what cannot be


def test_pinned_copies_beyond_what_there_is_are_counted() -> None:
    cache = Cache(params())
    copy = loaded(cache, "a", 40, is_pinned=True)
    other = loaded(cache, "b", 50)
    assert cache.unsatisfied_units == 0
    cache.sized(copy, 95, NOW)
    assert (cache.unsatisfied_units, "b" in cache.entries) == (5, False)
    cache.remove(copy)
    assert cache.unsatisfied_units == 0
    assert other.weight == 50
