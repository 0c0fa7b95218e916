"""Loads models before anybody asks for them: the leader's work, soon after an instance or room has come."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from meshcore.asks import Op, Request
from meshcore.commands import Begin
from meshcore.constraints import Partition
from meshcore.filling import filling
from meshcore.idle import IdleModels
from meshcore.janitor import DAY_MS, rewind
from meshcore.reasons import Reason, Rule
from meshcore.records import InstanceRecord, ModelRecord
from meshcore.units import NEVER

if TYPE_CHECKING:
    from meshcore.node import Node

MOST_FAILURES = 1
"""A model that failed on more instances than this is left to those who ask for it."""
ROOM_PART = 20
"""Room has come when one in so many units of the capacity became free."""


class Proactive:
    """A plan now and then, and its loads a few at a time; who they go to is placement's choice, as ever."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.idle = IdleModels(node.view)
        self._due = NEVER
        self._planned_at = 0
        self._slice_at = NEVER
        """When more registrations are looked at, or more loads begun."""
        self._wanted: deque[tuple[str, int]] = deque()
        """Models to load, and when each was last used."""
        self._free_units = 0
        """The least that was free since the last plan."""

    def lead(self, is_leading: bool) -> None:
        """This instance came to lead, or does not any more."""
        self._wanted.clear()
        if not is_leading:
            self.idle.end()
            self._due = self._slice_at = NEVER
            return
        node = self._node
        self.idle.begin()
        self._slice_at = node.now
        self._free_units = node.view.totals.free_units
        if node.settings.fill_period_ms:
            self._due = node.now + node.settings.fill_first_ms

    def model_seen(self, model: str) -> None:
        """A registration is another one; only who leads needs to know."""
        self.idle.seen(model)

    def instance_seen(self, is_new: bool) -> None:
        """An instance's record is another one: if there is room that was not there before it is made use of soon."""
        totals = self._node.view.totals
        self._free_units = min(self._free_units, totals.free_units)
        if is_new or totals.free_units > self._free_units + totals.capacity_units // ROOM_PART:
            self._soon()

    def _soon(self) -> None:
        node, settings = self._node, self._node.settings
        if self._due != NEVER:
            self._due = min(self._due, max(node.now, self._planned_at) + settings.fill_gap_ms)

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The instant of the next plan, or of the next part of one."""
        return min(self._slice_at, NEVER if self._is_busy else self._due)

    @property
    def _is_busy(self) -> bool:
        return bool(self._wanted) or not self.idle.is_whole

    def tick(self) -> list[str]:
        """Go on; the registrations that were looked at for the first time."""
        node, settings, looked = self._node, self._node.settings, []
        if self._slice_at <= node.now:
            looked = self.idle.look(settings.slice_models)
            for _ in range(min(settings.fill_batch, len(self._wanted))):
                self._load(*self._wanted.popleft())
        if not self._is_busy and self._due <= node.now:
            self._due = node.now + settings.fill_period_ms
            self._planned_at = node.now
            self._free_units = node.view.totals.free_units
            self._wanted += self._plan()
        if self._slice_at <= node.now or (self._slice_at == NEVER and self._is_busy):
            pause_ms = settings.slice_pause_ms if not self.idle.is_whole else settings.fill_pause_ms
            self._slice_at = node.now + pause_ms if self._is_busy else NEVER
        return looked

    def _plan(self) -> Iterable[tuple[str, int]]:
        """What to load, on the instances of one partition after the other; none is wanted on two."""
        view, chosen = self._node.view, dict[str, int]()
        for partition in view.partitions.by_room():
            room = view.order.walk(self._node.now, (partition,), with_replaced=False)
            records = [ranked.record for ranked in room]
            chosen |= self.plan(records, partial(self._is_for, partition, chosen))
        return chosen.items()

    def _is_for(self, partition: Partition, chosen: Mapping[str, int], model: str, record: ModelRecord) -> bool:
        return model not in chosen and self._node.view.partitions.is_allowed(record.type, partition)

    def plan(
        self, records: Iterable[InstanceRecord], is_allowed: Callable[[str, ModelRecord], bool]
    ) -> list[tuple[str, int]]:
        """What to load on the instances with these records, which may be some of all, the latest used first.

        ``is_allowed``: whether they can have a model.
        """
        node, now = self._node, self._node.now
        want = filling(records, node.cache.params.default_units, now)
        chosen: list[tuple[str, int]] = []
        for model, last_used in self.idle.latest(2 * want.most):
            if not want.takes(len(chosen), min(last_used, now)):
                break
            record = node.record_or_none(model)
            if record is None or len(record.failures) > MOST_FAILURES or not is_allowed(model, record):
                continue
            if record.last_used > now + DAY_MS:
                rewind(node, model)
            else:
                chosen.append((model, last_used))
        inputs: dict[str, int | str] = {"free": want.free, "most": want.most, "newer_than": want.newer_than}
        cause = f"{len(chosen)} models to be loaded in advance"
        node.explain(Reason(Rule.FILL, "", node.me, cause, node.view.revision, inputs))
        return chosen

    def _load(self, model: str, last_used: int) -> None:
        node = self._node
        if node.view.names_copies(model) or not node.view.mod(model):
            return  # somebody was faster
        why = node.explain(Reason(Rule.FILL, model, node.me, "room for it, and not long unused"))
        last_used = max(1, min(last_used, node.now))
        node.emit(Begin(Request(model, Op.ENSURE, is_sync=False, last_used=last_used, is_asked_for=False), why))
