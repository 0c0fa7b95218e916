"""The leader is killed at every step of a transition: another one ends it, and no request by the name fails."""

from __future__ import annotations

from collections import Counter
from itertools import count

from meshcore.asks import Done, Register, Request
from meshcore.settings import Settings
from meshcore.vmodel_asks import ModelInfo, SetVModel
from tests.meshcore import stored
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host, Running
from tests.meshcore.stored import WATCHED

MOST_STEPS = 200


class Played:
    """A transition from ``old`` to ``new`` while requests by its name go on at an instance that stays."""

    def __init__(self) -> None:
        self.cluster = Cluster({"old": 5, "new": 5}, Settings(fill_period_ms=0))
        for name in "abc":
            self.cluster.start(name)
        self.asked: list[Running] = []
        self.steps = 0
        here = self.there("b")
        self.cluster.ask(here, Register("old", "t", "p"))
        self.cluster.settle(ms=10)
        self.cluster.ask(here, SetVModel("v", {"old": 100}))
        self.cluster.ask(here, Request("old"))
        self.cluster.settle(ms=10)
        assert self.is_leading("a")
        self.cluster.ask(here, SetVModel("v", {"new": 100}, info=ModelInfo("t", "p", is_auto_delete=True)))

    def there(self, name: str) -> Host:
        host = self.cluster.host(name)
        assert host is not None
        return host

    def is_leading(self, name: str) -> bool:
        return self.there(name).node.upkeep.is_leading

    def request(self) -> None:
        """By the name, as the plane asks: with what it was told that answers."""
        here = self.there("b")
        targets = here.targets["v"]
        self.asked.append(self.cluster.ask(here, Request(targets.active, vmodel="v")))

    def step(self) -> None:
        """The next thing that happens: by turns one answer and one change that is told of; else time goes by."""
        self.steps += 1
        if all(running.is_over for running in self.asked):
            self.request()
        if self.steps % 2 and self.cluster.pending:
            self.cluster.deliver(self.cluster.pending[0])
        elif not any(self.cluster.watch(host, prefix, 1) for host in self.cluster.live for prefix in WATCHED):
            self.cluster.advance(10)

    def has_switched(self) -> bool:
        return stored.vmodels(self.cluster.kv)["v"].active == "new"

    def end(self) -> None:
        """Everything comes to rest; then it is switched, references are right, and every request was answered."""
        self.cluster.settle(ms=60_000)
        record = stored.vmodels(self.cluster.kv)["v"]
        assert (record.active, record.target, record.has_failed) == ("new", "new", False)
        models = stored.records(self.cluster.kv)
        assert {model: models[model].references for model in models} == {"old": 0, "new": 1}
        ends = Counter(type(running.end) for running in self.asked)
        assert ends == {Done: len(self.asked)}, [running.end for running in self.asked if running.end is not None]


def test_a_transition_survives_its_leader_at_every_step() -> None:
    steps = 0
    for kill_at in count():
        played = Played()
        for _ in range(kill_at):
            played.step()
            if played.has_switched():
                break
        has_switched = played.has_switched()
        leader = played.there("a")
        played.cluster.kill(leader)
        played.cluster.expire(leader)
        played.request()
        played.end()
        assert not played.cluster.host("a")
        assert played.is_leading("b") or played.is_leading("c")
        if has_switched:
            break
        steps += 1
        assert steps < MOST_STEPS, "it is switched at some time"
    assert steps > 5, "there are steps to be killed at"
