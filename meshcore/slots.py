"""Where the copies are made that take the place of copies here: so many at a time at an instance, and no more."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

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
        self._held: dict[str, deque[str]] = {}
        """Models that wait, by their type, in the order they came."""

    @property
    def full(self) -> tuple[str, ...]:
        """Instances that make as many as they may."""
        return tuple(self._full)

    def take(self, model: str, instance: str) -> list[str]:
        """``instance`` makes a copy of the model, and nobody else; the types of those that have their turn for that."""
        freed = self.free(model)
        self._target[model] = instance
        at = self._at.setdefault(instance, {})
        at[model] = None
        record = self._node.view.instance(instance)
        if len(at) >= max(1, record.load_threads // SHARE if record is not None else 1):
            self._full[instance] = None
        return freed

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
        """Whether all that may load models of a type make as many as they may."""
        view = self._node.view
        full = sum(view.may_load(instance, kind) for instance in self._full)
        return 0 < full >= view.totals_for(kind).instances

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
        for kept in (self._target, self._at, self._full, self._held):
            kept.clear()
