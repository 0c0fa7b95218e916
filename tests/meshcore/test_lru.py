from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshcore.lru import Lru
from meshcore.units import NEVER


def filled(*pairs: tuple[str, int]) -> Lru:
    lru = Lru()
    for key, last_used in pairs:
        lru.insert(key, last_used)
    return lru


def test_keys_come_in_the_order_of_their_last_use() -> None:
    lru = filled(("b", 2), ("c", 3), ("a", 1))
    assert list(lru.ascending()) == [("a", 1), ("b", 2), ("c", 3)]
    assert lru.oldest() == 1
    assert lru.last_used("b") == 2
    assert (len(lru), "a" in lru, "z" in lru) == (3, True, False)


def test_those_used_since_an_instant_are_told() -> None:
    lru = filled(("b", 2), ("c", 3), ("a", 1), ("d", 2))
    assert [key for key, _ in lru.since(2)] == ["b", "d", "c"]
    assert list(lru.since(4)) == []


def test_among_equal_instants_the_later_arrival_is_more_recent() -> None:
    lru = filled(("z", 5), ("a", 5), ("m", 4))
    lru.touch("m", 5)
    assert [key for key, _ in lru.ascending()] == ["z", "a", "m"]


def test_a_use_in_the_past_changes_nothing() -> None:
    lru = filled(("a", 5), ("b", 5))
    lru.touch("a", 5)
    lru.touch("b", 4)
    assert list(lru.ascending()) == [("a", 5), ("b", 5)]


def test_a_removed_key_is_gone_and_tells_its_last_use() -> None:
    lru = filled(("a", 1), ("b", 1))
    assert lru.remove("a") == 1
    assert list(lru.ascending()) == [("b", 1)]
    with pytest.raises(KeyError):
        lru.touch("a", 2)


def test_a_key_is_inserted_once() -> None:
    with pytest.raises(ValueError, match="a is there already"):
        filled(("a", 1), ("a", 2))


def test_an_empty_order_was_never_used() -> None:
    assert Lru().oldest() == NEVER


keys = st.sampled_from("abcd")


@given(st.lists(st.tuples(keys, st.integers(0, 3), st.booleans()), max_size=40))
def test_the_order_is_that_of_a_stable_sort(steps: list[tuple[str, int, bool]]) -> None:
    lru, model = Lru(), list[tuple[str, int]]()
    for key, at, is_removal in steps:
        known = dict(model)
        if is_removal and key in known:
            assert lru.remove(key) == known[key]
            model = [pair for pair in model if pair[0] != key]
        elif key in known:
            lru.touch(key, at)
            if at > known[key]:
                model = [*(pair for pair in model if pair[0] != key), (key, at)]
        elif not is_removal:
            lru.insert(key, at)
            model.append((key, at))
        assert list(lru.ascending()) == sorted(model, key=lambda pair: pair[1])
