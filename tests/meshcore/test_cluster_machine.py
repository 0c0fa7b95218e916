"""Whatever happens to a few instances, in whatever order, what must hold does; and in the end they agree."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshcore.asks import Kept, Op, Register, Request, Unregister
from meshcore.events import RuntimeSuspected
from meshcore.units import UNIT_BYTES
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host
from tests.meshcore.making import MakeNode
from tests.meshcore.stored import WATCHED
from tests.steps import steps

NAMES = "abcd"
UNITS = (3, 10, 20, 40, 60, 95)
"""95 units fit nowhere: an instance has 100, ten of them reserved."""

_Item = TypeVar("_Item")

any_number = st.integers(0, 1_000)


def pick(items: Sequence[_Item], number: int) -> _Item:
    return items[number % len(items)]


class ClusterMachine(RuleBasedStateMachine):
    """Requests, answers good and bad, news, time, deaths, drains and cancellations, in any order.

    What must hold after each step is in ``Cluster.check``, what must hold at rest in ``Cluster.settle``.
    """

    cluster: Cluster
    make: MakeNode | None = None
    """How nodes are made; None: as they are."""

    @initialize(sizes=st.lists(st.sampled_from(UNITS), min_size=2, max_size=5), instances=st.integers(1, 3))
    def begin(self, sizes: list[int], instances: int) -> None:
        self.cluster = Cluster({f"m{number}": units for number, units in enumerate(sizes)}, make=self.make)
        for name in NAMES[:instances]:
            self.cluster.start(name)
        for model in self.models:
            self.cluster.ask(self.host(0), Register(model, "t", "p"))
        self.cluster.settle(ms=10)

    @property
    def models(self) -> list[str]:
        return list(self.cluster.sizes)

    def host(self, number: int) -> Host:
        return pick(self.cluster.live, number)

    @rule(host=any_number, model=any_number, should_load=st.booleans())
    def register(self, host: int, model: int, should_load: bool) -> None:
        self.cluster.ask(self.host(host), Register(pick(self.models, model), "t", "p", should_load=should_load))

    @rule(host=any_number, model=any_number, path=st.sampled_from("pq"))
    def register_anew(self, host: int, model: int, path: str) -> None:
        self.unregister(host, model)
        self.answer_the_latest()
        self.answer_the_latest()
        self.cluster.ask(self.host(host), Register(pick(self.models, model), "t", path))
        self.answer_the_latest()

    def answer_the_latest(self) -> None:
        if self.cluster.pending:
            self.cluster.deliver(self.cluster.pending[-1])

    @rule(
        host=any_number, model=any_number, units=st.sampled_from(UNITS), is_pinned=st.booleans(),
        priority=st.integers(4, 6),
    )  # fmt: skip
    def register_with_more(self, host: int, model: int, units: int, is_pinned: bool, priority: int) -> None:
        kept = Kept(size_bytes=units * UNIT_BYTES, is_pinned=is_pinned, priority=priority)
        self.cluster.ask(self.host(host), Register(pick(self.models, model), "t", "p", kept=kept, should_load=True))

    @rule(host=any_number, model=any_number)
    def unregister(self, host: int, model: int) -> None:
        self.cluster.ask(self.host(host), Unregister(pick(self.models, model)))

    @rule(host=any_number, model=any_number, op=st.sampled_from(Op), flags=st.tuples(st.booleans(), st.booleans()))
    def request(self, host: int, model: int, op: Op, flags: tuple[bool, bool]) -> None:
        is_sync, is_balanced = flags
        request = Request(pick(self.models, model), op, is_sync=is_sync, is_balanced=is_balanced)
        self.cluster.ask(self.host(host), request)

    @rule(hosts=st.lists(any_number, min_size=1, max_size=6), model=any_number)
    def infer(self, hosts: list[int], model: int) -> None:
        for host in hosts:
            self.cluster.ask(self.host(host), Request(pick(self.models, model)))

    @rule(host=any_number, model=any_number, how=any_number)
    def serve_badly_without_the_core(self, host: int, model: int, how: int) -> None:
        self.cluster.ask_again(self.host(host), pick(self.models, model), how)

    @precondition(lambda self: self.cluster.pending)
    @rule(numbers=st.lists(any_number, min_size=1, max_size=20))
    def answer_well(self, numbers: list[int]) -> None:
        for number in numbers:
            if self.cluster.pending:
                self.cluster.deliver(pick(self.cluster.pending, number))
                self.cluster.check()

    @precondition(lambda self: self.cluster.pending)
    @rule(number=any_number, how=st.integers(0, 11))
    def answer_badly(self, number: int, how: int) -> None:
        self.cluster.deliver(pick(self.cluster.pending, number), is_well=False, how=how)

    @rule(host=any_number, prefix=st.sampled_from(WATCHED), most=st.sampled_from([1, 3, 1_000]))
    def watch(self, host: int, prefix: str, most: int) -> None:
        self.cluster.watch(self.host(host), prefix, most)

    @rule(host=any_number)
    def look_at_the_whole_store(self, host: int) -> None:
        self.cluster.look(self.host(host))

    @rule(ms=st.sampled_from([1, 50, 2_000, 11_000, 180_000]))
    def let_time_go_by(self, ms: int) -> None:
        self.cluster.advance(ms)

    @rule(host=any_number, model=any_number, in_flight=st.integers(0, 2))
    def use(self, host: int, model: int, in_flight: int) -> None:
        self.cluster.use(self.host(host), pick(self.models, model), in_flight)

    @precondition(lambda self: self.cluster.flows)
    @rule(number=any_number)
    def go_away_as_a_client(self, number: int) -> None:
        clients = [running for running in self.cluster.flows if running.sender is None]
        if clients:
            self.cluster.cancel(pick(clients, number))

    @rule(number=any_number)
    def wait_too_long(self, number: int) -> None:
        waiting = [running for host in self.cluster.live for flows in host.waiting.values() for running in flows]
        if waiting:
            self.cluster.time_out(pick(waiting, number))

    @precondition(lambda self: len(self.cluster.live) > 1)
    @rule(host=any_number)
    def die(self, host: int) -> None:
        self.cluster.kill(self.host(host))

    @rule(name=st.sampled_from(NAMES))
    def start(self, name: str) -> None:
        if self.cluster.host(name) is None:
            self.cluster.start(name)

    @rule(number=any_number)
    def lose_a_lease(self, number: int) -> None:
        leased = [host for host in self.cluster.hosts if host.lease]
        if leased:
            self.cluster.expire(pick(leased, number))

    @rule(host=any_number, is_told=st.booleans())
    def restart_a_runtime(self, host: int, is_told: bool) -> None:
        self.cluster.restart_runtime(self.host(host), is_told)

    @rule(host=any_number)
    def lose_the_connection_to_a_runtime(self, host: int) -> None:
        self.cluster.feed(self.host(host), RuntimeSuspected("the connection was lost"))

    @rule(host=any_number, is_idle=st.booleans())
    def drain(self, host: int, is_idle: bool) -> None:
        going = self.host(host)
        if going.node.is_draining and is_idle:
            self.cluster.idle(going)
        elif len(self.cluster.live) > 1:
            self.cluster.drain(going)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.check()

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.settle()


TestClusterMachine = ClusterMachine.TestCase
TestClusterMachine.settings = steps(50)


@pytest.mark.parametrize("seed", range(20))
def test_busy_days_end_in_agreement(seed: int) -> None:
    """Long stretches with much traffic, which a search that looks for short ones does not come to."""
    live_a_busy_day(ClusterMachine(), seed)


def live_a_busy_day(machine: ClusterMachine, seed: int) -> None:
    rng = Random(seed)
    machine.begin([rng.choice(UNITS[:-1]) for _ in range(rng.choice([2, 4, 8]))], rng.randint(1, 3))

    def number() -> int:
        return rng.randrange(1_000)

    steps = {
        lambda: machine.register(number(), number(), rng.random() < 0.5): 5,
        lambda: machine.register_with_more(number(), number(), rng.choice(UNITS), rng.random() < 0.2, 5): 1,
        lambda: machine.register_anew(number(), number(), rng.choice("ppppq")): 2,
        lambda: machine.unregister(number(), number()): rng.random() < 0.5,
        lambda: machine.request(number(), number(), rng.choice(list(Op)), (rng.random() < 0.5, False)): 6,
        lambda: machine.infer([number()], number()): 20,
        lambda: machine.serve_badly_without_the_core(number(), number(), number()): 3,
        lambda: machine.answer_well([number() if rng.random() < 0.5 else 0 for _ in range(rng.choice([1, 5, 20]))]): 50,
        lambda: machine.cluster.pending and machine.answer_badly(number(), number()): seed % 4,
        lambda: machine.watch(number(), rng.choice(WATCHED), rng.choice([1, 3, 1_000])): 13,
        lambda: machine.look_at_the_whole_store(number()): 1,
        lambda: machine.let_time_go_by(rng.choice([1, 50, 2_000, 11_000, 60_000, 200_000])): 6,
        lambda: machine.use(number(), number(), rng.choice([0, 0, 3])): 2,
        lambda: machine.go_away_as_a_client(number()): 1,
        lambda: machine.wait_too_long(number()): 1,
        lambda: machine.start(rng.choice(NAMES)): 1,
        lambda: machine.lose_a_lease(number()): 1,
        lambda: machine.restart_a_runtime(number(), rng.random() < 0.5): 1,
    }
    for step in rng.choices(list(steps), list(steps.values()), k=600):
        step()
        machine.holds()
        if rng.random() < 0.005 and len(machine.cluster.live) > 1:
            rng.choice([machine.die, lambda host: machine.drain(host, True)])(number())
    machine.teardown()
