"""Brings models up to the number of copies that they are to have at least: the leader's work."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from meshcore.asks import Op, Request
from meshcore.commands import Begin
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord
from meshcore.units import NEVER, age_ms
from meshcore.view import MINIMUM_MARK

if TYPE_CHECKING:
    from meshcore.node import Node

UNUSED = 1
"""Before every use: what counts is the record's own last use."""
STUCK = 6
"""What came to nothing once is tried this much less often."""


class Minimum:
    """One copy after the other: each that a record names is the cause to look whether another is needed."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._begins_at = node.now + node.settings.min_copies_retry_ms
        self._models: dict[str, None] = {}
        """Those that are to have some."""
        self._look_at: dict[str, int] = {}
        """When which of them is looked at."""
        self._due: list[tuple[int, str]] = []
        """A heap of the same; what no longer holds is passed over."""
        self._slice_at = 0
        """When it is gone on with those that are due and were too many for one go."""
        self._asked: dict[str, tuple[int, int]] = {}
        """What was asked for: how many copies there were then, and when."""
        self._settled: dict[str, None] = {}
        """Those that had as many, and lost none by the end of its instance: others took their place."""
        self.unsatisfied: dict[str, int] = {}
        """Models that cannot have as many for now, and how many they have."""

    def end(self) -> None:
        """Another leads."""
        for kept in (self._models, self._look_at, self._asked, self._settled, self.unsatisfied):
            kept.clear()
        self._due.clear()

    def model_seen(self, model: str) -> None:
        """A registration is another one, or was not looked at yet."""
        record = self._node.record_or_none(model) if self._node.view.mentions(model, MINIMUM_MARK) else None
        if record is not None and record.min_copies:
            self._models[model] = None
            self._look(model, self._node.now)
        elif model in self._models:
            del self._models[model]
            self._look_at.pop(model, None)
            self._asked.pop(model, None)
            self._settled.pop(model, None)
            self.unsatisfied.pop(model, None)

    def instance_seen(self, instance: str, takes_loads: bool) -> None:
        """An instance takes loads, or does not any more: the models that lack a copy, or had one there, are looked
        at."""
        for model in list(self.unsatisfied) if takes_loads else self._node.routes.naming(instance):
            if model in self._models:
                self._look(model, self._node.now)
            if not takes_loads:
                self._settled.pop(model, None)

    def constrained(self) -> None:
        """Other instances may have what could not be had."""
        for model in self.unsatisfied:
            self._look(model, self._node.now)

    def _look(self, model: str, at: int) -> None:
        if at < self._look_at.get(model, NEVER):
            self._look_at[model] = at
            heappush(self._due, (at, model))

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The instant at which some model is looked at: not just after a start, for others start too."""
        due = self._next_due()
        return due if due == NEVER else max(due, self._begins_at)

    def _next_due(self) -> int:
        while self._due and self._look_at.get(self._due[0][1]) != self._due[0][0]:
            heappop(self._due)
        return max(self._due[0][0], self._slice_at) if self._due else NEVER

    def tick(self) -> None:
        """Look at what is due, some at a time."""
        node = self._node
        for _ in range(node.settings.slice_models):
            if self.next_wake() > node.now:
                return
            _, model = heappop(self._due)
            del self._look_at[model]
            self._judge(model)
        self._slice_at = node.now + node.settings.slice_pause_ms

    def _judge(self, model: str) -> None:
        node, now, retry_ms = self._node, self._node.now, self._node.settings.min_copies_retry_ms
        record = node.record_or_none(model)
        if record is None:
            return
        holders = tuple(holder.instance for holder in node.view.holders(record))
        live = sum(self._stays(holder, record) for holder in holders)  # one that goes is as good as gone
        wanted = record.min_copies
        if live >= wanted:
            self._settled[model] = None
        if live + self._missing(record) >= wanted:
            self.unsatisfied.pop(model, None)
            self._asked.pop(model, None)
            return
        before, asked_at = self._asked.get(model, (-1, 0))
        pause_ms = retry_ms * (STUCK if model in self.unsatisfied else 1)
        if live == before and age_ms(asked_at, now) < pause_ms:
            self._look(model, asked_at + pause_ms)
            return
        taken = sum(node.view.may_load(holder, record.type) for holder in holders)
        places = node.view.totals_for(record.type).instances - taken - self._failing(record, holders)
        if places <= 0 or live == before:
            self._tell(model, live, wanted, places)
        if places <= 0:
            self._asked.pop(model, None)
            if record.failures:  # which come to an end
                self._look(model, now + node.settings.failure_expiry_ms)
            return
        self._asked[model] = live, now
        self._look(model, now + retry_ms * (STUCK if model in self.unsatisfied else 1))
        inputs: dict[str, int | str] = {"copies": live, "min": wanted}
        why = node.explain(Reason(Rule.FILL, model, node.me, "fewer copies than it is to have", inputs=inputs))
        # What made room for others would only take their place in turn if it counted as used now.
        last_used = UNUSED if model in self._settled else now
        asked = Request(model, Op.ENSURE, is_sync=False, exclude=holders, last_used=last_used, is_asked_for=False)
        node.emit(Begin(asked, why))

    def _stays(self, holder: str, record: ModelRecord) -> bool:
        instance = self._node.view.instance(holder)
        is_cordoned = instance is not None and instance.is_cordoned and not instance.is_shutting_down
        return is_cordoned or self._node.view.may_load(holder, record.type)

    def _missing(self, record: ModelRecord) -> int:
        """How many copies are on instances that went without a word: they may be back, and else will be taken out of
        the record (docs/design.md, upkeep)."""
        view = self._node.view
        return sum(
            not view.instance_mod(holder) and view.instance(holder) is None
            for holder in record.copies
            if holder != self._node.me
        )

    def _failing(self, record: ModelRecord, holders: tuple[str, ...]) -> int:
        """How many instances cannot have it for now, because they failed to load it."""
        node = self._node
        return sum(
            node.view.may_load(instance, record.type)
            and instance not in holders
            and age_ms(failure.at, node.now) < node.settings.failure_expiry_ms
            for instance, failure in record.failures.items()
        )

    def _tell(self, model: str, live: int, wanted: int, places: int) -> None:
        """Once for each number of copies that it is stuck at."""
        node = self._node
        if self.unsatisfied.get(model) == live:
            return
        self.unsatisfied[model] = live
        inputs: dict[str, int | str] = {"copies": live, "min": wanted, "places": max(0, places)}
        cause = "no other instance can have it" if places <= 0 else "no load of it came to anything"
        node.explain(Reason(Rule.UNSATISFIED, model, node.me, cause, node.view.revision, inputs))
