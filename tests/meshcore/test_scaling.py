"""When one instance asks for more copies, from what it counts and what it knows."""

from __future__ import annotations

import pytest

from meshcore.asks import Op, Request
from meshcore.commands import Begin
from meshcore.events import DrainAsked, RegistrySeen, Seen, Usage, Used
from meshcore.reasons import Rule
from meshcore.records import Failure
from meshcore.settings import Settings
from meshcore.units import NEVER
from tests.builders import NOW, instance, model
from tests.meshcore.scale import HOUR, MINUTE, SECOND, Scaled, rules

BUSY = 4 * 2000 + 1


def test_a_copy_with_more_requests_than_it_should_have_gets_others() -> None:
    """Three times the threshold on four instances: two more at once, which leave three."""
    scaled = Scaled(others=3)
    scaled.load("m", units=10)
    scaled.go(10 * SECOND, rpm=6000)
    (asked,) = scaled.asked()
    assert asked == Request(
        "m", Op.ENSURE, is_sync=False, last_used=scaled.now + 20_000, size_units=10, copies=3,
    )  # fmt: skip
    (reason,) = scaled.decided()
    assert reason is scaled.last(Begin).why
    assert (reason.rule, reason.chosen, reason.inputs["rpm"], reason.inputs["copies"]) == (Rule.SCALE_UP, "a", 6000, 3)


@pytest.mark.parametrize("rpm", [60, 1980])
def test_a_copy_with_fewer_requests_gets_none(rpm: int) -> None:
    scaled = Scaled()
    scaled.load("m")
    scaled.go(MINUTE, rpm=rpm)
    assert scaled.decided() == []


def test_a_burst_between_two_passes_counts_once() -> None:
    """What is counted is counted for one pass."""
    scaled = Scaled()
    scaled.load("m")
    scaled.go(5 * SECOND)
    scaled.serve(330)
    scaled.go(5 * SECOND)
    assert scaled.decided() == []
    scaled.serve(330)
    scaled.go(10 * SECOND)
    assert scaled.decided() == []


def test_further_copies_are_waited_for() -> None:
    """Asked for, then loading, then new: no more are asked for until their share of the load shows."""
    scaled = Scaled(others=8)
    scaled.load("m")
    scaled.go(20 * SECOND, rpm=2100)
    assert len(scaled.asked()) == 1
    scaled.know("m", model(copies={"a": scaled.node.cache.entries["m"].load_ts, "b": scaled.now}))
    scaled.go(MINUTE, rpm=2100)
    assert len(scaled.asked()) == 1
    ready = model(copies=scaled.record("m").copies, ready=scaled.record("m").copies)
    scaled.know("m", ready)
    scaled.go(10 * SECOND, rpm=2100)
    assert len(scaled.asked()) == 1
    scaled.go(10 * SECOND, rpm=2100)
    assert [request.copies for request in scaled.asked()] == [2, 3]
    scaled.know("m", model(copies=ready.copies, ready=ready.copies, last_used=5))  # no copy came with that
    scaled.go(20 * SECOND, rpm=2100)
    assert [request.copies for request in scaled.asked()] == [2, 3, 3]


def test_what_came_to_nothing_is_asked_for_again() -> None:
    scaled = Scaled()
    scaled.load("m")
    scaled.go(MINUTE, rpm=2100)
    assert [request.copies for request in scaled.asked()] == [2, 2, 2]


def test_busy_instances_are_left_out() -> None:
    """Those with more than four times the threshold; they are named to whoever is asked."""
    scaled = Scaled(others=2)
    scaled.meet("b", instance(address="b:1", rpm=BUSY))
    scaled.meet("c", instance(address="c:1", rpm=BUSY - 1))
    scaled.load("m")
    scaled.go(10 * SECOND, rpm=6000)
    (asked,) = scaled.asked()
    assert (asked.copies, asked.exclude) == (2, ("b",))
    assert scaled.decided()[0].inputs["busy"] == 1


def test_an_instance_that_is_busier_itself_minds_less() -> None:
    """Who has more than four times the threshold minds those that have hardly less."""
    scaled = Scaled(others=1, like=instance(rpm=13_001))
    scaled.load("m")
    scaled.go(10 * SECOND, rpm=18_000)
    assert len(scaled.asked()) == 1
    assert scaled.node.own_record().rpm == 18_000 - 18_000 % 60 * 60


def test_failures_and_copies_elsewhere_leave_fewer_candidates() -> None:
    """A failure counts until it expires."""
    scaled = Scaled(others=2)
    scaled.load("m")
    load_ts = scaled.node.cache.entries["m"].load_ts
    failures = {name: Failure(scaled.now, "bad") for name in "bc"}
    scaled.know("m", model(copies={"a": load_ts}, ready={"a": load_ts}, failures=failures))
    scaled.go(20 * SECOND, rpm=2100)
    assert scaled.decided() == []
    old = {name: Failure(NOW - 15 * MINUTE, "bad") for name in "bc"}
    scaled.know("m", model(copies={"a": load_ts}, ready={"a": load_ts}, failures=old))
    scaled.go(20 * SECOND, rpm=2100)
    assert len(scaled.asked()) == 1


def test_scaling_up_stops_at_the_most_copies() -> None:
    scaled = Scaled(others=5)
    scaled.load("m", max_copies=2)
    scaled.go(MINUTE, rpm=6000)
    assert {request.copies for request in scaled.asked()} == {2}


def test_used_in_two_windows_gets_a_second_copy() -> None:
    """D-10: and only then; if nothing comes of it, it has to be used so again."""
    scaled = Scaled(others=1)
    scaled.load("m")
    scaled.go(7 * MINUTE, rpm=60)
    assert scaled.decided() == []
    scaled.go(10 * SECOND, rpm=60)
    (asked,) = scaled.asked()
    assert asked == Request("m", Op.ENSURE, is_sync=False, last_used=scaled.now - 10_000, size_units=10, copies=2)
    assert rules(scaled) == [Rule.SECOND_COPY]
    scaled.go(6 * MINUTE, rpm=60)
    assert len(scaled.asked()) == 1
    scaled.go(MINUTE, rpm=60)
    assert len(scaled.asked()) == 2


def test_second_copies_are_asked_for_few_at_a_time() -> None:
    """What there is room for at one look may not be there for all; the rest have their turn in the next pass."""
    scaled = Scaled(others=1, settings=Settings(scale_up_most=2))
    for name in "nop":
        scaled.load(name)
    for _ in range(43):
        scaled.feed(Used(tuple(Usage(name, 1, scaled.now) for name in "nop")))
        scaled.go(10 * SECOND)
    assert [request.model for request in scaled.asked()] == ["n", "o"]
    scaled.feed(Used(tuple(Usage(name, 1, scaled.now) for name in "nop")))
    scaled.go(10 * SECOND)
    assert [request.model for request in scaled.asked()] == ["n", "o", "p"]


def test_further_copies_are_decided_about_in_slices() -> None:
    """The latest used first; a copy that goes meanwhile is passed over, and a clock that jumps ends it."""
    scaled = Scaled(others=8, settings=Settings(slice_models=1), capacity_units=10_000)
    for name in ("m", "n", "o", "p"):
        scaled.load(name)
    for second in range(10):
        for name in ("m", "n", "o", "p"):
            scaled.serve(400, name)
            scaled.now += 10
        while scaled.node.next_wake(scaled.now) <= scaled.now:
            scaled.tick(0)
        scaled.now += 960 if second < 9 else 0
    while not scaled.decided():
        scaled.tick(scaled.node.next_wake(scaled.now) - scaled.now)
    assert [request.model for request in scaled.asked()] == ["p"]
    scaled.tick(9)
    assert len(scaled.asked()) == 1
    scaled.node.copies.remove("o", "test")
    scaled.tick(1)
    assert len(scaled.asked()) == 1
    scaled.tick(10)
    assert [request.model for request in scaled.asked()] == ["p", "n"]
    scaled.tick(HOUR)
    scaled.tick(10)
    assert len(scaled.asked()) == 2


def test_limited_concurrency_goes_by_how_long_requests_take() -> None:
    """Ten requests a second of 100 ms on one at a time: the runtime is as good as full. Busyness is in thousandths."""
    scaled = Scaled(others=1, limits_concurrency=True)
    scaled.load("m")
    scaled.go(10 * SECOND, rpm=600, ended=10, service_us=1_000_000)
    assert rules(scaled) == [Rule.SCALE_UP]
    assert scaled.decided()[0].inputs["threshold"] == 540
    assert scaled.node.own_record().rpm == 1000
    scaled = Scaled(others=1, limits_concurrency=True)
    scaled.load("m")
    scaled.go(20 * SECOND, rpm=600, ended=10, service_us=500_000)
    assert scaled.decided() == []


def test_nothing_is_decided_by_an_instance_that_goes_or_has_no_runtime() -> None:
    scaled = Scaled()
    scaled.load("m")
    scaled.feed(DrainAsked())
    scaled.go(8 * MINUTE, rpm=6000)
    assert scaled.decided() == []


def test_a_model_whose_record_is_spoilt_is_left_alone() -> None:
    scaled = Scaled()
    scaled.load("m")
    scaled.revision += 1
    scaled.feed(RegistrySeen(scaled.revision, (Seen("m", b"{", scaled.revision),)))
    scaled.go(20 * SECOND, rpm=6000)
    assert scaled.decided() == []


def test_nobody_is_woken_where_there_is_nothing_to_scale() -> None:
    scaled = Scaled()
    assert scaled.node.scaling.next_wake() == NEVER
    scaled.load("m")
    assert scaled.node.scaling.next_wake() == scaled.now + 10_000
    scaled.go(20 * SECOND, rpm=60)
    assert scaled.node.own_record().rpm > 0
    scaled.node.copies.remove("m", "test")
    scaled.serve(1)  # the plane's last news of it
    scaled.go(20 * MINUTE)
    assert scaled.node.own_record().rpm == 0
    assert scaled.node.scaling.next_wake() == NEVER


def test_what_a_copy_gets_a_minute_is_told_until_it_gets_none() -> None:
    scaled = Scaled()
    scaled.load("m")
    scaled.go(10 * SECOND, rpm=1200)
    assert (scaled.node.scaling.rpm_of("m"), scaled.node.scaling.rpm_of("other")) == (1200, 0)
    assert (scaled.node.scaling.queued_on("m"), scaled.node.scaling.queued_on("other")) == (0, 0)
    scaled.go(10 * SECOND)
    assert scaled.node.scaling.rpm_of("m") == 0
