"""An instance that goes has others take over its copies first, the latest used first: nobody waits for that.

It loads nothing any more and goes on answering. Of each copy: another one is made elsewhere and is ready; then the
record stops naming the one here; then, once all have heard of that, it goes. What nobody can take is answered to the
end.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from meshcore.asks import Answered, Op, Outcome, Request, RuntimeFailed, Status, StatusInfo, Step
from meshcore.commands import Begin, Depart, Holder
from meshcore.edits import HandOver
from meshcore.entry import Entry
from meshcore.errors import MeshError
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord
from meshcore.slots import Slots
from meshcore.units import NEVER, age_ms

if TYPE_CHECKING:
    from meshcore.node import Node

Flow = Generator[Step, Outcome, Answered | RuntimeFailed | StatusInfo]


@dataclass(slots=True)
class Stage:
    """How far a model is."""

    wanted: int
    """Copies that there are to be elsewhere: as many as there were when it began."""
    is_asking: bool = False
    """Another copy is asked for, and that has not ended."""
    asked_at: int = 0
    is_named: bool = False
    """The record named the copy that was asked for."""
    was_full: bool = False
    """Somebody who could have made it was making enough others."""
    is_refused: bool = False
    """Nobody could."""
    look_at: int = NEVER
    """When it is looked at again if nothing happens."""


class Departure:
    """One instance's, from when it is told to go until it ends."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._slots = Slots(node)
        self._has_begun = self._is_over = False
        self._cause = ""
        self._until = NEVER
        """When the time for it is over."""
        self._queue: deque[str] = deque()
        """Models to be looked at, first those used last."""
        self._slice_at = 0
        self._stages: dict[str, Stage] = {}
        self._looks: list[tuple[int, str]] = []
        """A heap of when they are looked at again; what no longer holds is passed over."""
        self._withdrawals: deque[tuple[int, str, int]] = deque()
        """When copies go that their records name no more."""
        self._awaited: dict[str, None] = {}
        """Models used lately: the end waits for them."""
        self._again_at = NEVER
        """When those that nobody could take are looked at again, for there is room now."""
        self._room = (0, 0)
        """How many others take loads, and what is free there."""

    @property
    def is_over(self) -> bool:
        """Whether there is nothing left that the end waits for."""
        return self._is_over

    @property
    def cause(self) -> str:
        """Why the end need not wait any more; empty: it does."""
        return self._cause

    @property
    def left(self) -> tuple[int, int]:
        """Copies here that answer and are still to be handed over: in all, and of models that nobody can take."""
        refused = sum(stage.is_refused for stage in self._stages.values())
        return sum(entry.is_serving and not entry.is_leaving for entry in self._node.cache.entries.values()), refused

    # -- begin and end -----------------------------------------------------------------------------

    def begin(self, budget_ms: int) -> None:
        """Hand over what can be, within ``budget_ms``; that it is asked once more can only make the time shorter."""
        node = self._node
        self._until = min(self._until, node.now + budget_ms)
        if self._has_begun or self._is_over:
            return
        self._has_begun = budget_ms > 0
        node.view.see_self(node.own_record())
        since = node.now - node.settings.handover_recent_ms
        entries = node.cache.entries
        latest = [(model, used) for model, used in node.cache.lru.ascending() if entries[model].is_serving]
        latest.reverse()
        self._queue += (model for model, _ in latest)
        self._awaited = {model: None for model, used in latest if used >= since}
        self._room = self._room_elsewhere()
        inputs: dict[str, int | str] = {
            "copies": len(latest), "awaited": len(self._awaited), "instances": self._room[0], "budget_ms": budget_ms
        }  # fmt: skip
        node.explain(Reason(Rule.DRAIN, "", node.me, "this instance is going", node.view.revision, inputs))
        self.tick()
        self._finish()

    def end(self) -> None:
        """Nothing is handed over any more."""
        self._has_begun, self._is_over, self._until = False, True, NEVER
        self._slots.clear()
        for kept in (self._queue, self._stages, self._looks, self._withdrawals, self._awaited):
            kept.clear()
        self._again_at = NEVER

    def _finish(self) -> None:
        """Let this instance end as soon as there is nothing to wait for."""
        node = self._node
        if self._is_over:
            return
        if not self._room[0]:
            cause = "no other instance can take its copies"
        elif self._until <= node.now:
            cause = "the time to hand over its copies is over"
        elif not self._awaited:
            cause = "its copies are handed over"
        else:
            return
        self._is_over, self._cause = True, cause
        left, refused = self.left
        inputs: dict[str, int | str] = {"left": left, "refused": refused}
        node.emit(Depart(node.explain(Reason(Rule.DRAIN, "", node.me, cause, node.view.revision, inputs))))

    # -- what happens ------------------------------------------------------------------------------

    def changed(self, model: str) -> None:
        """The copy here came or went."""
        if not self._has_begun:
            return
        entry = self._node.cache.entries.get(model)
        if entry is not None and entry.is_serving:
            if model not in self._stages:
                self._queue.appendleft(model)
            return
        self._awaited.pop(model, None)
        if self._stages.pop(model, None):
            self._turn(self._slots.free(model))

    def model_seen(self, model: str) -> None:
        """A model's record is another one."""
        if model in self._stages:
            self._judge(model)

    def instance_seen(self, instance: str) -> None:
        """An instance's record is another one."""
        if not self._has_begun or instance == self._node.me:
            return
        node, before = self._node, self._room
        self._room = self._room_elsewhere()
        if self._room[0] > before[0] or self._room[1] > before[1]:
            self._again_at = min(self._again_at, node.now + node.settings.handover_again_ms)
        if node.view.order.get(instance) is None:
            for model in self._slots.at(instance):
                self._turn(self._slots.free(model))
                self._queue.appendleft(model)

    def _room_elsewhere(self) -> tuple[int, int]:
        totals = self._node.view.totals
        return totals.instances, totals.free_units

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The next instant at which there is something to do."""
        if not self._has_begun:
            return NEVER
        is_done = not self._is_over and not (self._awaited and self._room[0])
        return min(
            self._node.now if is_done else NEVER if self._is_over else self._until,
            max(self._slice_at, self._node.now) if self._queue else NEVER,
            self._withdrawals[0][0] if self._withdrawals else NEVER,
            self._next_look(),
            self._again_at,
        )

    def _next_look(self) -> int:
        while self._looks:
            at, model = self._looks[0]
            if model in self._stages and self._stages[model].look_at == at:
                return at
            heappop(self._looks)
        return NEVER

    def tick(self) -> None:
        """Do what is due."""
        node = self._node
        if not self._has_begun:
            return
        while self._withdrawals and self._withdrawals[0][0] <= node.now:
            _, model, gen = self._withdrawals.popleft()
            if node.copies.current(model, gen) is not None:
                node.copies.remove(model, "another instance answers in its place")
        if self._again_at <= node.now:
            self._again()
        while self._next_look() <= node.now:
            _, model = heappop(self._looks)
            self._stages[model].look_at = NEVER
            self._queue.appendleft(model)
        if self._queue and self._slice_at <= node.now:
            for _ in range(min(node.settings.slice_models, len(self._queue))):
                self._judge(self._queue.popleft())
            self._slice_at = node.now + node.settings.slice_pause_ms
        self._finish()

    def _again(self) -> None:
        """There is room that was not there: look at those again that nobody could take."""
        self._again_at = NEVER
        last_used = self._node.cache.last_used
        refused = [model for model, stage in self._stages.items() if stage.is_refused]
        for model in sorted(refused, key=last_used, reverse=True):
            self._stages[model].is_refused = False
            self._queue.append(model)

    # -- one model ---------------------------------------------------------------------------------

    def _judge(self, model: str, has_turn: bool = False) -> bool:
        """See how far a model is, and bring it on; whether another copy of it is asked for, or waits for its turn."""
        node = self._node
        entry, record = node.cache.entries.get(model), node.record_or_none(model)
        if entry is None or record is None or not entry.is_serving:
            if record is None:
                self._awaited.pop(model, None)
            return False
        holders = node.routes.holders(model, record)
        stage = self._stages.setdefault(model, Stage(len(holders)))
        if entry.is_leaving:
            self._look_again(model, stage)
            return False
        self._follow(model, stage, record)
        staying = [holder for holder in holders if self._stays(holder)]
        ready = sum(self._can_answer(holder.instance, holder.load_ts) for holder in staying if holder.is_ready)
        if ready >= stage.wanted or (ready and stage.is_refused):
            self._hand_over(model, entry, min(ready, stage.wanted))
            return False
        if stage.is_asking or stage.is_refused:
            return False
        self._look_again(model, stage)
        if model in self._slots or len(staying) >= stage.wanted or self._until <= node.now:
            return False
        self._ask(model, stage, entry, record, holders, has_turn)
        return True

    def _stays(self, holder: Holder) -> bool:
        record = self._node.view.instance(holder.instance)
        return holder.instance != self._node.me and record is not None and not record.is_shutting_down

    def _can_answer(self, instance: str, load_ts: int) -> bool:
        """Whether a copy that is ready is elsewhere, to be reached, and there to stay."""
        view = self._node.view
        is_there = view.is_live(instance, load_ts) and self._stays(Holder(instance, load_ts, True))
        return is_there and view.health.is_ok(instance, self._node.now)

    def _follow(self, model: str, stage: Stage, record: ModelRecord) -> None:
        """See in the record what becomes of the copy that was asked for."""
        node, target = self._node, self._slots.target(model)
        if not target or stage.is_asking:
            return
        failure = record.failures.get(target)
        is_named = target in record.copies
        has_failed = failure is not None and failure.at >= stage.asked_at
        is_late = age_ms(stage.asked_at, node.now) >= node.settings.min_copies_retry_ms
        if record.is_ready(target) or has_failed or (not is_named and (stage.is_named or is_late)):
            self._turn(self._slots.free(model))
        stage.is_named = is_named

    def _look_again(self, model: str, stage: Stage) -> None:
        at = self._node.now + self._node.settings.min_copies_retry_ms
        if stage.look_at == NEVER:
            stage.look_at = at
            heappush(self._looks, (at, model))

    def _turn(self, kinds: list[str]) -> None:
        """Somebody can make copies of models of these types."""
        for kind in kinds:
            while (model := self._slots.next(kind)) and not self._judge(model, has_turn=True):
                pass

    # -- another copy ------------------------------------------------------------------------------

    def _ask(
        self, model: str, stage: Stage, entry: Entry, record: ModelRecord, holders: tuple[Holder, ...], has_turn: bool
    ) -> None:
        node, slots = self._node, self._slots
        if slots.is_taken(record.type) or (slots.is_awaited(record.type) and not has_turn):
            slots.hold(model, record.type, is_first=has_turn)
            return
        stage.is_asking, stage.asked_at, stage.is_named, stage.was_full = True, node.now, False, False
        last_used = max(1, min(node.cache.last_used(model), node.now))
        inputs: dict[str, int | str] = {"copies": len(holders), "ago_ms": age_ms(last_used, node.now)}
        cause = "another copy is made before this one goes"
        why = node.explain(Reason(Rule.DRAIN, model, node.me, cause, node.view.revision, inputs))
        request = Request(
            model, Op.ENSURE, is_sync=False, last_used=last_used, exclude=tuple(holder.instance for holder in holders),
            size_units=entry.weight, is_asked_for=False, is_handover=True,
        )  # fmt: skip
        node.emit(Begin(request, why))

    @property
    def full(self) -> tuple[str, ...]:
        """Instances that make enough such copies at the moment."""
        return self._slots.full

    def placed(self, model: str, target: str | None, record: ModelRecord) -> None:
        """A copy that was asked for is to be made at ``target``, or nowhere at the moment."""
        stage = self._stages.get(model)
        if stage is None:
            return
        if target is not None:
            self._turn(self._slots.take(model, target))
            return
        view = self._node.view
        stage.was_full = any(view.may_load(i, record.type) and i not in record.copies for i in self._slots.full)

    def follow(self, model: str, flow: Flow) -> Flow:
        """The flow of a request for another copy, and what came of it."""
        try:
            answer = yield from flow
        except MeshError:
            self._asked(model, False)
            raise
        assert isinstance(answer, StatusInfo)
        self._asked(model, answer.status in (Status.LOADED, Status.LOADING))
        return answer

    def _asked(self, model: str, is_made: bool) -> None:
        stage, node = self._stages.get(model), self._node
        if stage is None:
            return
        stage.is_asking = False
        record = node.record_or_none(model)
        if is_made:
            self._judge(model)
            return
        self._turn(self._slots.free(model))
        if stage.was_full and record is not None:
            self._slots.hold(model, record.type, is_first=True)
        else:
            self._refused(model, stage)
            self._judge(model)

    def _refused(self, model: str, stage: Stage) -> None:
        """Nobody can take it for now."""
        node = self._node
        stage.is_refused = True
        self._awaited.pop(model, None)
        cause = "no other instance can have it: it is answered here to the end"
        node.explain(Reason(Rule.DRAIN, model, node.me, cause, node.view.revision))

    # -- the copy here -----------------------------------------------------------------------------

    def _hand_over(self, model: str, entry: Entry, least: int) -> None:
        """Others answer: the record stops naming the copy here."""
        node = self._node
        self._turn(self._slots.free(model))
        entry.is_leaving = True
        cause = "others answer in its place"
        why = node.explain(Reason(Rule.DRAIN, model, node.me, cause, node.view.revision, {"ready_elsewhere": least}))
        last_used = node.cache.last_used(model)
        edit = HandOver(node.me, entry.load_ts, last_used, node.now, least, self._can_answer)
        node.edit(model, edit, why, partial(self._handed_over, model, entry.gen))

    def _handed_over(self, model: str, gen: int, error: MeshError | None) -> None:
        node, entry = self._node, self._node.copies.current(model, gen)
        if entry is None or not self._has_begun:
            return
        if error is None:
            self._withdrawals.append((node.now + node.settings.handover_news_ms, model, gen))
        else:
            entry.is_leaving = False
            self._queue.appendleft(model)
