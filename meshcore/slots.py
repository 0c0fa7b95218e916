"""Where the copies are made that take the place of copies here: so many at a time at an instance, and no more.

An instance that declined one is left to itself for a while, as long as there is somebody else to wait for.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from meshcore.asks import Request
from meshcore.units import NEVER

if TYPE_CHECKING:
    from meshcore.node import Node

SHARE = 2
"""One of so many load threads of an instance is for such copies; the others are for what clients wait for."""


class Slots:
    """Who makes which copy, and the models that wait until somebody may make another."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._target: dict[str, str] = {}
        self._at: dict[str, dict[str, None]] = {}
        self._full: dict[str, None] = {}
        """Instances that make as many as they may."""
        self._declined: dict[str, int] = {}
        """Until when instances are left out that declined."""
        self._held: dict[str, deque[str]] = {}
        """Models that wait, by their type, in the order they came."""

    def out(self, request: Request, kind: str) -> tuple[str, ...]:
        """Instances that are not to be asked for a copy of a type ``kind`` now.

        Those that make as many as they may and, if one of them could make it, those that declined. With nobody to wait
        for each model asks for itself: what one instance declined may have its place there, or be refused for good.
        """
        return (*self._full, *self._declined) if self.is_worth_waiting(request, kind) else tuple(self._full)

    def is_worth_waiting(self, request: Request, kind: str) -> bool:
        """Whether somebody who could make the copy, as far as is known, makes as many others as it may."""
        busy = (instance for instance in self._full if instance not in (*request.targets, *request.exclude))
        return any(self._node.view.may_load(instance, kind) for instance in busy)

    def decline(self, instance: str) -> None:
        """``instance`` would not make a copy: what it says of one it says of all, until there is news of it."""
        self._declined[instance] = self._node.now + self._node.settings.handover_again_ms

    def seen(self, instance: str) -> list[str]:
        """There is news of ``instance``; the types of those that have their turn for that."""
        return list(self._held) if self._declined.pop(instance, 0) else []

    def next_wake(self) -> int:
        """When the next one is asked again that declined, and that nothing was heard of."""
        return min(self._declined.values(), default=NEVER)

    def tick(self) -> list[str]:
        """The types of those that have their turn, for somebody is asked again."""
        over = [instance for instance, until in self._declined.items() if until <= self._node.now]
        for instance in over:
            del self._declined[instance]
        return list(self._held) if over else []

    def take(self, model: str, instance: str) -> list[str]:
        """``instance`` makes a copy of the model, and nobody else; the types of those that have their turn for that, or
        as it may make more."""
        freed = self.free(model)
        self._target[model] = instance
        at = self._at.setdefault(instance, {})
        at[model] = None
        record = self._node.view.instance(instance)
        if len(at) >= max(1, record.load_threads // SHARE if record is not None else 1):
            self._full[instance] = None
            return freed
        return list(self._held)

    def free(self, model: str) -> list[str]:
        """Nobody makes a copy of the model any more; the types of those that have their turn for that."""
        instance = self._target.pop(model, "")
        if not instance:
            return []
        del self._at[instance][model]
        if not self._at[instance]:
            del self._at[instance]
        self._full.pop(instance, None)
        return list(self._held)

    def next(self, kind: str) -> str:
        """Whose turn it is of a type, who does not wait any more then; empty: nobody's."""
        held = self._held.get(kind)
        if not held:
            return ""
        model = held.popleft()
        if not held:
            del self._held[kind]
        return model

    def is_taken(self, kind: str) -> bool:
        """Whether all that may load models of a type make as many as they may, or declined while others do."""
        view = self._node.view
        full = [instance for instance in self._full if view.may_load(instance, kind)]
        out = dict.fromkeys((*full, *(instance for instance in self._declined if view.may_load(instance, kind))))
        return bool(full) and len(out) >= view.totals_for(kind).instances

    def is_awaited(self, kind: str) -> bool:
        """Whether models of that type wait already."""
        return kind in self._held

    def hold(self, model: str, kind: str, is_first: bool) -> None:
        """The model waits; ``is_first``: it had its turn, and was not lucky."""
        held = self._held.setdefault(kind, deque())
        if is_first:
            held.appendleft(model)
        else:
            held.append(model)

    def clear(self) -> None:
        """Nothing is made any more."""
        for kept in (self._target, self._at, self._full, self._declined, self._held):
            kept.clear()
