"""A whole deployment is replaced, one instance after the other, while requests come: in virtual time."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from meshcore.asks import Done, Kept, Register, Request
from meshcore.capacity import CacheParams
from meshcore.commands import Load
from meshcore.me import Me
from meshcore.node import Node
from meshcore.reasons import Rule
from meshcore.settings import Settings
from meshcore.units import UNIT_BYTES
from tests.meshcore import stored
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host, Pending, Running
from tests.meshcore.making import make_node
from tests.meshcore.stored import WATCHED

LOAD_MS, STEP_MS, BUDGET_MS, NOT_READY_MS = 1_000, 50, 22_000, 2_000
UNITS = 5


class Deployment:
    """Instances with 30 models in all; a load takes a second, everything else no time."""

    def __init__(self, seed: int, next_version: int, capacity_units: int = 200) -> None:
        def make(me: Me, settings: Settings, params: CacheParams, seed: int) -> Node:
            version = next_version if me.instance.endswith("2") else 20_260_101
            return make_node(replace(me, version=version), settings, params, seed)

        self.rng = Random(seed)
        sizes = {f"m{number:02}": UNITS for number in range(30)}
        self.cluster = Cluster(sizes, make=make, load_threads=4, capacity_units=capacity_units)
        self.clients: list[Running] = []
        self._since: dict[int, tuple[Pending, int]] = {}
        for name in "abc":
            self.cluster.start(name)
        self.cluster.settle(ms=10)
        for at, model in enumerate(self.cluster.sizes):
            kept = Kept(size_bytes=UNITS * UNIT_BYTES)
            host = self.cluster.live[at % 3]
            self.cluster.ask(host, Register(model, "t", "p", kept=kept, should_load=True))
            self.cluster.settle(ms=100)
        for host in self.cluster.live:
            for model in host.node.cache.entries:
                self.cluster.use(host, model, 0)

    def run(self, ms: int, ready: list[Host]) -> None:
        """Ten requests for any model in every step, each to an instance that is ready."""
        for _ in range(ms // STEP_MS):
            self.clients += [
                self.cluster.ask(self.rng.choice(ready), Request(self.rng.choice(list(self.cluster.sizes))))
                for _ in range(10)
            ]
            answered = 0
            while todo := [pending for pending in self.cluster.pending if self._is_due(pending)]:
                answered += 1
                assert answered < 2_000, "it never comes to rest"
                self.cluster.deliver(todo[0])
                for host in self.cluster.live:
                    for prefix in WATCHED:
                        self.cluster.watch(host, prefix)
            self.cluster.check()
            self.cluster.advance(STEP_MS)

    def _is_due(self, pending: Pending) -> bool:
        if not isinstance(pending.what, Load):
            return True
        _, since = self._since.setdefault(id(pending), (pending, self.cluster.now))
        return self.cluster.now >= since + LOAD_MS

    def waits(self) -> int:
        """How many loads requests had to wait for."""
        logs = [host.node.log.since(0) for host in self.cluster.hosts]
        return sum(reason.rule is Rule.WAIT for log in logs for reason in log)


@pytest.mark.parametrize(("is_surged", "next_version"), [(True, 20_260_102), (False, 20_260_101), (True, 20_251_231)])
def test_nobody_waits_while_a_whole_deployment_is_replaced(is_surged: bool, next_version: int) -> None:
    """The next one comes up before the former goes, or after, of the same build, a newer or an older one: no request
    fails, none waits for a load, and no model is without a copy that is ready."""
    roll = Deployment(7, next_version)
    cluster = roll.cluster
    for name in "abc":
        going = cluster.host(name)
        assert going is not None
        if is_surged:
            cluster.start(f"{name}2")
        roll.run(500, [host for host in cluster.live if host.node.readiness.missing == ()])
        cluster.drain(going, BUDGET_MS)
        while not going.departs:
            roll.run(STEP_MS, [host for host in cluster.live if host.node.readiness.missing == ()])
            assert all(record.ready for record in stored.records(cluster.kv).values())
        assert going.node.departure.cause == "its copies are handed over"
        ready = [host for host in cluster.live if host is not going and host.node.readiness.missing == ()]
        roll.run(NOT_READY_MS, ready)
        cluster.idle(going)
        roll.run(200, ready)
        assert going.stops == 1
        cluster.kill(going)
        cluster.expire(going)
        if not is_surged:
            cluster.start(f"{name}2")
        roll.run(200, ready)
    assert roll.waits() == 0
    assert len(roll.clients) > 500
    assert all(isinstance(client.end, Done) for client in roll.clients)
    assert all("2" in holder for record in stored.records(cluster.kv).values() for holder in record.copies)


def test_others_that_are_full_are_not_asked_over_and_over() -> None:
    """There is room in the one that came only, which makes two copies at a time: the rest wait for that."""
    roll = Deployment(7, 20_260_101, capacity_units=78)
    cluster = roll.cluster
    going, *full = cluster.live
    copies = len(going.node.cache.entries)
    cluster.start("a2")
    roll.run(500, cluster.live)
    cluster.drain(going, BUDGET_MS)
    while not going.departs:
        roll.run(STEP_MS, cluster.live)
    logs = [host.node.log.since(0) for host in full]
    declined = [sum(reason.rule is Rule.DECLINE for reason in log) for log in logs]
    assert going.node.departure.cause == "its copies are handed over"
    assert 0 < sum(declined) < copies, declined
    assert all(isinstance(client.end, Done) for client in roll.clients)
