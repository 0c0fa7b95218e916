"""Loads on their way count against their target."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from meshcore.reservations import Reservations
from meshcore.settings import Settings

T = 1_700_000_000_000


def reservations() -> Reservations:
    return Reservations(Settings(reservation_ms=10_000))


def held(r: Reservations, target: str = "a") -> tuple[int, int]:
    return r.loads(target), r.units(target)


def test_sent_loads_add_up() -> None:
    """Each load sent counts with its units until it is known to be in the record."""
    r = reservations()
    assert held(r) == (0, 0)
    r.add("a", 10, T)
    r.add("a", 5, T + 1)
    r.add("b", 7, T + 2)
    assert held(r) == (2, 15)
    assert held(r, "b") == (1, 7)


def test_each_accepted_load_ends_the_oldest_hold() -> None:
    """A hold ends when the target has told of one more accepted load than before it."""
    r = reservations()
    assert not r.settle("a", 41)
    r.add("a", 10, T)
    r.add("a", 5, T)
    assert not r.settle("a", 41)
    assert held(r) == (2, 15)
    assert r.settle("a", 42)
    assert held(r) == (1, 5)
    assert r.settle("a", 50)
    assert held(r) == (0, 0)
    assert not r.settle("a", 51)


def test_loads_accepted_before_the_hold_do_not_end_it() -> None:
    """What was accepted before the load was sent is not that load."""
    r = reservations()
    r.settle("a", 7)
    r.add("a", 10, T)
    assert not r.settle("a", 7)
    assert held(r) == (1, 10)


def test_older_news_ends_nothing() -> None:
    """A smaller count than one already told is old and changes nothing, later either."""
    r = reservations()
    r.settle("a", 7)
    r.add("a", 10, T)
    assert not r.settle("a", 3)
    assert not r.settle("a", 7)
    assert r.settle("a", 8)


def test_failed_load_is_dropped() -> None:
    """A load that will not come ends a hold of its size; the others still need one accepted load each."""
    r = reservations()
    assert not r.drop("a", 10)
    r.add("a", 5, T)
    r.add("a", 10, T)
    r.add("a", 10, T)
    assert r.drop("a", 10)
    assert held(r) == (2, 15)
    assert not r.drop("a", 11)
    r.settle("a", 1)
    assert held(r) == (1, 10)


def test_hold_expires_after_ten_seconds() -> None:
    """A hold lasts reservation_ms at most; the targets that lost one are told, sorted."""
    r = reservations()
    r.add("b", 1, T)
    r.add("a", 2, T)
    r.add("a", 4, T + 1)
    assert r.expire(T + 9_999) == []
    assert r.expire(T + 10_000) == ["a", "b"]
    assert held(r) == (1, 4)
    assert held(r, "b") == (0, 0)
    assert r.expire(T + 10_001) == ["a"]
    assert r.expire(T + 99_999) == []


def test_ended_hold_does_not_expire_another() -> None:
    """The expiry of a hold that ended early passes over the later ones."""
    r = reservations()
    r.add("a", 1, T)
    r.drop("a", 1)
    r.add("a", 2, T + 5)
    r.add("b", 3, T + 6)
    r.settle("b", 1)
    assert r.expire(T + 10_000) == []
    assert held(r) == (1, 2)
    assert r.expire(T + 10_006) == ["a"]


def test_restarted_target_starts_from_nothing() -> None:
    """A target that is gone or starts anew holds nothing and counts from 0."""
    r = reservations()
    r.settle("a", 7)
    r.add("a", 10, T)
    r.forget("a")
    r.forget("a")
    assert held(r) == (0, 0)
    r.add("a", 3, T + 1)
    assert r.settle("a", 1)
    assert r.expire(T + 20_000) == []


@given(st.lists(st.tuples(st.sampled_from("aesdf"), st.integers(0, 3), st.integers(0, 4000)), max_size=50))
def test_sums_always_match_the_holds(steps: list[tuple[str, int, int]]) -> None:
    """Units are 0 iff nothing is held, never negative, and everything ends after reservation_ms."""
    r = reservations()
    now = T
    accepted = 0
    for what, number, gap in steps:
        now += gap
        match what:
            case "a":
                r.add("t", number + 1, now)
            case "e":
                r.expire(now)
            case "s":
                accepted += number
                r.settle("t", accepted)
            case "d":
                r.drop("t", number + 1)
            case _:
                r.forget("t")
        loads, units = held(r, "t")
        assert loads <= units <= 4 * loads
    r.expire(now + 10_000)
    assert held(r, "t") == (0, 0)
