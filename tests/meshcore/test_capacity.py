from __future__ import annotations

from typing import Any

import pytest

from meshcore.capacity import CacheParams, UnloadBuffer, copy_limits

MIB = 1024 * 1024


def reported(**fields: Any) -> CacheParams:
    """What follows from a runtime of 1 GiB that loads six models of 50 MiB at once."""
    usual: dict[str, Any] = {
        "capacity_bytes": 1024 * MIB,
        "load_threads": 6,
        "load_timeout_ms": 90_000,
        "default_size_bytes": 50 * MIB,
        "limits_concurrency": False,
    }
    return CacheParams.from_runtime(**(usual | fields))


@pytest.mark.parametrize(
    ("told", "setting", "limits"),
    [(0, 0, (1, 16)), (-3, 0, (1, 16)), (2, 0, (2, 16)), (3, 0, (3, 24)), (3, 2, (3, 2)), (3, -1, (3, 0))],
)
def test_copy_of_limited_concurrency_has_a_limit_for_those_that_wait(
    told: int, setting: int, limits: tuple[int, int]
) -> None:
    """Eight times what it answers at once, sixteen at least, unless it is set; 0 is any number."""
    assert copy_limits(told, setting) == limits


def test_the_worked_example_comes_out_to_the_unit() -> None:
    params = reported()
    assert params.capacity_units == 131072
    assert params.default_units == 6400
    assert params.reserve_units == 9600
    assert params.capacity_units - params.reserve_units == 121472
    assert params.min_space_units == 6553
    assert params.assume_loaded_ms == 30_000
    assert params.min_churn_age_ms == 300_000


def test_the_churn_age_follows_from_the_load_timeout_unless_given() -> None:
    assert reported(load_timeout_ms=240_000).min_churn_age_ms == 800_000
    assert reported(load_timeout_ms=100).assume_loaded_ms == 3_000
    assert reported(load_timeout_ms=100).min_churn_age_ms == 30_000
    assert reported(min_churn_age_ms=0).min_churn_age_ms == 0
    assert reported(min_churn_age_ms=7).min_churn_age_ms == 7


def test_the_reserve_is_half_of_what_loads_at_once_for_up_to_two_threads_and_a_quarter_for_more() -> None:
    assert reported(load_threads=2).reserve_units == 6400
    assert reported(load_threads=3).reserve_units == 4800


def test_the_reserve_is_between_a_hundredth_and_a_tenth_of_the_capacity() -> None:
    assert reported(load_threads=100).reserve_units == 13107
    assert reported(default_size_bytes=1).reserve_units == 1310


def test_a_default_size_is_rounded_up_to_a_unit() -> None:
    assert reported(default_size_bytes=1).default_units == 1
    assert reported(default_size_bytes=8193).default_units == 2


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"load_threads": 0}, "maxLoadingConcurrency = 0; it must be at least 1"),
        ({"load_timeout_ms": 99}, "modelLoadingTimeoutMs = 99; it must be at least 100"),
        ({"default_size_bytes": 0}, "defaultModelSizeInBytes = 0; it must be at least 1"),
        ({"capacity_bytes": 500 * MIB - 1}, f"capacityInBytes = {500 * MIB - 1}; it must be at least {500 * MIB} with"),
        ({"default_size_bytes": 600 * MIB}, f"it must be at least {1200 * MIB} with defaultModelSizeInBytes"),
        ({"capacity_bytes": 511 * MIB, "default_size_bytes": 60 * MIB}, f"it must be at least {512 * MIB} with"),
    ],
)
def test_what_a_runtime_must_not_report_is_refused_by_name(fields: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        reported(**fields)
    assert str(caught.value).startswith("The model server reports ")
    assert text in str(caught.value)


def test_the_smallest_capacity_is_accepted() -> None:
    assert reported(capacity_bytes=500 * MIB).capacity_units == 64000


def sums(buffer: UnloadBuffer) -> tuple[int, int, int, int, int]:
    """(cap, U, B, O, D)."""
    return buffer.capacity, buffer.unloading, buffer.buffer, buffer.resident, buffer.deficit


def test_a_place_borrows_what_its_claim_gives_back() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(1)
    buffer.grow(29)
    assert sums(buffer) == (100, -30, 10, 30, 0)
    assert buffer.can_claim(30)
    buffer.claim(30)
    assert sums(buffer) == (100, 0, 10, 30, 0)


def test_a_place_given_up_before_its_claim_costs_nothing() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(30)
    buffer.removed(30)
    assert sums(buffer) == (100, 0, 10, 0, 0)


def test_memory_of_a_removed_copy_is_charged_until_it_is_unloaded() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(30)
    buffer.claim(30)
    buffer.removed(30)
    assert sums(buffer) == (100, 30, 30, 0, 0)
    assert buffer.total == 30
    buffer.unloaded(30)
    assert sums(buffer) == (100, 0, 10, 0, 0)


def test_a_claim_waits_for_unloads_beyond_the_reserve() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(90)
    buffer.claim(90)
    buffer.removed(40)
    buffer.grow(40)
    assert sums(buffer) == (100, 0, 10, 90, 0)
    assert buffer.can_claim(10)
    assert not buffer.can_claim(11)
    buffer.unloaded(30)
    assert buffer.can_claim(40)


def test_room_is_short_of_what_goes_beyond_all_but_the_reserve() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(80)
    assert [buffer.short_units(growth) for growth in (9, 10, 11, -5)] == [0, 0, 1, 0]


def test_a_failed_load_keeps_one_unit_and_charges_the_rest() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(30)
    buffer.claim(30)
    buffer.failed(30)
    assert sums(buffer) == (100, 29, 29, 1, 0)
    buffer.unloaded(30)
    buffer.removed(1)
    assert sums(buffer) == (100, 0, 10, 0, 0)


def test_a_copy_larger_than_predicted_is_owed_and_paid_back_by_unloads() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(85)
    buffer.claim(85)
    buffer.sized(+8)
    assert sums(buffer) == (100, -3, 10, 93, 3)
    buffer.removed(20)
    assert sums(buffer) == (100, 17, 17, 73, 3)
    buffer.unloaded(2)
    assert sums(buffer) == (100, 17, 17, 73, 1)
    buffer.unloaded(18)
    assert sums(buffer) == (100, 0, 10, 73, 0)


def test_a_copy_larger_than_predicted_takes_what_is_free() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(30)
    buffer.claim(30)
    buffer.sized(+60)
    assert sums(buffer) == (100, 0, 10, 90, 0)


def test_a_copy_smaller_than_predicted_pays_a_deficit_back() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(90)
    buffer.claim(90)
    buffer.sized(+5)
    assert sums(buffer) == (100, -5, 10, 95, 5)
    buffer.sized(-3)
    assert sums(buffer) == (100, -2, 10, 92, 2)
    buffer.sized(-10)
    assert sums(buffer) == (100, 0, 10, 82, 0)


def test_memory_that_never_comes_back_is_capacity_lost() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.grow(30)
    buffer.claim(30)
    buffer.removed(30)
    buffer.unload_lost(30)
    assert sums(buffer) == (70, 0, 10, 0, 0)


def test_some_capacity_is_always_left() -> None:
    buffer = UnloadBuffer(100, 10)
    buffer.unload_lost(100)
    assert buffer.capacity == 1
