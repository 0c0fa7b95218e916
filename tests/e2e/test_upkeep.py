"""Instances die for good: what records say of them goes, whoever leads, and nobody but their own clients feels it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from protos import etcd_pb2, etcd_pb2_grpc
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client
from tests.e2e.test_mesh import Traffic, answer_all, records
from tests.processes import Instance, Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

MODELS = [f"m{number:02}" for number in range(60)]
SHORT = {"MM_LEASE_TTL_SECS": "10", "MM_MISSING_GRACE_MS": "5000", "MM_PROACTIVE_PERIOD_MS": "0"}


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    """Three instances, each with room for all of the models; each is loaded once."""
    with Mesh(tmp_path, {"MM_MIN_CHURN_AGE_MS": "0", **SHORT}) as made:
        for name in ("a", "b", "c"):
            made.fake(name, "--capacity=1GiB", "--size=1MiB", "--loading-concurrency=8")
        made.start()
        for model in MODELS:
            made["a"].client.register(model, "fake:?size=4MiB&infer_ms=20", load=True)
        yield made


def leader(mesh: Mesh) -> str:
    """Who leads, as etcd has it."""
    prefix = b"/mm/mm/leaderLatch/_"
    asked = etcd_pb2.RangeRequest(key=prefix, range_end=prefix[:-1] + b"`")
    with grpc.insecure_channel(mesh.etcd.address) as channel:
        pairs = etcd_pb2_grpc.KVStub(channel).Range(asked).kvs
    assert all(pair.lease for pair in pairs), "a candidacy ends with its session"
    first = min(pairs, key=lambda pair: pair.create_revision)
    return str(first.key[len(prefix) :].decode())


def naming(mesh: Mesh, instance: str) -> list[str]:
    """The models whose record names an instance as holding or having failed."""
    return [name for name, each in records(mesh).items() if instance in {*each.copies, *each.failures}]


def pruned(client: Client, me: str, instance: str) -> list[str]:
    """The models whose records ``me`` took another instance off, because that was gone."""
    wanted = wire.DecisionsRequest(filter=wire.DecisionFilter(rules=["prune"], instances=[me]))
    told = client.v1.Decisions(wanted, timeout=GUARD_S)
    return sorted(
        reason.model
        for reason in told
        if reason.chosen == instance and reason.model and reason.cause == "its instance is gone"
    )


def kill_under_load(mesh: Mesh, victim: Instance) -> None:
    """Only who was connected to it notices; what it held answers elsewhere, and is taken off records by the leader."""
    others = [instance for instance in mesh.instances.values() if instance is not victim]
    led_by = leader(mesh)
    with Traffic(MODELS, lambda: list(mesh.instances.values())) as traffic:
        traffic.more(400)
        victim.meshd.kill()
        named = naming(mesh, victim.name)
        for other in others:
            assert victim.name not in answer_all(other.client, MODELS)
        until(lambda: not naming(mesh, victim.name), f"nothing names {victim.name} any more")
        before = {other.name: traffic.answered[other.name] for other in others}
        until(lambda: all(traffic.answered[name] > count + 50 for name, count in before.items()), "more answers")
    assert {failure.partition(":")[0] for failure in traffic.failures} <= {victim.name}, "its own clients' alone"
    assert named
    now_leads = leader(mesh)
    assert (now_leads == led_by) == (led_by != victim.name)
    for other in others:
        assert pruned(other.client, other.name, victim.name) == (sorted(named) if other.name == now_leads else [])
        metrics = other.metrics()
        assert metrics["meshd_leading"] == (other.name == now_leads)
        assert metrics.get("modelmesh_models_managed_total") == (len(MODELS) if other.name == now_leads else None)


def test_what_a_killed_instance_held_serves_elsewhere_and_is_taken_off_by_who_leads(mesh: Mesh) -> None:
    counts = {name: len(naming(mesh, name)) for name in mesh.instances if name != leader(mesh)}
    busiest = max(counts, key=lambda name: counts[name])
    kill_under_load(mesh, mesh[busiest])


def test_another_leads_when_the_leader_is_killed(mesh: Mesh) -> None:
    kill_under_load(mesh, mesh[leader(mesh)])
