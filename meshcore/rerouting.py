"""Looks again at the routes that an instance's coming, going or end may change, some at a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from meshcore.units import NEVER

if TYPE_CHECKING:
    from meshcore.node import Node

Life = tuple[int, bool]
"""When an instance started, and whether it is going."""


class Rerouting:
    """Instances write their records often, and seldom does it matter to the models that have copies there.

    Which of these copies can be alive depends on an instance's start alone: one that is going answers as before. Only
    whether a model could do without its copy here depends on whether the others stay.
    """

    def __init__(self, node: Node) -> None:
        self._node = node
        self._lives: dict[str, Life] = {}
        self._changed: dict[str, bool] = {}
        """Instances whose models are to be looked at: all of them, or (False) those with a copy here."""
        self._left: deque[tuple[str, bool]] = deque()
        """Models of one of them, with the same."""
        self._due = 0
        """When it is gone on, if there is anything left."""

    def instance_seen(self, instance: str) -> None:
        """An instance's record is another one."""
        record, before = self._node.view.instance(instance), self._lives.pop(instance, None)
        life = (record.start_ms, record.is_shutting_down) if record is not None and record.is_ours else None
        if life is not None:
            self._lives[instance] = life
        if life != before:
            is_another = life is None or before is None or life[0] != before[0]
            self._changed[instance] = is_another or self._changed.get(instance, False)

    def next_wake(self) -> int:
        """The instant of the next slice; NEVER if nothing is left."""
        return self._due if self._left or self._changed else NEVER

    def tick(self) -> None:
        """Look at the next few models."""
        node = self._node
        if self.next_wake() > node.now:
            return
        for _ in range(node.settings.slice_models):
            if not self._left and not self._next_instance():
                return
            model, is_another = self._left.popleft()
            if is_another or model in node.cache.entries:
                node.routes.update(model, node.record_or_none(model))
        self._due = node.now + node.settings.slice_pause_ms

    def _next_instance(self) -> bool:
        """Go on to the models of the next instance that has any; False: there is none."""
        while self._changed and not self._left:
            instance = next(iter(self._changed))
            is_another = self._changed.pop(instance)
            self._left += ((model, is_another) for model in self._node.routes.naming(instance))
        return bool(self._left)
