"""Who is there and what it can do: an instance of itself, and of the others."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, refused
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.mmctl.meshes import mmctl
from tests.processes import until


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests here share; the models are each test's own."""
    with mesh(2, SERVICE_VERSION="build-20260101-1", MM_LABELS="b,a", MM_ZONE="z", MM_LOCATION="node") as made:
        yield made


def test_an_instance_says_who_it_is_and_what_it_can_do(pair: Mesh) -> None:
    info = pair[1].client.v1.Info(wire.InfoRequest(), timeout=GUARD_S)
    assert (info.instance, info.service, info.version) == ("i1", "test", "build-20260101-1")
    assert (info.store, info.store_available, info.data_plane, info.phase) == ("memory", True, "python", "ready")
    assert abs(info.start_ms - time.time() * 1000) < 600_000
    assert set(info.methods) == {
        "Info", "Register", "Unregister", "GetModel", "ListModels", "ListInstances", "ListCopies", "Census",
        "ListVModels", "SetVModel", "Explain", "Decisions", "Drain", "GetSettings", "SetSetting",
    }  # fmt: skip


def leads(mesh: Mesh) -> str:
    """Who leads, as all say."""
    told: set[str] = set()

    def is_agreed() -> bool:
        told.clear()
        told.update(each.client.v1.Info(wire.InfoRequest(), timeout=GUARD_S).leader for each in mesh.instances)
        return len(told) == 1 and "" not in told

    until(is_agreed, "all know the same")
    return told.pop()


def test_all_instances_say_who_leads(pair: Mesh) -> None:
    leader = leads(pair)
    candidates = pair.kv(lambda kv: kv.read(["/mm/test/leaderLatch/_i0", "/mm/test/leaderLatch/_i1"])).pairs
    first = min((pair for pair in candidates if pair is not None), key=lambda pair: pair.create)
    assert leader == first.key.rpartition("_")[2]


def test_what_is_not_built_says_so(client: Client) -> None:
    assert refused(lambda: list(client.v1.WatchVModels(wire.WatchVModelsRequest())))[0] == "UNIMPLEMENTED"
    assert refused(lambda: list(client.v1.WatchModels(wire.WatchModelsRequest())))[0] == "UNIMPLEMENTED"


def test_clients_can_find_out_what_there_is(client: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="mmesh.ModelMesh"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="meshd.v1.Mesh"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="grpc.health.v1.Health"),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="no.such.Thing"),
    ]
    told = list(stub.ServerReflectionInfo(iter(asked), timeout=GUARD_S))
    services = {service.name for service in told[0].list_services_response.service}
    assert {"mmesh.ModelMesh", "meshd.v1.Mesh", "grpc.health.v1.Health"} <= services
    assert all(answer.file_descriptor_response.file_descriptor_proto for answer in told[1:4])
    assert told[4].error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_instances_describe_themselves(pair: Mesh) -> None:
    for asked in pair.instances:
        instances = asked.client.instances()
        assert sorted(instances) == ["i0", "i1"]
        told = instances["i1"]
        assert not told.is_java
        assert (told.location, told.zone, list(told.labels)) == ("node", "z", ["a", "b"])
        assert (told.version, told.phase, told.data_plane) == ("build-20260101-1", "ready", "python")
        assert not told.shutting_down
        assert 900 * MIB < told.capacity_bytes < 1024 * MIB, "without what is kept for unloads"
        assert told.grpc.startswith("127.0.0.1:")
        assert told.address.startswith("127.0.0.1:")


def test_an_instance_tells_of_itself_as_it_is_now(pair: Mesh, client: Client, model: str) -> None:
    before = client.instances()["i0"]
    client.register(model, "fake:?size=20MiB")
    pair.copy(model, 0)
    after = client.instances()["i0"]
    assert after.models == before.models + 1
    assert after.used_bytes == before.used_bytes + 20 * MIB


def test_a_java_instance_is_shown_as_one_and_nothing_is_asked_of_it(pair: Mesh, client: Client, model: str) -> None:
    record = {"startTime": 1, "cap": 10**9, "lThreads": 64, "loc": "10.0.0.1", "actionable": True}
    pair.put("instances/java", json.dumps(record).encode())
    pair.put(f"registry/{model}", b'{"type":"fake","instanceIds":{"java":5}}')
    try:
        until(lambda: "java" in client.instances(), "it is shown")
        told = client.instances()["java"]
        assert (told.is_java, told.location, told.address) == (True, "10.0.0.1", "")
        assert client.state(model) == "NOT_LOADED"
        assert client.infer(model).body == b"hello"
        assert "java" not in client.holders(model)
        kept = pair.record(model)
        assert kept is not None
        assert kept["instanceIds"]["java"] == 5, "its copy stays in the record"
    finally:
        pair.delete("instances/java")


def test_who_leads_and_what_unloads_that_failed_have_cost_is_shown_at_a_glance(pair: Mesh, client: Client) -> None:
    record = {"startTime": 1, "cap": 7 * 128, "meshd": {"v": 1, "addr": "127.0.0.1:1", "phase": "ready", "lost": 128}}
    pair.put("instances/short", json.dumps(record).encode())
    try:
        until(lambda: "short" in client.instances(), "it is shown")
        shown = mmctl("status", "--endpoint", f"127.0.0.1:{pair[0].port}", "-o", "json").json
        assert (shown["leader"] == leads(pair), {each["id"]: each["lost_bytes"] for each in shown["instances"]}) == (
            True, {"i0": 0, "i1": 0, "short": MIB},
        )  # fmt: skip
        lost = [each["text"] for each in shown["problems"] if each["kind"] == "lost_memory"]
        assert lost == ["short has lost 1 MiB of memory to unloads that failed"]
    finally:
        pair.delete("instances/short")
