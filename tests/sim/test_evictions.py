"""Who goes by the orders of eviction that the simulator has beside the core's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meshcore.cache import Cache, Evicted
from meshcore.entry import State
from meshcore.errors import FellThrough
from meshcore.eviction import lru_order
from meshcore.ranking import Ranking
from meshcore.units import NEVER
from sim.policies import RANKINGS
from sim.s3fifo import S3Fifo
from sim.scored import SCALE, Gdsf, Lfu
from tests.builders import NOW, entry, names, params, start


def empty(kind: Any, capacity: int) -> Cache:
    return Cache(params(capacity_units=capacity, reserve_units=0), kind(lru_order))


def unloaded(cache: Cache, evicted: list[Evicted]) -> list[str]:
    """Their memory is there at once."""
    for victim in evicted:
        cache.unloaded(victim.entry.weight)
    return names(evicted)


def ask(cache: Cache, model: str, units: int, at: int, **fields: Any) -> list[str]:
    """A request, and a load if need be; who goes."""
    gone: list[str] = []
    if model not in cache.entries:
        copy = entry(model, **fields)
        gone += unloaded(cache, cache.insert(copy, NOW + at, NOW + at))
        copy.to(State.QUEUED)
        gone += unloaded(cache, cache.make_room(copy, units, NOW + at))
        start(cache, copy)
        copy.to(State.ACTIVE)
    cache.used(model, NOW + at, 0)
    return gone


def played(kind: Any, capacity: int, text: str, **units: int) -> str:
    """Who goes, in order, when the models of one letter are asked for one after the other."""
    cache = empty(kind, capacity)
    return "".join(gone for at, model in enumerate(text) for gone in ask(cache, model, units.get(model, 1), at))


@pytest.mark.parametrize(
    ("kind", "text", "gone"),
    [
        (Lfu, "aabcde", "bc"),
        (Lfu, "abbaccd", "b"),
        (Lfu, "aaaaabcdefgh", "bcdef"),
        (Gdsf, "aaabcdefgh", "bcdea"),  # what was used often does not stay for ever
        (S3Fifo, "abcd", "a"),
        (S3Fifo, "abbbcdef", "acd"),
    ],
)
def test_who_goes_for_models_that_take_the_same(kind: Any, text: str, gone: str) -> None:
    assert played(kind, 3, text) == gone


def gdsf(models: list[int], units: list[int], capacity: int) -> list[int]:
    """A second opinion, by the paper's words."""
    floor, scores, uses, used, gone = 0, dict[int, int](), dict[int, int](), dict[int, int](), list[int]()
    for at, model in enumerate(models):
        if model not in scores:
            uses[model] = 0
            while sum(units[held] for held in scores) + units[model] > capacity:
                worst = min(scores, key=lambda held: (scores[held], used[held]))
                floor = scores.pop(worst)
                gone.append(worst)
        uses[model] += 1
        scores[model], used[model] = floor + uses[model] * SCALE // units[model], at
    return gone


@given(
    models=st.lists(st.integers(0, 9), max_size=60),
    units=st.lists(st.integers(1, 9), min_size=10, max_size=10),
    capacity=st.integers(9, 25),
)
@settings(max_examples=50, deadline=None)
def test_gdsf_is_what_the_paper_says(models: list[int], units: list[int], capacity: int) -> None:
    cache = empty(Gdsf, capacity)
    gone = [name for at, model in enumerate(models) for name in ask(cache, str(model), units[model], at)]
    assert gone == [str(model) for model in gdsf(models, units, capacity)]


@given(
    steps=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 6), st.integers(0, 2)), max_size=60),
    kind=st.sampled_from(list(RANKINGS.values())),
)
@example(
    steps=[(model, units, 0) for model, units in [(0, 1), (2, 1), (3, 1), (4, 5), (6, 6), (8, 6), (1, 2), (1, 1)]],
    kind=Gdsf,
)  # room for one unit only
@settings(max_examples=50, deadline=None)
def test_each_copy_has_one_place_and_the_oldest_is_known(steps: list[tuple[int, int, int]], kind: Any) -> None:
    """Requests, removals and copies that turn out larger, of two priorities."""
    cache = empty(kind, 20)
    for at, (number, units, what) in enumerate(steps):
        model, copy = str(number), cache.entries.get(str(number))
        if copy is None or what == 0:
            try:
                ask(cache, model, units, at, priority=9 - number % 2)
            except FellThrough:  # only what is of higher priority could make room
                for pending in [entry for entry in cache.entries.values() if entry.is_pending]:
                    cache.remove(pending)
        elif what == 1:
            cache.remove(copy)
            cache.unloaded(copy.weight)
        else:
            unloaded(cache, cache.sized(copy, units, NOW + at))
        ranked = list(cache._planner._ranking.ascending(NOW))
        assert sorted(model for _, model in ranked) == sorted(cache.entries)
        assert ranked == sorted(ranked, key=lambda place: place[0])
        assert cache.oldest_ms == cache.lru.oldest()


@pytest.mark.parametrize("kind", RANKINGS.values())
def test_a_copy_that_nobody_asked_for_pushes_nothing_out(kind: Any) -> None:
    cache = empty(kind, 2)
    for at, model in enumerate("ab"):
        ask(cache, model, 1, at)
    with pytest.raises(FellThrough):
        cache.insert(entry("c", is_asked_for=False), NOW + 9, NOW + 9)
    assert names(cache.insert(entry("c"), NOW, NOW + 9)) == ["a"], "whenever it was used"


@pytest.mark.parametrize("kind", RANKINGS.values())
def test_lower_priority_goes_first(kind: Any) -> None:
    cache = empty(kind, 2)
    ask(cache, "a", 1, 0, priority=6)
    for at in (1, 2, 3):
        ask(cache, "b", 1, at)
    assert ask(cache, "c", 1, 4, priority=6) == ["b"]
    cache.reprioritise(cache.entries["a"], 4, False, NOW)
    assert ask(cache, "d", 1, 5, priority=6) == ["a"]


@pytest.mark.parametrize("kind", RANKINGS.values())
def test_nothing_is_known_of_what_is_not_there(kind: Any) -> None:
    ranking: Ranking = kind(lru_order)
    ranking.discard("m")
    assert (ranking.oldest(), list(ranking.ascending(NOW))) == (NEVER, [])


def test_what_left_the_small_queue_lately_comes_to_the_main_one() -> None:
    """The others are not used again, and go before it."""
    assert played(S3Fifo, 6, "abcdefgahijklm") == "abcdefgh"


def test_a_copy_in_use_is_passed_over_and_keeps_a_place() -> None:
    cache = empty(S3Fifo, 3)
    for at, model in enumerate("abc"):
        ask(cache, model, 1, at)
    cache.used("a", NOW + 3, in_flight=1, count=0)
    assert ask(cache, "d", 1, 4) == ["b"]
    cache.used("a", NOW + 5, in_flight=0, count=0)
    assert ask(cache, "e", 1, 6) == ["c"]
    assert ask(cache, "f", 1, 7) == ["a"]


def test_no_more_are_remembered_than_the_main_queue_may_have() -> None:
    cache = empty(S3Fifo, 10)
    for at in range(500):
        ask(cache, f"m{at}", 1, at)
    ranking = cache._planner._ranking
    assert isinstance(ranking, S3Fifo)
    assert ranking._ghost_units == sum(ranking._ghosts.values()) <= 9


def test_an_entry_is_scored_again_only_when_it_is_used() -> None:
    """What made room since then does not lift it."""
    ranking, copy, other = Gdsf(lru_order), entry("m"), entry("other", uses=50)
    ranking.put(copy, NOW)
    ranking.put(other, NOW)
    ranking.discard("other", made_room=True)
    ranking.put(copy, NOW)
    assert next(ranking.ascending(NOW))[0] == (5, SCALE)
    copy.uses = 1
    ranking.put(copy, NOW)
    assert next(ranking.ascending(NOW))[0] == (5, 51 * SCALE)
