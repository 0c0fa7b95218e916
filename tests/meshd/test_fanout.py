"""What the instance asked tells of all instances, while one of three does not answer."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from typing import Any

import grpc
import grpc.aio
import pytest

from meshcore.reasons import Reason, Rule
from meshd import fanout
from protos import meshd_pb2 as wire
from tests.builders import instance
from tests.client import GUARD_S, refused
from tests.meshcore.lone import Lone
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import free_port, until
from tests.virtual_loop import run


@pytest.fixture(scope="module")
def trio() -> Iterator[Mesh]:
    """Two instances that answer, and the record of a third whose port takes connections and never answers."""
    with mesh(2, capacity=64 * MIB) as made, socket.create_server(("127.0.0.1", 0)) as frozen:
        record = json.loads(made.value("instances/i1") or b"{}")
        record["meshd"]["addr"] = f"127.0.0.1:{frozen.getsockname()[1]}"
        made.put("instances/frozen", json.dumps(record).encode())
        until(lambda: "frozen" in made.client.instances(), "the third is known")
        yield made


def explained(mesh: Mesh, model: str) -> Any:
    return mesh.client.v1.Explain(wire.ExplainRequest(model=model), timeout=GUARD_S)


def test_a_copy_elsewhere_is_explained_by_its_own_instance_and_the_silent_one_is_named(trio: Mesh) -> None:
    trio.client.register("a")
    trio.copy("a", 1)
    told = explained(trio, "a")
    assert [(copy.instance, copy.why.instance, copy.why.rule) for copy in told.copies] == [("i1", "i1", "accept")]
    assert told.unreachable == ["frozen"]
    assert (told.now.action, told.now.instances) == (wire.Outlook.FORWARDED, ["i1"])
    assert [reason.at_ms for reason in told.reasons] == sorted(reason.at_ms for reason in told.reasons)


def test_a_cold_model_is_told_where_it_would_be_loaded_and_nothing_is_done(trio: Mesh) -> None:
    trio.client.register("cold")
    before = trio.record("cold")
    told = explained(trio, "cold")
    assert told.now.action == wire.Outlook.LOADED
    assert told.now.placement.candidates
    assert trio.record("cold") == before
    assert not explained(trio, "cold").model.copies


def test_decisions_of_all_come_in_the_order_of_time_and_the_silent_one_is_named_once(trio: Mesh) -> None:
    trio.client.register("b")
    trio.copy("b", 0)
    trio.copy("b", 1)
    asked = wire.DecisionsRequest(filter=wire.DecisionFilter(model="b", rules=["ready"]))
    told = list(trio.client.v1.Decisions(asked, timeout=GUARD_S))
    assert [(reason.rule, reason.instance) for reason in told] == [
        ("ready", "i0"), ("ready", "i1"), ("lost", "frozen"),
    ]  # fmt: skip


def test_only_instances_that_are_wanted_are_asked(trio: Mesh) -> None:
    asked = wire.DecisionsRequest(filter=wire.DecisionFilter(instances=["i1"], rules=["ready"]))
    assert {reason.instance for reason in trio.client.v1.Decisions(asked, timeout=GUARD_S)} == {"i1"}


def test_following_tells_what_the_other_instance_decides(trio: Mesh) -> None:
    trio.client.register("live")
    asked = wire.DecisionsRequest(
        filter=wire.DecisionFilter(model="live", rules=["ready"], instances=["i0", "i1"]), follow=True
    )
    following = trio.client.v1.Decisions(asked, timeout=GUARD_S)
    trio.copy("live", 1)
    assert next(following).instance == "i1"
    following.cancel()


def test_a_rule_that_is_none_is_refused(trio: Mesh) -> None:
    asked = wire.DecisionsRequest(filter=wire.DecisionFilter(rules=["evct"]))
    assert "did you mean evict?" in str(refused(lambda: list(trio.client.v1.Decisions(asked, timeout=GUARD_S))))


def test_one_that_does_not_answer_is_named_once_to_who_follows(trio: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked again meanwhile, less and less often."""
    monkeypatch.setattr(fanout, "LOOK_S", 0.01)
    refusing = json.loads(trio.value("instances/i1") or b"{}")
    refusing["meshd"]["addr"] = f"127.0.0.1:{free_port()}"
    trio.put("instances/refusing", json.dumps(refusing).encode())
    until(lambda: "refusing" in trio.client.instances(), "the fourth is known")
    try:
        asked = wire.DecisionsRequest(filter=wire.DecisionFilter(model="often"), follow=True)
        following = trio.client.v1.Decisions(asked, timeout=GUARD_S)
        assert sorted(next(following).instance for _ in range(2)) == ["frozen", "refusing"]
        trio.client.register("often")
        trio.copy("often", 1)
        seen = [next(following)]
        while seen[-1].rule != "ready":
            seen.append(next(following))
        assert "lost" not in [reason.rule for reason in seen]
        following.cancel()
    finally:
        trio.delete("instances/refusing")


def test_one_that_goes_is_named_once_to_who_follows(trio: Mesh, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "LOOK_S", 0.01)
    record = trio.value("instances/i1") or b"{}"  # another name of the same port: it answers
    trio.put("instances/going", record)
    until(lambda: "going" in trio.client.instances(), "the fourth is known")
    wanted = wire.DecisionFilter(instances=["going", "i1"], model_prefix="gone")
    following = trio.client.v1.Decisions(wire.DecisionsRequest(filter=wanted, follow=True), timeout=GUARD_S)
    for model in ("gone-kept", "gone"):  # the second is decided after the kept ones were read: it is being followed
        trio.client.register(model)
        trio.copy(model, 1)
        while ((reason := next(following)).rule, reason.model) != ("ready", model):
            pass
    trio.delete("instances/going")
    told = next(reason for reason in following if reason.rule == "lost")  # after others that were on their way
    assert (told.instance, told.cause) == ("going", "going is gone: its decisions are missing")
    trio.client.unregister("gone")
    assert next(following).rule != "lost"
    following.cancel()


def test_who_reads_slower_than_is_decided_is_told_how_many_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fanout, "AHEAD", 2)
    node = Lone().node
    nobody: Any = None  # there is no other instance that would be reached through a plane

    async def read() -> list[Any]:
        asked = wire.DecisionsRequest(filter=wire.DecisionFilter(rules=["refuse"]), follow=True)
        stream = fanout.Fanout(node, nobody).decisions(asked)
        first = asyncio.ensure_future(anext(stream))  # it follows
        await asyncio.sleep(0)
        for number in range(20):
            node.explain(Reason(Rule.REFUSE, f"m{number}", "a", "test"))
        seen = [await first]
        while seen[-1].rule != "lost":
            seen.append(await anext(stream))
        await stream.aclose()  # type: ignore[attr-defined]
        return seen

    *decided, missing = asyncio.run(read())
    assert len(decided) + missing.more == 20
    assert missing.more > 0


class Slow:
    """A connection over which decisions come at the pace of one a second, ``count`` of them, and then nothing or an
    end."""

    def __init__(self, count: int, ends: bool) -> None:
        self.left, self._ends = count, ends
        self.is_cancelled = False

    def unary_unary(self, *_: Any, **__: Any) -> None:
        pass

    def unary_stream(self, *_: Any, **__: Any) -> Any:
        return lambda *_, **__: self

    async def read(self) -> Any:
        await asyncio.sleep(1 if self.left or self._ends else 3_600)
        self.left -= 1
        return grpc.aio.EOF if self.left < 0 else wire.Reason(rule="ready", instance="b")

    def cancel(self) -> None:
        self.is_cancelled = True


@pytest.mark.parametrize(("ends", "rules"), [(True, ["ready"] * 10), (False, ["lost"])])
def test_many_that_are_kept_may_take_longer_than_anybody_may_be_silent(ends: bool, rules: list[str]) -> None:
    slow = Slow(10, ends)

    class Plane:
        key = b"key"

        def channel(self, instance: str) -> Slow:
            return slow

    async def read() -> list[str]:
        plane: Any = Plane()
        told = fanout.Fanout(Lone(peers={"b": instance(address="b:8080")}).node, plane)
        asked = wire.DecisionsRequest(filter=wire.DecisionFilter(instances=["b"]))
        return [reason.rule async for reason in told.decisions(asked)]

    assert run(read()) == rules
    assert slow.is_cancelled


def test_a_virtual_model_is_explained_by_its_models(trio: Mesh) -> None:
    for name, path in (("va", ""), ("vb", "fake:?fail=INTERNAL")):
        trio.client.register(name, path)
    trio.copy("va", 1)
    for target in ("va", "vb"):
        wanted = wire.SetVModelRequest(name="v", targets=[wire.WeightedModel(model=target, weight=100)])
        trio.client.v1.SetVModel(wanted, timeout=GUARD_S)
    told = explained(trio, "v")
    assert (told.vmodel.name, told.vmodel.active, told.vmodel.target) == ("v", "va", "vb")
    assert (told.model.spec.name, told.now.instances) == ("va", ["i1"])
    assert told.next.model.spec.name == "vb"
    assert [list(explained(trio, model).vmodels) for model in ("va", "vb", "cold")] == [["v"], ["v"], []]
