"""What becomes of the copies of an instance that goes."""

from __future__ import annotations

from meshcore.asks import Done, Failed, Kept, Kind, Op, Register, Request
from meshcore.events import Cordoned, RuntimeLeaving
from meshcore.reasons import Rule
from meshcore.records import ModelRecord
from meshcore.units import UNIT_BYTES
from tests.meshcore import stored
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host


class Roll:
    """Instances a, b and c, where a has loaded ``models`` copies, m0 first."""

    def __init__(self, models: int = 4, units: int = 10, others: str = "bc", **limits: int) -> None:
        self.cluster = Cluster({f"m{number}": units for number in range(models)}, **limits)
        self.a = self.cluster.start("a")
        for model in self.cluster.sizes:
            kept = Kept(size_bytes=units * UNIT_BYTES)
            self.cluster.ask(self.a, Register(model, "t", "p", kept=kept, should_load=True))
            self.cluster.settle(ms=10)
        for name in others:
            self.cluster.start(name)
        self.cluster.settle(ms=2_500)
        for model in self.a.node.cache.entries:
            self.cluster.use(self.a, model, 0)

    def records(self) -> dict[str, ModelRecord]:
        return stored.records(self.cluster.kv)

    def holders(self) -> dict[str, list[str]]:
        return {model: sorted(record.copies) for model, record in self.records().items()}

    def drain(self, host: Host | None = None, budget_ms: int = 60_000) -> None:
        self.cluster.drain(host or self.a, budget_ms)

    def causes(self, model: str = "", host: Host | None = None) -> list[str]:
        log = (host or self.a).node.log.since(0)
        return [reason.cause for reason in log if reason.rule is Rule.DRAIN and reason.model == model]


def test_all_copies_are_taken_over_before_the_instance_may_end() -> None:
    """Each is loaded elsewhere first, then leaves the record, then the runtime; then the instance may end, once."""
    roll = Roll()
    roll.drain()
    roll.cluster.settle(ms=5_000)
    assert roll.a.departs == 1
    assert roll.a.node.cache.entries == {}
    assert all(holders in (["b"], ["c"]) for holders in roll.holders().values())
    assert roll.causes() == ["this instance is going", "its copies are handed over"]
    assert roll.causes("m0") == ["another copy is made before this one goes", "others answer in its place"]


def loading(host: Host) -> set[str]:
    """The models that an instance has accepted and that do not answer there yet."""
    return {model for model, entry in host.node.cache.entries.items() if not entry.is_serving}


def test_the_latest_used_are_taken_over_first_and_few_at_a_time() -> None:
    """Half the load threads of an instance are for this, so that what clients wait for is loaded beside it."""
    roll = Roll(models=6, others="b", load_threads=4)
    for model in ("m4", "m0", "m2"):
        roll.cluster.advance(1_000)
        roll.cluster.use(roll.a, model, 0)
    (_, b), seen = roll.cluster.live, list[str]()
    roll.drain()
    while len(seen) < 6:
        roll.cluster.step()
        assert len(loading(b)) <= 2
        seen += sorted(loading(b) - set(seen))
    assert (set(seen[:2]), seen[2:]) == ({"m0", "m2"}, ["m4", "m5", "m3", "m1"])
    roll.cluster.settle(ms=5_000)
    assert set(map(tuple, roll.holders().values())) == {("b",)}


def test_what_nobody_can_take_is_answered_here_to_the_end() -> None:
    """It holds up nothing, and is offered again when an instance has come."""
    roll = Roll(models=2, units=60, others="")
    assert list(roll.holders().values()).count(["a"]) == 1
    held = next(model for model, copies in roll.holders().items() if copies)
    b = roll.cluster.start("b")
    roll.cluster.ask(b, Register("pinned", "t", "p", kept=Kept(60 * UNIT_BYTES, is_pinned=True), should_load=True))
    roll.cluster.sizes["pinned"] = 60
    roll.cluster.settle(ms=2_500)
    roll.drain()
    roll.cluster.settle(ms=1_000)
    assert roll.a.departs == 1
    assert roll.causes(held)[-1] == "no other instance can have it: it is answered here to the end"
    assert roll.a.node.departure.handovers.left == (1, 1)
    assert isinstance(roll.cluster.ask(b, Request(held)).end, type(None))
    roll.cluster.settle(ms=10)
    roll.cluster.start("c")
    roll.cluster.settle(ms=5_000)
    assert roll.holders()[held] == ["c"]
    assert roll.a.departs == 1


def test_with_nobody_else_it_is_over_at_once() -> None:
    roll = Roll(others="")
    roll.drain()
    assert (roll.a.departs, roll.a.node.departure.cause) == (1, "no other instance can take its copies")


def test_the_time_for_it_ends() -> None:
    """What is not ready elsewhere by then is not waited for; a second word can make the time shorter, never longer."""
    roll = Roll()
    roll.drain(budget_ms=60_000)
    roll.drain(budget_ms=500)
    roll.drain(budget_ms=90_000)
    assert roll.a.node.departure.until == roll.a.node.now + 500
    roll.cluster.advance(499)
    assert roll.a.departs == 0
    roll.cluster.advance(1)
    assert (roll.a.departs, roll.a.node.departure.cause) == (1, "the time to hand over its copies is over")
    assert all(holders == ["a"] for holders in roll.holders().values())


def test_models_that_were_not_used_for_long_do_not_hold_up_the_end() -> None:
    """They are taken over all the same, as long as there is time."""
    roll = Roll()
    roll.cluster.advance(4_000_000)
    roll.cluster.use(roll.a, "m1", 0)
    roll.drain()
    while not roll.a.departs:
        roll.cluster.step()
        roll.cluster.advance(10)
    assert roll.holders()["m1"] != ["a"]
    roll.cluster.settle(ms=5_000)
    assert not any("a" in holders for holders in roll.holders().values())


def test_a_model_has_as_many_copies_as_before() -> None:
    """Two that others have, and one more for the one that goes; of two that go at once each makes its own."""
    roll = Roll(models=1, others="bcde")
    roll.cluster.ask(roll.a, Request("m0", Op.ENSURE, copies=3))
    roll.cluster.settle(ms=1_000)
    first, second = (roll.cluster.host(name) for name in roll.holders()["m0"][:2])
    assert first is not None
    assert second is not None
    roll.drain(first)
    roll.drain(second)
    roll.cluster.settle(ms=15_000)
    assert len(roll.holders()["m0"]) == 3
    assert not {first.id, second.id} & set(roll.holders()["m0"])
    assert [roll.causes("m0", host)[-1] for host in (first, second)] == ["others answer in its place"] * 2


def test_a_load_under_way_ends_and_its_copy_is_taken_over_too() -> None:
    """Its waiters are answered here."""
    roll = Roll(models=1)
    roll.cluster.ask(roll.a, Register("new", "t", "p"))
    roll.cluster.sizes["new"] = 10
    roll.cluster.settle(ms=10)
    roll.cluster.ask(roll.a, Request("new", Op.ENSURE, exclude=("b", "c")))
    waiting = roll.cluster.ask(roll.a, Request("new"))
    while "new" not in roll.a.runtime:
        roll.cluster.step()
    roll.drain()
    roll.cluster.settle(ms=5_000)
    assert isinstance(waiting.end, Done)
    assert roll.holders()["new"] in (["b"], ["c"])


def test_an_instance_whose_runtime_alone_goes_takes_loads_again_with_the_next() -> None:
    """Its copies are taken over, as for its end; then it is as any other."""
    roll = Roll()
    roll.cluster.feed(roll.a, RuntimeLeaving(60_000))
    roll.cluster.settle(ms=5_000)
    assert (roll.a.departs, roll.a.node.is_draining, roll.a.node.cache.entries) == (1, True, {})
    roll.cluster.restart_runtime(roll.a, is_told=True)
    roll.cluster.settle(ms=1_000)
    assert not roll.a.node.is_draining
    assert roll.causes()[-1] == "another runtime is there: takes loads again"
    roll.cluster.feed(roll.a, RuntimeLeaving(60_000))
    roll.cluster.settle(ms=1_000)
    assert roll.a.departs == 2


def test_an_instance_whose_runtime_does_not_go_takes_loads_again() -> None:
    roll = Roll()
    roll.cluster.feed(roll.a, RuntimeLeaving(1))
    roll.cluster.advance(59_000)
    assert roll.a.node.is_draining
    roll.cluster.settle(ms=65_000)
    assert not roll.a.node.is_draining
    assert roll.causes()[-1] == "the runtime is still there: takes loads again"


def test_who_is_told_to_end_while_the_runtime_goes_does_not_stay() -> None:
    """And what it has handed over is handed over."""
    roll = Roll()
    roll.cluster.feed(roll.a, RuntimeLeaving(60_000))
    roll.drain()
    roll.cluster.feed(roll.a, RuntimeLeaving(60_000))
    roll.cluster.settle(ms=5_000)
    roll.cluster.restart_runtime(roll.a, is_told=True)
    roll.cluster.settle(ms=200_000)
    assert (roll.a.departs, roll.a.node.is_draining) == (1, True)


def test_a_cordoned_instance_takes_no_loads_and_keeps_what_it_has() -> None:
    roll = Roll(models=1, others="b")
    _, b = roll.cluster.live
    roll.cluster.feed(b, Cordoned(True))
    roll.cluster.feed(b, Cordoned(True))
    roll.cluster.settle(ms=10)
    assert [reason.cause for reason in b.node.log.since(0) if reason.rule is Rule.CORDON] == [
        "takes no more loads, as somebody wants it"
    ]
    sent = roll.cluster.ask(b, Request("m0", Op.ENSURE, Kind.LOAD, exclude=("a",)))
    assert isinstance(sent.end, Failed)
    roll.drain()
    roll.cluster.settle(ms=10)
    assert (roll.a.departs, roll.holders()) == (1, {"m0": ["a"]})
    roll.cluster.feed(b, Cordoned(False))
    roll.cluster.settle(ms=5_000)
    assert roll.holders() == {"m0": ["b"]}
