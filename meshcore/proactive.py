"""Loads models before anybody asks for them: the leader's work, soon after an instance or room has come."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from meshcore.asks import Op, Request
from meshcore.commands import Begin
from meshcore.filling import Share, filling
from meshcore.idle import IdleModels
from meshcore.janitor import DAY_MS, rewind
from meshcore.reasons import Reason, Rule
from meshcore.units import NEVER

if TYPE_CHECKING:
    from meshcore.node import Node

MOST_FAILURES = 1
"""A model that failed on more instances than this is left to those who ask for it."""
ROOM_PART = 20
"""Room has come when one in so many units of the capacity became free."""


class Proactive:
    """A plan now and then, made in slices, and its loads a few at a time; who they go to is placement's choice, as
    ever."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.idle = IdleModels(node.view)
        self._due = NEVER
        self._planned_at = 0
        self._slice_at = 0
        """When more registrations are looked at, or planned for, if there are any."""
        self._load_at = 0
        """When more loads are begun, if any are wanted."""
        self._shares: list[Share] = []
        """The plan that is being made, by partition, those with most room first."""
        self._wanted: deque[tuple[str, int]] = deque()
        """Models to load, and when each was last used."""
        self._free_units = 0
        """The least that was free since the last plan."""

    def lead(self, is_leading: bool) -> None:
        """This instance came to lead, or does not any more."""
        self._wanted.clear()
        self._shares.clear()
        self.idle.end()
        self._due = NEVER
        if not is_leading:
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
        if not self._is_busy:
            return self._due
        slice_at = max(self._slice_at, self._node.now) if self._has_slices else NEVER
        return min(slice_at, self._load_at if self._has_loads else NEVER)

    @property
    def _has_slices(self) -> bool:
        return bool(self._shares) or not self.idle.is_whole

    @property
    def _has_loads(self) -> bool:
        return bool(self._wanted) and not self._shares

    @property
    def _is_busy(self) -> bool:
        return self._has_slices or self._has_loads

    def tick(self) -> list[str]:
        """Go on; the registrations that were looked at, for the first time or again."""
        node, settings, looked = self._node, self._node.settings, list[str]()
        if self._has_loads and self._load_at <= node.now:
            self._load_at = node.now + settings.fill_pause_ms
            for _ in range(min(settings.fill_batch, len(self._wanted))):
                self._load(*self._wanted.popleft())
        if self._has_slices and self._slice_at <= node.now:
            self._slice_at = node.now + settings.slice_pause_ms
            if self.idle.is_whole:
                self._plan()
            else:
                looked = self.idle.look(settings.slice_models)
        if not self._is_busy and self._due <= node.now:
            self._due = node.now + settings.fill_period_ms
            self._slice_at = node.now + settings.slice_pause_ms
            self._planned_at = node.now
            self._free_units = node.view.totals.free_units
            self._begin_plan()
            self._plan()
        return looked

    # -- the plan ----------------------------------------------------------------------------------

    def _begin_plan(self) -> None:
        view, now, default_units = self._node.view, self._node.now, self._node.cache.params.default_units
        for partition in view.partitions.by_room():
            room = view.order.walk(now, (partition,), with_replaced=False)
            self._shares.append(Share(partition, filling((ranked.record for ranked in room), default_units, now)))

    def _plan(self) -> None:
        """Find a place for the next models, the latest used first, and end where there are no more of either."""
        node = self._node
        for model, last_used in self.idle.take(node.settings.slice_models):
            self._plan_for(model, last_used)
        if self.idle.is_spent or not any(share.is_open for share in self._shares):
            for share in self._shares:
                self._tell(share)
            self._shares.clear()
            self.idle.give_back()
            self._load_at = node.now + node.settings.fill_pause_ms

    def _plan_for(self, model: str, last_used: int) -> None:
        node, now = self._node, self._node.now
        open_for = [share for share in self._shares if share.looks_at(min(last_used, now))]
        record = node.record_or_none(model) if open_for else None
        if record is None or len(record.failures) > MOST_FAILURES:
            return
        for share in open_for:
            if node.view.partitions.is_allowed(record.type, share.partition):
                if record.last_used > now + DAY_MS:
                    rewind(node, model)
                else:
                    share.chosen += 1
                    self._wanted.append((model, last_used))
                return

    def _tell(self, share: Share) -> None:
        node, want = self._node, share.want
        inputs: dict[str, int | str] = {"free": want.free, "most": want.most, "newer_than": want.newer_than}
        cause = f"{share.chosen} models to be loaded in advance"
        node.explain(Reason(Rule.FILL, "", node.me, cause, node.view.revision, inputs))

    def _load(self, model: str, last_used: int) -> None:
        node = self._node
        if node.view.names_copies(model) or not node.view.mod(model):
            return  # somebody was faster
        why = node.explain(Reason(Rule.FILL, model, node.me, "room for it, and not long unused"))
        last_used = max(1, min(last_used, node.now))
        node.emit(Begin(Request(model, Op.ENSURE, is_sync=False, last_used=last_used, is_asked_for=False), why))
