"""What instances say of themselves when one is asked, and how one counts all models."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from meshcore.events import RegistrySeen, Seen
from meshcore.settings import Settings
from meshd import rollcall
from meshd.counting import SHARE, Counting
from protos import meshd_pb2 as wire
from tests.client import GUARD_S, Client, refused
from tests.meshcore.lone import Lone
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until

SILENT: dict[str, Any] = {"startTime": 1, "cap": 7, "meshd": {"v": 1, "addr": "127.0.0.1:1", "phase": "ready"}}
JAVA = {"startTime": 1, "cap": 10**9, "lThreads": 64, "actionable": True}


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests here share; the models are each test's own."""
    with mesh(2) as made:
        yield made


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not answer here refuses to: nobody is silent only because the machine is busy."""
    monkeypatch.setattr(rollcall, "DEADLINE_S", GUARD_S)


def asked(client: Client) -> dict[str, wire.Instance]:
    answer = client.v1.ListInstances(wire.ListInstancesRequest(ask=True), timeout=GUARD_S)
    return {instance.id: instance for instance in answer.instances}


def copies(client: Client, name: str, most: int = 0) -> wire.ListCopiesResponse:
    answer: wire.ListCopiesResponse = client.v1.ListCopies(
        wire.ListCopiesRequest(instance=name, most=most), timeout=GUARD_S
    )
    return answer


def census(client: Client) -> wire.CensusResponse:
    answer: wire.CensusResponse = client.v1.Census(wire.CensusRequest(), timeout=GUARD_S)
    return answer


def test_every_instance_says_what_its_record_does_not(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, "fake:?size=20MiB")
    until(lambda: all(each.now.leader in ("i0", "i1") for each in asked(client).values()), "all know who leads")
    for name, instance in asked(client).items():
        assert instance.now.load_timeout_ms > 0
        assert (instance.now.store_away, instance.now.going_until_ms, instance.silent) == (False, 0, False), name
    until(
        lambda: all(each.now.seen_revision >= pair.kv(lambda kv: kv.revision) for each in asked(client).values()),
        "all know of the registration",
    )


def test_unasked_an_instance_is_as_its_record_says(client: Client) -> None:
    assert not any(instance.HasField("now") for instance in client.instances().values())


def test_who_does_not_answer_is_silent_and_a_java_pod_is_not_asked(pair: Mesh, client: Client) -> None:
    pair.put("instances/silent", json.dumps(SILENT).encode())
    pair.put("instances/java", json.dumps(JAVA).encode())
    try:
        until(lambda: {"silent", "java"} <= client.instances().keys(), "they are known")
        found = asked(client)
        assert (found["silent"].silent, found["silent"].HasField("now")) == (True, False)
        assert (found["java"].silent, found["java"].HasField("now")) == (False, False)
        assert not found["i1"].silent
        assert refused(lambda: copies(client, "silent"))[0] == "UNAVAILABLE"
        assert refused(lambda: copies(client, "java"))[0] == "FAILED_PRECONDITION"
    finally:
        pair.delete("instances/silent")
        pair.delete("instances/java")


def test_who_has_the_address_of_one_that_is_gone_does_not_answer_for_it(pair: Mesh, client: Client) -> None:
    """Kubernetes gives an address out again while the record of the pod that had it is still there."""
    address = client.instances()["i1"].address
    pair.put("instances/before", json.dumps({**SILENT, "meshd": {**SILENT["meshd"], "addr": address}}).encode())
    try:
        until(lambda: "before" in client.instances(), "it is known")
        found = asked(client)
        assert {name: (each.id, each.silent) for name, each in found.items()} == {
            "before": ("before", True), "i0": ("i0", False), "i1": ("i1", False),
        }  # fmt: skip
        assert refused(lambda: copies(client, "before"))[0] == "UNAVAILABLE"
    finally:
        pair.delete("instances/before")


def test_requests_a_minute_are_those_that_the_copies_got(pair: Mesh) -> None:
    with mesh(1, MM_RATECHECK_FREQ_MS="300") as lone:
        lone.client.register("busy", "fake:?size=1MiB", load=True)
        lone.client.register("idle", "fake:?size=1MiB", load=True)

        def is_told() -> bool:
            assert lone.client.infer("busy").body
            return asked(lone.client)["i0"].now.requests_per_minute > 0

        until(is_told, "its requests count")
        found = copies(lone.client, "i0")
        assert [copy.model for copy in found.copies] == ["busy", "idle"], "the most used first"


def test_an_instance_tells_what_it_holds_whoever_is_asked(pair: Mesh, client: Client, model: str) -> None:
    client.register(model, "fake:?size=20MiB")
    pair.copy(model, 1)
    for each in pair.instances:
        found = copies(each.client, "i1")
        (copy,) = [copy for copy in found.copies if copy.model == model]
        assert (copy.state, copy.size_bytes) == ("active", 20 * MIB)
        assert found.total == len(found.copies)


def test_only_as_many_copies_are_told_as_are_asked_for(pair: Mesh, client: Client, model: str) -> None:
    for number in range(3):
        client.register(f"{model}{number}", "fake:?size=1MiB")
        pair.copy(f"{model}{number}", 1)
    found = copies(client, "i1", 2)
    assert len(found.copies) == 2
    assert found.total >= 3
    assert refused(lambda: copies(client, "nobody"))[0] == "NOT_FOUND"
    assert refused(lambda: copies(client, "i1", -1))[0] == "INVALID_ARGUMENT"


def test_all_models_are_counted_and_what_is_wrong_is_named(pair: Mesh, client: Client, model: str) -> None:
    before = census(client)
    client.register(f"{model}-cold", "fake:")
    client.register(f"{model}-bad", "fake:?fail=INTERNAL&fail_text=told so", load=True)
    client.register(f"{model}-hot", "fake:?size=1MiB", load=True)
    pair.put(f"registry/{model}-lost", b'{"type":"fake","instanceIds":{"gone":5}}')

    def is_counted() -> bool:
        now = census(client)
        return (now.registered, now.loaded, now.failed) == (
            before.registered + 4, before.loaded + 1, before.failed + 1,
        )  # fmt: skip

    until(is_counted, "all of it is counted")
    found = census(client)
    assert f"{model}-bad" in [each.model for each in found.failed_models]
    assert [each for each in found.failed_models if "told so" in each.text]
    assert [(each.instance, each.models) for each in found.gone] == [("gone", 1)]
    assert found.revision > before.revision
    pair.delete(f"registry/{model}-lost")


def test_a_count_is_shared_for_a_while_that_grows_with_what_it_took() -> None:
    clock = [0.0]

    def elapsed_s() -> float:
        clock[0] += 1.0
        return clock[0]

    async def counted() -> None:
        lone = Lone(settings=Settings(slice_models=100))
        seen = tuple(Seen(f"m{number}", b'{"type":"t"}', number + 1) for number in range(250))
        lone.feed(RegistrySeen(len(seen), seen, is_whole=True))
        counting = Counting(lone.node, elapsed_s)
        first, second = await asyncio.gather(counting.count(), counting.count())
        assert first is second
        assert first.registered == len(seen)
        clock[0] += 3 * SHARE - 10  # three slices of one second each
        assert await counting.count() is first
        clock[0] += 10
        assert await counting.count() is not first

    asyncio.run(counted())
