"""Models that come and go leave nothing in a node."""

from __future__ import annotations

from meshcore import image
from meshcore.asks import Register, Request, Unregister
from meshcore.idle import SPARE
from tests.meshcore.cluster import Cluster
from tests.meshcore.hosts import Host


def sizes(host: Host) -> dict[str, int]:
    """How much is in each container of a node's state, by its place."""
    parts = image.take(host.node).parts
    return {
        f"{place}.{name}": len(value)
        for place, kept in parts.items()
        if place != "rng"
        for name, value in kept.items()
        if hasattr(value, "__len__") and not isinstance(value, str | bytes)
    }


def test_state_is_as_large_after_dozens_of_models_as_before() -> None:
    """Registered through one instance, used through the next, unregistered through the third; the leader's heap of
    models without copies may keep what no longer holds, up to its bound."""
    cluster = Cluster({f"m{number}": 10 for number in range(80)})
    hosts = [cluster.start(name) for name in "abc"]
    cluster.settle(ms=200_000)

    def churn(first: int, last: int) -> None:
        for number in range(first, last):
            model = f"m{number}"
            for step, asked in enumerate((Register(model, "t", "p"), Request(model), Unregister(model))):
                cluster.ask(hosts[(number + step) % 3], asked)
                cluster.settle(ms=11_000)

    churn(0, 20)
    before = [sizes(host) for host in hosts]
    churn(20, 80)
    after = [sizes(host) for host in hosts]
    bounds = {"upkeep.proactive.idle._heap": SPARE + 2, "scaling._busyness._samples": 8}
    for each in (*before, *after):
        assert all(each.pop(name) <= most for name, most in bounds.items())
    assert after == before
    assert not cluster.kv.snapshot("registry/").pairs
