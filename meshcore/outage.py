"""Whether the store is there and takes writes, and how long after it was not its word on who is gone is doubted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcore.reasons import Reason, Rule
from meshcore.units import NEVER, age_ms

if TYPE_CHECKING:
    from meshcore.node import Node


class Outage:
    """One instance's. What is loaded serves whatever this says; it decides where loads go, what is written when, and
    whether an instance whose record vanished counts as gone (docs/design.md, store away)."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.is_away = False
        """Neither read nor written can be."""
        self.refusal = ""
        """Why no write is taken, though the store answers; empty: they are."""
        self._is_unpublished = False
        """This instance's own record could not be written."""
        self._since = 0
        self._until = 0

    @property
    def is_blind(self) -> bool:
        """Whether no commit tells the others of a load."""
        return self.is_away or bool(self.refusal)

    @property
    def is_unsure(self) -> bool:
        """Whether what the store says, or does not say, of instances and copies may not be all that there is."""
        return self._is_going_on or self._node.now < self._until

    @property
    def _is_going_on(self) -> bool:
        return self.is_blind or self._is_unpublished

    # -- what happens ------------------------------------------------------------------------------

    def lost(self) -> None:
        """The store is away."""
        if not self.is_away:
            self._begin("is away")
            self.is_away = True

    def found(self) -> None:
        """The store is back: what was to be written is, and this instance's own record first."""
        if self.is_away:
            self.is_away = False
            self._end("is back")
            self._node.publisher.ask_now(self._node.now)
            self._node.writer.go_on(self._node.now)

    def refused(self, text: str) -> None:
        """The store answers, and takes no writes."""
        if not self.refusal:
            self._begin(f"takes no writes: {text}")
        self.refusal = text

    def took(self) -> None:
        """A write stands after others were refused, or there is none left to refuse."""
        self.refusal = ""
        self._end("takes writes again")

    def unpublished(self) -> None:
        """This instance's record could not be written, so others' may be missing for the same cause."""
        self._is_unpublished = self._node.view.keeps_vanished = True

    def published(self) -> None:
        """It could."""
        if self._is_unpublished:
            self._is_unpublished = False
            self._doubt()

    def _begin(self, how: str) -> None:
        node = self._node
        self._since = self._since if self._is_going_on else node.now
        node.view.keeps_vanished = True
        node.rendezvous.forget()
        node.explain(Reason(Rule.STORE, "", node.me, f"the store {how}", node.view.revision))

    def _end(self, how: str) -> None:
        node = self._node
        self._doubt()
        inputs: dict[str, int | str] = {"after_ms": age_ms(self._since, node.now), "to_write": len(node.writer)}
        node.explain(Reason(Rule.STORE, "", node.me, f"the store {how}", node.view.revision, inputs))

    def _doubt(self) -> None:
        self._until = self._node.now + 2 * self._node.settings.lease_ttl_ms

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The instant from which on whoever has no record is gone."""
        return self._until if self._node.view.keeps_vanished and not self._is_going_on else NEVER

    def tick(self) -> None:
        """Take those for gone whose records did not come back."""
        node = self._node
        if self.next_wake() > node.now:
            return
        node.view.keeps_vanished = False
        for instance in node.view.give_up_vanished():
            node.instance_given_up(instance)
