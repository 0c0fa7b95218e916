"""Which differences of an instance's record are worth a write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from meshcore.novelty import is_worth_writing
from meshcore.records import InstanceRecord
from meshcore.units import NEVER
from tests.meshcore.instances import T, instance

WRITTEN = instance(
    count=100, used_units=500, rpm=1_000, loads_in_progress=2, lru_ms=T - 320_000, accepted=7, min_space_units=100
)
"""Of 1,000 units, with four loaders; used five minutes and a third ago."""


@pytest.mark.parametrize(
    ("changes", "is_worth"),
    [
        ({}, False),
        ({"capacity_units": 981}, False),
        ({"capacity_units": 980}, True),
        ({"lru_ms": T - 320_000 + 19_999}, False),
        ({"lru_ms": T - 320_000 + 20_000}, True),
        ({"lru_ms": NEVER}, True),
        ({"count": 109}, False),
        ({"count": 110}, True),
        ({"count": 0}, True),
        ({"used_units": 599}, False),
        ({"used_units": 600}, True),
        ({"used_units": 0}, True),
        ({"used_units": 400}, True),
        ({"loads_in_progress": 4}, False),
        ({"loads_in_progress": 5}, True),
        ({"loads_in_progress": 0}, True),
        ({"rpm": 1_099}, False),
        ({"rpm": 1_100}, True),
        ({"rpm": 0}, True),
        ({"accepted": 8}, True),
        ({"phase": "starting"}, True),
        ({"is_shutting_down": True}, True),
        ({"load_threads": 8}, True),
        ({"min_space_units": 90}, True),
        ({"labels": ("gpu",)}, True),
    ],
    ids=str,
)
def test_numbers_that_always_move_are_written_when_they_moved_enough(
    changes: dict[str, object], is_worth: bool
) -> None:
    """D-17: a difference that does not change what others decide is not worth their while; acceptance always is."""
    assert is_worth_writing(WRITTEN, replace(WRITTEN, **changes), T - 40_000, T) == is_worth  # type: ignore[arg-type]


def test_any_difference_is_written_once_the_record_is_old() -> None:
    """D-17: what is left out adds up for 160 s at most."""
    little = replace(WRITTEN, used_units=501)
    assert not is_worth_writing(WRITTEN, little, T - 159_999, T)
    assert is_worth_writing(WRITTEN, little, T - 160_000, T)
    assert not is_worth_writing(WRITTEN, WRITTEN, T - 160_000, T)


def test_becoming_full_is_written_however_little_it_takes() -> None:
    """D-17, D-08: placement asks for it first."""
    roomy = replace(WRITTEN, used_units=895)
    assert not is_worth_writing(roomy, replace(roomy, used_units=900), T, T)
    assert is_worth_writing(roomy, replace(roomy, used_units=901), T, T)


@pytest.mark.parametrize(
    ("old", "new", "is_worth"), [(1, 2, True), (10, 11, False), (10, 12, True), (12, 10, True)], ids=str
)
def test_few_copies_count_by_their_share(old: int, new: int, is_worth: bool) -> None:
    """D-17: by 15 percent, or by ten."""
    before: InstanceRecord = replace(WRITTEN, count=old)
    assert is_worth_writing(before, replace(before, count=new), T, T) == is_worth


def test_age_of_the_oldest_copy_counts_by_its_share() -> None:
    """D-17: by a sixteenth of it, or by 20 s; loads of a busy queue by three."""
    young = replace(WRITTEN, lru_ms=T - 16_000)
    assert not is_worth_writing(young, replace(young, lru_ms=T - 15_001), T, T)
    assert is_worth_writing(young, replace(young, lru_ms=T - 15_000), T, T)
    busy = replace(WRITTEN, loads_in_progress=10)
    assert not is_worth_writing(busy, replace(busy, loads_in_progress=12), T, T)
    assert is_worth_writing(busy, replace(busy, loads_in_progress=13), T, T)
