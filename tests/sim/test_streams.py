"""Traffic composed of streams: what each asks for, in one order, the same again, in blocks."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any

import numpy as np
import pytest

from sim.workloads.blocks import BLOCK
from sim.workloads.curve import DAY_MS, Clock, Curve, of_week_ms
from sim.workloads.streams import Streams

HOUR_MS = 3_600_000


def drawn(
    *streams: dict[str, Any], seed: int = 3, models: int = 50, duration_ms: float = 600_000, of_week_ms: float = 0
) -> list[tuple[float, int]]:
    traffic = Streams.model_validate({"streams": list(streams)})
    blocks = traffic.arrivals(seed, models, duration_ms, of_week_ms)
    return [pair for instants, numbers in blocks for pair in zip(instants, numbers, strict=True)]


POISSON = {"poisson": {"requests_per_s": 20}, "zipf": {"alpha": 1.0}}
SEVERAL = (
    POISSON,
    {"gamma": {"requests_per_s": 10, "cv": 3}, "hot_cold": {"hot": 0.1, "requests": 0.9}, "models": ["0-19"]},
    {"on_off": {"requests_per_s": 30, "on_s": 5, "off_s": 20}, "drift": {"every_s": 60, "share": 0.2}},
    {"flash_crowd": {"requests_per_s": 50, "half_life_s": 60}, "from_s": 120, "models": [7]},
    {"sweep": {"every_s": 100, "jitter_s": 10}, "from_s": 50},
    {"poisson": {"requests_per_s": 5}, "curve": {"day": [0.5, 2], "week": [1, 1, 1, 1, 1, 0, 0]}},
)


def test_all_streams_come_in_the_order_of_time_and_only_before_the_end() -> None:
    requests = drawn(*SEVERAL)
    instants = [at for at, _ in requests]
    assert instants == sorted(instants)
    assert 0 <= instants[0] <= instants[-1] < 600_000
    assert {number for _, number in requests} == set(range(50))


def test_a_stream_draws_the_same_whatever_comes_after_it_in_the_list() -> None:
    """The whole is every stream's own requests, so a stream that is added changes none of the others."""
    alone, together = drawn(SEVERAL[0]), drawn(*SEVERAL[:3])
    assert Counter(alone) <= Counter(together)
    assert Counter(together) <= Counter(drawn(*SEVERAL))


def test_the_same_seed_draws_the_same_requests_and_another_does_not() -> None:
    assert drawn(*SEVERAL) == drawn(*SEVERAL) != drawn(*SEVERAL, seed=4)


def test_equal_streams_draw_different_requests() -> None:
    assert max(Counter(drawn(POISSON, POISSON)).values()) == 1


def test_what_the_seed_means_does_not_change() -> None:
    """These were drawn once; a change of them changes every frozen summary of a scenario with streams."""
    assert drawn(*SEVERAL, duration_ms=75) == [(0.0, 2), (0.0, 8), (1.294, 20), (55.557, 33), (63.891, 5), (69.287, 42)]


def test_blocks_are_bounded_and_drawn_as_they_are_asked_for() -> None:
    """Ten million requests would be a thousand times what is drawn for the first block."""
    busy = {"poisson": {"requests_per_s": 1_000_000}, "zipf": {}}
    sweep = {"sweep": {"every_s": 1}}
    traffic = Streams.model_validate({"streams": [busy, sweep]})
    blocks = list(islice(traffic.arrivals(1, 200_000, 1e10), 40))
    assert all(0 < len(instants) == len(numbers) <= BLOCK for instants, numbers in blocks)
    assert blocks[-1][0][-1] < 1000


def test_a_stream_begins_and_ends_when_it_says_and_after_so_many_requests() -> None:
    within = [at for at, _ in drawn({**POISSON, "from_s": 100, "until_s": 200})]
    assert 100_000 <= within[0] < 101_000
    assert 199_000 < within[-1] < 200_000
    assert len(within) == pytest.approx(2000, abs=4 * 2000**0.5)
    assert len(drawn({**POISSON, "requests": 17})) == 17


def test_a_stream_asks_for_its_models_alone_and_for_all_of_them() -> None:
    assert {number for _, number in drawn({"poisson": {"requests_per_s": 5}, "models": [3, "10-12", 12]})} == {
        3,
        10,
        11,
        12,
    }


def test_a_sweep_asks_for_every_model_once_in_each_period_within_the_jitter() -> None:
    requests = drawn({"sweep": {"every_s": 100, "jitter_s": 30}, "from_s": 10})
    for sweep in range(6):
        begin = 10_000 + sweep * 100_000
        swept = [number for at, number in requests if begin <= at < begin + 100_000]
        assert sorted(swept) == list(range(50))
        assert swept != sorted(swept)
        assert all(at <= begin + 30_000 for at, _ in requests if begin <= at < begin + 100_000)


def test_a_sweep_of_a_share_asks_for_others_each_time() -> None:
    requests = drawn({"sweep": {"every_s": 100, "share": 0.2}})
    sweeps = [[number for at, number in requests if at == 100_000 * sweep] for sweep in range(6)]
    assert all(len(set(swept)) == len(swept) == 10 and swept == sorted(swept) for swept in sweeps)
    assert len({tuple(swept) for swept in sweeps}) == 6


def test_the_curve_is_that_of_the_hour_and_of_the_day() -> None:
    """A day whose noon has three times the requests of midnight, and a Saturday and Sunday with half."""
    stream = {"poisson": {"requests_per_s": 2}, "curve": {"day": [1, 3], "week": [1, 1, 1, 1, 1, 0.5, 0.5]}}
    at_ms = np.array([at for at, _ in drawn(stream, duration_ms=7 * DAY_MS)])
    by_day = np.bincount((at_ms // DAY_MS).astype(int))
    expected = 2 * 2 * 86_400
    assert by_day[:5] == pytest.approx(expected, abs=4 * expected**0.5)
    assert by_day[5:] == pytest.approx(expected / 2, abs=4 * expected**0.5)
    of_hour = np.bincount((at_ms[at_ms < 5 * DAY_MS] % DAY_MS // HOUR_MS).astype(int)) / 5
    for hour in range(24):
        factor = 1 + 2 * (1 - abs(hour + 0.5 - 12) / 12)
        mean = 2 * 3600 * factor
        assert of_hour[hour] == pytest.approx(mean, abs=4 * (mean / 5) ** 0.5)


def test_the_curve_begins_at_the_hour_at_which_the_run_begins() -> None:
    """All requests are within an hour of noon; the run begins on Tuesday at eight."""
    day = [0] * 24
    day[12] = 1
    stream = {"poisson": {"requests_per_s": 1}, "curve": {"day": day}}
    at_ms = [at for at, _ in drawn(stream, duration_ms=DAY_MS, of_week_ms=DAY_MS + 8 * HOUR_MS)]
    assert 3 * HOUR_MS <= at_ms[0] <= at_ms[-1] <= 5 * HOUR_MS
    assert len(at_ms) == pytest.approx(3600, abs=4 * 60)


def test_a_curve_keeps_the_bursts_of_its_stream() -> None:
    """Twice the pace is half of every gap, the same spread."""
    gamma = {"gamma": {"requests_per_s": 10, "cv": 3}}
    plain = np.diff([at for at, _ in drawn(gamma)])
    twice = np.diff([at for at, _ in drawn({**gamma, "curve": {"day": [2]}})])
    assert twice[: len(plain)] * 2 == pytest.approx(plain, abs=0.005)


def test_a_clock_that_stands_still_shows_nothing_more() -> None:
    clock = Clock(Curve(week=[1, 0, 0, 0, 0, 0, 0]), 0.0, 0.0, 7.0 * DAY_MS)
    assert clock.when(np.array([0.0, 0.5 * DAY_MS, 1.01 * DAY_MS])).tolist() == [0.0, 0.5 * DAY_MS, 7.0 * DAY_MS]


@pytest.mark.parametrize(
    ("at", "hours"),
    [
        (datetime(2026, 1, 5, tzinfo=UTC), 0),
        (datetime(2026, 1, 5, 8, tzinfo=UTC), 8),
        (datetime(2026, 1, 11, 23, 30, tzinfo=timezone(timedelta(hours=9))), 6 * 24 + 23.5),
    ],
)
def test_the_week_begins_on_monday_by_the_time_of_the_place(at: datetime, hours: float) -> None:
    assert of_week_ms(at) == hours * HOUR_MS
