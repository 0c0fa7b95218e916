"""What the instance asked tells of all instances, while one of three does not answer."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from protos import meshd_pb2 as wire
from tests.client import GUARD_S, refused
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.processes import until


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
