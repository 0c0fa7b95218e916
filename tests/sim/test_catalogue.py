"""The sizes of models, as they are drawn."""

from __future__ import annotations

from math import erf, log, sqrt
from random import Random
from typing import Any

import pytest

from sim.catalogue import Models, model_sizes

MIB = 1 << 20


def sizes(count: int = 50_000, seed: int = 1, **ways: Any) -> list[int]:
    return model_sizes(Models.model_validate({"count": count, **ways}), Random(seed))


def part(drawn: list[int], least: float, most: float) -> float:
    return sum(least <= size < most for size in drawn) / len(drawn)


def test_lognormal_sizes_have_their_median_and_their_spread() -> None:
    """A share of 50,000 strays by 0.0022 at most."""
    drawn = sizes(lognormal={"median": 100 * MIB, "sigma": 0.5})
    for times in (0.5, 1.0, 1.5, 3.0):
        expected = (1 + erf(log(times) / 0.5 / sqrt(2))) / 2
        assert part(drawn, 0, times * 100 * MIB) == pytest.approx(expected, abs=0.007)


def test_a_mixture_has_its_components_by_weight_each_with_its_own_sizes() -> None:
    drawn = sizes(
        mixture=[
            {"weight": 6, "size": 7},
            {"weight": 3, "quantiles": [1000, 2000]},
            {"weight": 1, "lognormal": {"median": "1 GiB", "sigma": 0.2}},
        ]
    )
    assert drawn.count(7) / len(drawn) == pytest.approx(0.6, abs=0.007)
    assert part(drawn, 1000, 2001) == pytest.approx(0.3, abs=0.007)
    assert part(drawn, 1 << 30, 1 << 40) == pytest.approx(0.05, abs=0.004)


def test_measured_sizes_are_as_probable_between_any_two_quantiles_and_straight_in_between() -> None:
    drawn = sizes(quantiles=[100, 200, 1000, 9000])
    assert 100 <= min(drawn) < max(drawn) < 9000
    for least, most in ((100, 200), (200, 1000), (1000, 9000)):
        assert part(drawn, least, most) == pytest.approx(1 / 3, abs=0.007)
    assert part(drawn, 1000, 5000) == pytest.approx(1 / 6, abs=0.007)


def test_quantiles_may_be_equal() -> None:
    assert set(sizes(count=100, quantiles=[5, 5])) == {5}


def test_sizes_follow_from_the_seed() -> None:
    mixture = [{"weight": 1, "size": 7}, {"weight": 1, "lognormal": {"median": 1000, "sigma": 1}}]
    assert sizes(100, mixture=mixture) == sizes(100, mixture=mixture) != sizes(100, seed=2, mixture=mixture)


def test_one_size_is_that_of_all() -> None:
    assert sizes(3, size="1 KiB") == [1024] * 3
    assert sizes(2, sizes=[1, 2]) == [1, 2]
