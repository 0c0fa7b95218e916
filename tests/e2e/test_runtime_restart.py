"""Runtimes that crash or stand still beside instances that go on, as real processes under load."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import pytest

from tests.client import ECHO, GUARD_S, instance_of, spec
from tests.e2e.test_mesh import Traffic, answer_all, holders
from tests.processes import Instance, Mesh, until

pytestmark = [pytest.mark.e2e, pytest.mark.long]

NAMES = tuple(f"model-{number:03}" for number in range(300))
BALANCED = (("mm-balanced", "true"),)


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """Three instances with models loaded on all, room for all of them on any two; tests leave them running."""
    with Mesh(tmp_path_factory.mktemp("mesh"), {"MM_MIN_CHURN_AGE_MS": "0"}) as made:
        for name in ("a", "b", "c"):
            made.fake(name, "--capacity=1GiB", "--size=1MiB", "--load-ms=5", "--loading-concurrency=8")
        made.start()
        made["a"].client.register_all(spec(name) for name in NAMES)
        answered = answer_all(made["a"].client, NAMES)
        assert set(answered) == {"a", "b", "c"}
        yield made


def stats(instance: Instance) -> Mapping[str, Any]:
    """What an instance's runtime did since it started."""
    with grpc.insecure_channel(f"127.0.0.1:{instance.env['INTERNAL_GRPC_PORT']}") as channel:
        told: Mapping[str, Any] = json.loads(channel.unary_unary("/fake.Control/Stats")(b"", timeout=GUARD_S))
        return told


def decided(instance: Instance, rule: str) -> float:
    return instance.metrics().get(f'meshd_decisions{{rule="{rule}",}}', 0)


def do_records_agree(mesh: Mesh) -> bool:
    """Whether each record names those copies that the runtimes have."""
    named = {(name, instance) for name, copies in holders(mesh).items() for instance in copies}
    there = {
        (name, instance.name)
        for instance in mesh.instances.values()
        for name, counts in stats(instance)["models"].items()
        if counts["loaded"]
    }
    return named == there


@pytest.mark.parametrize("name", ["b", "c"])
def test_no_request_fails_while_a_runtime_is_killed_and_comes_back(mesh: Mesh, name: str) -> None:
    """Requests come to all instances all the time, to the one whose runtime is away too."""
    hurt, instances = mesh[name], list(mesh.instances.values())
    with Traffic(NAMES, lambda: instances) as traffic:
        traffic.more(500)
        before = sum(count["loaded"] for count in stats(hurt)["models"].values())
        assert before, "it has copies to lose"
        hurt.runtime.kill()
        until(lambda: not hurt.is_ready(), "it is not ready")
        traffic.more(500)
        until(lambda: not any(name in copies for copies in holders(mesh).values()), "no record names a copy there")
        hurt.start_runtime()
        hurt.wait_ready()
        traffic.more(500)
    assert traffic.failures == []
    assert decided(hurt, "restart") >= before + 2
    for instance in instances:
        assert "Traceback" not in instance.meshd.said()
        answer_all(instance.client, NAMES)
    until(lambda: do_records_agree(mesh), "the records name what is loaded")

    held = [f"later-{name}-{number}" for number in range(20)]
    hurt.client.register_all(spec(model) for model in held)
    assert {instance_of(hurt.client.infer(model, metadata=BALANCED)) for model in held} >= {name}
    until(lambda: do_records_agree(mesh), "the records name what is loaded")


def test_runtime_that_stands_still_keeps_its_copies(mesh: Mesh) -> None:
    """Its connection is there: what it was asked is answered when it goes on."""
    instance = mesh["a"]
    mine = next(name for name, copies in holders(mesh).items() if set(copies) == {"a"})
    before = stats(instance)
    suspicions, restarts = decided(instance, "suspect"), decided(instance, "restart")
    instance.runtime.freeze()
    try:
        asked = [instance.client.begin(ECHO, b"%d" % number, (("mm-model-id", mine), *BALANCED)) for number in range(5)]
        mesh["b"].client.infer(next(name for name, copies in holders(mesh).items() if "a" not in copies))
        assert instance.is_ready()
    finally:
        instance.runtime.thaw()
    assert [call.result() for call in asked] == [b"0", b"1", b"2", b"3", b"4"]
    assert stats(instance)["loads"] == before["loads"]
    assert (decided(instance, "suspect"), decided(instance, "restart")) == (suspicions, restarts)
