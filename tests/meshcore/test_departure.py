"""What becomes of the copies of an instance that goes."""

from __future__ import annotations

from meshcore.asks import Kept, Register
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
