"""How many copies a model has: looks at those here, asks for more where they do not suffice, gives up what is too much.

Every instance judges its own copies, by what it counts and by the records it knows. Times are counted in a ``Pace``, so
that no clock, here or elsewhere, brings a copy or takes one by jumping.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

from meshcore.asks import Op, Request
from meshcore.busyness import Busyness
from meshcore.commands import Begin, Holder
from meshcore.edits import GiveUp
from meshcore.entry import Entry
from meshcore.errors import MeshError
from meshcore.events import Usage
from meshcore.meter import Meter
from meshcore.order import why_no_loads
from meshcore.pace import Pace
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord
from meshcore.redundancy import is_going
from meshcore.standing import Standing
from meshcore.units import NEVER, age_ms
from meshcore.view import MAXIMUM_MARK

if TYPE_CHECKING:
    from meshcore.node import Node

MINUTE_MS = 60_000
HEAVY_OF_4 = 3
"""Quarters of the threshold above which a copy is heavily used."""
BUSY_TIMES, BUSY_LESS = 4, 2
"""An instance gets no further copies for load if it has more than the first times the threshold, and more than this
instance less the second times it."""
WORK_PERMILLE = 900
"""What stands for the threshold there where concurrency is limited: for each request that copies answer at a time."""
GIVEN_UP_PART = 20
"""Part of the capacity here that may be given up in one look over all copies, beyond the first one."""
ARRIVING_PERIODS = 2
"""Passes until the share of requests that a further copy takes shows here."""


class Scaling:
    """Two looks over the copies here: at those used, often; at all, now and then."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._pace = Pace()
        self._busyness = Busyness()
        self._meters: dict[str, Meter] = {}
        """Of every copy here that answers."""
        self._used: dict[str, None] = {}
        """Those used since the last pass."""
        self._passes = 0
        self._pass_from = 0
        self._pass_at = self._sample_at = self._janitor_at = NEVER
        self._wanting: deque[tuple[str, bool]] = deque()
        """Copies that the last pass found to be used regularly (True), or so much that more may be needed, and that
        are still to be decided about, the latest used first."""
        self._wanting_since = 0
        """When that pass began to count."""
        self._decide_at = 0
        """When more of them are decided about."""
        self._may_ask = 0
        """For how many models further copies may still be asked for."""
        self._busy: dict[str, None] = {}
        """Instances that had so many requests that a further copy would not do well there."""
        self._to_look_at: deque[str] = deque()
        """Copies that the look under way has still to come to, least recently used first."""
        self._look_at = 0
        """When it goes on, if there are any."""
        self._is_first = True
        """Whether it has given nothing up yet."""
        self._may_give_units = 0
        """What it may give up beyond the first copy."""

    # -- what is noticed -------------------------------------------------------------------------------

    def used(self, usages: tuple[Usage, ...]) -> None:
        """The plane served requests."""
        self._look()
        is_limited = self._limits_concurrency
        for usage in usages:
            self._busyness.add(usage.service_us if is_limited else usage.count)
            if meter := self._meters.get(usage.model):
                meter.used_at = self._pace.lived_ms
                meter.count += usage.count
                meter.ended += usage.ended
                meter.service_us += usage.service_us
                meter.queued = usage.queued
                self._used[usage.model] = None

    def changed(self, model: str) -> None:
        """The copy here came or went."""
        self._look()
        entry = self._node.cache.entries.get(model)
        if entry is None or not entry.is_serving:
            self._meters.pop(model, None)
        else:
            lived = self._pace.lived_ms
            self._meters[model] = Meter(lived, lived, self._ready_elsewhere(model))
            if self._pass_at == NEVER:
                self._begin()

    def seen(self, model: str) -> None:
        """A model's record is another one."""
        meter = self._meters.get(model)
        if meter is None:
            return
        self._look()
        before, meter.others = meter.others, self._ready_elsewhere(model)
        if any(other not in before for other in meter.others):
            meter.others_at = self._pace.lived_ms

    def _ready_elsewhere(self, model: str) -> tuple[tuple[str, int], ...]:
        record, me = self._node.record_or_none(model), self._node.me
        if record is None:
            return ()
        return tuple((other, ts) for other, ts in record.copies.items() if other != me and record.is_ready(other))

    def rpm_of(self, model: str) -> int:
        """Requests a minute that the copy here got before the last pass; 0 without one."""
        meter = self._meters.get(model)
        return meter.rpm if meter is not None and meter.rated_in == self._passes else 0

    def queued_on(self, model: str) -> int:
        """Requests that wait for their turn on it, as the plane told last."""
        meter = self._meters.get(model)
        return meter.queued if meter is not None else 0

    # -- time ------------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """When it is to be looked next; NEVER while no copy here answers and nothing was done lately."""
        decide_at = self._decide_at if self._wanting else NEVER
        look_at = self._look_at if self._to_look_at else NEVER
        return min(self._pass_at, self._sample_at, self._janitor_at, decide_at, look_at)

    def tick(self) -> None:
        """Look at what is due."""
        self._look()
        now, settings = self._node.now, self._node.settings
        if now >= self._sample_at:
            self._busyness.sample(self._pace.lived_ms, settings.busy_window_ms)
            is_over = self._busyness.is_quiet and not self._meters
            self._sample_at = NEVER if is_over else now + settings.busy_period_ms
            self._tell_busyness()
        if now >= self._pass_at:
            self._pass()
        if self._wanting and now >= self._decide_at:
            self._decide_at = now + settings.slice_pause_ms
            self._decide()
        if self._to_look_at and now >= self._look_at:
            self._look_at = now + settings.slice_pause_ms
            self._scale_down()
        if now >= self._janitor_at:
            self._janitor_at = now + settings.janitor_period_ms if self._meters else NEVER
            self._look_at = now + settings.slice_pause_ms
            self._begin_look()

    def _look(self) -> None:
        """Note the time; where the clock jumped, what was counted until then says nothing, and all begins anew."""
        if not self._pace.look(self._node.now, self.next_wake(), self._node.settings.late_ms):
            for meter in self._meters.values():
                meter.count = 0
            self._used.clear()
            self._wanting.clear()
            self._to_look_at.clear()
            self._begin()

    def _begin(self) -> None:
        now, settings = self._node.now, self._node.settings
        self._pass_from = now
        self._pass_at = now + settings.rate_period_ms
        self._sample_at = now + settings.busy_period_ms
        self._janitor_at = now + settings.janitor_period_ms

    def _tell_busyness(self) -> None:
        """Requests a minute, or thousandths of the time of one request after the other."""
        per_ms = 1 if self._limits_concurrency else MINUTE_MS
        least_ms = self._node.settings.rate_period_ms
        self._node.publisher.rpm = self._busyness.rate(self._pace.lived_ms, per_ms, least_ms)

    # -- more copies -----------------------------------------------------------------------------------

    def _pass(self) -> None:
        """Look at the copies that were used since the last pass, the latest first."""
        node, settings = self._node, self._node.settings
        since, now = self._pass_from, node.now
        self._passes += 1
        self._pass_from, self._pass_at = now, now + settings.rate_period_ms if self._meters else NEVER
        self._tell_busyness()
        used = sorted(filter(self._meters.get, self._used), key=node.cache.last_used, reverse=True)
        self._used.clear()
        self._wanting.clear()
        self._wanting += self._judged(used, now - since)
        self._wanting_since, self._decide_at, self._may_ask = since, now, settings.scale_up_most
        self._busy.clear()
        if self._wanting:
            self._busy |= self._busy_beside(used)

    def _decide(self) -> None:
        """Ask for further copies of the next few models, where the rules say so."""
        if not self._may_decide:
            self._wanting.clear()
        for _ in range(min(self._node.settings.slice_models, len(self._wanting))):
            if not self._may_ask:
                self._wanting.clear()
                return
            model, is_regular = self._wanting.popleft()
            if model in self._meters:
                self._may_ask -= self._scale_up(model, is_regular)

    @property
    def _may_decide(self) -> bool:
        """Not while records do not tell of all copies: of those that count, and of those asked for."""
        node = self._node
        return not node.is_draining and not node.is_runtime_away and not node.outage.is_unsure

    def _judged(self, used: list[str], elapsed_ms: int) -> Iterator[tuple[str, bool]]:
        """Of copies that were used, those of which there may have to be more: for their load, or (True) for regular
        use."""
        settings, lived, is_limited = self._node.settings, self._pace.lived_ms, self._limits_concurrency
        for model in used:
            meter = self._meters[model]
            meter.rpm, meter.rated_in = meter.count * MINUTE_MS // max(1, elapsed_ms), self._passes
            meter.count = 0
            meter.threshold = settings.scale_up_rpm
            if is_limited:
                most = self._node.cache.entries[model].max_concurrency
                meter.threshold = meter.full_rpm(most, settings.scale_up_percent, settings.scale_up_rpm)
            if meter.rpm * 4 > meter.threshold * HEAVY_OF_4:
                meter.heavy_at = lived
            is_regular = self._node.rules.is_used_regularly(meter, lived, settings) and not meter.others
            if is_regular or meter.rpm >= meter.threshold:
                yield model, is_regular

    @property
    def _limits_concurrency(self) -> bool:
        return self._node.cache.params.limits_concurrency

    def _busy_beside(self, used: list[str]) -> dict[str, None]:
        """Instances with so many requests that a further copy would not do well there."""
        node = self._node
        share = node.settings.scale_up_rpm
        if self._limits_concurrency:
            at_once = sum(node.cache.entries[model].max_concurrency for model in used)
            share = WORK_PERMILLE * max(1, at_once // len(used))
        limit = max(BUSY_TIMES * share, node.publisher.rpm - BUSY_LESS * share)
        return {entry: None for entry, record in node.view.instances() if entry != node.me and record.rpm > limit}

    def _scale_up(self, model: str, is_regular: bool) -> bool:
        """Ask for further copies if the rules say so; whether they do."""
        node, meter, settings = self._node, self._meters[model], self._node.settings
        record = node.record_or_none(model)
        if record is None:
            return False
        holders = node.routes.holders(model, record)
        standing = self._standing(model, record, holders, is_regular, self._busy)
        if cause := node.rules.second_copy(standing, settings):
            rule, more, last_used, exclude = Rule.SECOND_COPY, 1, self._wanting_since, tuple[str, ...]()
            meter.first_use = meter.last_use  # if nothing comes of it, it is to be used so again
        elif more := node.rules.scale_up(standing, settings):
            rule, last_used, exclude = Rule.SCALE_UP, node.now + settings.scale_up_ahead_ms, tuple(self._busy)
            cause = "more requests than its copies should have"
        else:
            return False
        meter.asked_at = self._pace.lived_ms
        copies = standing.copies + more
        inputs: dict[str, int | str] = {
            "copies": copies, "had": standing.copies, "rpm": meter.rpm, "threshold": meter.threshold,
            "candidates": standing.candidates, "busy": standing.busy,
            "free_percent": standing.free_units * 100 // max(1, standing.capacity_units),
        }  # fmt: skip
        why = node.explain(Reason(rule, model, node.me, cause, node.view.revision, inputs))
        size_units = node.cache.entries[model].weight
        request = Request(
            model, Op.ENSURE, is_sync=False, last_used=last_used, exclude=exclude, size_units=size_units, copies=copies
        )
        node.emit(Begin(request, why))
        return True

    # -- fewer copies ----------------------------------------------------------------------------------

    def _begin_look(self) -> None:
        """All copies of which there are others are to be looked at, if the memory of any may be wanted for others; else
        those of which there may be only so many."""
        node, meters = self._node, self._meters
        self._to_look_at.clear()
        self._is_first = True
        self._may_give_units = node.cache.capacity_units // GIVEN_UP_PART
        node.view.see_self(node.own_record())
        kinds = {entry.type: None for entry in node.cache.entries.values()}
        is_wanted = any(node.rules.is_memory_wanted(node.view.totals_for(kind)) for kind in kinds)
        beside = (model for model, _ in node.cache.lru.ascending() if model in meters and meters[model].others)
        self._to_look_at += (model for model in beside if is_wanted or node.view.mentions(model, MAXIMUM_MARK))

    def _scale_down(self) -> None:
        """Look at the next few copies, least recently used first, and give up what is too much."""
        node = self._node
        if not self._may_decide:
            self._to_look_at.clear()
            return
        node.view.see_self(node.own_record())
        for _ in range(min(node.settings.slice_models, len(self._to_look_at))):
            model = self._to_look_at.popleft()
            meter, entry = self._meters.get(model), node.cache.entries.get(model)
            if meter is None or entry is None or not meter.others or entry.is_leaving:
                continue
            if not self._is_first and entry.weight > self._may_give_units:
                continue
            if self._give_up(model, entry, node.cache.last_used(model)):
                self._may_give_units, self._is_first = self._may_give_units - entry.weight, False

    def _give_up(self, model: str, entry: Entry, last_used: int) -> bool:
        """Take the copy here out of its record if the rules say so; it goes when that is done. Whether they do."""
        node, meter = self._node, self._meters[model]
        record = node.record_or_none(model)
        if record is None or not any(self.can_answer(*other) for other in meter.others):
            return False
        holders = node.routes.holders(model, record)
        staying = tuple(holder for holder in holders if not is_going(node.view, holder.instance))
        standing = self._standing(model, record, staying, False, {})
        cause = node.rules.scale_down(standing, node.settings)
        if not cause:
            return False
        inputs: dict[str, int | str] = {
            "copies": standing.copies, "unused_ms": standing.unused_ms, "rpm": standing.rpm,
            "threshold": standing.threshold, "settled_ms": standing.settled_ms,
        }  # fmt: skip
        measured = {"lru_age_ms": standing.lru_age_ms, "calm_ms": standing.calm_ms}
        inputs |= {name: ms for name, ms in measured.items() if ms != NEVER}
        why = node.explain(Reason(Rule.SCALE_DOWN, model, node.me, cause, node.view.revision, inputs))
        entry.is_leaving = True
        edit = GiveUp(node.me, entry.load_ts, last_used, node.now, record.copies, self.can_answer)
        node.edit(model, edit, why, partial(self._given_up, model, entry.gen, cause))
        return True

    def _given_up(self, model: str, gen: int, cause: str, error: MeshError | None) -> None:
        entry = self._node.cache.entries.get(model)
        if entry is not None and entry.gen == gen:
            entry.is_leaving = False
            if error is None:
                self._node.copies.remove(model, cause)

    def can_answer(self, instance: str, load_ts: int) -> bool:
        """Whether a copy elsewhere that is ready can be reached, and is on an instance that is there to stay."""
        view, record = self._node.view, self._node.view.instance(instance)
        if record is None or why_no_loads(record, False) or not view.is_live(instance, load_ts):
            return False
        return view.health.is_ok(instance, self._node.now)

    # -- what the rules go by --------------------------------------------------------------------------

    def _standing(
        self, model: str, record: ModelRecord, holders: tuple[Holder, ...], is_regular: bool, busy: dict[str, None]
    ) -> Standing:
        node, meter, lived = self._node, self._meters[model], self._pace.lived_ms
        view, settings, totals = node.view, node.settings, node.view.totals_for(record.type)
        others = [holder for holder in holders if holder.instance != node.me]
        expiry_ms = settings.failure_expiry_ms
        out = {other: None for other, fail in record.failures.items() if age_ms(fail.at, node.now) < expiry_ms}
        out |= {holder.instance: None for holder in holders}
        arriving_ms = ARRIVING_PERIODS * settings.rate_period_ms
        is_new = bool(others) and lived - meter.others_at < arriving_ms
        is_asked = meter.asked_at >= 0 and lived - meter.asked_at < arriving_ms
        return Standing(
            copies=len(holders),
            min_copies=record.min_copies,
            max_copies=record.max_copies,
            instances=totals.instances,
            candidates=totals.instances - sum(view.may_load(instance, record.type) for instance in out),
            busy=sum(view.may_load(instance, record.type) and instance not in out for instance in busy),
            rpm=self.rpm_of(model),
            threshold=meter.threshold or settings.scale_up_rpm,
            is_regular=is_regular,
            is_arriving=is_new or is_asked or any(not other.is_ready for other in others),
            newest_ms=age_ms(max(other.load_ts for other in others), node.now) if others else NEVER,
            load_ms=node.copies.load_times.expected_ms(record.type, node.cache.params.assume_loaded_ms),
            free_units=totals.free_units,
            capacity_units=totals.capacity_units,
            lru_age_ms=age_ms(totals.lru_ms, node.now) if totals.lru_ms != NEVER else NEVER,
            unused_ms=lived - meter.used_at,
            calm_ms=lived - meter.heavy_at if meter.heavy_at >= 0 else NEVER,
            settled_ms=lived - meter.others_at,
            unloaded_ms=age_ms(record.last_unload, node.now) if record.last_unload else NEVER,
            queued=meter.queued,
            is_better_placed=len(others) == 1 and self._is_before(others[0].instance),
        )

    def _is_before(self, other: str) -> bool:
        """Whether this instance comes before another one in the order for loads."""
        order, now = self._node.view.order, self._node.now
        mine, its = order.place(self._node.me, now), order.place(other, now)
        return mine is not None and its is not None and mine < its
