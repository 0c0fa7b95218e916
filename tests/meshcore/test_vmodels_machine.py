"""Whatever is asked of virtual models, by whom and with how many leaders: references are what records say they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshcore.asks import Asked, Register, Request, Unregister
from meshcore.events import LeaderSeen
from meshcore.settings import Settings
from meshcore.vmodel_asks import AskVModel, DeleteVModel, ModelInfo, SetVModel
from tests.meshcore import stored
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host
from tests.meshcore.stored import WATCHED
from tests.steps import steps

KEPT = ("m0", "m1", "m2")
"""Registered from the start, and by their own names."""
MADE = ("n0", "n1", "n2")
"""Only ever made for a virtual model."""
VMODELS = ("v", "w")
SPLITS = ((("m0", 90), ("m1", 10)), (("m0", 80), ("m1", 20)), (("m1", 60), ("m2", 40)), (("m0", 100),))

_Item = TypeVar("_Item")

any_number = st.integers(0, 1_000)


def pick(items: Sequence[_Item], number: int) -> _Item:
    return items[number % len(items)]


class VModelMachine(RuleBasedStateMachine):
    """Two or three instances, of which any number believes to lead."""

    @initialize(instances=st.integers(2, 3))
    def begin(self, instances: int) -> None:
        settings = Settings(slice_models=1, vmodel_retry_ms=1_000, vmodel_failed_ms=2_000, fill_period_ms=0)
        self.cluster = Cluster(dict.fromkeys((*KEPT, *MADE), 5), settings)
        for name in "abc"[:instances]:
            self.cluster.start(name)
        for model in KEPT:
            self.ask(0, Register(model, "t", "p"))
        self.cluster.settle(ms=10)

    def host(self, number: int) -> Host:
        return pick(self.cluster.live, number)

    def ask(self, host: int, asked: Asked) -> None:
        self.cluster.ask(self.host(host), asked)

    # -- what is asked -----------------------------------------------------------------------------

    @rule(
        host=any_number, vmodel=st.sampled_from(VMODELS), to=st.sampled_from((*KEPT, "nobody")),
        owner=st.sampled_from(("", "me", "you")), expected=st.sampled_from(("", "", *KEPT)),
        flags=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    )  # fmt: skip
    def set_one(
        self, host: int, vmodel: str, to: str, owner: str, expected: str, flags: tuple[bool, bool, bool]
    ) -> None:
        should_load, is_forced, is_sync = flags
        self.ask(
            host,
            SetVModel(
                vmodel, {to: 100}, owner, expected, should_load=should_load, is_forced=is_forced, is_sync=is_sync
            ),
        )

    @rule(
        host=any_number, vmodel=st.sampled_from(VMODELS), to=st.sampled_from(MADE), should_load=st.booleans(),
        is_auto_delete=st.booleans(),
    )  # fmt: skip
    def set_one_made_for_it(self, host: int, vmodel: str, to: str, should_load: bool, is_auto_delete: bool) -> None:
        info = ModelInfo("t", "p", is_auto_delete=is_auto_delete)
        self.ask(host, SetVModel(vmodel, {to: 100}, info=info, should_load=should_load))

    @rule(
        host=any_number, vmodel=st.sampled_from(VMODELS), weights=st.sampled_from(SPLITS), is_forced=st.booleans(),
        shadow=st.sampled_from((None, "", "m2", "n0")),
    )  # fmt: skip
    def set_several(
        self, host: int, vmodel: str, weights: tuple[tuple[str, int], ...], is_forced: bool, shadow: str | None
    ) -> None:
        self.ask(host, SetVModel(vmodel, dict(weights), is_forced=is_forced, shadow=shadow))

    @rule(host=any_number, vmodel=st.sampled_from(VMODELS), owner=st.sampled_from(("", "", "me")))
    def delete(self, host: int, vmodel: str, owner: str) -> None:
        self.ask(host, DeleteVModel(vmodel, owner))

    @rule(host=any_number, model=st.sampled_from((*KEPT, *MADE)))
    def unregister(self, host: int, model: str) -> None:
        self.ask(host, Unregister(model))

    @rule(host=any_number, model=st.sampled_from(KEPT))
    def register(self, host: int, model: str) -> None:
        self.ask(host, Register(model, "t", "p"))

    @rule(host=any_number, vmodel=st.sampled_from(VMODELS))
    def request(self, host: int, vmodel: str) -> None:
        here = self.host(host)
        targets = here.targets.get(vmodel)
        self.cluster.ask(here, Request(targets.active if targets is not None else "", vmodel=vmodel))

    @rule(host=any_number, vmodel=st.sampled_from(VMODELS))
    def status(self, host: int, vmodel: str) -> None:
        self.ask(host, AskVModel(vmodel))

    # -- what happens ------------------------------------------------------------------------------

    @precondition(lambda self: self.cluster.pending)
    @rule(numbers=st.lists(any_number, min_size=1, max_size=20))
    def answer_well(self, numbers: list[int]) -> None:
        for number in numbers:
            if self.cluster.pending:
                self.cluster.deliver(pick(self.cluster.pending, number))
                self.holds()

    @precondition(lambda self: self.cluster.pending)
    @rule(number=any_number, how=st.integers(0, 11))
    def answer_badly(self, number: int, how: int) -> None:
        self.cluster.deliver(pick(self.cluster.pending, number), is_well=False, how=how)

    @rule(host=any_number, prefix=st.sampled_from(WATCHED))
    def watch(self, host: int, prefix: str) -> None:
        self.cluster.watch(self.host(host), prefix)

    @rule(host=any_number)
    def believe_to_lead(self, host: int) -> None:
        here = self.host(host)
        self.cluster.feed(here, LeaderSeen(here.id))

    @rule(ms=st.sampled_from([10, 1_000, 130_000]))
    def let_time_go_by(self, ms: int) -> None:
        self.cluster.advance(ms)

    @precondition(lambda self: len(self.cluster.live) > 1)
    @rule(host=any_number)
    def kill(self, host: int) -> None:
        dead = self.host(host)
        self.cluster.kill(dead)
        self.cluster.expire(dead)

    @rule()
    def start(self) -> None:
        if len(self.cluster.live) < 3:
            self.cluster.start(f"i{len(self.cluster.hosts)}")

    # -- what must hold ----------------------------------------------------------------------------

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "cluster"):
            return
        self.cluster.check()
        models, counts = stored.records(self.cluster.kv), Counter[str]()
        for record in stored.vmodels(self.cluster.kv).values():
            counts.update(record.roles)
            assert record.active in models, "what answers is registered"
        assert {model: record.references for model, record in models.items() if record.references} == counts
        for model, record in models.items():
            assert record.references or not record.auto_delete, f"{model} was only kept for others"

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        for host in self.cluster.live:
            self.cluster.look(host)  # who leads, whatever was believed
        self.cluster.settle(ms=2_000_000)
        self.holds()
        vmodels = stored.vmodels(self.cluster.kv)
        assert not [name for name, record in vmodels.items() if record.is_in_transition], "every transition ended"
        for host in self.cluster.live:
            told = {name: (targets.active, dict(targets.split)) for name, targets in host.targets.items()}
            shares = {name: record.shares for name, record in vmodels.items()}
            assert told == {
                name: (vmodels[name].active, dict(weights) if len(weights) > 1 else {})
                for name, weights in shares.items()
            }


TestVModelMachine = VModelMachine.TestCase
TestVModelMachine.settings = steps(50, part=2)


@pytest.mark.parametrize("seed", range(5))
def test_a_busy_day_sees_models_follow_each_other(seed: int) -> None:
    """Else the machine shows little: virtual models are switched by the leader, and switched again."""
    machine, rng = VModelMachine(), Random(seed)
    machine.begin(3)
    switched = 0
    for _ in range(30):
        before = {name: record.active for name, record in stored.vmodels(machine.cluster.kv).items()}
        weights = rng.choice([*SPLITS, *(((model, 100),) for model in KEPT)])
        machine.set_several(rng.randrange(3), rng.choice(VMODELS), weights, False, rng.choice([None, "", "m2"]))
        machine.cluster.settle(ms=rng.choice([10, 5_000]))
        machine.holds()
        if rng.random() < 0.5:
            machine.request(rng.randrange(3), rng.choice(VMODELS))
        machine.cluster.settle(ms=5_000)
        after = {name: record.active for name, record in stored.vmodels(machine.cluster.kv).items()}
        switched += sum(after[name] != model for name, model in before.items())
    assert switched > 3
    machine.teardown()
