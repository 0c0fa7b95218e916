"""A node that has everything written down that it is told and answers, for a journal to keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from random import Random
from typing import Any, Protocol

from meshcore import image
from meshcore.asks import Answered, Asked, Done, Failed, Met, Outcome, Request, RuntimeFailed, Step
from meshcore.capacity import CacheParams
from meshcore.commands import Command
from meshcore.desk import FrontDesk
from meshcore.entry import Entry
from meshcore.events import Event
from meshcore.image import Image
from meshcore.journal import Copy, Heard, Left, Line, Ran, Resumed, Stepped
from meshcore.me import Me
from meshcore.node import Node
from meshcore.routing import Flow
from meshcore.rules import Rules
from meshcore.settings import Settings

READS = frozenset(
    {
        "record", "mod", "entry", "holders", "given_up", "want", "may_load", "would_admit", "no_place",
        "refusal", "status", "vmodel", "vmodel_mod", "may_switch", "is_held",
    }
)  # fmt: skip
"""What a flow may ask at the desk without changing anything."""

_NO_REPLY = Answered(None)


class Sink(Protocol):
    """Where what happened goes; it keeps what it is given as it is, nothing of that changes."""

    @property
    def wants_state(self) -> bool:
        """Whether it is time to begin anew, with the state as it is now."""

    def take(self, line: Line) -> None:
        """The next thing that happened."""

    def begin(self, state: Image, now: int) -> None:
        """What follows happened to a node that kept ``state`` at ``now``."""


class _Flows:
    """The flows that have not ended, by number."""

    def __init__(self) -> None:
        self.numbers: dict[Flow, int] = {}
        self.asked: dict[Flow, Asked] = {}
        """What those were asked that have not begun yet."""
        self.unknown: set[Flow] = set()
        """Those that had begun before what is being written."""
        self.count = 0

    def add(self, flow: Flow, asked: Asked) -> None:
        self.count += 1
        self.numbers[flow], self.asked[flow] = self.count, asked

    def drop(self, flow: Flow) -> None:
        self.numbers.pop(flow, None)
        self.asked.pop(flow, None)
        self.unknown.discard(flow)

    def forget(self) -> None:
        """What is written from now on does not say how the flows of now came to where they are."""
        self.unknown = {flow for flow in self.numbers if flow not in self.asked}


class RecordedNode(Node):
    """Does what a Node does, and tells ``sink`` of every way in."""

    NOT_STATE = Node.NOT_STATE | {"_sink", "_flows", "_did"}

    def __init__(self, me: Me, settings: Settings, params: CacheParams, rules: Rules, rng: Random, sink: Sink) -> None:
        super().__init__(me, settings, params, rules, rng)
        self._sink, self._flows = sink, _Flows()
        self._did: list[tuple[str, tuple[object, ...], dict[str, object]]] = []
        self.desk = _HeardDesk(self, self._hear)

    def step(self, event: Event, now: int) -> list[Command]:
        """As the node does."""
        try:
            commands = super().step(event, now)
        except Exception as defect:
            self._tell(Stepped(now, event, Ran(defect=repr(defect))))
            raise
        self._tell(Stepped(now, event, Ran(tuple(commands))))
        return commands

    def serve(self, asked: Asked) -> Flow:
        """As the node does."""
        flow = super().serve(asked)
        self._flows.add(flow, asked)
        return flow

    def resume(self, flow: Flow, outcome: Outcome | None, now: int) -> tuple[Step | Done | Failed, list[Command]]:
        """As the node does."""
        self._did.clear()
        asked = self._flows.asked.pop(flow, None)
        try:
            step, commands = super().resume(flow, outcome, now)
        except Exception as defect:
            self._resumed(flow, asked, outcome, None, Ran(defect=repr(defect)))
            raise
        self._resumed(flow, asked, outcome, step, Ran(tuple(commands)))
        return step, commands

    def leave(self, flow: Flow) -> None:
        """As the node does."""
        super().leave(flow)
        number = self._flows.numbers.get(flow)
        if number is not None:
            self._flows.drop(flow)
            self._sink.take(Left(number))

    def _resumed(
        self, flow: Flow, asked: Asked | None, outcome: Outcome | None, step: Step | Done | Failed | None, ran: Ran
    ) -> None:
        number = self._flows.numbers[flow]
        line: Line
        if flow in self._flows.unknown:
            line = Heard(self.now, number, tuple(self._did), ran)
        else:
            line = Resumed(self.now, number, _without_bodies(asked), _without_reply(outcome), _ended(step), ran)
        if step is None or isinstance(step, Done | Failed):
            self._flows.drop(flow)
        self._tell(line)

    def _tell(self, line: Line) -> None:
        self._sink.take(line)
        if self._sink.wants_state:
            self._flows.forget()
            self._sink.begin(image.take(self), self.now)

    def _hear(self, name: str, given: tuple[object, ...], named: dict[str, object]) -> None:
        if self._flows.unknown:
            kept = {key: _kept(each) for key, each in named.items()}
            self._did.append((name, tuple(_kept(each) for each in given), kept))


class _HeardDesk(FrontDesk):
    """Tells what flows do at it, but not what that makes it do itself; methods that only read are as they are."""

    NOT_STATE = frozenset({"is_busy"})

    def __init__(self, node: Node, hear: Callable[[str, tuple[object, ...], dict[str, object]], None]) -> None:
        super().__init__(node)
        self.hear = hear
        self.is_busy = False


def _heard(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(desk: _HeardDesk, *given: Any, **named: Any) -> Any:
        if desk.is_busy:
            return method(desk, *given, **named)
        desk.hear(name, given, named)
        desk.is_busy = True
        try:
            return method(desk, *given, **named)
        finally:
            desk.is_busy = False

    return call


for _name, _method in vars(FrontDesk).items():
    if callable(_method) and not _name.startswith("_") and _name not in READS:
        setattr(_HeardDesk, _name, _heard(_name, _method))


def _kept(argument: object) -> object:
    return Copy(argument.model, argument.gen) if isinstance(argument, Entry) else argument


# -- no bodies -----------------------------------------------------------------------------------------------


def _without_reply(outcome: Outcome | None) -> Outcome | None:
    match outcome:
        case Answered():
            return _NO_REPLY
        case RuntimeFailed():
            return replace(outcome, reply=None)
    return outcome


def _without_bodies(asked: Asked | None) -> Asked | None:
    match asked:
        case Request(met=Met(outcome=outcome) as met):
            stripped = _without_reply(outcome)
            assert stripped is not None
            return replace(asked, met=replace(met, outcome=stripped))
    return asked


def _ended(step: Step | Done | Failed | None) -> Step | Done | Failed | None:
    match step:
        case Done(Answered() | RuntimeFailed() as answer):
            return Done(_NO_REPLY if isinstance(answer, Answered) else replace(answer, reply=None))
    return step
