"""Keeps the registry and the caches what they should be when no request asks: each part of it, and who leads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from meshcore.janitor import Janitor
from meshcore.minimum import Minimum
from meshcore.naming import Naming
from meshcore.proactive import Proactive
from meshcore.reaper import Reaper
from meshcore.reasons import Reason, Rule
from meshcore.view import FAILURES_MARK

if TYPE_CHECKING:
    from meshcore.node import Node


class Upkeep:
    """The janitor is every instance's; pruning, loading in advance and least numbers of copies are the leader's."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._leader = ""
        self._was_leading = False
        self._failing = Naming()
        """Models by the instances that their records name as failed."""
        self._taking: dict[str, None] = {}
        """Instances that take loads."""
        self.janitor = Janitor(node, self._failing)
        self.reaper = Reaper(node, self._failing)
        self.proactive = Proactive(node)
        self.minimum = Minimum(node)

    @property
    def leader(self) -> str:
        """Who leads, of either kind; empty: nobody, as far as is known."""
        return self._leader

    @property
    def is_leading(self) -> bool:
        """Whether what only one instance may do is this one's: one that goes begins nothing."""
        return self._leader == self._node.me and not self._node.is_draining

    @property
    def counts(self) -> tuple[int, int, int]:
        """Models with copies, with failures, and in all."""
        return len(self._node.routes), len(self._failing), self._node.view.count

    # -- what happens ------------------------------------------------------------------------------

    def led_by(self, instance: str) -> None:
        """The store tells who leads."""
        if instance == self._leader:
            return
        node, self._leader = self._node, instance
        cause = "a candidate for the longest time" if instance else "nobody can be told to lead"
        node.explain(Reason(Rule.LEAD, "", instance, cause, node.view.revision))
        self.follow_lead()

    def follow_lead(self) -> None:
        """This instance may have come to lead, or have stopped."""
        if self.is_leading != self._was_leading:
            self._was_leading = self.is_leading
            self.proactive.lead(self._was_leading)
            self.minimum.end()
            self._node.transitions.lead()

    def store_lost(self) -> None:
        """The store is away."""
        self.reaper.hold.store_lost()

    def store_found(self) -> None:
        """The store is back."""
        self.reaper.hold.store_found(self._node.now)

    def lease_lost(self) -> None:
        """This instance had lost its lease, and has another."""
        self.reaper.hold.lease_lost(self._node.now)

    def model_seen(self, model: str) -> None:
        """A model's record is another one."""
        node, record = self._node, None
        if node.view.names_copies(model) or node.view.mentions(model, FAILURES_MARK):
            record = node.record_or_none(model)
        self._failing.update(model, tuple(record.failures) if record is not None else ())
        if record is not None:
            self.reaper.named((*record.copies, *record.failures))
        if self._was_leading:
            self.proactive.model_seen(model)
            self.minimum.model_seen(model)

    def instance_seen(self, instance: str) -> None:
        """An instance's record is another one."""
        self.reaper.instance_seen(instance)
        self.place_seen(instance)

    def place_seen(self, instance: str) -> None:
        """Whether an instance takes loads may be otherwise."""
        takes, did = self._node.view.order.get(instance) is not None, instance in self._taking
        if takes:
            self._taking[instance] = None
        else:
            self._taking.pop(instance, None)
        if self._was_leading:
            self.proactive.instance_seen(takes and not did)
            if takes != did:
                self.minimum.instance_seen(instance, takes)

    def constrained(self) -> None:
        """Other constraints are in force."""
        self.minimum.constrained()

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The next instant at which there is something to do."""
        due = min(self.janitor.next_wake(), self.reaper.next_wake())
        return due if self._node.outage.is_unsure else min(due, self.proactive.next_wake(), self.minimum.next_wake())

    def tick(self) -> None:
        """Do what is due."""
        self.janitor.tick()
        self.reaper.tick()
        if self._node.outage.is_unsure:
            return  # copies that seem to be missing may only not be told of yet
        for model in self.proactive.tick():
            self.minimum.model_seen(model)
        self.minimum.tick()
