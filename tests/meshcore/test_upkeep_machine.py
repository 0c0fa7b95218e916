"""Instances die, return and vanish together: nothing is taken off that is there, or too early; in the end all agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshcore.asks import Clashed, Kept, Op, Put, Register, Request, Unregister, Wrote
from meshcore.commands import Command, Commit
from meshcore.events import Event, InstancesSeen, LeaderSeen, SessionRenewed, StoreFound, StoreLost
from meshcore.kv import Pair
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host
from tests.meshcore.stored import INSTANCES, MODELS, WATCHED
from tests.meshcore.test_cluster_machine import any_number, pick
from tests.steps import steps

NAMES = "abcdef"
MODELS_KEPT = [f"m{number}" for number in range(6)]
LEASE_MS, GRACE_MS, TOGETHER_MS = 25_000, 30_000, 300_000


@dataclass
class Told:
    """What one instance was told, from which it follows what it may take off."""

    leads: bool = False
    is_store_away: bool = False
    hold_until: int = 0
    there: set[str] = field(default_factory=set)
    went: dict[str, int] = field(default_factory=dict)
    missed_since: dict[str, int] = field(default_factory=dict)


class Upkept(Cluster):
    """A cluster in which every pruning is looked at, when it is asked for and when it is written."""

    def __init__(self) -> None:
        self.told: dict[Host, Told] = {}
        self.prunings = 0
        settings = Settings(janitor_period_ms=60_000, fill_gap_ms=5_000, slice_models=1)
        super().__init__(dict.fromkeys(MODELS_KEPT, 10), settings)

    def feed(self, host: Host, event: Event) -> None:
        told = self.told.setdefault(host, Told(hold_until=host.node.identity.start_ms + 2 * LEASE_MS))
        match event:
            case LeaderSeen(instance):
                told.leads = instance == host.id
            case StoreLost():
                told.is_store_away = True
            case StoreFound() | SessionRenewed():
                told.is_store_away &= isinstance(event, SessionRenewed)
                told.hold_until = max(told.hold_until, self.now + 2 * LEASE_MS)
            case InstancesSeen(instances=instances, is_whole=is_whole):
                self._hear(told, {seen.id: seen.value is not None for seen in instances}, is_whole)
        super().feed(host, event)

    def _hear(self, told: Told, news: dict[str, bool], is_whole: bool) -> None:
        came = {instance for instance, is_there in news.items() if is_there}
        gone = told.there - came if is_whole else told.there & {name for name in news if name not in came}
        told.there = (told.there | came) - gone
        for instance in came:
            told.went.pop(instance, None)
            told.missed_since.pop(instance, None)
        for instance in gone:
            told.went[instance] = told.missed_since[instance] = self.now
            together = [at for at in told.went.values() if self.now - at <= GRACE_MS]
            if len(together) >= 2 and 3 * len(together) > len(together) + len(told.there):
                told.hold_until = max(told.hold_until, self.now + TOGETHER_MS)

    def _execute(self, host: Host, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Commit) and command.gone:
                told = self.told[host]
                assert told.leads, "only who leads"
                assert not told.is_store_away, "not without a store"
                assert self.now >= told.hold_until, "not during a hold"
                assert host.id not in command.gone, "never itself"
                for instance in command.gone:
                    assert instance not in told.there, "nobody who is known"
                    assert self.now - told.missed_since.get(instance, 0) >= GRACE_MS
        super()._execute(host, commands)

    def _write(self, what: Commit | Put) -> Wrote | Clashed:
        before = self.kv.get(MODELS + what.model)
        outcome = super()._write(what)
        after = self.kv.get(MODELS + what.model)
        if isinstance(before, Pair) and isinstance(after, Pair) and isinstance(what, Commit) and what.gone:
            old, new = ModelRecord.decode(before.value), ModelRecord.decode(after.value)
            lost = {name: old.copies[name] for name in what.gone if name in old.copies and name not in new.copies}
            lost |= {name: old.failures[name].at for name in what.gone if name in old.failures.keys() - new.failures}
            for instance, at in lost.items():
                assert self.kv.get(INSTANCES + instance) is None, "nothing of an instance that has a record"
                assert self.now - at >= GRACE_MS, "nothing that is as young"
                self.prunings += 1
        return outcome


class UpkeepMachine(RuleBasedStateMachine):
    """Copies are loaded and lost, instances die alone and together, come back, lose the store, change the lead."""

    cluster: Upkept

    @initialize(instances=st.integers(1, 6))
    def begin(self, instances: int) -> None:
        self.cluster = Upkept()
        for name in NAMES[:instances]:
            self.cluster.start(name)
        self.come_to_rest()
        for model in MODELS_KEPT:
            self.cluster.ask(self.host(0), Register(model, "t", "p", should_load=True))
        self.come_to_rest()

    def host(self, number: int) -> Host:
        return pick(self.cluster.live, number)

    @rule()
    def come_to_rest(self) -> None:
        """All that was asked for is answered well, all news told; no time goes by but what that takes."""
        while self.cluster.pending:
            self.cluster.deliver(self.cluster.pending[0])
        for host in self.cluster.live:
            for prefix in WATCHED:
                self.cluster.watch(host, prefix)

    @rule(number=any_number, is_well=st.booleans(), how=st.integers(0, 11))
    def answer(self, number: int, is_well: bool, how: int) -> None:
        if self.cluster.pending:
            self.cluster.deliver(pick(self.cluster.pending, number), is_well, how)

    @rule(host=any_number, prefix=st.sampled_from(WATCHED), most=st.sampled_from([1, 1_000]))
    def watch(self, host: int, prefix: str, most: int) -> None:
        self.cluster.watch(self.host(host), prefix, most)

    @rule(host=any_number)
    def look_at_the_whole_store(self, host: int) -> None:
        self.cluster.look(self.host(host))

    @rule(ms=st.sampled_from([1, 5_000, 31_000, 51_000, 301_000]))
    def let_time_go_by(self, ms: int) -> None:
        self.cluster.advance(ms)

    @rule(hosts=st.lists(any_number, min_size=1, max_size=5), is_expired=st.booleans())
    def die(self, hosts: list[int], is_expired: bool) -> None:
        for number in hosts:
            if len(self.cluster.live) > 1:
                going = self.host(number)
                self.cluster.kill(going)
                if is_expired:
                    self.cluster.expire(going)

    @rule(number=any_number)
    def lose_a_lease(self, number: int) -> None:
        leased = [host for host in self.cluster.hosts if host.lease]
        self.cluster.expire(pick(leased, number))

    @rule(names=st.lists(st.sampled_from(NAMES), min_size=1, max_size=4))
    def start(self, names: list[str]) -> None:
        for name in names:
            if self.cluster.host(name) is None:
                self.cluster.start(name)

    @rule(host=any_number, is_there=st.booleans())
    def lose_or_find_the_store(self, host: int, is_there: bool) -> None:
        self.cluster.feed(self.host(host), StoreFound() if is_there else StoreLost())

    @rule(host=any_number, model=any_number, is_sync=st.booleans())
    def load(self, host: int, model: int, is_sync: bool) -> None:
        self.cluster.ask(self.host(host), Request(pick(MODELS_KEPT, model), Op.ENSURE, is_sync=is_sync))

    @rule(host=any_number, model=any_number, least=st.integers(0, 4))
    def want_copies(self, host: int, model: int, least: int) -> None:
        kept = Kept(min_copies=least)
        self.cluster.ask(self.host(host), Register(pick(MODELS_KEPT, model), "t", "p", kept=kept))

    @rule(host=any_number, model=any_number)
    def unregister(self, host: int, model: int) -> None:
        self.cluster.ask(self.host(host), Unregister(pick(MODELS_KEPT, model)))

    @precondition(lambda self: len(self.cluster.live) > 1)
    @rule(host=any_number)
    def drain(self, host: int) -> None:
        self.cluster.drain(self.host(host))

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.check()

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        if all(host.node.is_draining for host in cluster.live):
            cluster.start("z")
        for host in cluster.live:
            cluster.feed(host, StoreFound())
        cluster.settle(ms=900_000)
        live = {host.id for host in cluster.live}
        going = {host.id for host in cluster.live if host.node.is_draining}
        for pair in cluster.kv.snapshot(MODELS).pairs:
            record = ModelRecord.decode(pair.value)
            assert not {*record.copies, *record.failures} - live, "nobody who is gone is named"
            least = min(record.min_copies, len(live - going))
            assert len(record.copies.keys() - going) >= least or record.failures, "as many as it is to have"


TestUpkeepMachine = UpkeepMachine.TestCase
TestUpkeepMachine.settings = steps(50, part=2)


def test_machine_comes_to_pruning() -> None:
    """Else it would show nothing: three of seven die one after the other, and what they held is taken off."""
    machine = UpkeepMachine()
    machine.begin(6)
    machine.let_time_go_by(51_000)
    for _ in range(2):
        machine.die([1], is_expired=True)
        machine.come_to_rest()
        for _ in range(3):
            machine.let_time_go_by(31_000)
            machine.come_to_rest()
    assert machine.cluster.prunings > 0
    machine.teardown()
