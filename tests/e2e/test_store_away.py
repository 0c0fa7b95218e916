"""etcd stands still for longer than a lease, and then has no space, under load that also wants what is not loaded."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from protos import etcd_pb2, etcd_pb2_grpc
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, refused, spec
from tests.e2e.test_mesh import Traffic
from tests.processes import Instance, Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

WARM = [f"warm-{number:02}" for number in range(20)]
EARLY = [f"early-{number:02}" for number in range(20)]
"""Asked for as soon as etcd stands still, when nobody knows it yet."""
LATE = [f"late-{number:02}" for number in range(20)]
"""Asked for when all instances know it."""
FULL = [f"full-{number:02}" for number in range(20)]
"""Asked for when etcd has no space."""

REGISTRY = b"/mm/mm/registry/"


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[Mesh]:
    with Mesh(tmp_path, {"MM_LEASE_TTL_SECS": "4", "MM_PROACTIVE_PERIOD_MS": "0"}) as made:
        for name in ("a", "b", "c"):
            made.fake(name, "--capacity=64MiB", "--default-size=64KiB", "--load-ms=100")
        made.start()
        made["a"].client.register_all(spec(name) for name in (*WARM, *EARLY, *LATE, *FULL))
        for number, name in enumerate(WARM):
            list(made.instances.values())[number % 3].client.infer(name)
        yield made


def records(mesh: Mesh) -> dict[str, set[str]]:
    """The instances that each model's record names."""
    asked = etcd_pb2.RangeRequest(key=REGISTRY, range_end=REGISTRY[:-1] + b"0")
    with grpc.insecure_channel(mesh.etcd.address) as channel:
        pairs = etcd_pb2_grpc.KVStub(channel).Range(asked, timeout=GUARD_S).kvs
    return {
        pair.key.removeprefix(REGISTRY).decode(): set(json.loads(pair.value).get("instanceIds", ())) for pair in pairs
    }


def set_alarm(mesh: Mesh, is_full: bool) -> None:
    """What etcd does by itself when its quota is used up, and what its operator does when it is not any more."""
    kind = etcd_pb2.AlarmRequest.ACTIVATE if is_full else etcd_pb2.AlarmRequest.DEACTIVATE
    with grpc.insecure_channel(mesh.etcd.address) as channel:
        status = etcd_pb2_grpc.MaintenanceStub(channel).Status(etcd_pb2.StatusRequest(), timeout=GUARD_S)
        alarm = etcd_pb2.AlarmRequest(action=kind, memberID=status.header.member_id, alarm=etcd_pb2.NOSPACE)
        etcd_pb2_grpc.MaintenanceStub(channel).Alarm(alarm, timeout=GUARD_S)


def is_available(instance: Instance) -> bool:
    return bool(instance.client.v1.Info(wire.InfoRequest(), timeout=GUARD_S).store_available)


def agree(mesh: Mesh, models: list[str]) -> bool:
    """Whether the records name the copies that are in the caches, of these models at least one each."""
    named = records(mesh)
    counts = {name: sum(name in holders for holders in named.values()) for name in mesh.instances}
    held = {name: each.metrics()["modelmesh_instance_models_total"] for name, each in mesh.instances.items()}
    return counts == held and all(named[model] for model in models)


def decided(mesh: Mesh, rule: str) -> float:
    return sum(each.metrics().get(f'meshd_decisions{{rule="{rule}",}}', 0) for each in mesh.instances.values())


def test_etcd_that_stands_still_or_is_full_costs_no_request(mesh: Mesh) -> None:
    """Nor is anything lost by it: what was loaded meanwhile is in the records afterwards, and nothing was taken off."""
    instances = list(mesh.instances.values())
    used = list(WARM)
    with Traffic(used, lambda: instances) as traffic:
        traffic.more(300)
        mesh.etcd.freeze()
        used += EARLY
        for instance in instances:
            until(lambda instance=instance: not is_available(instance), "it notices")  # type: ignore[misc]
        used += LATE
        for instance in instances:
            refused(lambda instance=instance: instance.client.register("first"))  # type: ignore[misc]
            code, text = refused(lambda instance=instance: instance.client.register("new"))  # type: ignore[misc]
            assert (code, text.startswith("the store is away: ")) == ("UNAVAILABLE", True), text
            code, text = refused(lambda instance=instance: instance.client.infer("unknown"))  # type: ignore[misc]
            assert (code, text.startswith("the store is away: ")) == ("UNAVAILABLE", True), text
            instance.meshd.until(
                lambda instance=instance: "the lease of this instance is lost" in instance.meshd.said(),  # type: ignore[misc]
                "its lease is over",
            )
        traffic.more(2_000)
        assert traffic.failures == []
        mesh.etcd.thaw()
        for instance in instances:
            until(lambda instance=instance: is_available(instance), "it notices")  # type: ignore[misc]
        traffic.more(600)
        until(lambda: agree(mesh, used), "records and caches agree")
        assert [len(records(mesh)[model]) for model in LATE] == [1] * len(LATE), "all chose the same instance"
        assert traffic.failures == []

        set_alarm(mesh, is_full=True)
        code, text = refused(lambda: instances[0].client.register("new"))
        assert (code, "etcdctl alarm disarm" in text) == ("UNAVAILABLE", True), text
        assert refused(lambda: instances[0].client.infer("unknown"))[0] == "NOT_FOUND", "it can be read"
        used += FULL
        traffic.more(1_000)
        assert any(not records(mesh)[model] for model in FULL), "they cannot be written"
        set_alarm(mesh, is_full=False)
        until(lambda: agree(mesh, used), "records and caches agree")
    assert traffic.failures == []
    assert (decided(mesh, "prune"), decided(mesh, "place") > 0) == (0, True)
    instances[0].client.register("new", load=True)
    assert instances[1].client.infer("new").body == b"hello"
    for instance in instances:
        said = instance.meshd.said()
        assert "Traceback" not in said
        assert "never retrieved" not in said
