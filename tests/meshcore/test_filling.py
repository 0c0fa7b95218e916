"""How much is loaded before anybody asks."""

from __future__ import annotations

import pytest

from meshcore.filling import Filling, filling
from meshcore.units import NEVER
from tests.meshcore.instances import T, full, instance

HOUR = 3_600_000


def test_half_of_the_room_beyond_an_eighth_of_each_instance_is_filled() -> None:
    """An empty one of 1,000 units takes (1000 - 125) / 2 / 50 models, and nothing is known of what was used when."""
    empty = instance(lru_ms=NEVER, used_units=0)
    assert filling([empty], 50, T) == Filling(free=8, most=8, newer_than=0)
    assert filling([empty, empty], 50, T) == Filling(free=17, most=17, newer_than=0)


def test_full_instances_and_long_queues_take_nothing() -> None:
    """Each is judged by its own record (D-08): 50 loads a loader, those in progress among them."""
    queued = instance(loads_in_progress=200)
    nearly = instance(loads_in_progress=198)
    assert filling([full(), queued], 10, T).free == 0
    assert filling([nearly], 10, T).free == 1
    assert filling([instance(used_units=950, min_space_units=10)], 10, T).free == 0, "less than an eighth is left"


def test_a_twentieth_may_be_replaced_also_where_nobody_has_room() -> None:
    """D-16: by models that were used a third of the oldest copy's age after it, and 20 minutes at least."""
    assert filling([full(count=20, lru_ms=T - 3 * HOUR)], 50, T) == Filling(0, 1, T - 2 * HOUR)
    assert filling([full(count=20, lru_ms=T - HOUR // 2)], 50, T) == Filling(0, 1, T - HOUR // 2 + 20 * 60_000)
    assert filling([full(count=100)] * 10, 50, T).most == 50


@pytest.mark.parametrize(("count", "most"), [(2, 5), (3, 7), (10, 7), (11, 10)])
def test_size_of_a_model_is_the_average_of_enough_copies(count: int, most: int) -> None:
    """Below three the default, up to ten the mean of both, then the average of what is used; free space of full
    instances is not in it."""
    record = instance(capacity_units=1_000, min_space_units=1_000, count=count, used_units=5 * count, lru_ms=T - HOUR)
    assert filling([record], 10, T).most == most


def test_nobody_to_load_on_is_nothing_to_load() -> None:
    """Without instances, or with ones that hold nothing."""
    assert filling([], 10, T) == Filling(0, 0, 0)
    assert filling([instance(capacity_units=0)], 10, T) == Filling(0, 0, 0)


def test_the_first_are_taken_whatever_their_age_and_the_rest_if_they_are_newer() -> None:
    """By place in the order of last use."""
    few = Filling(2, 4, T)
    assert [few.takes(place, T - 1) for place in range(5)] == [True, True, False, False, False]
    assert [few.takes(place, T) for place in range(5)] == [True, True, True, True, False]
