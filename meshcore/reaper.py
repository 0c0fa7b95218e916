"""Takes off records what they say of instances that are gone: the leader's work, a grace after they went."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

from meshcore.edits import Prune
from meshcore.errors import MeshError
from meshcore.hold import Hold
from meshcore.naming import Naming
from meshcore.reasons import Reason, Rule
from meshcore.units import NEVER, age_ms

if TYPE_CHECKING:
    from meshcore.node import Node


class Reaper:
    """Every instance keeps count of who is missing, so that whoever comes to lead need not begin to.

    Nothing is decided by another's clock alone: an instance is gone when this one has missed it for the grace and the
    store, asked with the write, has no record of it; that what it wrote is older than the grace comes on top.
    """

    def __init__(self, node: Node, failing: Naming) -> None:
        self._node, self._failing = node, failing
        self.hold = Hold(lambda: node.settings, node.now)
        self.missing: dict[str, int] = {}
        """Instances that records name and that have no record, and since when."""
        self._look_at: dict[str, int] = {}
        """The instants at which it is looked what records say of them."""
        self._due = NEVER
        """The first of these."""
        self._queued: deque[tuple[str, str]] = deque()
        """Pairs of a model and an instance that is to be taken off its record."""
        self._under_way = 0

    # -- who is missing ----------------------------------------------------------------------------

    def named(self, instances: Iterable[str]) -> None:
        """A record names these instances."""
        for instance in instances:
            if instance not in self.missing and not self._is_known(instance):
                self._miss(instance)

    def instance_seen(self, instance: str) -> None:
        """An instance's record is another one, or there is none any more."""
        node = self._node
        if node.view.instance_mod(instance):
            self.hold.came(instance)
            self.missing.pop(instance, None)
            self._look_at.pop(instance, None)
            return
        if self.hold.went(instance, node.view.instance_count, node.now):
            cause = "more than a third of the instances went together"
            inputs: dict[str, int | str] = {"left": node.view.instance_count}
            node.explain(Reason(Rule.HOLD, "", instance, cause, node.view.revision, inputs))
        if instance != node.me and instance not in self.missing and self._naming(instance):
            self._miss(instance)

    def is_gone(self, instance: str, at: int) -> bool:
        """Whether what a record says of ``instance`` since ``at`` may be taken off now."""
        node, grace_ms = self._node, self._node.settings.missing_grace_ms
        since = self.missing.get(instance)
        if since is None or not self._may_prune or self.hold.holds(node.now):
            return False
        return age_ms(since, node.now) >= grace_ms and age_ms(at, node.now) >= grace_ms

    @property
    def _may_prune(self) -> bool:
        node = self._node
        return node.upkeep.is_leading and not node.is_read_only and not node.outage.is_blind

    def _is_known(self, instance: str) -> bool:
        """A record that cannot be read is one, too, and so is a Java pod's."""
        return instance == self._node.me or bool(self._node.view.instance_mod(instance))

    def _miss(self, instance: str) -> None:
        self.missing[instance] = self._node.now
        self._look_again(instance)

    def _look_again(self, instance: str) -> None:
        at = self._look_at[instance] = self._node.now + self._node.settings.missing_grace_ms
        self._due = min(self._due, at)

    def _naming(self, instance: str) -> list[str]:
        return list(dict.fromkeys([*self._node.routes.naming(instance), *self._failing.naming(instance)]))

    # -- taking off --------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The instant at which there may be something to take off; NEVER while it is being done."""
        if self._queued or self._under_way or self._due == NEVER or not self._may_prune:
            return NEVER
        return max(self._due, self.hold.until)

    def tick(self) -> None:
        """See what is due."""
        node = self._node
        if self.next_wake() > node.now:
            return
        due = [instance for instance, at in self._look_at.items() if at <= node.now]
        self._due = min((at for at in self._look_at.values() if at > node.now), default=NEVER)
        for instance in due:
            self._look(instance)
        self._send()

    def _look(self, instance: str) -> None:
        node, models = self._node, self._naming(instance)
        if not models:
            del self.missing[instance], self._look_at[instance]
            return
        self._look_again(instance)  # some may be too young, and others come
        self._queued += ((model, instance) for model in models)
        inputs: dict[str, int | str] = {
            "gone_ms": age_ms(self.missing[instance], node.now),
            "models": len(models),
        }
        node.explain(Reason(Rule.PRUNE, "", instance, "no record of it", node.view.revision, inputs))

    def _send(self) -> None:
        """Begin as many writes as may be under way."""
        node = self._node
        while self._queued and self._under_way < node.settings.prune_batch:
            model, instance = self._queued.popleft()
            edit = Prune(instance, self.is_gone)
            record = node.record_or_none(model)
            if record is None or edit.apply(record) == record:
                continue
            inputs: dict[str, int | str] = {"gone_ms": age_ms(self.missing[instance], node.now)}
            why = Reason(Rule.PRUNE, model, instance, "its instance is gone", node.view.revision, inputs)
            self._under_way += 1
            node.edit(model, edit, node.explain(why), self._ended)

    def _ended(self, _: MeshError | None) -> None:
        self._under_way -= 1
        self._send()
