"""When the rules want more copies of a model, and when fewer."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from meshcore import scale_down, scale_up, second_copy
from meshcore.meter import UNLIMITED, Meter
from meshcore.settings import Settings
from meshcore.standing import Standing
from meshcore.units import NEVER

SETTINGS = Settings()
MINUTE = 60_000
HOUR = 60 * MINUTE


# -- the second copy


def first_due(*uses: float) -> float | None:
    """The first of the uses, in minutes, that makes a second copy due."""
    meter = Meter(0, 0)
    for use in uses:
        if second_copy.use(meter, int(use * MINUTE), SETTINGS):
            return use
    return None


@pytest.mark.parametrize(
    ("uses", "due"),
    [
        ((0,), None),
        ((0, 6.9), None),
        ((0, 7), 7),
        ((0, 40), 40),
        ((0, 40.1), None),
        ((0, 3, 6, 9), 9),
        ((0, 33, 41), 33),
        ((0, 6, 41), 41),  # the first has left the window, the second has not
        ((0, 41, 82), None),
        ((0, 41, 48), 48),
    ],
)
def test_two_uses_far_enough_apart_and_not_too_far_are_regular(uses: tuple[float, ...], due: float | None) -> None:
    """D-10: used in two windows at least 7 min apart within 40 min."""
    assert first_due(*uses) == due


def test_steady_use_is_regular_use() -> None:
    """D-10: a model that is used in every pass gets its second copy after 7 min, however short the gaps are."""
    assert first_due(*(step / 6 for step in range(600))) == 7


def used_regularly(**fields: Any) -> Standing:
    usual = {"is_regular": True, "instances": 3, "candidates": 2, "free_units": 200, "capacity_units": 1000}
    return Standing(**(usual | fields))


@pytest.mark.parametrize(
    ("fields", "is_due"),
    [
        ({}, True),
        ({"is_regular": False}, False),
        ({"copies": 2}, False),
        ({"max_copies": 1}, False),
        ({"max_copies": 2}, True),
        ({"candidates": 0}, False),
        ({"free_units": 100}, True),
        ({"free_units": 99}, False),
        ({"free_units": 0, "lru_age_ms": 20 * HOUR}, False),
        ({"free_units": 0, "lru_age_ms": 20 * HOUR + 1}, True),
        ({"free_units": 0, "lru_age_ms": NEVER}, False),
    ],
)
def test_second_copy_needs_room_that_nobody_will_miss(fields: dict[str, Any], is_due: bool) -> None:
    """A tenth of the memory free, or a cluster whose least recently used model was not used in 20 h."""
    assert bool(second_copy.is_due(used_regularly(**fields), SETTINGS)) is is_due


# -- more copies for load


@pytest.mark.parametrize(
    ("fields", "more"),
    [
        ({"rpm": 1999}, 0),
        ({"rpm": 2000}, 1),
        ({"rpm": 4100}, 2),
        ({"rpm": 9000, "instances": 4}, 2),  # a third of the instances would be one
        ({"rpm": 9000, "instances": 9, "candidates": 8}, 3),
        ({"rpm": 9000, "instances": 30, "candidates": 29}, 4),
        ({"rpm": 4000, "candidates": 1}, 1),
        ({"rpm": 4000, "candidates": 3, "busy": 2}, 1),
        ({"rpm": 4000, "candidates": 2, "busy": 2}, 0),
        ({"rpm": 4000, "max_copies": 2}, 1),
        ({"rpm": 4000, "copies": 2, "max_copies": 2}, 0),
        ({"rpm": 4000, "copies": 3, "max_copies": 2}, 0),
        ({"rpm": 4000, "is_arriving": True}, 0),
    ],
)
def test_copies_come_with_the_load(fields: dict[str, Any], more: int) -> None:
    """D-11: one for each time that the threshold is in the load, at most a third of the instances but always two, on
    instances that are not busy themselves, which count once."""
    standing = replace(Standing(threshold=2000, instances=6, candidates=5), **fields)
    assert scale_up.further(standing, SETTINGS) == more


@pytest.mark.parametrize(
    ("ended", "took_ms", "prior", "threshold"),
    [
        (0, 0, (0, 0), 2000),
        (7, 700, (0, 0), 2000),  # too few to tell
        (8, 800, (0, 0), 2 * 60_000 // 100 * 9 // 10),
        (7, 700, (64, 6400), 2 * 60_000 // 100 * 9 // 10),
        (64, 640, (64, 6400), 2 * 60_000 // 10 * 9 // 10),  # enough: those before count no more
        (64, 0, (0, 0), UNLIMITED),
    ],
)
def test_threshold_follows_from_how_long_requests_take(
    ended: int, took_ms: int, prior: tuple[int, int], threshold: int
) -> None:
    """Where concurrency is limited: nine tenths of what two requests at a time leave room for."""
    meter = Meter(0, 0, ended=ended, service_us=took_ms * 1000)
    meter.prior_ended, meter.prior_service_us = prior[0], prior[1] * 1000
    assert meter.full_rpm(2, 90, 2000) == threshold
    assert meter.ended == (0 if ended == 64 else ended)


# -- fewer copies


def of_two(**fields: Any) -> Standing:
    usual = {"copies": 2, "lru_age_ms": 10 * HOUR, "unused_ms": HOUR + 1, "capacity_units": 1000, "free_units": 50}
    return Standing(**(usual | fields))


@pytest.mark.parametrize(
    ("fields", "goes"),
    [
        ({}, True),
        ({"copies": 1}, False),
        ({"min_copies": 2}, False),
        ({"min_copies": 1}, True),
        ({"free_units": 51}, False),
        ({"unused_ms": HOUR}, False),
        ({"is_better_placed": True}, False),
        ({"lru_age_ms": 200 * HOUR, "unused_ms": 10 * HOUR}, False),
        ({"lru_age_ms": 200 * HOUR, "unused_ms": 10 * HOUR + 1}, True),
        ({"lru_age_ms": 200 * HOUR, "unused_ms": 10 * HOUR + 1, "calm_ms": 40 * HOUR}, True),
        ({"lru_age_ms": 200 * HOUR, "unused_ms": 10 * HOUR + 1, "calm_ms": 40 * HOUR - 1}, False),
        ({"lru_age_ms": 200 * HOUR, "unused_ms": 20 * HOUR + 1, "calm_ms": 40 * HOUR - 1}, True),
        ({"lru_age_ms": NEVER, "unused_ms": 10 * HOUR}, False),
        ({"lru_age_ms": NEVER, "unused_ms": 10 * HOUR + 1}, True),
        ({"lru_age_ms": NEVER, "unused_ms": 10 * HOUR, "calm_ms": 0}, False),
        ({"lru_age_ms": NEVER, "unused_ms": 10 * HOUR + 1, "calm_ms": 0}, True),
    ],
)
def test_second_copy_goes_when_it_was_not_used_for_long(fields: dict[str, Any], goes: bool) -> None:
    """D-12: for a tenth of the age of the cluster's cache; for a model that was not heavily used, 10 h are enough;
    and where nothing has such an age."""
    assert bool(scale_down.cause(of_two(**fields), SETTINGS)) is goes


def of_many(**fields: Any) -> Standing:
    usual = {"copies": 3, "capacity_units": 1000, "threshold": 2000, "settled_ms": 30 * MINUTE, "lru_age_ms": HOUR}
    return Standing(**(usual | fields))


@pytest.mark.parametrize(
    ("fields", "goes"),
    [
        ({}, True),
        ({"min_copies": 3}, False),
        ({"free_units": 51}, False),
        ({"free_units": 51, "max_copies": 3}, False),
        ({"free_units": 51, "max_copies": 2, "queued": 9, "settled_ms": 0}, True),
        ({"settled_ms": 30 * MINUTE - 1}, False),
        ({"unloaded_ms": 79_999}, False),
        ({"unloaded_ms": 80_000}, True),
        ({"rpm": 1333}, True),
        ({"rpm": 1334}, False),
        ({"queued": 1}, True),
        ({"queued": 2}, False),
        ({"calm_ms": 10 * MINUTE - 1}, False),
        ({"calm_ms": 10 * MINUTE}, True),
        ({"lru_age_ms": 10 * HOUR, "calm_ms": 18 * MINUTE + 103_999}, False),
        ({"lru_age_ms": 10 * HOUR, "calm_ms": 18 * MINUTE + 104_000}, True),
        ({"lru_age_ms": 1000 * HOUR, "calm_ms": 5 * HOUR - 1}, False),
        ({"lru_age_ms": 1000 * HOUR, "calm_ms": 5 * HOUR}, True),
        ({"lru_age_ms": NEVER, "calm_ms": 5 * HOUR - 1}, False),
        ({"lru_age_ms": NEVER, "calm_ms": 5 * HOUR}, True),
        ({"is_better_placed": True}, True),
    ],
)
def test_one_of_many_copies_goes_when_all_is_calm(fields: dict[str, Any], goes: bool) -> None:
    """D-13: heavy use is over for 3 % of the age of the cluster's cache and 104 s, between 10 min and 5 h."""
    assert bool(scale_down.cause(of_many(**fields), SETTINGS)) is goes


def test_nothing_heavy_and_nothing_unloaded_is_long_ago() -> None:
    assert (of_many().calm_ms, of_many().unloaded_ms) == (NEVER, NEVER)


def test_windows_that_are_none_are_refused() -> None:
    """The least age is below the greatest."""
    with pytest.raises(ValueError, match="second_copy_min_ms is 5; it has to be below second_copy_max_ms, 5"):
        Settings(second_copy_min_ms=5, second_copy_max_ms=5)


def test_numbers_with_which_nothing_would_go_on_are_refused() -> None:
    for name in ("janitor_period_ms", "slice_models"):
        with pytest.raises(ValueError, match=f"{name} is 0; it has to be 1 or more"):
            Settings(**{name: 0})
    with pytest.raises(ValueError, match="probe_again_ms is -1; it has to be 0 or more"):
        Settings(probe_again_ms=-1)
    assert Settings(min_churn_age_ms=-1).min_churn_age_ms == -1
