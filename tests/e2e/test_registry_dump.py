"""What a ModelMesh of the Java kind left in etcd, taken over and used by meshd beside it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import etcd_pb2, etcd_pb2_grpc
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, refused
from tests.processes import Mesh, until

pytestmark = pytest.mark.e2e

DUMP = json.loads((Path(__file__).parents[1] / "data" / "modelmesh-etcd.json").read_text("utf-8"))["pairs"]
UNKNOWN: dict[str, Any] = {"zz": [1, {"a": None, "f": 1.5}], "nothing": None}
REGISTRY, JAVA = "/mm/mm/registry/", "/mm/mm/instances/inst"
MODELS = {pair["key"].removeprefix(REGISTRY) for pair in DUMP if pair["key"].startswith(REGISTRY)}


class Etcd:
    """Bare access to the pairs."""

    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._kv = etcd_pb2_grpc.KVStub(self._channel)
        self._leases = etcd_pb2_grpc.LeaseStub(self._channel)

    def put(self, key: str, value: bytes, lease: int = 0) -> None:
        self._kv.Put(etcd_pb2.PutRequest(key=key.encode(), value=value, lease=lease))

    def lease(self) -> int:
        """A lease that outlives the test."""
        return int(self._leases.LeaseGrant(etcd_pb2.LeaseGrantRequest(TTL=600)).ID)

    def all(self) -> dict[str, tuple[bytes, int]]:
        """Every pair: value and revision."""
        everything = etcd_pb2.RangeRequest(key=b"\0", range_end=b"\0")
        return {pair.key.decode(): (pair.value, pair.mod_revision) for pair in self._kv.Range(everything).kvs}

    def close(self) -> None:
        self._channel.close()


def enriched(key: str, value: str) -> bytes:
    """The value with attributes that a later version may have added, at every level there is."""
    if not value.startswith("{"):
        return value.encode()
    record = {**json.loads(value), **UNKNOWN, "meshd": {"later": UNKNOWN}}
    for failure in record.get("fails", {}).values():
        failure.update(UNKNOWN)
    return json.dumps(record, ensure_ascii=False).encode()


@pytest.fixture(scope="module")
def taken_over(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mesh, Etcd, dict[str, bytes]]]:
    """Two instances that found the dump in etcd when they started, and what they found."""
    with Mesh(tmp_path_factory.mktemp("dump")) as mesh:
        etcd = Etcd(mesh.etcd.address)
        found = {pair["key"]: enriched(pair["key"], pair["value"]) for pair in DUMP}
        lease = etcd.lease()
        for pair in DUMP:
            etcd.put(pair["key"], found[pair["key"]], lease if pair["leased"] else 0)
        for name in ("a", "b"):
            mesh.fake(name, "--capacity=512MiB", "--size=1MiB")
        mesh.start()
        yield mesh, etcd, found
        etcd.close()


def without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


def test_every_model_is_listed_as_it_was_registered(taken_over: tuple[Mesh, Etcd, dict[str, bytes]]) -> None:
    mesh, _, found = taken_over
    for name in ("a", "b"):
        listed = {model.spec.name: model for model in mesh[name].client.models()}
        assert listed.keys() == MODELS
        for model, told in listed.items():
            record = json.loads(found[REGISTRY + model])
            assert told.spec.type == record["type"]
            assert told.spec.path == record.get("mPath", "")
            assert told.spec.key == record.get("encKey", "")
            assert told.last_used_ms == record["lu"]
            assert told.references == record.get("refs", 0)
            assert told.auto_delete == record.get("autoDel", False)
            assert not told.copies, "a copy that a Java instance has is none here"


def test_the_java_instances_are_shown_and_not_counted_on(taken_over: tuple[Mesh, Etcd, dict[str, bytes]]) -> None:
    mesh, _, _ = taken_over
    instances = mesh["a"].client.instances()
    assert {name: instance.is_java for name, instance in instances.items()} == {
        "a": False, "b": False, "inst0": True, "inst1": True,
    }  # fmt: skip
    assert (instances["inst0"].zone, list(instances["inst0"].labels)) == ("z1", ["mt:sklearn", "rt:demo"])


def test_every_model_is_served_and_no_unknown_attribute_lost(taken_over: tuple[Mesh, Etcd, dict[str, bytes]]) -> None:
    """The failures of Java instances are old enough, or not: the model is loaded on an instance of ours."""
    mesh, etcd, found = taken_over
    for model in sorted(MODELS):
        answers = [mesh[name].client.infer(model) for name in ("a", "b", "a")]
        assert {answer.initial["fake-model-bin"] for answer in answers} == {model.encode()}

    def is_ready_in_record(model: str) -> bool:
        return bool(json.loads(etcd.all()[REGISTRY + model][0])["meshd"].get("ready"))

    for model in MODELS:
        until(lambda model=model: is_ready_in_record(model), f"{model} is ready in its record")  # type: ignore[misc]
    now = etcd.all()
    for model in MODELS:
        before, after = json.loads(found[REGISTRY + model]), json.loads(now[REGISTRY + model][0])
        (holder,) = after["meshd"].pop("ready")
        assert holder in ("a", "b")
        copies = after.pop("instanceIds")
        del copies[holder]
        assert copies == before.pop("instanceIds", {}), "what Java instances have stays theirs"
        assert after["lu"] >= before["lu"]
        assert without(after, "lu") == without(before, "lu")


def test_what_is_not_a_model_is_left_alone(taken_over: tuple[Mesh, Etcd, dict[str, bytes]]) -> None:
    mesh, etcd, found = taken_over
    client: Client = mesh["a"].client
    now = etcd.all()
    for key, value in found.items():
        if not key.startswith(REGISTRY):
            assert now[key][0] == value, key
    candidates = {f"/mm/mm/leaderLatch/_{name}" for name in ("a", "b")}
    ours = {"/mm/mm/instances/a", "/mm/mm/instances/b", "/mm/mm/meshd/key", *candidates}
    until(lambda: etcd.all().keys() - found.keys() == ours, "both stand for leader, and nothing else is written")
    expected = ("FAILED_PRECONDITION", "Model iris-0 has referents")
    assert refused(lambda: client.unregister("iris-0")) == expected


def test_a_registration_of_java_times_is_the_same_registration_still(
    taken_over: tuple[Mesh, Etcd, dict[str, bytes]],
) -> None:
    mesh, etcd, found = taken_over
    record = json.loads(found[REGISTRY + "iris-1"])
    spec = wire.ModelSpec(name="iris-1", type=record["type"], path=record["mPath"], key=record["encKey"])
    (same,) = mesh["b"].client.register_all([wire.RegisterRequest(model=spec)])
    assert (same.code, same.created, same.changed) == (0, False, False)
    spec.labels["team"] = "a"
    (changed,) = mesh["b"].client.register_all([wire.RegisterRequest(model=spec)])
    assert (changed.code, changed.created, changed.changed) == (0, False, True)
    after = json.loads(etcd.all()[REGISTRY + "iris-1"][0])
    assert after["zz"] == UNKNOWN["zz"]
    assert after["meshd"]["later"] == UNKNOWN
    other = wire.ModelSpec(name="iris-1", type=record["type"], path="elsewhere", key=record["encKey"])
    (refused_one,) = mesh["b"].client.v1.Register(iter([wire.RegisterRequest(model=other)]), timeout=GUARD_S)
    assert refused_one.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
