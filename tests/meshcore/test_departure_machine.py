"""Whatever happens while instances go: no record loses its last ready copy for that, and all comes to its end."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from meshcore.asks import Register
from meshcore.commands import Command, Commit
from meshcore.events import Cordoned, RuntimeLeaving
from meshcore.reasons import Rule
from meshcore.records import ModelRecord, Phase
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host
from tests.meshcore.test_cluster_machine import NAMES, UNITS, ClusterMachine, any_number, live_a_busy_day
from tests.steps import steps

BUDGETS = (1, 5_000, 60_000)


class Watched(Cluster):
    """Looks at what instances that go write."""

    def _execute(self, host: Host, commands: list[Command]) -> None:
        for command in commands:
            is_going = host.node.publisher.phase == Phase.DRAINING
            if isinstance(command, Commit) and command.why.rule is Rule.DRAIN and is_going:
                assert command.value is not None
                record = ModelRecord.decode(command.value)
                if host.id not in record.copies:
                    stays = [name for name in record.copies if record.is_ready(name) and self._stays(host, name)]
                    assert stays, "another copy is ready and stays before this one leaves the record"
        super()._execute(host, commands)

    @staticmethod
    def _stays(host: Host, name: str) -> bool:
        record = host.node.view.instance(name)
        return record is not None and not record.is_shutting_down


class DepartureMachine(ClusterMachine):
    """As ClusterMachine, with time for handing over, and runtimes that leave."""

    @initialize(sizes=st.lists(st.sampled_from(UNITS), min_size=2, max_size=5), instances=st.integers(2, 3))
    def begin(self, sizes: list[int], instances: int) -> None:
        self.cluster = Watched({f"m{number}": units for number, units in enumerate(sizes)})
        for name in NAMES[:instances]:
            self.cluster.start(name)
        for model in self.models:
            self.cluster.ask(self.host(0), Register(model, "t", "p", should_load=True))
        self.cluster.settle(ms=3_000)

    @rule(host=any_number, budget=st.sampled_from(BUDGETS))
    def depart(self, host: int, budget: int) -> None:
        if len(self.cluster.live) > 1:
            self.cluster.drain(self.host(host), budget)

    @rule(host=any_number, budget=st.sampled_from(BUDGETS))
    def replace_a_runtime(self, host: int, budget: int) -> None:
        self.cluster.feed(self.host(host), RuntimeLeaving(budget))

    @rule(host=any_number, is_cordoned=st.booleans())
    def cordon(self, host: int, is_cordoned: bool) -> None:
        self.cluster.feed(self.host(host), Cordoned(is_cordoned))

    @rule()
    def come_to_rest(self) -> None:
        self.cluster.settle(ms=100_000)

    def teardown(self) -> None:
        super().teardown()
        if hasattr(self, "cluster"):
            for host in self.cluster.live:
                departure = host.node.departure
                assert departure.is_over or not host.node.is_draining, "who goes comes to the end of it"


TestDepartureMachine = DepartureMachine.TestCase
TestDepartureMachine.settings = steps(50, 2)


@pytest.mark.parametrize("seed", range(6))
def test_busy_days_of_going_end_in_agreement(seed: int) -> None:
    """Long stretches, at whose end one instance after the other goes under traffic."""
    machine = DepartureMachine()
    rng = Random(seed)
    live_a_busy_day(machine, seed)
    for name in [host.id for host in machine.cluster.live]:
        machine.cluster.start(f"{name}-new")
        going = machine.cluster.host(name)
        assert going is not None
        machine.cluster.drain(going, rng.choice(BUDGETS))
        for _ in range(40):
            machine.infer([rng.randrange(1_000)], rng.randrange(1_000))
            machine.answer_well([rng.randrange(1_000)])
            machine.cluster.advance(rng.choice([1, 50, 500]))
        machine.cluster.settle(ms=100_000)
        assert going.departs == 1
        machine.cluster.idle(going)
        machine.cluster.settle(ms=1_000)
        assert going.stops == 1
        machine.cluster.kill(going)
