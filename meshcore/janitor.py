"""Goes through this instance's own models now and then: what no event brought into line is brought so here."""

from __future__ import annotations

from collections import deque
from random import Random
from typing import TYPE_CHECKING

from meshcore.edits import Rewind, Touch
from meshcore.naming import Naming
from meshcore.reasons import Reason, Rule
from meshcore.units import age_ms

if TYPE_CHECKING:
    from meshcore.node import Node

DAY_MS = 86_400_000
"""No clock is this much ahead: a last use that lies later is a slip."""
SLIP_AGE_MS = 3 * 3_600_000
"""What was used at an instant that cannot be counts as used this long ago."""


class Janitor:
    """One model after the other, in slices; one that is odd does not keep it from the next (D-22)."""

    NOT_STATE = frozenset({"_stale_ms"})

    def __init__(self, node: Node, failing: Naming) -> None:
        self._node, self._failing = node, failing
        settings, me = node.settings, node.identity
        spread = Random(f"{me.instance}/{me.start_ms}").random()  # several holders of a model do not write together
        self._stale_ms = settings.last_used_ahead_ms + int(spread * settings.last_used_spread_ms)
        self._due = me.start_ms + settings.janitor_period_ms
        self._left: deque[str] = deque()
        """The models that this run has still to look at."""

    def next_wake(self) -> int:
        """The instant of the next slice."""
        return self._due

    def tick(self) -> None:
        """Begin a run if it is time, and look at the next few models."""
        node = self._node
        if self._due > node.now:
            return
        if not self._left:
            here, me = node.cache.entries, node.me
            self._left += dict.fromkeys([*here, *node.routes.naming(me), *self._failing.naming(me)])
        is_idle = node.is_draining or node.is_runtime_away
        for _ in range(min(node.settings.slice_models, len(self._left))):
            model = self._left.popleft()
            if not is_idle:
                self._look(model)
        pause_ms = node.settings.slice_pause_ms if self._left else node.settings.janitor_period_ms
        self._due = node.now + pause_ms

    def _look(self, model: str) -> None:
        node, now = self._node, self._node.now
        node.alignment.align(model)
        record, entry = node.record_or_none(model), node.cache.entries.get(model)
        if record is None:
            return
        if record.last_used > now + DAY_MS:
            rewind(node, model)
        elif entry is not None and entry.is_serving:
            used_at = node.cache.last_used(model)
            if age_ms(record.last_used, used_at) >= self._stale_ms:
                inputs: dict[str, int | str] = {"behind_ms": age_ms(record.last_used, used_at)}
                why = Reason(Rule.TOUCH, model, node.me, "used here since", inputs=inputs)
                node.edit(model, Touch(used_at), node.explain(why))


def rewind(node: Node, model: str) -> None:
    """The last use on record lies where no clock is: let it be one of a few hours ago (D-22)."""
    why = Reason(Rule.TOUCH, model, node.me, "its last use on record cannot be")
    node.edit(model, Rewind(node.now + DAY_MS, node.now - SLIP_AGE_MS), node.explain(why))
