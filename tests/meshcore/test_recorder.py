"""A recorded node does what any node does, and tells of it without bodies."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from meshcore.asks import (
    Answered,
    AwaitLoaded,
    Done,
    Infer,
    Met,
    Op,
    Outcome,
    Register,
    Request,
    RuntimeFailed,
    Seen,
    Settled,
)
from meshcore.commands import Commit
from meshcore.desk import FrontDesk
from meshcore.errors import Code
from meshcore.events import Committed, Loaded, RegistrySeen, SessionRenewed, Ticked
from meshcore.image import Image
from meshcore.journal import Copy, Heard, Left, Line, Ran, Resumed, Stepped
from meshcore.me import Me
from meshcore.node import Node
from meshcore.recorder import READS, RecordedNode
from meshcore.records import ModelRecord
from meshcore.routing import Flow
from meshcore.rules import Rules
from meshcore.settings import Settings
from tests.builders import NOW, params

ME = Me("i0", NOW, "a:1", "a:2")
RECORD = ModelRecord("t", size_bytes=10 * 8192).encode()


class Told:
    """A sink that keeps everything, and wants the state when it is said so."""

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.began: list[tuple[Image, int]] = []
        self.wants_state = False

    def take(self, line: Line) -> None:
        self.lines.append(line)

    def begin(self, state: Image, now: int) -> None:
        self.wants_state = False
        self.began.append((state, now))


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def node(told: Told) -> RecordedNode:
    made = RecordedNode(ME, Settings(), params(), Rules(), Random(1), told)
    made.step(RegistrySeen(5, (Seen("m", RECORD, 5),), True), NOW)
    return made


def begin(node: Node, asked: Any) -> Flow:
    flow = node.serve(asked)
    node.resume(flow, None, NOW)
    return flow


def load(node: Node, flow: Flow) -> None:
    """Take a request for ``m`` until its copy is loaded and it is to be called."""
    node.step(Committed(1, 6), NOW)
    node.step(Loaded("m", 1, 8192), NOW)
    step, _ = node.resume(flow, Settled(None), NOW)
    assert step == Infer("m", 1)


def test_every_way_in_is_told_with_what_came_of_it(node: RecordedNode, told: Told) -> None:
    flow = begin(node, Request("m"))
    node.step(Ticked(), NOW + 1)
    seen, asked, ticked = told.lines
    assert isinstance(seen, Stepped)
    assert (seen.now, seen.event, seen.ran.commands) == (NOW, RegistrySeen(5, (Seen("m", RECORD, 5),), True),
                                                         seen.ran.commands)  # fmt: skip
    assert isinstance(asked, Resumed)
    assert (asked.flow, asked.asked, asked.outcome) == (1, Request("m"), None)
    assert isinstance(asked.step, AwaitLoaded)
    assert any(isinstance(command, Commit) for command in asked.ran.commands)
    assert isinstance(ticked, Stepped)
    assert ticked.event == Ticked()
    node.leave(flow)
    assert told.lines[3:] == [Left(1)]


def test_a_flow_that_ended_is_not_left(node: RecordedNode, told: Told) -> None:
    flow = begin(node, Request("m", Op.STATUS))
    node.leave(flow)
    assert isinstance(told.lines[-1], Resumed)
    assert isinstance(told.lines[-1].step, Done)


@pytest.mark.parametrize(
    ("outcome", "kept"),
    [
        (Answered(b"body"), Answered(None)),
        (RuntimeFailed(Code.INTERNAL, "why", b"body"), RuntimeFailed(Code.INTERNAL, "why")),
    ],
)
def test_no_body_is_told(node: RecordedNode, told: Told, outcome: Outcome, kept: Outcome) -> None:
    flow = begin(node, Request("m"))
    load(node, flow)
    step, _ = node.resume(flow, outcome, NOW)
    assert step == Done(outcome)  # type: ignore[arg-type]
    line = told.lines[-1]
    assert isinstance(line, Resumed)
    assert (line.outcome, line.step) == (kept, Done(kept))  # type: ignore[arg-type]
    begin(node, Request("m", met=Met("i0", NOW, 1, outcome)))
    line = told.lines[-1]
    assert isinstance(line, Resumed)
    assert line.asked == Request("m", met=Met("i0", NOW, 1, kept))


def test_what_a_flow_does_is_told_once_its_beginning_is_not_known(node: RecordedNode, told: Told) -> None:
    waiting, other, unbegun = begin(node, Request("m")), begin(node, Request("m")), node.serve(Request("m"))
    told.wants_state = True
    node.step(Ticked(), NOW)
    assert [now for _, now in told.began] == [NOW]
    load(node, waiting)
    line = told.lines[-1]
    assert isinstance(line, Heard)
    assert (line.flow, line.did) == (1, ())
    node.resume(waiting, RuntimeFailed(Code.NOT_FOUND, "/S/M: NOT_FOUND: gone", b"body"), NOW)
    line = told.lines[-1]
    assert isinstance(line, Heard)
    assert line.did[0] == ("lost", ("m", 1), {})
    assert [name for name, _, _ in line.did] == ["lost", "gives_up", "place", "place", "admit", "await_load"]
    assert line.did[-1][1] == (Copy("m", 2), Request("m"))
    assert b"body" not in repr(line).encode()
    node.leave(other)
    assert told.lines[-1] == Left(2)
    node.resume(unbegun, None, NOW)
    assert isinstance(told.lines[-1], Resumed), "this one began after the state"
    node.leave(waiting)
    assert told.lines[-1] == Left(1)


def test_a_defect_of_the_core_is_told_and_raised(node: RecordedNode, told: Told) -> None:
    with pytest.raises(KeyError):
        node.step(Committed(77, 1), NOW)
    assert isinstance(told.lines[-1], Stepped)
    assert told.lines[-1].ran.defect == "KeyError(77)"
    flow = begin(node, Register("m", "t", expected=5))
    with pytest.raises(AssertionError):
        node.resume(flow, Answered(None), NOW)
    line = told.lines[-1]
    assert isinstance(line, Resumed)
    assert (line.ran.defect, line.step) == ("AssertionError()", None)
    node.leave(flow)
    assert told.lines[-1] is line
    node.step(SessionRenewed(), NOW)
    assert told.lines[-1] == Stepped(NOW, SessionRenewed(), Ran()), "and the node goes on"


def test_a_plain_node_lets_a_flow_go_too() -> None:
    node = Node(ME, Settings(), params(), Rules(), Random(1))
    flow = begin(node, Request("m"))
    node.leave(flow)
    assert next(flow, None) is None


def test_what_a_desk_can_do_is_heard_or_known_to_change_nothing() -> None:
    names = {name for name, each in vars(FrontDesk).items() if callable(each) and not name.startswith("_")}
    assert names >= READS
    assert {"see", "explain", "choose_holder", "touch", "await_load", "lost", "place", "admit"} <= names - READS
