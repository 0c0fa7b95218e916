"""How counts of several instances, and of several runs of one, add up."""

from __future__ import annotations

import math

import pytest

from demo.scrape import Counted, mean, parse, quantile, total

EXPOSITION = """\
# HELP meshd_requests Inference requests from clients
# TYPE meshd_requests counter
meshd_requests 7.0
wait_bucket{le="10.0",} 2.0
wait_bucket{le="20.0",} 4.0
wait_bucket{le="+Inf",} 4.0
wait_sum 40.5
wait_count 4.0
call_count{method="a",code="OK",} 3.0
call_count{method="b",code="OK",} 4.0
models{} 1e2
"""


def test_series_are_read_and_those_of_one_name_are_added_up() -> None:
    assert parse(EXPOSITION) == {
        "meshd_requests": 7.0,
        "wait_bucket:10.0": 2.0,
        "wait_bucket:20.0": 4.0,
        "wait_bucket:+Inf": 4.0,
        "wait_sum": 40.5,
        "wait_count": 4.0,
        "call_count": 7.0,
        "models": 100.0,
    }


def test_counts_of_a_run_that_is_over_are_kept() -> None:
    counted = Counted(now=parse(EXPOSITION))
    counted.restarted()
    assert counted.total("meshd_requests") == 7.0
    counted.now = {"meshd_requests": 2.0}
    assert counted.total("meshd_requests") == 9.0
    assert total([counted, counted], "meshd_requests") == 18.0


def test_the_mean_and_quantiles_are_of_all_instances() -> None:
    fast, slow = Counted(now=parse(EXPOSITION)), Counted(now={"wait_sum": 80.0, "wait_count": 4.0})
    slow.now |= {"wait_bucket:10.0": 0.0, "wait_bucket:20.0": 4.0, "wait_bucket:+Inf": 4.0}
    assert mean([fast, slow], "wait") == pytest.approx(120.5 / 8)
    assert quantile([fast, slow], "wait", 0.25) == 10.0
    assert quantile([fast, slow], "wait", 0.5) == pytest.approx(10 + 10 * 2 / 6)
    assert quantile([fast, slow], "wait", 1.0) == 20.0


def test_what_is_beyond_the_last_bound_is_told_as_that_bound() -> None:
    counted = Counted(now={"wait_bucket:10": 0.0, "wait_bucket:+Inf": 3.0, "wait_count": 3.0})
    assert quantile([counted], "wait", 0.5) == 10.0


def test_nothing_observed_has_no_mean_and_no_quantile() -> None:
    assert math.isnan(mean([Counted()], "wait"))
    assert math.isnan(quantile([Counted()], "wait", 0.5))
