"""The Zipf workload: what it draws and that it draws it again."""

from __future__ import annotations

from collections import Counter

import pytest

from sim.workloads import REGISTRY
from sim.workloads.blocks import BLOCK
from sim.workloads.zipf import Peak, Zipf


def drawn(zipf: Zipf, seed: int = 3, models: int = 50, duration_ms: float = 1e9) -> tuple[list[float], list[int]]:
    blocks = list(zipf.arrivals(seed, models, duration_ms))
    return [at for block in blocks for at in block[0]], [model for block in blocks for model in block[1]]


def test_the_same_seed_draws_the_same_requests() -> None:
    zipf = Zipf(requests_per_s=100, requests=1000)
    assert drawn(zipf) == drawn(zipf)
    assert drawn(zipf) != drawn(zipf, seed=4)


def test_instants_ascend_across_blocks_at_the_rate_asked_for() -> None:
    instants, _ = drawn(Zipf(requests_per_s=1000, requests=2 * BLOCK + 5))
    assert len(instants) == 2 * BLOCK + 5
    assert instants == sorted(instants)
    assert instants[-1] == pytest.approx(len(instants), rel=0.02)


def test_traffic_ends_with_its_duration() -> None:
    instants, models = drawn(Zipf(requests_per_s=1000), duration_ms=5000)
    assert len(instants) == len(models) == pytest.approx(5000, rel=0.1)
    assert instants[-1] < 5000


def test_popularity_falls_with_the_rank_to_the_power_of_alpha() -> None:
    _, models = drawn(Zipf(requests_per_s=1000, requests=100_000, alpha=1.0))
    shares = [count / 100_000 for _, count in Counter(models).most_common()]
    harmonic = sum(1 / rank for rank in range(1, 51))
    assert shares[0] == pytest.approx(1 / harmonic, rel=0.05)
    assert shares[9] == pytest.approx(0.1 / harmonic, rel=0.1)


def test_alpha_zero_asks_for_all_models_alike() -> None:
    _, models = drawn(Zipf(requests_per_s=1000, requests=100_000, alpha=0.0), models=4)
    assert all(count == pytest.approx(25_000, rel=0.05) for count in Counter(models).values())


def test_peaks_come_beside_the_steady_requests() -> None:
    """In order, for their model, between their instants, and not beyond the end of the traffic."""
    peaks = [
        Peak(model=7, from_s=2, until_s=3, requests_per_s=400),
        Peak(model=8, from_s=9, until_s=11, requests_per_s=100),
        Peak(model=9, from_s=20, until_s=30, requests_per_s=100),
    ]
    zipf = Zipf(requests_per_s=1, requests=5, peaks=peaks)
    instants, models = drawn(zipf, models=5, duration_ms=10_000)
    assert instants == sorted(instants)
    assert {model: count for model, count in Counter(models).items() if model >= 5} == {7: 400, 8: 100}
    assert all(2000 <= at <= 3000 for at, model in zip(instants, models, strict=True) if model == 7)
    assert len(models) == 505
    assert drawn(zipf, models=5, duration_ms=10_000) == (instants, models)


def test_what_the_seed_means_does_not_change() -> None:
    """These numbers were drawn once; a change of them changes every frozen summary."""
    instants, models = drawn(Zipf(requests_per_s=100, requests=4))
    assert instants == [0.895, 3.598, 19.756, 28.483]
    assert models == [25, 17, 3, 25]


def test_the_registry_knows_each_workload_by_its_name() -> None:
    assert all(model.model_fields["workload"].default == name for name, model in REGISTRY.items())
