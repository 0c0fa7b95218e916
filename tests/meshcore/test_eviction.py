from __future__ import annotations

import pytest

from meshcore.cache import Cache
from meshcore.entry import Entry, State
from meshcore.errors import FellThrough, NoRoomYet
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
    copy = entry("new")
    victims = cache.insert(copy, NOW, NOW, lambda model: "extra" in model)
    assert names(victims) == ["extra"]
    assert victims[0].score == (5, -12 * MINUTE)
    assert names(cache.make_room(copy, 90, NOW, lambda model: "extra" in model)) == ["oldest", "fresh-extra"]


def test_only_a_copy_that_answers_is_redundant() -> None:
    cache = Cache(params())
    placed(cache, "loading-extra", 45, age_ms=3 * MINUTE)
    loaded(cache, "oldest", 45, age_ms=4 * MINUTE)
    assert names(cache.insert(entry("new"), NOW, NOW, lambda model: "extra" in model)) == ["oldest"]


def test_no_more_of_the_cache_is_looked_at_than_decides() -> None:
    cache = Cache(params())
    for number in range(9):
        loaded(cache, f"m{number}", 10, age_ms=MINUTE * 4**number)
    asked = []

    def is_redundant(model: str) -> bool:
        asked.append(model)
        return False

    assert names(cache.insert(entry("new"), NOW, NOW, is_redundant)) == ["m8"]
    assert asked == ["m8", "m7"]


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


def test_another_policy_decides_who_goes() -> None:
    def largest_first(copy: Entry, last_used: int, now: int, is_redundant: bool) -> tuple[int, ...]:
        return (-copy.weight,)

    cache = Cache(params(), largest_first)
    loaded(cache, "old", 10, age_ms=MINUTE)
    loaded(cache, "large", 50)
    loaded(cache, "middle", 30)
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["large"]
