"""Which decision answers a question about a model."""

from __future__ import annotations

from meshcore.account import APART_MS, Told, brought, last_eviction, last_wait, why_unknown
from tests.builders import NOW


def test_a_copy_is_brought_by_its_placement_rather_than_by_its_acceptance() -> None:
    told = [Told("a", "place", "b", NOW - 1), Told("b", "accept", "b", NOW)]
    assert brought(told, "b", NOW) == 0
    assert brought(told[1:], "b", NOW) == 0


def test_a_placement_of_a_former_copy_does_not_stand_for_this_one() -> None:
    told = [Told("a", "place", "b", NOW - APART_MS - 1), Told("a", "place", "c", NOW)]
    assert brought(told, "b", NOW) is None


def test_the_last_eviction_is_the_newest() -> None:
    told = [Told("a", "evict", "a", NOW), Told("b", "evict", "b", NOW + 1), Told("b", "load", "b", NOW + 2)]
    assert last_eviction(told) == 1
    assert last_eviction([]) is None


def test_the_last_wait_is_for_the_copy_that_was_brought_then() -> None:
    told = [
        Told("a", "place", "b", NOW - 10_000), Told("b", "wait", "b", NOW - 9_990, NOW - 9_995),
        Told("a", "place", "c", NOW), Told("c", "wait", "c", NOW + 300, NOW + 1), Told("a", "fill", "a", NOW + 400),
        Told("a", "place", "a", NOW + 401),
    ]  # fmt: skip
    assert last_wait(told) == 2, "nobody waited for what the mesh began of itself"
    assert last_wait(told[3:]) == 0, "who chose that is not known"
    assert last_wait(told[:1]) is None


def test_what_is_not_known_says_why() -> None:
    assert "x, y did not answer" in why_unknown(["x", "y"])
    assert "kept no longer" in why_unknown([])
