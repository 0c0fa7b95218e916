"""The store goes away and comes back, with leases lost, while models are asked for, evicted and die with instances."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from meshcore.asks import Clashed, Failed, Outcome, Put, Read, Register, Request, StoreSilent, Wrote
from meshcore.commands import Command, Commit, Publish
from meshcore.events import SessionRenewed, StoreFound, StoreLost
from meshcore.kv import LeaseGone
from meshcore.reasons import Rule
from meshcore.settings import Settings
from tests.meshcore import stored
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host, Pending, Running
from tests.meshcore.stored import WATCHED
from tests.meshcore.test_cluster_machine import any_number, pick
from tests.steps import steps

NAMES = "abcd"
MODELS = ["m0", "m1", "m2", "m3", "m4"]
SMALL, LARGE = 15, 40
"""All small ones fit on one instance; of the large ones two do, the third evicts, maybe what is waited for."""
LEASE_MS = 25_000


class Blinking(Cluster):
    """A cluster whose store answers nothing at times, or takes no writes."""

    def __init__(self, units: int) -> None:
        super().__init__(dict.fromkeys(MODELS, units), Settings(unload_retries=2, slice_models=1, fill_period_ms=0))
        self.is_silent = self.is_full = False
        self.failures: list[object] = []
        self.known: dict[Host, set[Host]] = {}
        """Who was there, as each instance knew, when the store went away."""
        self.trusted_until: dict[Host, int] = {}
        """Until when an instance has to take those to be there still."""
        self.loads_without_the_store = 0

    # -- the store --------------------------------------------------------------------------------------

    def deliver(self, pending: Pending, is_well: bool = True, how: int = 0) -> None:
        what = pending.what
        is_write = isinstance(what, Commit | Put | Publish)
        if not pending.host.is_alive or pending.done is not None or not (is_write or isinstance(what, Read)):
            super().deliver(pending)
            return
        if isinstance(what, Publish):
            if not (self.is_silent or self.is_full) and self._is_leased(pending.host):
                super().deliver(pending)
                return
            pending.done = "no answer"
        elif self.is_silent or (self.is_full and is_write):
            is_late = self.is_silent and how % 2 and isinstance(what, Commit | Put)
            if is_late:
                self._write(what)  # type: ignore[arg-type]
            pending.done = StoreSilent("no answer", is_refused=not self.is_silent)
            self.loads_without_the_store += isinstance(what, Commit) and what.why.rule is Rule.ACCEPT
        else:
            super().deliver(pending)
            return
        if isinstance(what, Read):
            self.pending.remove(pending)
            assert pending.flow is not None
            if not pending.flow.is_over:
                self._resume(pending.flow, pending.done)  # type: ignore[arg-type]

    def _is_leased(self, host: Host) -> bool:
        try:
            self.kv.keep_alive(host.lease, 0)
        except LeaseGone:
            return False
        return True

    def watch(self, host: Host, prefix: str, most: int = 1_000) -> int:
        return 0 if self.is_silent else super().watch(host, prefix, most)

    def look(self, host: Host) -> None:
        if not self.is_silent:
            super().look(host)

    def kill(self, host: Host) -> None:
        super().kill(host)
        if not self._is_leased(host):
            host.lease = 0

    def go_away(self) -> None:
        self.is_silent = True
        self.known = {
            host: {other for other in self.live if other is not host and host.node.view.instance(other.id)}
            for host in self.live
        }

    def notice(self, host: Host) -> None:
        """Its first request has no answer, or what it follows ends."""
        if self.is_silent:
            self.feed(host, StoreLost())

    def come_back(self, expired: list[Host]) -> None:
        """The leases of some are over, and their records go; nobody has been told of anything yet."""
        if not self.is_silent:
            return
        self.is_silent = False
        for host in self.live:
            self.feed(host, StoreLost())  # at the latest when its lease may be over
        for host in expired:
            if self._is_leased(host):
                self.kv.revoke(host.lease)

    def find(self, host: Host) -> None:
        """An instance reaches the store again, and has a new lease if it needs one."""
        if self.is_silent or not host.node.outage.is_away:
            return
        if not self._is_leased(host):
            host.lease = self.kv.grant(20_000, self.now)
            self._stand(host)
            self.feed(host, SessionRenewed())
        self.feed(host, StoreFound())
        self.trusted_until[host] = self.now + 2 * LEASE_MS

    # -- what must hold ---------------------------------------------------------------------------------

    def _resume(self, running: Running, outcome: Outcome | None) -> None:
        super()._resume(running, outcome)
        if running.sender is None and isinstance(running.end, Failed) and self.sizes["m0"] == SMALL:
            self.failures.append(running.end)

    def _execute(self, host: Host, commands: list[Command]) -> None:
        for command in commands:
            if isinstance(command, Commit):
                assert not [gone for gone in command.gone if self.host(gone)], "who is there is not taken off"
        super()._execute(host, commands)

    def check(self) -> None:
        super().check()
        assert self.failures == [], "a model that is registered answers, whatever the store does"
        for host, others in self.known.items():
            if host.is_alive and (host.node.outage.is_away or self.now < self.trusted_until.get(host, 0)):
                for other in others:
                    assert not other.is_alive or host.node.view.instance(other.id), "its record will be back"

    def _write(self, what: Commit | Put) -> Wrote | Clashed:
        assert what.value is not None, "nobody unregisters anything"
        return super()._write(what)


class AwayMachine(RuleBasedStateMachine):
    """Requests from clients at any time; what they wait for is answered at any time, by a store that comes and goes."""

    cluster: Blinking

    @initialize(instances=st.integers(1, 4), units=st.sampled_from([SMALL, LARGE]))
    def begin(self, instances: int, units: int) -> None:
        self.cluster = Blinking(units)
        for name in NAMES[:instances]:
            self.cluster.start(name)
        for model in MODELS:
            self.cluster.ask(self.host(0), Register(model, "t", "p"))
        self.cluster.settle(ms=60_000)

    def host(self, number: int) -> Host:
        return pick(self.cluster.live, number)

    @rule(host=any_number, model=any_number)
    def infer(self, host: int, model: int) -> None:
        self.cluster.ask(self.host(host), Request(pick(MODELS, model)))

    @precondition(lambda self: self.cluster.pending)
    @rule(numbers=st.lists(any_number, min_size=1, max_size=20), how=any_number)
    def answer(self, numbers: list[int], how: int) -> None:
        for number in numbers:
            if self.cluster.pending:
                self.cluster.deliver(pick(self.cluster.pending, number), how=how)
                self.cluster.check()

    @rule()
    def answer_all(self) -> None:
        for _ in range(200):
            if self.cluster.pending:
                self.cluster.deliver(self.cluster.pending[0])

    @rule(host=any_number, prefix=st.sampled_from(WATCHED), most=st.sampled_from([1, 1_000]))
    def watch(self, host: int, prefix: str, most: int) -> None:
        self.cluster.watch(self.host(host), prefix, most)

    @rule(ms=st.sampled_from([1, 50, 2_000, 20_000, 60_000]))
    def let_time_go_by(self, ms: int) -> None:
        self.cluster.advance(ms)

    @rule(host=any_number, model=any_number)
    def use(self, host: int, model: int) -> None:
        self.cluster.use(self.host(host), pick(MODELS, model), 0)

    @precondition(lambda self: not self.cluster.is_silent)
    @rule(is_noticed=st.booleans())
    def go_away(self, is_noticed: bool) -> None:
        self.cluster.go_away()
        for host in self.cluster.live if is_noticed else ():
            self.cluster.notice(host)

    @rule(host=any_number)
    def notice(self, host: int) -> None:
        self.cluster.notice(self.host(host))

    @precondition(lambda self: self.cluster.is_silent)
    @rule(expired=st.lists(any_number, max_size=4))
    def come_back(self, expired: list[int]) -> None:
        self.cluster.come_back([self.host(number) for number in expired])

    @rule(host=any_number)
    def find(self, host: int) -> None:
        self.cluster.find(self.host(host))

    @rule(is_full=st.booleans())
    def fill_up(self, is_full: bool) -> None:
        self.cluster.is_full = is_full

    @precondition(lambda self: len(self.cluster.live) > 1)
    @rule(host=any_number)
    def die(self, host: int) -> None:
        self.cluster.kill(self.host(host))

    @precondition(lambda self: not self.cluster.is_silent)
    @rule(name=st.sampled_from(NAMES))
    def start(self, name: str) -> None:
        if self.cluster.host(name) is None:
            self.cluster.start(name)

    @invariant()
    def holds(self) -> None:
        if hasattr(self, "cluster"):
            self.cluster.check()

    def teardown(self) -> None:
        if not hasattr(self, "cluster"):
            return
        cluster = self.cluster
        cluster.is_full = False
        cluster.come_back([])
        for host in cluster.live:
            cluster.find(host)
        cluster.settle(ms=900_000)
        records = stored.records(cluster.kv)
        assert records.keys() == set(MODELS), "no registration is lost"
        live = {host.id for host in cluster.live}
        assert not {name for record in records.values() for name in record.copies} - live, "who is gone is taken off"


TestAwayMachine = AwayMachine.TestCase
TestAwayMachine.settings = steps(50, part=2)


def test_machine_comes_to_loads_that_the_store_does_not_hear_of() -> None:
    """Else it would show nothing: what is cold is loaded once, and told when the store is back with all leases lost."""
    machine = AwayMachine()
    machine.begin(3, SMALL)
    cluster = machine.cluster
    machine.infer(0, 0)
    machine.answer_all()
    machine.go_away(is_noticed=True)
    for host in range(3):
        for model in (0, 1, 3, 4):
            machine.infer(host, model)
            machine.answer_all()
    assert len([host for host in cluster.live for model in host.answering if model == "m3"]) == 1
    assert cluster.flows == []
    assert stored.records(cluster.kv)["m3"].copies == {}
    machine.let_time_go_by(60_000)
    machine.come_back([0, 1, 2])
    for host in range(3):
        machine.find(host)
        for prefix in WATCHED:
            for each in range(3):
                machine.watch(each, prefix, 1_000)
    machine.let_time_go_by(1)
    machine.answer_all()
    assert len(stored.records(cluster.kv)["m3"].copies) == 1
    machine.teardown()
