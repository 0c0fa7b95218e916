"""When requests come, against what theory says of each kind of arrivals.

Seeds are fixed, so tolerances are about how far off a draw of that size is likely to be, not about luck: the mean of n
gaps with coefficient of variation cv strays by cv / sqrt(n), and tolerances are some three times that.
"""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest
from numpy.typing import NDArray

from sim.workloads.pacing import FlashCrowd, Gamma, OnOff, Pacing, Poisson, gamma, pareto, sizes


def source(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def instants(pacing: Pacing, requests: int, block: int = 4096) -> NDArray[np.float64]:
    return np.concatenate(list(pacing.instants(source(), sizes(requests, block))))


@pytest.mark.parametrize(
    ("pacing", "cv"),
    [
        (Poisson(requests_per_s=50), 1.0),
        (Gamma(requests_per_s=50, cv=1), 1.0),
        (Gamma(requests_per_s=50, cv=0.3), 0.3),
        (Gamma(requests_per_s=50, cv=3), 3.0),
        (Gamma(requests_per_s=50, cv=0), 0.0),
    ],
)
def test_gaps_have_the_mean_and_the_spread_asked_for(pacing: Pacing, cv: float) -> None:
    gaps = np.diff(instants(pacing, 200_000))
    assert gaps.min() >= 0
    assert gaps.mean() == pytest.approx(20, rel=0.001 + 3 * cv / 450)
    assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.03, abs=1e-4)


def test_gaps_of_a_poisson_process_are_exponential() -> None:
    """Kolmogorov's distance of 200,000 draws is above 0.0037 once in a hundred times."""
    gaps = np.sort(np.diff(instants(Poisson(requests_per_s=1000), 200_001)))
    steps = np.arange(1, len(gaps) + 1) / len(gaps)
    assert np.abs(1 - np.exp(-gaps) - steps).max() < 0.0037


@pytest.mark.parametrize("shape", [0.1, 0.7, 1.0, 2.5, 40.0])
def test_gamma_numbers_have_their_moments(shape: float) -> None:
    """Mean, variance and third central moment are k, k and 2k."""
    drawn = gamma(source(), 400_000, shape)
    assert drawn.mean() == pytest.approx(shape, rel=0.02)
    assert drawn.var() == pytest.approx(shape, rel=0.04)
    assert ((drawn - drawn.mean()) ** 3).mean() == pytest.approx(2 * shape, rel=0.1)


def test_gamma_of_shape_two_has_its_distribution() -> None:
    """P(X <= x) = 1 - (1 + x) exp(-x)."""
    drawn = np.sort(gamma(source(), 200_000, 2.0))
    steps = np.arange(1, len(drawn) + 1) / len(drawn)
    assert np.abs(1 - (1 + drawn) * np.exp(-drawn) - steps).max() < 0.0037


@pytest.mark.parametrize("shape", [1.2, 1.5, 3.0])
def test_pareto_numbers_have_their_tail(shape: float) -> None:
    """P(X > x) = (least / x) ** shape, with the least such that the mean is 1; the mean itself settles only with a
    shape well above 2."""
    drawn, least = pareto(source(), 200_000, shape), (shape - 1) / shape
    assert drawn.min() >= least
    for times in (2.0, 5.0, 20.0):
        expected = times**-shape
        within = 4 * (expected / len(drawn)) ** 0.5
        assert (drawn > times * least).mean() == pytest.approx(expected, abs=within)
    if shape > 2:
        assert drawn.mean() == pytest.approx(1, rel=0.01)


def test_on_and_off_times_have_their_means_and_requests_come_only_when_it_is_on() -> None:
    """A gap of more than 500 ms is a time that was off: at 100 a second a gap that long comes once in 10^21."""
    at_ms = instants(OnOff(requests_per_s=100, on_s=10, off_s=30, shape=4), 400_000)
    gaps = np.diff(at_ms)
    assert gaps.min() >= 0
    offs = gaps[gaps > 500]
    assert len(offs) == pytest.approx(400, rel=0.1)  # 400,000 requests take 4,000 s that are on
    assert offs.mean() == pytest.approx(30_000, rel=0.06)
    assert gaps[gaps <= 500].mean() == pytest.approx(10, rel=0.01)
    assert len(at_ms) / at_ms[-1] * 1000 == pytest.approx(100 * 10 / (10 + 30), rel=0.06)


def test_on_and_off_times_make_counts_spread_more_than_a_poisson_process_does() -> None:
    """The variance of the count in 10 s is its mean for Poisson arrivals; here it is nearly the square of the rate."""
    at_ms = instants(OnOff(requests_per_s=100, on_s=10, off_s=10), 200_000)
    counts = np.bincount((at_ms // 10_000).astype(int))[:-1]
    assert counts.var() / counts.mean() > 100


def test_a_flash_crowd_halves_with_every_half_life() -> None:
    """Of R / ln 2 half-lives' requests in all, half come within the first half-life, a quarter within the second."""
    at_s = np.concatenate(list(FlashCrowd(requests_per_s=1000, half_life_s=60).instants(source(), sizes(None, 4096))))
    at_s = at_s / 1000
    whole = 1000 * 60 / np.log(2)
    assert len(at_s) == pytest.approx(whole, rel=0.015)
    for number in range(4):
        come = ((at_s >= 60 * number) & (at_s < 60 * (number + 1))).sum()
        assert come == pytest.approx(whole / 2 ** (number + 1), rel=0.04)
    assert (at_s < 1).sum() == pytest.approx(1000, rel=0.1)


@pytest.mark.parametrize(
    "pacing",
    [
        Poisson(requests_per_s=10),
        Gamma(requests_per_s=10, cv=20),
        OnOff(requests_per_s=10, on_s=0.01, off_s=100, shape=1.05),
        FlashCrowd(requests_per_s=100, half_life_s=30),
    ],
)
def test_instants_ascend_and_are_the_same_again(pacing: Pacing) -> None:
    first, again = instants(pacing, 3000, block=64), instants(pacing, 3000, block=64)
    assert (np.diff(first) >= 0).all()
    assert (first == again).all()
    assert len(first) == 3000 or isinstance(pacing, FlashCrowd)


def test_sizes_are_of_a_block_and_the_rest() -> None:
    assert list(sizes(10, 4)) == [4, 4, 2]
    assert list(islice(sizes(None, 4), 5)) == [4] * 5
