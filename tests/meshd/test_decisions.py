"""What an instance tells of its decisions: to clients, to other instances, and to readers that are too slow."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from random import Random
from typing import Any

import pytest

from meshcore.errors import InvalidRequest
from meshcore.me import Me
from meshcore.node import Node
from meshcore.reasons import Candidate, Reason, ReasonLog, Rejected, Rule
from meshcore.rules import Rules
from meshcore.settings import Settings
from meshd import fanout
from meshd.decisions import Decisions
from protos import meshd_internal_pb2 as internal
from protos import meshd_internal_pb2_grpc
from protos import meshd_pb2 as wire
from tests.builders import NOW, params
from tests.client import GUARD_S, refused
from tests.meshd.mesh import MIB, Mesh, mesh
from tests.virtual_loop import run

_numbers = count()


@pytest.fixture(scope="module")
def pair() -> Iterator[Mesh]:
    """Two instances that all tests here share; the models are each test's own."""
    with mesh(2, capacity=64 * MIB) as made:
        yield made


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody here is silent, however long an answer takes."""
    monkeypatch.setattr(fanout, "DEADLINE_S", GUARD_S)


@pytest.fixture
def model(pair: Mesh) -> str:
    """A model that is registered and loaded on the first instance alone."""
    name = f"model-{next(_numbers)}"
    pair.client.register(name)
    pair.copy(name, 0)
    return name


def rules(reasons: Any) -> list[str]:
    return [reason.rule for reason in reasons]


def decided(pair: Mesh, last: int = 0, **wanted: Any) -> list[Any]:
    asked = wire.DecisionsRequest(filter=wire.DecisionFilter(**wanted), last=last)
    return list(pair.client.v1.Decisions(asked, timeout=GUARD_S))


def peer(pair: Mesh, number: int) -> tuple[Any, Any]:
    """A stub of the mesh port, and what an instance sends along."""
    return meshd_internal_pb2_grpc.MeshStub(pair[number].peer), (("mm-i-v", "1"), ("mm-i-key-bin", pair.key))


# -- Explain --------------------------------------------------------------------------------------------------


def test_a_model_is_explained_by_where_it_is_and_what_was_decided(pair: Mesh, model: str) -> None:
    told = pair.client.v1.Explain(wire.ExplainRequest(model=model), timeout=GUARD_S)
    assert [copy.instance for copy in told.model.copies] == ["i0"]
    assert rules(told.reasons)[:4] == ["register", "accept", "load", "ready"]
    assert {reason.model for reason in told.reasons} == {model}
    assert {reason.instance for reason in told.reasons} == {"i0"}
    assert told.reasons[3].inputs["load_ms"].HasField("whole")
    assert [reason.seq for reason in told.reasons] == sorted(reason.seq for reason in told.reasons)


def test_a_model_that_nobody_registered_cannot_be_explained(pair: Mesh) -> None:
    asked = wire.ExplainRequest(model="no such model")
    assert refused(lambda: pair.client.v1.Explain(asked, timeout=GUARD_S)) == (
        "NOT_FOUND", "no model 'no such model' is registered",
    )  # fmt: skip


def test_an_instance_explains_to_another_only_what_it_decided_itself(pair: Mesh, model: str) -> None:
    for number, expected in ((0, ["register", "accept", "load", "ready"]), (1, [])):
        stub, metadata = peer(pair, number)
        told = stub.Explain(wire.ExplainRequest(model=model), metadata=metadata, timeout=GUARD_S)
        assert rules(told.reasons)[:4] == expected
        assert told.model.spec.name == model


def test_an_instance_says_to_another_when_it_knows_nothing(pair: Mesh) -> None:
    stub, metadata = peer(pair, 1)
    asked = wire.ExplainRequest(model="no such model")
    assert refused(lambda: stub.Explain(asked, metadata=metadata, timeout=GUARD_S)) == (
        "NOT_FOUND", "no model 'no such model' is known here",
    )  # fmt: skip


def test_a_record_that_cannot_be_read_is_explained_as_such(pair: Mesh, model: str) -> None:
    pair.put("registry/broken", b"{")
    pair.settle()
    stub, metadata = peer(pair, 0)
    until_known = wire.ExplainRequest(model="broken")
    told = pair.client.v1.Explain(until_known, timeout=GUARD_S)
    assert "registry/broken" in told.model.failures[0].text
    assert "registry/broken" in stub.Explain(until_known, metadata=metadata, timeout=GUARD_S).model.failures[0].text
    pair.delete("registry/broken")


# -- Decisions ------------------------------------------------------------------------------------------------


def test_what_was_decided_is_told_by_filter(pair: Mesh, model: str) -> None:
    about = decided(pair, model=model)
    assert rules(about)[:4] == ["register", "accept", "load", "ready"]
    assert rules(decided(pair, model=model, rules=["load", "ready"])) == ["load", "ready"]
    assert rules(decided(pair, 1, model=model)) == rules(about)[-1:]
    assert decided(pair, model_prefix=model[:-1]) == decided(pair, model_prefix=model[:-1], instances=["i0", "i1"])
    assert {reason.model for reason in decided(pair, model_prefix=model)} == {model}
    assert [reason.seq for reason in decided(pair, model=model, since_ms=about[-1].at_ms)][-1] == about[-1].seq
    assert decided(pair, model=model, since_ms=about[-1].at_ms + 600_000) == []
    assert decided(pair, model=model, instances=["i1"]) == []


def test_who_follows_is_told_of_what_is_decided_next(pair: Mesh, model: str) -> None:
    follow = wire.DecisionsRequest(filter=wire.DecisionFilter(model=model, rules=["ready", "remove"]), follow=True)
    following = pair.client.v1.Decisions(follow, timeout=GUARD_S)
    assert next(following).rule == "ready"
    pair.client.unregister(model)
    removed = next(following)
    assert (removed.rule, removed.model, removed.cause) == ("remove", model, "unregistered")
    following.cancel()


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"filter": {"rules": ["evicts"]}}, "there is no rule 'evicts'; did you mean evict?"),
        ({"last": -1}, "last is -1; allowed: 0 and more"),
        ({"filter": {"since_ms": -5}}, "since_ms is -5; allowed: 0 and more"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(pair: Mesh, asked: Any, text: str) -> None:
    for follow in (False, True):
        request = wire.DecisionsRequest(**asked, follow=follow)
        stub, metadata = peer(pair, 0)
        for call in (
            lambda: list(pair.client.v1.Decisions(request, timeout=GUARD_S)),  # noqa: B023
            lambda: list(stub.Decisions(request, metadata=metadata, timeout=GUARD_S)),  # noqa: B023
        ):
            assert refused(call) == ("INVALID_ARGUMENT", text)


def test_an_unknown_rule_like_no_other_is_answered_with_all_there_are() -> None:
    request = wire.DecisionsRequest(filter=wire.DecisionFilter(rules=["xyzzy"]))
    with pytest.raises(InvalidRequest, match="known: holder, place, accept"):
        Decisions(make_node(10)).stream(request)


def make_node(kept: int) -> Node:
    """A node that keeps so many reasons."""
    node = Node(Me("i0", NOW, "a:1", "a:2"), Settings(), params(), Rules(), Random(1))
    node.log = ReasonLog(kept)
    return node


def decide(node: Node, number: int) -> None:
    candidates = (Candidate("x", (1, "y"), Rejected.BUSY), Candidate("z"))
    node.explain(Reason(Rule.PLACE, f"m{number}", "i0", "why", 7, {"units": number, "type": "t"}, candidates, 2))


def test_a_reader_that_is_too_slow_is_told_how_much_it_missed() -> None:
    async def main() -> list[tuple[int, str, int]]:
        node = make_node(10)
        decide(node, 1)
        stream = Decisions(node).stream(wire.DecisionsRequest(follow=True))
        read = [await anext(stream)]
        for number in range(2, 102):
            decide(node, number)
        read += [await anext(stream) for _ in range(11)]
        decide(node, 102)
        read.append(await anext(stream))
        await stream.aclose()
        return [(reason.seq, reason.rule, reason.more) for reason in read]

    read = run(main())
    assert read[:2] == [(1, "place", 2), (0, "lost", 90)]
    assert read[2:] == [(seq, "place", 2) for seq in range(92, 103)]


def test_who_follows_reads_everything_once_and_in_order() -> None:
    async def main() -> list[int]:
        node = make_node(50)
        stream = Decisions(node).stream(wire.DecisionsRequest(follow=True, last=2))
        for number in range(1, 6):
            decide(node, number)
        read = [(await anext(stream)).seq, (await anext(stream)).seq]

        async def go_on() -> None:
            for number in range(6, 9):
                await asyncio.sleep(1)
                decide(node, number)

        going = asyncio.create_task(go_on())
        read += [(await anext(stream)).seq for _ in range(3)]
        await going
        await stream.aclose()
        return read

    assert run(main()) == [4, 5, 6, 7, 8]


def test_a_decision_is_told_with_all_it_was_decided_from() -> None:
    async def main() -> Any:
        node = make_node(50)
        decide(node, 3)
        stream = Decisions(node).stream(wire.DecisionsRequest())
        return [reason async for reason in stream]

    (told,) = run(main())
    assert told == wire.Reason(
        seq=1, at_ms=NOW, rule="place", model="m3", chosen="i0", view_revision=7, cause="why", more=2, instance="i0",
        inputs={"units": wire.Value(whole=3), "type": wire.Value(text="t")},
        candidates=[wire.Candidate(id="x", score=["1", "y"], rejected="busy"), wire.Candidate(id="z")],
    )  # fmt: skip


# -- the mesh port --------------------------------------------------------------------------------------------


def test_nobody_without_the_key_is_told_anything(pair: Mesh, model: str) -> None:
    stub, _ = peer(pair, 0)
    metadata = (("mm-i-v", "1"), ("mm-i-key-bin", b"wrong"))
    for call in (
        lambda: stub.Explain(wire.ExplainRequest(model=model), metadata=metadata, timeout=GUARD_S),
        lambda: list(stub.Decisions(wire.DecisionsRequest(), metadata=metadata, timeout=GUARD_S)),
        lambda: stub.Status(internal.StatusRequest(protocol=1), metadata=metadata, timeout=GUARD_S),
    ):
        assert refused(call) == ("PERMISSION_DENIED", "this port is for instances of this mesh")


def test_an_instance_tells_another_what_it_holds_page_by_page(pair: Mesh, model: str) -> None:
    stub, metadata = peer(pair, 0)
    names = [f"{model}-{letter}" for letter in "cab"]
    for name in names:
        pair.client.register(name)
        pair.copy(name, 0)
    asked = internal.StatusRequest(protocol=1, with_copies=True, page_size=2)
    copies, accepted = [], 0
    while True:
        told = stub.Status(asked, metadata=metadata, timeout=GUARD_S)
        assert len(told.copies) <= 2
        copies += told.copies
        accepted = told.accepted
        asked.page_token = told.next_page_token
        if not told.next_page_token:
            break
    assert (told.instance.id, told.instance.models) == ("i0", len(copies))
    assert accepted >= len(copies)
    assert [copy.model for copy in copies] == sorted(copy.model for copy in copies)
    mine = [copy for copy in copies if copy.model in names]
    assert [copy.model for copy in mine] == sorted(names)
    assert {copy.state for copy in mine} == {"active"}
    assert all(copy.gen and copy.load_ts and copy.size_units and copy.last_used_ms for copy in mine)


def test_an_instance_tells_another_only_of_itself_where_no_copies_are_asked_for(pair: Mesh, model: str) -> None:
    stub, metadata = peer(pair, 0)
    told = stub.Status(internal.StatusRequest(protocol=1), metadata=metadata, timeout=GUARD_S)
    assert (told.instance.id, list(told.copies), told.next_page_token) == ("i0", [], "")


@pytest.mark.parametrize(
    ("asked", "code", "text"),
    [
        ({"protocol": 2}, "FAILED_PRECONDITION", "this instance speaks protocol 1 between instances, not 2"),
        ({"protocol": 1, "page_size": -1}, "INVALID_ARGUMENT", "page_size is -1; allowed: 0 and more"),
    ],
)
def test_a_question_that_makes_no_sense_is_refused(pair: Mesh, asked: Any, code: str, text: str) -> None:
    stub, metadata = peer(pair, 0)
    request = internal.StatusRequest(**asked)
    assert refused(lambda: stub.Status(request, metadata=metadata, timeout=GUARD_S)) == (code, text)
