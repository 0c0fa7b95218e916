from __future__ import annotations

import pytest

from meshcore.cache import Cache, Evicted
from meshcore.capacity import CacheParams
from meshcore.entry import Entry, State
from meshcore.errors import FellThrough, NeverFits
from meshcore.reasons import Candidate, Rejected
from meshcore.units import NEVER
from tests.builders import NOW, entry, params
from tests.invariants import check_cache

MINUTE = 60_000


def loaded(cache: Cache, model: str, units: int, age_ms: int = 0, **fields: object) -> Entry:
    """A copy of ``units`` that serves, last used ``age_ms`` ago; nothing may have to go for it."""
    copy = placed(cache, model, units, age_ms, **fields)
    start(cache, copy)
    copy.to(State.ACTIVE)
    check_cache(cache)
    return copy


def placed(cache: Cache, model: str, units: int, age_ms: int = 0, **fields: object) -> Entry:
    """A copy that has its place and waits for its turn."""
    copy = entry(model, **fields)
    assert cache.insert(copy, NOW - age_ms, NOW) == []
    assert cache.make_room(copy, units, NOW) == []
    copy.to(State.QUEUED)
    check_cache(cache)
    return copy


def start(cache: Cache, copy: Entry) -> None:
    copy.to(State.WAITING)
    cache.claim(copy)
    copy.to(State.LOADING)


def names(evicted: list[Evicted]) -> list[str]:
    return [victim.entry.model for victim in evicted]


def test_two_loads_start_at_once_and_the_third_waits_for_the_first_unload() -> None:
    """The reserve of the worked example covers one unload and a half (docs/design.md, unload buffer)."""
    mib = 1024 * 1024
    worked = CacheParams.from_runtime(1024 * mib, 6, 90_000, 50 * mib, limits_concurrency=False)
    cache = Cache(worked)
    for number in range(18):
        loaded(cache, f"m{number:02}", 6400, age_ms=MINUTE * (18 - number))
    assert (cache.capacity_units, cache.used_units, cache.is_full) == (121472, 115200, True)
    arrivals, victims = [], []
    for number in range(3):
        copy = entry(f"n{number}")
        victims += cache.insert(copy, NOW, NOW)
        victims += cache.make_room(copy, 6400, NOW)
        check_cache(cache)
        arrivals.append(copy)
    assert names(victims) == ["m00", "m01", "m02"]
    starts = []
    for copy in arrivals:
        starts.append(cache.is_claimable(copy))
        if starts[-1]:
            cache.claim(copy)
        check_cache(cache)
    assert starts == [True, True, False]
    cache.unloaded(victims[0].entry.weight)
    assert cache.is_claimable(arrivals[2])


def test_the_buffer_shows_as_capacity_that_is_not_there() -> None:
    cache = Cache(params())
    assert (cache.capacity_units, cache.used_units, cache.free_units, cache.count) == (90, 0, 90, 0)
    large = loaded(cache, "large", 50)
    assert (cache.capacity_units, cache.used_units, cache.free_units, cache.count) == (90, 50, 40, 1)
    cache.remove(large)
    assert (cache.capacity_units, cache.used_units, cache.free_units, cache.count) == (50, 0, 50, 0)


def test_full_is_less_free_than_the_space_for_a_next_model() -> None:
    cache = Cache(params())
    loaded(cache, "a", 70)
    assert not cache.is_full
    loaded(cache, "b", 1)
    assert cache.is_full


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


def test_growing_to_less_changes_nothing() -> None:
    cache = Cache(params())
    copy = placed(cache, "m", 20)
    assert cache.make_room(copy, 10, NOW) == []
    assert copy.weight == 20


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


def test_what_loads_or_is_in_use_goes_last_and_is_named_where_it_stays() -> None:
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
    evicted = cache.make_room(copy, 70, NOW)
    assert names(evicted) == ["used", "waits"]
    assert evicted[0].spared == (Candidate("loads", (5, -7 * MINUTE), Rejected.LOADING),)


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


def test_a_load_larger_than_the_instance_never_fits() -> None:
    cache = Cache(params())
    loaded(cache, "other", 20)
    copy = placed(cache, "m", 1)
    with pytest.raises(NeverFits) as caught:
        cache.make_room(copy, 91, NOW)
    assert caught.value.text == "Predicted size of 745472 bytes (91 units) is larger than capacity (90 units)"
    assert names(cache.make_room(copy, 90, NOW)) == ["other"]


def test_a_model_is_in_the_cache_once() -> None:
    cache = Cache(params())
    placed(cache, "m", 1)
    with pytest.raises(ValueError, match="m is in the cache already"):
        cache.insert(entry("m"), NOW, NOW)


def test_a_former_copy_is_not_taken_for_the_one_that_is_here() -> None:
    cache = Cache(params())
    former = placed(cache, "m", 5)
    cache.remove(former)
    placed(cache, "m", 7)
    with pytest.raises(ValueError, match=r"m \(gen 1\) is not in the cache"):
        cache.remove(former)


def test_memory_is_claimed_once_and_only_where_it_is_there() -> None:
    cache = Cache(params())
    victim = loaded(cache, "a", 90, age_ms=MINUTE)
    copy = entry("b")
    cache.insert(copy, NOW, NOW)
    cache.make_room(copy, 50, NOW)
    assert not cache.is_claimable(copy)
    with pytest.raises(ValueError, match="b must not claim 50 units now"):
        cache.claim(copy)
    cache.unloaded(victim.weight)
    cache.claim(copy)
    with pytest.raises(ValueError, match="b must not claim 50 units now"):
        cache.claim(copy)


def test_a_copy_removed_before_its_load_leaves_nothing_to_unload() -> None:
    cache = Cache(params())
    copy = placed(cache, "m", 30)
    assert cache.remove(copy) == NOW
    assert copy.weight == 0
    assert cache.buffer.unloading == 0


def test_a_failed_load_is_charged_until_unloaded_and_its_placeholder_is_not() -> None:
    cache = Cache(params())
    copy = placed(cache, "m", 30)
    start(cache, copy)
    copy.to(State.FAILED)
    assert cache.fail(copy) == 30
    check_cache(cache)
    assert (copy.weight, cache.used_units, cache.buffer.buffer) == (1, 1, 29)
    cache.unloaded(30)
    check_cache(cache)
    cache.remove(copy)
    assert (copy.weight, cache.buffer.unloading) == (0, 0)


def test_a_load_that_failed_before_it_started_leaves_nothing_to_unload() -> None:
    cache = Cache(params())
    copy = placed(cache, "m", 30)
    copy.to(State.FAILED)
    assert cache.fail(copy) == 0
    assert (copy.weight, cache.buffer.unloading) == (1, -1)


def test_a_copy_larger_than_predicted_pushes_others_out() -> None:
    cache = Cache(params())
    loaded(cache, "old", 40, age_ms=MINUTE)
    copy = loaded(cache, "m", 40)
    assert names(cache.sized(copy, 60, NOW)) == ["old"]
    check_cache(cache)
    assert (copy.weight, cache.buffer.deficit) == (60, 10)
    cache.unloaded(40)
    assert cache.buffer.deficit == 0


def test_a_copy_smaller_than_predicted_gives_the_rest_back() -> None:
    cache = Cache(params())
    copy = loaded(cache, "m", 40)
    assert cache.sized(copy, 0, NOW) == []
    assert (copy.weight, cache.used_units) == (1, 1)


def test_a_copy_larger_than_all_that_may_go_for_it_goes_itself_and_alone() -> None:
    cache = Cache(params())
    loaded(cache, "older", 10, age_ms=3 * MINUTE)
    loaded(cache, "newer", 40, age_ms=MINUTE)
    copy = loaded(cache, "m", 40, age_ms=2 * MINUTE)
    assert names(cache.sized(copy, 51, NOW)) == ["m"]
    check_cache(cache)
    assert (copy.weight, sorted(cache.entries)) == (51, ["newer", "older"])


def test_a_pinned_copy_larger_than_the_instance_stays_and_is_all_that_stays() -> None:
    cache = Cache(params())
    loaded(cache, "other", 40)
    copy = loaded(cache, "m", 40, age_ms=MINUTE, is_pinned=True)
    assert names(cache.sized(copy, 95, NOW)) == ["other"]
    check_cache(cache)
    assert (cache.free_units, cache.buffer.deficit) == (0, 45)


def test_what_no_longer_is_pinned_goes_where_it_did_not_fit() -> None:
    cache = Cache(params())
    copy = loaded(cache, "m", 40, is_pinned=True)
    cache.sized(copy, 95, NOW)
    assert names(cache.reprioritise(copy, 3, False, NOW)) == ["m"]
    check_cache(cache)


def test_a_changed_priority_changes_who_goes() -> None:
    cache = Cache(params())
    loaded(cache, "a", 45, age_ms=MINUTE)
    b = loaded(cache, "b", 45)
    assert cache.reprioritise(b, 4, False, NOW) == []
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["b"]


def test_memory_lost_to_an_unload_pushes_out_what_does_not_fit_any_more() -> None:
    cache = Cache(params())
    loaded(cache, "old", 40, age_ms=MINUTE)
    stuck = loaded(cache, "stuck", 40)
    cache.remove(stuck)
    placed(cache, "m", 30)
    assert names(cache.unload_lost(stuck.weight, NOW)) == ["old"]
    check_cache(cache)
    cache.unload_regained(40)
    cache.unloaded(40)
    assert (cache.capacity_units, cache.used_units) == (90, 30)


def test_use_moves_a_copy_back_and_is_told_of_copies_long_gone() -> None:
    cache = Cache(params())
    copy = loaded(cache, "a", 10, age_ms=2 * MINUTE)
    loaded(cache, "b", 10, age_ms=MINUTE)
    assert cache.oldest_ms == NOW - 2 * MINUTE
    cache.touch("a", NOW)
    assert (cache.oldest_ms, cache.last_used("a")) == (NOW - MINUTE, NOW)
    cache.used("b", NOW + 1, 3)
    assert (cache.oldest_ms, cache.entries["b"].in_flight) == (NOW, 3)
    cache.remove(copy)
    cache.touch("a", NOW + 2)
    cache.used("a", NOW + 2, 1)
    assert (cache.count, copy.in_flight) == (1, 0)


def test_the_oldest_is_the_oldest_that_could_go() -> None:
    cache = Cache(params())
    assert cache.oldest_ms == NEVER
    loaded(cache, "pinned", 10, age_ms=MINUTE, is_pinned=True)
    assert cache.oldest_ms == NEVER
    loaded(cache, "a", 10)
    assert cache.oldest_ms == NOW


def test_a_full_cache_of_recent_copies_refuses_to_thrash() -> None:
    cache = Cache(params(min_churn_age_ms=5 * MINUTE))
    assert not cache.churn_refuses(NOW, NOW)
    loaded(cache, "a", 45, age_ms=4 * MINUTE)
    assert not cache.churn_refuses(NOW, NOW)
    loaded(cache, "b", 45)
    assert cache.churn_refuses(NOW, NOW)
    assert cache.churn_refuses(NOW, NOW - 4 * MINUTE)
    assert not cache.churn_refuses(NOW, NOW - 4 * MINUTE - 1), "it falls through instead"
    assert not cache.churn_refuses(NOW + MINUTE, NOW + MINUTE)


def test_a_full_cache_of_pinned_copies_does_not_thrash() -> None:
    cache = Cache(params())
    loaded(cache, "a", 90, is_pinned=True)
    assert not cache.churn_refuses(NOW, NOW)


def test_a_churn_age_of_nothing_refuses_nothing() -> None:
    cache = Cache(params(min_churn_age_ms=0))
    loaded(cache, "a", 90)
    assert not cache.churn_refuses(NOW, NOW)


def test_another_policy_decides_who_goes() -> None:
    def largest_first(copy: Entry, last_used: int, now: int, is_redundant: bool) -> tuple[int, ...]:
        return (-copy.weight,)

    cache = Cache(params(), largest_first)
    loaded(cache, "old", 10, age_ms=MINUTE)
    loaded(cache, "large", 50)
    loaded(cache, "middle", 30)
    assert names(cache.insert(entry("new"), NOW, NOW)) == ["large"]
