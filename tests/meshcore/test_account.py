"""Which decision answers a question about a model."""

from __future__ import annotations

import pytest

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


@pytest.mark.parametrize("rule", ["fill", "second-copy", "scale-up"])
def test_a_load_that_the_mesh_began_of_itself_is_no_wait(rule: str) -> None:
    told = [Told("a", rule, "a", NOW), Told("a", "place", "b", NOW + 1)]
    assert last_wait(told) is None
    assert last_wait([*told, Told("b", "place", "c", NOW + 2)]) == 2


def test_a_request_waits_when_no_holder_is_ready() -> None:
    assert last_wait([Told("a", "holder", "b", NOW, has_ready=False)]) == 0
    assert last_wait([Told("a", "holder", "b", NOW)]) is None


def test_what_is_not_known_says_why() -> None:
    assert "x, y did not answer" in why_unknown(["x", "y"])
    assert "kept no longer" in why_unknown([])
