"""An instance that goes, or whose runtime does: it loads nothing any more, and others take over its copies first.

It goes on answering meanwhile. When others have what they can have, or the time for it is over, it may end; one whose
runtime alone is replaced takes loads again when it has the next one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcore.commands import Depart
from meshcore.handovers import Handovers
from meshcore.reasons import Reason, Rule
from meshcore.units import NEVER

if TYPE_CHECKING:
    from meshcore.node import Node


class Departure:
    """One instance's, from when it is told to go until it ends or stays."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.handovers = Handovers(node)
        self.copies = 0
        """Copies that were here when it began."""
        self._has_begun = False
        self.is_over = False
        """Whether there is nothing left that the end waits for."""
        self.cause = ""
        """Why the end need not wait any more; empty: it does."""
        self.is_to_return = False
        """Whether it takes loads again when it has another runtime."""
        self._until = NEVER
        """When the time for it is over."""
        self._return_at = NEVER
        """When it takes loads again if the runtime did not go."""

    def begin(self, budget_ms: int, is_for_good: bool) -> None:
        """Hand over what can be, within ``budget_ms``; that it is asked once more can only make the time shorter.

        Not ``is_for_good``: this instance takes loads again as soon as it has another runtime.
        """
        node = self._node
        self._until = min(self._until, node.now + budget_ms)
        self.handovers.limit(self._until)
        self.is_to_return = not is_for_good and (self.is_to_return or not self._has_begun)
        if self._has_begun or self.is_over:
            return
        self._has_begun = True
        node.view.see_self(node.own_record())
        self.copies = self.handovers.begin(self._until)
        inputs: dict[str, int | str] = {
            "copies": self.copies, "awaited": self.handovers.awaited, "instances": self.handovers.instances,
            "budget_ms": budget_ms,
        }  # fmt: skip
        cause = "this instance is going" if is_for_good else "the runtime is going"
        node.explain(Reason(Rule.DRAIN, "", node.me, cause, node.view.revision, inputs))
        self.tick()

    def end(self) -> None:
        """The process ends: nothing is handed over any more."""
        self.handovers.clear()
        self._has_begun, self.is_over, self.is_to_return = False, True, False

    def reset(self) -> None:
        """This instance stays; copies that no record names any more go."""
        self._has_begun = self.is_over = self.is_to_return = False
        self._until, self._return_at, self.cause = NEVER, NEVER, ""
        for model, gen in self.handovers.clear():
            self.handovers.withdraw(model, gen)

    @property
    def until(self) -> int:
        """By when the copies are to be handed over; NEVER: this instance is not on its way out."""
        return self._until

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The next instant at which there is something to do."""
        if not self._has_begun:
            return NEVER
        end_at = NEVER if self.is_over else self._until
        is_to_return = self.is_to_return and not self._node.is_runtime_away
        return min(end_at, self._return_at if is_to_return else NEVER, self.handovers.next_wake())

    def tick(self) -> None:
        """Do what is due."""
        node = self._node
        if not self._has_begun:
            return
        if self.is_to_return and self._return_at <= node.now and not node.is_runtime_away:
            node.stay("the runtime is still there: takes loads again")
            return
        self.handovers.tick()
        self.look()

    def look(self) -> None:
        """It may be over: there is nothing left that it is worth to wait for, or the time is over."""
        node, handovers = self._node, self.handovers
        is_worth_waiting = handovers.instances and handovers.awaited and self._until > node.now
        if not self._has_begun or self.is_over or is_worth_waiting:
            return
        self.is_over, self.cause = True, "its copies are handed over"
        if not handovers.instances:
            self.cause = "no other instance can take its copies"
        elif self._until <= node.now:
            self.cause = "the time to hand over its copies is over"
        if self.is_to_return:
            self._return_at = node.now + node.settings.runtime_leave_ms
        left, refused = handovers.left
        inputs: dict[str, int | str] = {"left": left, "refused": refused}
        node.emit(Depart(node.explain(Reason(Rule.DRAIN, "", node.me, self.cause, node.view.revision, inputs))))
