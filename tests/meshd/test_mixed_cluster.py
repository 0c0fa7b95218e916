"""Java instances beside real ones of ours, scripted in the store as a ModelMesh writes there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from meshcore.records import InstanceRecord
from meshcore.units import NEVER
from tests.builders import dumped
from tests.client import Client, instance_of, refused
from tests.meshd.mesh import MIB, Mesh
from tests.processes import until

Json = dict[str, Any]

INT32, INT64 = 2**31 - 1, 2**63 - 1

JAVA_TYPES: dict[str, tuple[type, int]] = {
    "startTime": (int, INT64), "vers": (int, INT64), "loc": (str, 0), "zone": (str, 0), "labels": (list, 0),
    "actionable": (bool, 0), "lruTime": (int, INT64), "count": (int, INT32), "cap": (int, INT64), "used": (int, INT64),
    "lThreads": (int, INT32), "lInProg": (int, INT32), "rpm": (int, INT32), "shutdown": (bool, 0),
}  # fmt: skip
"""What a Java instance reads out of an instance's record, and the greatest number that each has room for."""


class Java:
    """One Java pod: what it writes, it writes over what stands there, as it stands there."""

    def __init__(self, made: Mesh, name: str) -> None:
        self._mesh, self.name = made, name
        record = json.loads(dict(dumped("instances"))["inst0"])
        made.put(f"instances/{name}", json.dumps({**record, "cap": 10**9, "used": 0, "vers": 2**50}).encode())
        made.put(f"leaderLatch/_{name}", f"_{name}\n".encode())

    def leave(self) -> None:
        """Its lease ends, which both hung on."""
        self._mesh.delete(f"instances/{self.name}")
        self._mesh.delete(f"leaderLatch/_{self.name}")

    def rewrite(self, model: str, edit: Callable[[Json], object]) -> None:
        record = self._mesh.record(model)
        assert record is not None
        edit(record)
        self._mesh.put(f"registry/{model}", json.dumps(record).encode())

    def load(self, model: str, load_ts: int) -> None:
        self.rewrite(model, lambda record: record.setdefault("instanceIds", {}).update({self.name: load_ts}))

    def take_off(self, model: str, instance: str) -> None:
        self.rewrite(model, lambda record: record["instanceIds"].pop(instance))


@pytest.fixture
def java(pair: Mesh) -> Iterator[Java]:
    pod = Java(pair, "java-1")
    for instance in pair.instances:
        until(lambda instance=instance: pod.name in instance.client.instances(), "it is shown")  # type: ignore[misc]
    yield pod
    pod.leave()
    for instance in pair.instances:
        until(lambda instance=instance: pod.name not in instance.client.instances(), "it is gone")  # type: ignore[misc]


def loads(pair: Mesh) -> float:
    return sum(instance.metrics()["meshd_loads"] for instance in pair.instances)


def ours(pair: Mesh, model: str) -> Json:
    """The copies of ours on record, and those said to be ready, which are to be the same."""
    record = pair.record(model)
    assert record is not None
    copies = {name: at for name, at in record.get("instanceIds", {}).items() if name.startswith("i")}
    return copies if record.get("meshd", {}).get("ready", {}) == copies else {}


def test_models_are_served_through_all_that_a_java_pod_does_with_them(pair: Mesh, java: Java) -> None:
    pair.put("registry/m", b'{"type":"fake","mPath":"p","zz":{"a":[1]},"meshd":{"later":1}}')
    java.load("m", 5)
    client = pair.client
    until(lambda: client.models(name_prefix="m"), "it is known")
    assert client.state("m") == "NOT_LOADED", "not by us"
    before = loads(pair)
    holder = instance_of(client.infer("m"))
    until(lambda: ours(pair, "m"), "it is ready in the record")
    copies = ours(pair, "m")
    assert copies.keys() == {holder}
    steps: list[Callable[[], object]] = [
        lambda: java.rewrite("m", lambda record: record.update(lu=9, zz={"a": [2]})),
        lambda: java.rewrite("m", lambda record: record["instanceIds"].pop(java.name)),
        lambda: java.load("m", 7),
        lambda: java.take_off("m", holder),
        lambda: java.rewrite("m", lambda record: record.update(failedIn={"java-2": 5}, fails={"java-2": {"msg": "x"}})),
    ]
    for step in steps:
        step()
        until(lambda: ours(pair, "m") == copies, "our copy is on record as it was")
        for instance in pair.instances:
            assert instance_of(instance.client.infer("m")) == holder
        assert ours(pair, "m") == copies
    record = pair.record("m")
    assert record is not None
    assert record["instanceIds"] == {**copies, java.name: 7}
    assert (record["zz"], record["meshd"]["later"], record["failedIn"]) == ({"a": [2]}, 1, {"java-2": 5})
    assert loads(pair) == before + 1


def test_model_that_java_unregisters_and_registers_anew_is_another(pair: Mesh, java: Java) -> None:
    client = pair.client
    client.register("again", "fake:?size=20MiB", load=True)

    def memory() -> int:
        return sum(instance.client.instances()[instance.name].used_bytes for instance in pair.instances)

    used = memory()
    pair.delete("registry/again")
    until(lambda: not client.models(name_prefix="again"), "it is gone")
    assert refused(lambda: client.infer("again")) == ("NOT_FOUND", "model not found")
    until(lambda: memory() <= used - 20 * MIB, "its memory is given back")
    pair.put("registry/again", b'{"type":"fake"}')
    until(lambda: client.models(name_prefix="again"), "it is known")
    before = loads(pair)
    assert client.infer("again").body == b"hello"
    assert loads(pair) == before + 1


def test_java_pod_is_sent_nothing_whatever_it_says_of_itself(pair: Mesh, java: Java) -> None:
    client = pair.client
    for number in range(8):
        name = f"sent-{number}"
        pair.put(f"registry/{name}", b'{"type":"fake","instanceIds":{"%s":%d}}' % (java.name.encode(), NEVER))
        assert instance_of(client.infer(name)) in ("i0", "i1")
        assert java.name not in client.holders(name)
    told = client.instances()[java.name]
    assert (told.is_java, told.address, told.grpc) == (True, "", "")
    pair.put(f"instances/{java.name}", b'{"startTime":1,"shutdown":true}')
    until(lambda: client.instances()[java.name].shutting_down, "it goes")
    assert client.infer("sent-0").body == b"hello"
    assert pair.value(f"leaderLatch/_{java.name}") is not None, "who leads among Java is Java's business"


def test_own_record_is_one_that_java_can_read(pair: Mesh, java: Java) -> None:
    """The attributes it knows have its types and ranges; it passes the others over and keeps them."""
    client: Client = pair.client
    client.register("read", load=True)
    for name in ("i0", "i1"):
        value = pair.value(f"instances/{name}")
        assert value is not None
        record = json.loads(value)
        for attribute, (kind, most) in JAVA_TYPES.items():
            if attribute in record:
                assert type(record[attribute]) is kind, attribute
                assert kind is not int or 0 <= record[attribute] <= most, attribute
        assert record.keys() - JAVA_TYPES.keys() == {"meshd"}
        assert record["actionable"], "present in every record of a Java instance"
        assert "shutdown" not in record, "a Java pod does not become ready while anybody says so"
    empty = json.loads(InstanceRecord(start_ms=1, address="a").encode())
    assert empty["lruTime"] == INT64, "the end of time, as Java says it"
