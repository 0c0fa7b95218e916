"""What the inline plane serves, counts and forgets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from random import Random

from meshcore import hot
from meshcore.asks import Met
from meshcore.commands import Holder, Local, Peer, Peers, Route
from meshcore.events import Usage
from meshcore.hot import Choice
from sim.plane import FLOW, OVERLOADED, Plane, Server

START = 1_000_000


class Bench:
    """A plane of instance ``a`` with a clock to set and a list of what was answered."""

    def __init__(self, concurrency: int = 1, service_ms: Iterator[float] | None = None) -> None:
        times = service_ms or repeat(10.0)
        self.now = 0
        self.answers: list[tuple[float, float, bool]] = []
        self.plane = Plane(
            "a", START, lambda: self.now, hot.decide, Random(1), Server(concurrency, lambda: next(times)),
            lambda arrival, end, is_forwarded: self.answers.append((arrival, end, is_forwarded)),
        )  # fmt: skip

    def ready(self, model: str = "m", gen: int = 1) -> None:
        self.plane.apply(Route(model, Local(gen), (Holder("a", 5, True),)))

    def gone(self, model: str = "m") -> None:
        self.plane.apply(Route(model, None, ()))


def test_requests_beyond_the_concurrency_queue_in_the_order_they_came() -> None:
    bench = Bench(concurrency=2, service_ms=chain([10.0, 4.0, 3.0, 1.0]))
    bench.ready()
    for at in (0.0, 1.0, 2.0, 3.0):
        assert bench.plane.arrive(at, "m") is Choice.LOCAL
    bench.plane.settle(100)
    assert sorted(bench.answers) == [(0.0, 10.0, False), (1.0, 5.0, False), (2.0, 8.0, False), (3.0, 9.0, False)]


def test_a_copy_of_limited_concurrency_queues_apart_and_is_full_at_its_most() -> None:
    """Of m two are worked on at once and one may wait; n is worked on as if m were not there."""
    bench = Bench(concurrency=1)
    bench.plane.apply(Route("m", Local(1, 2, 3), (Holder("a", 5, True),)))
    bench.plane.apply(Route("n", Local(2, 1, 9), (Holder("a", 6, True),)))
    assert [bench.plane.arrive(at, "m") for at in (0.0, 1.0, 2.0)] == [Choice.LOCAL] * 3
    assert bench.plane.met_full("m") == Met("a", 5, 1, OVERLOADED)
    assert bench.plane.arrive(3.0, "m") is Choice.ASK
    assert bench.plane.arrive(4.0, "n") is Choice.LOCAL
    assert (bench.plane.met_full("n"), bench.plane.met_full("o")) == (None, None)
    bench.now = 5
    assert bench.plane.drain_usage() == (Usage("m", 3, START + 2, 3, queued=1), Usage("n", 1, START + 4, 1))
    assert bench.plane.arrive(10.0, "m") is Choice.LOCAL
    bench.plane.settle(100)
    assert bench.answers == [
        (0.0, 10.0, False), (1.0, 11.0, False), (4.0, 14.0, False), (2.0, 20.0, False), (10.0, 21.0, False),
    ]  # fmt: skip


def test_a_model_without_a_ready_copy_is_asked_about() -> None:
    bench = Bench()
    assert bench.plane.arrive(0.0, "m") is Choice.ASK
    bench.plane.apply(Route("m", None, (Holder("b", 5, False),)))
    assert bench.plane.arrive(0.0, "m") is Choice.ASK


def test_a_ready_copy_elsewhere_is_named() -> None:
    bench = Bench()
    bench.plane.peers(Peers((Peer("b", "b:1", True),)))
    bench.plane.apply(Route("m", None, (Holder("b", 5, True),)))
    assert bench.plane.arrive(0.0, "m") == "b"


def test_usage_says_how_many_when_last_and_how_many_are_under_way() -> None:
    """How many have ended, and how long was worked on those, is told when they have."""
    bench = Bench(concurrency=8)
    bench.ready()
    bench.plane.arrive(1.0, "m")
    bench.plane.arrive(7.5, "m")
    bench.now = 8
    assert bench.plane.drain_usage() == (Usage("m", 2, START + 7, 2),)
    assert bench.plane.drain_usage() == ()
    bench.now = 11
    assert bench.plane.drain_usage() == (Usage("m", 0, START + 11, 1, ended=1, service_us=10_000),)
    bench.now = 100
    assert bench.plane.drain_usage() == (Usage("m", 0, START + 17, 0, ended=1, service_us=10_000),)


def test_a_withdrawn_copy_is_busy_until_its_last_request_ends_and_takes_no_more() -> None:
    bench = Bench()
    bench.ready()
    bench.plane.arrive(0.5, "m")
    bench.plane.arrive(0.5, "m")
    bench.gone()
    bench.now = 1
    assert bench.plane.arrive(1.0, "m") is Choice.ASK
    assert bench.plane.copy("m", 1.0) is None
    assert bench.plane.busy_ms("m", 1) == 20  # until 20.5
    assert bench.plane.drain_usage() == ()
    bench.plane.settle(100)
    assert bench.answers == [(0.5, 10.5, False), (0.5, 20.5, False)]


def test_an_idle_copy_is_withdrawn_at_once() -> None:
    bench = Bench()
    bench.ready()
    bench.gone()
    assert bench.plane.busy_ms("m", 1) == 0


def test_a_new_incarnation_starts_with_nothing_under_way() -> None:
    bench = Bench()
    bench.ready(gen=1)
    bench.plane.arrive(0.0, "m")
    bench.ready(gen=2)
    copy = bench.plane.copy("m", 1.0)
    assert copy is not None
    assert (copy.gen, copy.in_flight) == (2, 0)


def test_outstanding_counts_what_runs_here_and_what_was_passed_on() -> None:
    bench = Bench()
    bench.ready()
    bench.plane.arrive(0.0, "m")
    bench.plane.sent("b")
    bench.plane.sent("b")
    assert bench.plane.outstanding == {"a": 1, "b": 2}
    bench.plane.returns(5.0, "b", 0.0)
    bench.plane.returned("b")
    bench.plane.settle(10)
    assert bench.plane.outstanding == {"a": 0, "b": 0}
    assert bench.answers == [(0.0, 10.0, False), (0.0, 5.0, True)]


def test_what_a_flow_runs_is_not_reported_by_the_plane() -> None:
    bench = Bench()
    bench.ready()
    copy = bench.plane.copy("m", 0.0)
    assert copy is not None
    assert bench.plane.begin(0.0, copy, FLOW) == 10.0
    bench.plane.settle(100)
    assert bench.answers == []
    assert bench.plane.drain_usage() == (Usage("m", 1, START + 10, 0, ended=1, service_us=10_000),)


def test_a_peer_that_is_gone_or_not_ok_is_not_worth_trying() -> None:
    plane = Bench().plane
    plane.peers(Peers((Peer("b", "b:1", True), Peer("c", "c:1", False))))
    assert [plane.is_ok(name) for name in "bcd"] == [True, False, False]
    plane.peers(Peers((Peer("b", "", False),)))
    assert not plane.is_ok("b")
