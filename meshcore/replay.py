"""Has a node decide again what a journal says it was asked, and finds the first thing that it does otherwise."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from meshcore import image
from meshcore.asks import Register, Request, Unregister
from meshcore.commands import Command
from meshcore.errors import MeshError
from meshcore.eviction import EVICT_ORDERS
from meshcore.journal import Copy, Header, decode_calls, named_rules, read_header
from meshcore.node import Node
from meshcore.plain import NotPlain, Plain, decode, encode
from meshcore.routing import Flow
from meshcore.rules import Rules, with_eviction


class BadJournal(Exception):
    """A journal that cannot be replayed: ``text`` says in which ``line`` (from 1) and why."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")
        self.line, self.text = line, text


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that came out otherwise, as plain data; None stands for nothing at all."""

    line: int
    at_ms: int
    cause: Plain
    """What the node was told: an event, what was asked, or the outcome of a step."""
    recorded: Plain
    now: Plain


@dataclass(frozen=True, slots=True)
class Gap:
    """From ``since_ms`` on nothing is known; ``until_ms`` None: for good."""

    why: str
    since_ms: int
    until_ms: int | None


@dataclass(frozen=True, slots=True)
class Replayed:
    """How a journal compares; where there is a difference, what was counted came before it."""

    instance: str
    core: str
    t0_ms: int
    until_ms: int
    lines: int
    """Things the node was asked or told."""
    commands: int
    difference: Difference | None
    gap: Gap | None
    is_cut: bool
    """The last line is not whole, as when the process was killed while it wrote."""


class _Replaying(Node):
    """A node that can also do what a flow did that it does not know."""

    def do(self, calls: list[tuple[str, list[object], dict[str, object]]], now: int) -> list[Command]:
        """Commands of what a flow did at the desk; what the desk refused then it refuses again."""
        self.now = now
        for name, given, named in calls:
            method = None if name.startswith("_") else getattr(type(self.desk), name, None)
            if not callable(method):
                raise NotPlain(f"no flow can do {name!r}")
            found = [self._copy(each) for each in given], {key: self._copy(each) for key, each in named.items()}
            with suppress(MeshError):
                method(self.desk, *found[0], **found[1])
        return self._drain()

    def _copy(self, argument: object) -> object:
        if not isinstance(argument, Copy):
            return argument
        entry = self.cache.entries.get(argument.model)
        if entry is None or entry.gen != argument.gen:
            raise LookupError(f"a flow used copy {argument.gen} of {argument.model}, which is not here")
        return entry


def replay(lines: Iterable[bytes], rules: Rules | None = None, changes: Mapping[str, int] | None = None) -> Replayed:
    """Compare a journal, given by lines, with what a node does now; with other ``rules``, or settings with ``changes``.

    Raises BadJournal, and TypeError for a setting that there is not.
    """
    texts = _texts(lines)
    header, t0 = _first(texts, "nothing is written there", read_header)
    rules = rules or _own_rules(header)
    settings = replace(header.settings, **(changes or {}))
    node = _Replaying(header.me, settings, header.params, rules, Random(header.seed))
    node.dials.fixed = frozenset(changes or ())

    def begin(plain: Plain) -> None:
        if not isinstance(plain, dict) or "state" not in plain:
            raise NotPlain("the state that the journal begins with is missing")
        if plain["state"] is not None:
            image.put(node, plain["state"])

    _first(texts, "the state that the journal begins with is missing", begin)
    replaying = _Replay(node, t0)
    for number, plain, is_whole in texts:
        if not is_whole:
            return replaying.result(header, t0, is_cut=True)
        if replaying.gap is not None:
            raise BadJournal(number, "this comes after a gap, and what was in the gap is not known")
        try:
            replaying.take(number, plain)
        except _CANNOT as wrong:
            raise BadJournal(number, str(wrong)) from wrong
        if replaying.difference is not None:
            break
    return replaying.result(header, t0, is_cut=False)


_CANNOT = (NotPlain, TypeError, KeyError, RecursionError)
"""What reading a line, or giving a node what no driver would, can end in."""

_Texts = Iterator[tuple[int, Plain, bool]]


def _texts(lines: Iterable[bytes]) -> _Texts:
    """(number, what the line says, whether it is whole); only the last may not be. Raises BadJournal."""
    for number, line in enumerate(lines, 1):
        try:
            yield number, json.loads(line), True
        except (ValueError, RecursionError):
            if line.endswith(b"\n"):
                raise BadJournal(number, "this is no JSON: the file is damaged") from None
            yield number, None, False


def _first(texts: _Texts, missing: str, read: Callable[[Plain], Any]) -> Any:
    """What ``read`` makes of the next of the lines that have to be there."""
    number, plain, is_whole = next(texts, (1, None, False))
    if not is_whole:
        raise BadJournal(number, f"{missing}: the file is empty or was cut off where it begins")
    try:
        return read(plain)
    except _CANNOT as wrong:
        raise BadJournal(number, str(wrong)) from wrong


def _own_rules(header: Header) -> Rules:
    wanted = header.rules.get("evict_order")
    rules = next(
        (made for made in map(with_eviction, EVICT_ORDERS) if named_rules(made)["evict_order"] == wanted), Rules()
    )
    for name, function in named_rules(rules).items():
        if header.rules.get(name) != function:
            raise BadJournal(1, f"the rule {name} was {header.rules.get(name)}, and here it is {function}")
    return rules


class _Replay:
    """The node as far as the journal was read."""

    def __init__(self, node: _Replaying, t0: int) -> None:
        self._node, self._until = node, t0
        self._flows: dict[int, Flow] = {}
        self._lines = self._commands = 0
        self.gap: Gap | None = None
        self.difference: Difference | None = None

    def result(self, header: Header, t0: int, is_cut: bool) -> Replayed:
        return Replayed(
            header.me.instance, header.core, t0, self._until, self._lines, self._commands, self.difference, self.gap,
            is_cut,
        )  # fmt: skip

    def take(self, number: int, plain: Plain) -> None:
        """Do what the line ``number`` says was asked. Raises one of _CANNOT."""
        if not isinstance(plain, dict):
            raise NotPlain("this is no line of a journal")
        if "gap" in plain:
            self.gap = Gap(str(plain["gap"]), plain["from"], plain["to"])
            return
        if "l" in plain:
            if flow := self._flows.pop(plain["l"], None):
                self._node.leave(flow)
            return
        now = plain["t"]
        if type(now) is not int:
            raise NotPlain(f"{now!r} is no instant")
        self._until = max(self._until, now)
        self._lines += 1
        cause, (step, commands, defect) = self._ask(plain, now)
        self._compare(number, now, cause, plain, step, commands, defect)

    def _ask(self, plain: dict[str, Plain], now: int) -> tuple[Plain, tuple[Plain, list[Command], str]]:
        node = self._node
        if "e" in plain:
            event = decode(plain["e"])
            return plain["e"], _ran(lambda: (None, node.step(event, now)))
        if "h" in plain:
            calls = decode_calls(plain["h"])
            return plain["h"], _ran(lambda: (None, node.do(calls, now)))
        number, outcome = plain["f"], None
        if "a" in plain:
            asked = decode(plain["a"])
            if not isinstance(asked, Request | Register | Unregister):
                raise NotPlain(f"nobody can ask for {plain['a']}")
            self._flows[number] = node.serve(asked)
        else:
            outcome = decode(plain["o"])
        if number not in self._flows:
            raise NotPlain(f"flow {number} goes on, and there is no line that begins it")
        flow = self._flows[number]
        return plain.get("a", plain.get("o")), _ran(lambda: _resumed(node, flow, outcome, now))

    def _compare(
        self, line: int, now: int, cause: Plain, recorded: Plain, step: Plain, commands: list[Command], defect: str
    ) -> None:
        if defect or "x" in recorded:
            if defect != recorded.get("x", ""):
                told = f"the core failed: {recorded['x']}" if "x" in recorded else None
                self.difference = Difference(line, now, cause, told, f"the core failed: {defect}" if defect else None)
            return
        before, after = recorded["c"], encode(tuple(commands))
        for at in range(max(len(before), len(after))):
            then = before[at] if at < len(before) else None
            here = after[at] if at < len(after) else None
            if then != here:
                self.difference = Difference(line, now, cause, then, here)
                return
            self._commands += 1
        if step != recorded.get("s"):
            self.difference = Difference(line, now, cause, recorded.get("s"), step)


def _resumed(node: Node, flow: Flow, outcome: Any, now: int) -> tuple[Plain, list[Command]]:
    step, commands = node.resume(flow, outcome, now)
    return encode(step), commands


def _ran(ask: Callable[[], tuple[Plain, list[Command]]]) -> tuple[Plain, list[Command], str]:
    """What came of asking the node, and the text of the defect that kept it from answering."""
    try:
        return *ask(), ""
    except NotPlain:
        raise
    except Exception as defect:
        return None, [], repr(defect)
