"""However models are used, and whatever clocks do: copies come and go only within what is allowed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import TypeVar

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshcore.asks import Kept, Op, Register, Request
from meshcore.commands import Command, Commit
from meshcore.events import Ticked
from meshcore.reasons import Rule
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host
from tests.meshcore.stored import INSTANCES, MODELS
from tests.steps import steps

HOUR = 3_600_000
SETTINGS = Settings(
    rate_period_ms=1_000, scale_up_rpm=60, scale_up_ahead_ms=2_000, second_copy_min_ms=10_000,
    second_copy_max_ms=60_000, second_copy_lru_ms=0, janitor_period_ms=5_000, scale_down_unused_ms=20_000,
    scale_down_settled_ms=20_000, scale_down_heavy_ms=10_000, scale_down_heavy_base_ms=1_000, busy_period_ms=6_000,
    busy_window_ms=36_000, slice_models=1,
)  # fmt: skip
LIMITS = {"min_space_units": 1000, "load_threads": 8}
"""There is room for all, and all count as full: so copies go, and only where they are one too many."""
ALLOWED = ((0, 0), (1, 1), (2, 0), (0, 2), (3, 4), (2, 2))

_Item = TypeVar("_Item")

any_number = st.integers(0, 1_000)


def pick(items: Sequence[_Item], number: int) -> _Item:
    return items[number % len(items)]


class Watched(Cluster):
    """Looks at what instances want to write to give a copy up."""

    def _execute(self, host: Host, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Commit) and command.why.rule is Rule.SCALE_DOWN:
                self._check_given_up(host, command)
        super()._execute(host, commands)

    def _check_given_up(self, host: Host, commit: Commit) -> None:
        assert commit.value is not None
        record = ModelRecord.decode(commit.value)
        stands = [
            pair.mod for pair in self.kv.snapshot(MODELS + commit.model).pairs if pair.key == MODELS + commit.model
        ]
        if host.id in record.copies or stands != [commit.expect]:
            return  # another edit of the model came first, here or elsewhere: then the store does not take it
        answering = [other for other in record.copies if record.is_ready(other) and self.answers(other, commit.model)]
        assert len(answering) >= max(1, record.min_copies), "enough copies are left that answer"

    def answers(self, instance: str, model: str) -> bool:
        host = self.host(instance)
        entry = host.node.cache.entries.get(model) if host is not None else None
        return entry is not None and entry.is_serving


class ScalingMachine(RuleBasedStateMachine):
    """A few models, used heavily, seldom or not at all, on instances whose clocks and news of each other differ."""

    @initialize(models=st.lists(st.sampled_from(ALLOWED), min_size=1, max_size=3), instances=st.integers(2, 5))
    def begin(self, models: list[tuple[int, int]], instances: int) -> None:
        self.cluster = Watched({f"m{number}": 3 for number in range(len(models))}, SETTINGS, **LIMITS)
        for name in "abcde"[:instances]:
            self.cluster.start(name)
        self.allowed = dict(zip(self.cluster.sizes, models, strict=True))
        for model, (least, most) in self.allowed.items():
            kept = Kept(min_copies=least, max_copies=most)
            self.cluster.ask(self.host(0), Register(model, "t", "p", kept=kept, should_load=True))
        self.unheard: Counter[str] = Counter()
        """Of each model the loads that the store was not told of, which go on all the same: it may be away for long."""
        self.cluster.settle(ms=3_000)

    @property
    def models(self) -> list[str]:
        return list(self.cluster.sizes)

    def host(self, number: int) -> Host:
        return pick(self.cluster.live, number)

    def holder(self, model: str, number: int) -> Host:
        """An instance that answers for the model; there always is one."""
        hosts = [host for host in self.cluster.live if self.cluster.answers(host.id, model)]
        return pick(hosts, number)

    @rule(models=st.lists(any_number, min_size=1, max_size=3), seconds=st.integers(1, 12), count=st.integers(0, 6))
    def use(self, models: list[int], seconds: int, count: int) -> None:
        for second in range(seconds):
            for number in models:
                model = pick(self.models, number)
                self.cluster.use(self.holder(model, number + second), model, 0, count)
            self.cluster.advance(1_000)
            self.holds()

    @rule(model=any_number, copies=st.integers(1, 3))
    def ensure(self, model: int, copies: int) -> None:
        most = self.allowed[pick(self.models, model)][1] or copies
        request = Request(pick(self.models, model), Op.ENSURE, is_sync=False, copies=min(copies, most))
        self.cluster.ask(self.host(model), request)

    @precondition(lambda self: self.cluster.pending)
    @rule(numbers=st.lists(any_number, min_size=1, max_size=20))
    def answer_well(self, numbers: list[int]) -> None:
        for number in numbers:
            if self.cluster.pending:
                self.cluster.deliver(pick(self.cluster.pending, number))
                self.holds()

    @precondition(lambda self: self.cluster.pending)
    @rule(number=any_number, how=st.integers(0, 11))
    def store_does_not_answer(self, number: int, how: int) -> None:
        pending = pick(self.cluster.pending, number)
        if isinstance(pending.what, Commit):
            self.unheard[pending.what.model] += pending.what.why.rule is Rule.ACCEPT
            self.cluster.deliver(pending, is_well=False, how=how)

    @rule(host=any_number, prefix=st.sampled_from([MODELS, INSTANCES]))
    def watch(self, host: int, prefix: str) -> None:
        self.cluster.watch(self.host(host), prefix)

    @rule()
    def come_to_rest(self) -> None:
        """All news arrives, all that is asked is answered; no time goes by."""
        cluster = self.cluster
        while True:
            if cluster.pending:
                cluster.deliver(cluster.pending[0])
            elif not sum(cluster.watch(host, prefix) for host in cluster.live for prefix in (MODELS, INSTANCES)):
                return
            self.holds()

    @rule(ms=st.sampled_from([500, 7_000, 31_000]))
    def let_time_go_by(self, ms: int) -> None:
        self.cluster.advance(ms)

    @rule(host=any_number)
    def reach_nobody(self, host: int) -> None:
        here = self.host(host)
        other = self.host(host + 1)
        if here is not other:
            here.node.view.health.failed(other.id, self.cluster.clock(here))

    @rule(host=any_number, is_everywhere=st.booleans())
    def jump(self, host: int, is_everywhere: bool) -> None:
        """A clock is an hour ahead from one moment to the next, of one instance or of all: no copy comes or goes."""
        self.come_to_rest()
        while any(len(each.node.writer) for each in self.cluster.live):
            self.cluster.advance(SETTINGS.store_retry_ms)
            self.come_to_rest()
        for _ in range(3):  # what is below its least number of copies is seen to
            self.cluster.advance(SETTINGS.min_copies_retry_ms)
            self.come_to_rest()
        before = self.copies()
        for each in self.cluster.live if is_everywhere else [self.host(host)]:
            each.ahead_ms += HOUR
            self.cluster.feed(each, Ticked())
        self.come_to_rest()
        assert self.copies() == before

    @precondition(lambda self: len(self.cluster.live) > 2)
    @rule(host=any_number)
    def drain(self, host: int) -> None:
        """It may have the last copy, which it then keeps."""
        if host % 7 == 0:
            self.cluster.drain(self.host(host))

    def copies(self) -> dict[str, dict[str, int]]:
        return {model: dict(record.copies) for model, record in self.records().items()}

    def records(self) -> dict[str, ModelRecord]:
        pairs = self.cluster.kv.snapshot(MODELS).pairs
        return {pair.key.removeprefix(MODELS): ModelRecord.decode(pair.value) for pair in pairs}

    def is_going(self, instance: str) -> bool:
        return any(host.id == instance and host.node.is_draining for host in self.cluster.live)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "cluster"):
            return
        self.cluster.check()
        for model, record in self.records().items():
            most = self.allowed[model][1]
            stay = [name for name in record.copies if not self.is_going(name)]
            assert not most or len(stay) <= most + self.unheard[model], "never more copies than allowed"
            assert any(self.cluster.answers(host.id, model) for host in self.cluster.live), "nobody is left"

    def teardown(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.settle(ms=10_000)


TestScalingMachine = ScalingMachine.TestCase
TestScalingMachine.settings = steps(50)


@pytest.mark.parametrize("seed", range(3))
def test_a_busy_day_sees_copies_come_and_go(seed: int) -> None:
    """Else the machine shows little: each of the three rules decides, and decides again."""
    machine, rng = ScalingMachine(), Random(seed)
    machine.begin([(0, 0), (2, 0), (0, 2)], 4)
    for _ in range(30):
        machine.use([rng.randrange(3)], rng.randrange(1, 20), rng.randrange(1, 4))
        machine.come_to_rest()
        if rng.random() < 0.3:
            for _ in range(rng.randrange(20)):
                machine.let_time_go_by(5_000)
                machine.come_to_rest()
    machine.teardown()
    decided = Counter(reason.rule for host in machine.cluster.live for reason in host.node.log.since(0))
    assert min(decided[rule] for rule in (Rule.SECOND_COPY, Rule.SCALE_UP, Rule.SCALE_DOWN)) > 3, decided
