"""What the inline plane serves, counts and forgets."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, repeat
from random import Random

from meshcore import hot
from meshcore.asks import Met
from meshcore.commands import Holder, Local, Peer, Peers, Route
from meshcore.events import Usage
from sim.lines import Shared
from sim.plane import NOWHERE, OVERLOADED, Copy, Plane, Server

START = 1_000_000
BOTH = Holder("a", 5, True), Holder("b", 6, True)


class Bench:
    """A plane of instance ``a`` with a clock to set."""

    def __init__(
        self,
        concurrency: int = 1,
        service_ms: Iterator[float] | None = None,
        me: str = "a",
        shared: Shared | None = None,
    ) -> None:
        self.now = 0
        server = Server(concurrency, service_ms or repeat(10.0))
        self.shared = shared or Shared(("a", "b", "c", "d"), NOWHERE)
        self.plane = Plane(me, START, lambda: self.now, hot.decide, Random(1), server, self.shared)
        self.shared.came()

    def ready(self, model: str = "m", gen: int = 1) -> None:
        self.plane.apply(Route(model, Local(gen), (Holder("a", 5, True),)))

    def gone(self, model: str = "m") -> None:
        self.plane.apply(Route(model, None, ()))

    def take(self, model: str, at: float) -> float:
        copy = self.plane.taker(model, at)
        assert copy is not None
        return self.plane.begin(at, copy)

    def where(self, model: str, at: float) -> str:
        """The instance that a request goes to, or that the core is asked."""
        hop = self.plane.way(at, model)
        return "asked" if hop is None else hop.instance


def test_requests_beyond_the_concurrency_queue_in_the_order_they_came() -> None:
    bench = Bench(concurrency=2, service_ms=chain([10.0, 4.0, 3.0, 1.0]))
    bench.ready()
    assert [bench.take("m", at) for at in (0.0, 1.0, 2.0, 3.0)] == [10.0, 5.0, 8.0, 9.0]


def test_a_copy_of_limited_concurrency_queues_apart_and_is_full_at_its_most() -> None:
    """Of m two are worked on at once and one may wait; n is worked on as if m were not there."""
    bench = Bench(concurrency=1)
    bench.plane.apply(Route("m", Local(1, 2, 3), (Holder("a", 5, True),)))
    bench.plane.apply(Route("n", Local(2, 1, 9), (Holder("a", 6, True),)))
    assert [bench.take("m", at) for at in (0.0, 1.0, 2.0)] == [10.0, 11.0, 20.0]
    assert bench.where("m", 3.0) == "asked"
    assert bench.plane.met_full("m") == Met("a", 5, 1, OVERLOADED)
    assert bench.take("n", 4.0) == 14.0
    assert (bench.plane.met_full("n"), bench.plane.met_full("o")) == (None, None)
    bench.now = 5
    assert bench.plane.drain_usage() == (Usage("m", 3, START + 2, 3, queued=1), Usage("n", 1, START + 4, 1))
    assert bench.where("m", 10.0) == "a"
    assert bench.take("m", 10.0) == 21.0


def test_a_model_without_a_ready_copy_is_asked_about() -> None:
    bench = Bench()
    assert bench.where("m", 0.0) == "asked"
    bench.plane.apply(Route("m", None, (Holder("b", 5, False),)))
    assert bench.where("m", 0.0) == "asked"
    bench.plane.apply(Route("m", None, (Holder("b", 5, False), Holder("c", 5, False))))
    assert bench.where("m", 0.0) == "asked"


def test_a_ready_copy_elsewhere_is_named_and_needs_no_choice_while_it_is_alone() -> None:
    bench = Bench()
    bench.plane.peers(Peers((Peer("b", "b:1", True),)))
    bench.plane.apply(Route("m", None, (Holder("b", 5, True),)))
    assert bench.where("m", 0.0) == "b"
    assert "m" in bench.plane.sole
    bench.plane.apply(Route("m", Local(1), BOTH))
    assert "m" not in bench.plane.sole


def test_where_all_planes_send_everything_to_one_copy_that_stands_in_one_table() -> None:
    bench = Bench()
    other, shared = Bench(me="b", shared=bench.shared), bench.shared
    one, another = Route("m", None, (Holder("c", 5, True),)), Route("m", None, (Holder("c", 7, True),))

    def agreed(*benches: Bench) -> list[bool]:
        """Whether the model is in the table after a request came to each of them."""
        found = []
        for each in benches:
            if hop := each.plane.sole.get("m"):
                shared.look("m", hop)
            found.append("m" in shared.agreed)
        return found

    bench.plane.apply(one)
    assert agreed(bench, other) == [False, False]
    other.plane.apply(one)
    assert bench.plane.sole["m"] is other.plane.sole["m"]
    assert agreed(other) == [True]
    bench.plane.apply(another)
    assert agreed(bench, other) == [False, False]
    other.plane.apply(another)
    assert agreed(bench) == [True]
    late = Bench(me="c", shared=shared)
    assert agreed(bench, other) == [False, False]
    late.plane.apply(Route("m", Local(1), (Holder("c", 7, True),)))
    assert agreed(other) == [True], "that it is here changes nothing about where it is"
    late.plane.apply(Route("m", None, ()))
    assert agreed(bench, other) == [False, False]
    late.plane.die()
    assert agreed(bench) == [True]
    other.plane.die()
    assert agreed(bench) == [True]


def test_of_two_copies_the_one_with_fewer_requests_under_way_is_named() -> None:
    bench = Bench()
    bench.plane.peers(Peers((Peer("b", "b:1", True),)))
    bench.plane.apply(Route("m", Local(1), BOTH))
    assert {bench.where("m", 0.0) for _ in range(20)} == {"a", "b"}
    bench.take("m", 0.0)
    assert {bench.where("m", 1.0) for _ in range(20)} == {"b"}
    bench.plane.line("b").out += 2
    assert {bench.where("m", 1.0) for _ in range(20)} == {"a"}
    line = bench.plane.line("b")
    line.fresh += [(2.0, 0.0, line), (3.0, 0.0, line)]
    assert {bench.where("m", 3.0) for _ in range(20)} == {"b"}
    assert [list(each) for each in bench.plane.forwarded.take()] == [[0.0, 0.0], [2.0, 3.0]]


def test_usage_says_how_many_when_last_and_how_many_are_under_way() -> None:
    """How many have ended, and how long was worked on those, is told when they have."""
    bench = Bench(concurrency=8)
    bench.ready()
    bench.take("m", 1.0)
    bench.take("m", 7.5)
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
    bench.take("m", 0.5)
    bench.take("m", 0.5)
    bench.gone()
    bench.now = 1
    assert bench.where("m", 1.0) == "asked"
    assert bench.plane.taker("m", 1.0) is None
    assert bench.plane.busy_ms("m", 1) == 20  # until 20.5
    assert bench.plane.drain_usage() == ()


def test_an_idle_copy_is_withdrawn_at_once() -> None:
    bench = Bench()
    bench.ready()
    bench.gone()
    assert bench.plane.busy_ms("m", 1) == 0


def test_a_new_incarnation_starts_with_nothing_under_way() -> None:
    bench = Bench()
    bench.ready(gen=1)
    bench.take("m", 0.0)
    old = bench.plane.copies["m"]
    bench.ready(gen=2)
    new: Copy = bench.plane.copies["m"]
    assert (old.is_plain, old.in_flight) == (False, 1)
    assert (new.gen, new.in_flight, new.is_plain) == (2, 0, True)


def test_an_instance_is_idle_when_nothing_runs_here_and_nothing_is_out() -> None:
    bench = Bench()
    bench.ready()
    bench.take("m", 0.0)
    assert not bench.plane.is_idle()
    bench.now = 10
    assert bench.plane.is_idle()
    bench.plane.line("b").out += 1
    assert not bench.plane.is_idle()
    line = bench.plane.line("b")
    line.fresh.append((10.0, 0.0, line))
    assert bench.plane.is_idle()


def test_a_line_hands_on_those_that_are_back_and_keeps_the_others() -> None:
    line = Bench().plane.line("b")
    line.out = 3
    line.fresh += [(9.0, 0.0, line), (5.0, 1.0, line)]
    assert line.under_way(4.0) == 3
    assert line.under_way(5.0) == 2
    assert [list(each) for each in line.done.take()] == [[1.0], [5.0]]
    assert (line.returns.lose(line, 5.0), line.out) == ([(0.0, 9.0)], 1)


def test_a_peer_that_is_gone_or_not_ok_is_not_tried_while_another_is() -> None:
    bench = Bench()
    bench.plane.peers(Peers((Peer("b", "b:1", True), Peer("c", "c:1", False), Peer("d", "", True))))
    bench.plane.apply(Route("m", None, tuple(Holder(name, 5, True) for name in "bcd")))
    assert {bench.where("m", 0.0) for _ in range(30)} == {"b"}
    bench.plane.peers(Peers((Peer("b", "", False),)))
    assert {bench.where("m", 0.0) for _ in range(30)} == {"b", "c", "d"}  # nobody is ok: all are tried
