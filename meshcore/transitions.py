"""Has what shall answer for virtual models loaded, and lets it once it can do what is there now: the leader's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from meshcore.commands import Begin
from meshcore.naming import Naming
from meshcore.reasons import Reason, Rule
from meshcore.redundancy import is_going
from meshcore.split import WHOLE
from meshcore.units import NEVER, age_ms
from meshcore.vmodel_asks import Prepare, Transit
from meshcore.vmodel_record import VModelRecord, Weights

if TYPE_CHECKING:
    from meshcore.node import Node


class Match(Enum):
    """What shall answer, held against what does."""

    FULL = "full"  # it could take over now, with as many copies as answer now, or as there is room for
    SOME = "some"  # it could answer, with fewer
    NONE = "none"  # a model of it has no copy that answers


@dataclass(slots=True)
class Open:
    """A transition that this instance sees to."""

    seen: VModelRecord
    since: int
    asked_at: int = 0
    """When copies were asked for last; 0: not yet."""
    preparing: int = 0
    """Models whose copies are being asked for."""
    has_failed: bool = False
    """Whether that came to nothing, wherever it was tried."""
    is_ending: bool = False
    """Whether the store is being asked to end it."""


class Transitions:
    """Everything is told by the store: whoever leads next goes on where another stopped (D-23)."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._records: dict[str, VModelRecord] = {}
        """Virtual models in transition, on every instance."""
        self._models = Naming()
        """The same by the models that matter to them."""
        self._open: dict[str, Open] = {}
        self._look_at: dict[str, int] = {}
        """When which of them is looked at."""
        self._due: list[tuple[int, str]] = []
        """A heap of the same; what no longer holds is passed over."""
        self._slice_at = 0
        """When it is gone on with those that were too many for one go."""

    def __len__(self) -> int:
        """Virtual models in transition."""
        return len(self._records)

    # -- what happens ------------------------------------------------------------------------------

    def vmodel_seen(self, vmodel: str, record: VModelRecord | None) -> None:
        """A virtual model's record is another one, or gone, or cannot be read (None)."""
        if record is None or not record.is_in_transition:
            self._records.pop(vmodel, None)
            self._models.update(vmodel, ())
            self._open.pop(vmodel, None)
            self._look_at.pop(vmodel, None)
            return
        self._records[vmodel] = record
        self._models.update(vmodel, tuple(dict.fromkeys((*record.wanted, *record.shares))))
        known = self._open.get(vmodel)
        if known is not None and _pair(known.seen) == _pair(record):
            known.seen = record
        else:
            self._open.pop(vmodel, None)
        self._look(vmodel, self._node.now)

    def model_seen(self, model: str) -> None:
        """A model's record is another one."""
        if self._node.upkeep.is_leading:
            for vmodel in self._models.naming(model):
                self._look(vmodel, self._node.now)

    def lead(self) -> None:
        """This instance may have come to lead, or have stopped."""
        self._open.clear()
        self._look_at.clear()
        self._due.clear()
        for vmodel in self._records:
            self._look(vmodel, self._node.now)

    def ended(self, vmodel: str) -> None:
        """The store was asked to end a transition; whether it did its record tells."""
        if vmodel in self._open:
            self._open[vmodel].is_ending = False
            self._look(vmodel, self._node.now + self._node.settings.vmodel_retry_ms)

    def prepared(self, vmodel: str, has_failed: bool) -> None:
        """Copies that were asked for are there or on their way, or cannot be had."""
        if known := self._open.get(vmodel):
            known.preparing -= 1
            known.has_failed |= has_failed
            if has_failed:  # copies that are there tell by their records; and what asks is in the middle of a look
                self._look(vmodel, self._node.now + 1)

    def _look(self, vmodel: str, at: int) -> None:
        if self._node.upkeep.is_leading and at < self._look_at.get(vmodel, NEVER):
            self._look_at[vmodel] = at
            heappush(self._due, (at, vmodel))

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The instant at which some transition is looked at."""
        while self._due and self._look_at.get(self._due[0][1]) != self._due[0][0]:
            heappop(self._due)
        return max(self._due[0][0], self._slice_at) if self._due and self._may_act else NEVER

    def tick(self) -> None:
        """Look at those that are due, so many in one go."""
        node = self._node
        for _ in range(node.settings.slice_models):
            if self.next_wake() > node.now:
                return
            _, vmodel = heappop(self._due)
            del self._look_at[vmodel]
            self._judge(vmodel)
        self._slice_at = node.now + node.settings.slice_pause_ms

    @property
    def _may_act(self) -> bool:
        """Not while nothing can be written: how it ends is for the store to say."""
        node = self._node
        return node.upkeep.is_leading and not node.is_read_only and not node.outage.is_blind

    # -- what is decided ---------------------------------------------------------------------------

    def _judge(self, vmodel: str) -> None:
        node, record = self._node, self._records[vmodel]
        now, settings = node.now, node.settings
        known = self._open.get(vmodel)
        if known is None:
            if len(self._open) >= settings.vmodel_batch and not record.has_failed:
                self._look(vmodel, now + settings.vmodel_retry_ms)
                return
            known = self._open[vmodel] = Open(record, now)
        if known.is_ending:
            return
        match = self.match(record)
        if self._is_enough(match, known, record):
            cause = "what shall answer is ready" if match is Match.FULL else "what shall answer is ready, not in full"
            self._end(vmodel, known, cause, is_failure=False)
            return
        failed = match is Match.NONE and known.has_failed
        if failed and not record.has_failed:
            self._end(vmodel, known, "what shall answer cannot be loaded", is_failure=True)
            return
        pause_ms = settings.vmodel_failed_ms if failed else settings.vmodel_retry_ms
        if not known.preparing and (not known.asked_at or age_ms(known.asked_at, now) >= pause_ms):
            known.asked_at, known.has_failed = now, False
            known.preparing = self._ask(record, vmodel)
        self._look(vmodel, max(known.asked_at + pause_ms, now + settings.vmodel_retry_ms))

    def _end(self, vmodel: str, known: Open, cause: str, is_failure: bool) -> None:
        why = self._node.explain(Reason(Rule.VMODEL, vmodel, known.seen.target, cause, self._node.view.revision))
        known.is_ending = True
        self._node.emit(Begin(Transit(vmodel, known.seen.shares, known.seen.wanted, is_failure), why))

    def _ask(self, record: VModelRecord, vmodel: str) -> int:
        """Have the copies loaded that are missing; of how many models. They count as used when those were that answer
        now."""
        node = self._node
        active = node.record_or_none(record.active)
        used = active.last_used if active is not None else 0
        last_used = used or node.now - node.settings.register_age_load_ms
        missing = {model: copies for model, copies in self._needed(record).items() if self._ready(model) < copies}
        for model, copies in missing.items():
            inputs: dict[str, int | str] = {"vmodel": vmodel, "copies": copies}
            cause = "it shall answer for a virtual model"
            why = node.explain(Reason(Rule.VMODEL, model, node.me, cause, node.view.revision, inputs))
            node.emit(Begin(Prepare(vmodel, model, copies, last_used), why))
        return len(missing)

    # -- what is there -----------------------------------------------------------------------------

    def match(self, record: VModelRecord) -> Match:
        """What shall answer for a virtual model, held against what does; where nothing does, nothing is lost."""
        if not self.is_held(record.shares):
            return Match.FULL
        needed = self._needed(record)
        ready = {model: self._ready(model) for model in needed}
        if not all(ready.values()):
            return Match.NONE
        return Match.FULL if all(ready[model] >= needed[model] for model in needed) else Match.SOME

    def may_switch(self, vmodel: str, record: VModelRecord) -> bool:
        """Whether what shall answer may take over: in full, or after some time with fewer copies (D-23)."""
        return self._is_enough(self.match(record), self._open.get(vmodel), record)

    def _is_enough(self, match: Match, known: Open | None, record: VModelRecord) -> bool:
        if match is not Match.SOME or known is None or _pair(known.seen) != _pair(record):
            return match is Match.FULL
        return age_ms(known.since, self._node.now) >= self._node.settings.vmodel_match_ms

    def is_held(self, models: Iterable[str]) -> bool:
        """Whether there is a live copy of any of them."""
        for model in models:
            record = self._node.record_or_none(model)
            if record is not None and self._node.routes.holders(model, record):
                return True
        return False

    def _needed(self, record: VModelRecord) -> dict[str, int]:
        """How many copies each model is to have: its share of those that answer now, as far as there are places."""
        now = max((self._ready(model) for model in record.shares), default=0)
        return {model: self._possible(model, -(-now * weight // WHOLE)) for model, weight in record.wanted.items()}

    def _possible(self, model: str, copies: int) -> int:
        node, record = self._node, self._node.record_or_none(model)
        if record is None:
            return 1
        there = {holder.instance for holder in node.routes.holders(model, record)}
        failing = [i for i, f in record.failures.items() if i not in there and self._keeps_out(f.at)]
        places = node.totals_for(record.type).instances - len(failing)
        return max(1, min(copies, places, record.max_copies or copies))

    def _ready(self, model: str) -> int:
        """Copies that answer, on instances that stay."""
        record = self._node.record_or_none(model)
        if record is None:
            return 0
        holders = self._node.routes.holders(model, record)
        return sum(holder.is_ready and not self._is_going(holder.instance) for holder in holders)

    def _is_going(self, instance: str) -> bool:
        return self._node.is_draining if instance == self._node.me else is_going(self._node.view, instance)

    def _keeps_out(self, failed_at: int) -> bool:
        return age_ms(failed_at, self._node.now) < self._node.settings.failure_expiry_ms


def _pair(record: VModelRecord) -> tuple[Weights, Weights]:
    return record.shares, record.wanted
