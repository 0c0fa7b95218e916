"""When an instance writes its own record, and what stands in it."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from meshcore.cache import Cache
from meshcore.loadqueue import LoadQueue
from meshcore.me import Me
from meshcore.publisher import Publisher
from meshcore.records import InstanceRecord
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, entry, params

GAP_MS, PERIOD_MS, RETRY_MS = 2_000, 40_000, 1_000

ME = Me("a", NOW, "a:8080", "a:8033", "a:2112", "loc", "zone", ("x", "y"), 7, "1.2", "rs", "native")

FIRST = InstanceRecord(start_ms=NOW, address="a:8080", capacity_units=100)
SECOND = replace(FIRST, accepted=1)


class Middle(Random):
    """Draws the middle: no jitter."""

    def random(self) -> float:
        return 0.5


def publisher(first: InstanceRecord = FIRST, rng: Random | None = None) -> Publisher:
    """One whose first write, at NOW, stands."""
    made = Publisher(ME, lambda: Settings(), rng or Middle(0))
    assert made.next_wake() <= NOW
    seq = made.take(first, NOW)
    assert seq == 1
    assert made.next_wake() == NEVER
    made.published(seq)
    return made


def test_record_says_what_others_need_to_know() -> None:
    """The record has what the instance is, what its cache holds, its loads, its phase."""
    cache = Cache(params())
    cache.insert(entry("m"), NOW - 5, NOW)
    made = publisher()
    made.accepted = 3
    queue = LoadQueue(2)
    for waiting in (entry("a", predicted_units=4), entry("b", predicted_units=5)):
        queue.add(waiting)
    assert made.record(cache, queue) == InstanceRecord(
        start_ms=NOW, version=7, location="loc", zone="zone", labels=("x", "y"), lru_ms=NOW - 5, count=1,
        capacity_units=90, used_units=1 + 3 + 4, load_threads=2, loads_in_progress=2, address="a:8080", grpc="a:8033",
        http="a:2112", replica_set="rs", phase="ready", data_plane="native", build="1.2", accepted=3,
        min_space_units=20,
    )  # fmt: skip


@pytest.mark.parametrize("phase", ["draining", "stopping"])
def test_instance_that_is_going_says_so_to_either_kind(phase: str) -> None:
    """A Java instance reads ``shutdown``, ours read the phase."""
    made = publisher()
    made.phase = phase
    record = made.record(Cache(params()), LoadQueue(2))
    assert (record.is_shutting_down, record.phase) == (True, phase)


def test_record_is_written_at_least_once_a_period_if_it_says_something_new() -> None:
    """Nothing asked for it: the next write is due a period later, and left out if it says the same."""
    made = publisher()
    assert made.next_wake() == NOW + PERIOD_MS
    assert made.take(FIRST, NOW + PERIOD_MS) is None
    assert made.next_wake() == NOW + 2 * PERIOD_MS
    assert made.take(SECOND, NOW + 2 * PERIOD_MS) == 2


def test_difference_that_does_not_matter_is_written_once_it_adds_up_or_is_old() -> None:
    """D-17: it is compared with what was written, not with what was last looked at; after 160 s anything is news."""
    for used, at, seq in ((10, NOW + 40_000, None), (19, NOW + 80_000, None), (20, NOW + 120_000, 2)):
        made = publisher(replace(FIRST, used_units=100, capacity_units=1_000))
        assert made.take(replace(FIRST, used_units=100 + used, capacity_units=1_000), at) == seq
    made = publisher(replace(FIRST, used_units=100, capacity_units=1_000))
    assert made.take(replace(FIRST, used_units=101, capacity_units=1_000), NOW + 160_000) == 2


def test_write_that_is_asked_for_too_early_is_made_when_the_gap_is_over() -> None:
    """D-17: writes are throttled with a trailing edge, none is lost."""
    made = publisher()
    made.ask(NOW + 1, instances=3)
    assert made.next_wake() == NOW + GAP_MS
    made.ask(NOW + 2, instances=3)
    assert made.next_wake() == NOW + GAP_MS
    assert made.take(SECOND, NOW + GAP_MS) == 2


def test_write_that_is_asked_for_after_the_gap_is_due_at_once() -> None:
    """D-17: the gap counts from the last write."""
    made = publisher()
    made.ask(NOW + GAP_MS + 500, instances=3)
    assert made.next_wake() == NOW + GAP_MS + 500


def test_write_that_is_asked_for_during_a_write_follows_it() -> None:
    """D-17: one write at a time; what was asked for meanwhile is due when the answer is there."""
    made = publisher()
    made.ask_now(NOW + 5)
    assert made.take(SECOND, NOW + 5) == 2
    made.ask(NOW + 6, instances=3)
    assert made.next_wake() == NEVER
    made.published(2)
    assert made.next_wake() == NOW + 5 + GAP_MS


@pytest.mark.parametrize(("instances", "gap_ms"), [(1, 2_000), (50, 2_000), (100, 4_000), (1_000, 40_000)])
def test_gap_grows_with_the_cluster(instances: int, gap_ms: int) -> None:
    """D-17: all records together are written about 25 times a second at most."""
    made = publisher()
    made.ask(NOW, instances)
    assert made.next_wake() == NOW + gap_ms


def test_gap_is_spread_so_that_instances_do_not_write_together() -> None:
    """D-17: the gap is a fifth longer or shorter at most."""
    rng = Random(3)
    gaps = []
    for _ in range(200):
        made = publisher(rng=rng)
        made.ask(NOW, 1)
        gaps.append(made.next_wake() - NOW)
    assert 1_600 <= min(gaps) < 1_700
    assert 2_300 < max(gaps) <= 2_400


def test_lost_record_is_written_at_once_even_if_it_says_the_same() -> None:
    """After a lost session nothing of the record is left in the store: no gap, no comparison."""
    made = publisher()
    made.ask_now(NOW + 3)
    assert made.next_wake() == NOW + 3
    assert made.take(FIRST, NOW + 3) == 2


def test_record_lost_during_a_write_is_written_again() -> None:
    """The write under way may have been lost with the session."""
    made = publisher()
    made.ask_now(NOW + 3)
    made.take(FIRST, NOW + 3)
    made.ask_now(NOW + 4)
    made.published(2)
    assert made.next_wake() == NOW + 4
    assert made.take(FIRST, NOW + 4) == 3


def test_write_that_the_store_did_not_take_is_tried_again() -> None:
    """A failed write is due after the store's pause, also if nothing changes until then."""
    made = publisher()
    made.ask_now(NOW + 3)
    assert made.take(FIRST, NOW + 3) == 2
    made.failed(2, NOW + 10)
    assert made.next_wake() == NOW + 10 + RETRY_MS
    assert made.take(FIRST, NOW + 10 + RETRY_MS) == 3
