"""How popular models are, and how that changes. Seeds are fixed; a share of n draws strays by sqrt(share / n)."""

from __future__ import annotations

import numpy as np
import pytest

from sim.workloads.popularity import ByRank, Chooser, Drift, DriftingChooser, HotCold

DRAWS = 400_000


def source(seed: int = 5) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(seed))


def shares(way: ByRank | HotCold, models: int) -> np.ndarray:
    chooser = Chooser(way.weights(models), np.arange(models), source())
    return np.bincount(chooser.choose(np.zeros(DRAWS)), minlength=models) / DRAWS


@pytest.mark.parametrize(("alpha", "offset"), [(1.0, 0.0), (0.6, 0.0), (1.2, 10.0), (2.0, 3.5)])
def test_shares_are_those_of_the_law(alpha: float, offset: float) -> None:
    expected = (np.arange(1, 201) + offset) ** -alpha
    expected /= expected.sum()
    found = shares(ByRank(alpha=alpha, offset=offset), 200)
    assert (np.abs(found - expected) < 4.5 * np.sqrt(expected / DRAWS)).all()


def test_an_offset_makes_the_first_nearly_alike() -> None:
    plain, mandelbrot = (ByRank(alpha=1.0, offset=offset).weights(100) for offset in (0.0, 50.0))
    assert plain[0] / plain[1] == 2
    assert mandelbrot[0] / mandelbrot[1] == pytest.approx(52 / 51)


def test_hot_models_get_their_share_and_both_classes_are_even_within() -> None:
    found = shares(HotCold(hot=0.1, requests=0.9), 50)
    assert found[:5].sum() == pytest.approx(0.9, abs=0.002)
    assert found[:5] == pytest.approx(0.18, rel=0.02)
    assert found[5:] == pytest.approx(0.1 / 45, rel=0.15)


@pytest.mark.parametrize(("hot", "models"), [(0.001, 10), (1.0, 4), (0.5, 1)])
def test_some_model_is_hot_and_shares_add_up(hot: float, models: int) -> None:
    weights = HotCold(hot=hot, requests=1.0).weights(models)
    assert len(weights) == models
    assert weights[0] > 0
    assert weights.sum() == pytest.approx(1)


def drifting(share: float, models: int = 100) -> DriftingChooser:
    """All requests are for the first rank and its neighbours, in proportion: most for the first."""
    return DriftingChooser(
        ByRank(alpha=5).weights(models), np.arange(models), source(), Drift(every_s=10, share=share), source(6)
    )


def test_ranks_change_only_with_the_period() -> None:
    chooser = drifting(1.0)
    at_ms = np.repeat([0.0, 9_999.999, 10_000.0, 19_999.0, 20_000.0], 200)
    tops = [np.bincount(part).argmax() for part in np.split(chooser.choose(at_ms), 5)]
    assert tops[0] == tops[1] == 0
    assert tops[2] == tops[3] != tops[1]
    assert tops[4] != tops[3]


def test_the_share_that_drifts_changes_its_models_and_no_other_does() -> None:
    """After one period the ranks of exactly that share differ; a rank keeps its model for n with (1 - share) ** n."""
    models, share = 1000, 0.05
    chooser = DriftingChooser(
        ByRank(alpha=0).weights(models), np.arange(models), source(), Drift(every_s=10, share=share), source(6)
    )
    kept = []
    for period in range(1, 31):
        chooser.choose(np.array([period * 10_000.0]))
        assert sorted(chooser._by_rank.tolist()) == list(range(models))
        kept.append(int((chooser._by_rank == np.arange(models)).sum()))
    assert kept[0] == 950
    assert kept[29] == pytest.approx(1000 * 0.95**30, rel=0.15)


def test_where_blocks_end_changes_nothing_and_periods_without_requests_count() -> None:
    at_ms = np.sort(source(9).random(500) * 3_600_000)
    whole, parts = drifting(0.2), drifting(0.2)
    assert whole.choose(at_ms).tolist() == [
        number for part in np.array_split(at_ms, 7) for number in parts.choose(part).tolist()
    ]


def test_one_model_alone_does_not_drift() -> None:
    chooser = drifting(1.0, models=1)
    assert chooser.choose(np.array([0.0, 50_000.0])).tolist() == [0, 0]
