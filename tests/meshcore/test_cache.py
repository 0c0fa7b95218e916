from __future__ import annotations

import pytest

from meshcore.cache import Cache
from meshcore.capacity import CacheParams
from meshcore.entry import State
from meshcore.errors import NeverFits
from meshcore.units import NEVER
from tests.builders import NOW, entry, loaded, names, params, placed, start
from tests.invariants import check_cache

MINUTE = 60_000


def test_memory_of_copies_does_not_become_empty_by_being_said_so() -> None:
    """Only places of loads that have not begun outlive a runtime."""
    cache = Cache(params())
    loaded(cache, "m", 20)
    with pytest.raises(ValueError, match=r"^m would be in memory that is empty$"):
        cache.renew(params(), NOW)


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


def test_growing_to_less_changes_nothing() -> None:
    cache = Cache(params())
    copy = placed(cache, "m", 20)
    assert cache.make_room(copy, 10, NOW) == []
    assert copy.weight == 20


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


def test_memory_lost_to_an_unload_pushes_out_what_does_not_fit_any_more() -> None:
    cache = Cache(params())
    loaded(cache, "old", 40, age_ms=MINUTE)
    stuck = loaded(cache, "stuck", 40)
    cache.remove(stuck)
    placed(cache, "m", 30)
    assert names(cache.unload_lost(stuck.weight, NOW)) == ["old"]
    check_cache(cache)
    cache.unloaded(40)
    assert (cache.capacity_units, cache.used_units) == (50, 30)


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
