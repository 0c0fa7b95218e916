"""Copies here that others take over, one model at a time: another one is made, is ready, then the one here goes.

The one here answers until then; its record stops naming it before it goes, for as long as all need to hear of that.
What nobody can take is answered here to the end, and offered again when there is room.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from meshcore.asks import Answered, Op, Outcome, Request, RuntimeFailed, Status, StatusInfo, Step
from meshcore.commands import Begin, Holder
from meshcore.edits import HandOver
from meshcore.entry import Entry
from meshcore.errors import Draining, MeshError, StoreAway
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord
from meshcore.redundancy import is_going
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
    had_turn: bool = False
    """It waited for its turn, and had it."""
    is_held: bool = False
    """It waits for its turn."""
    was_full: bool = False
    """Somebody who could have made it was making enough others."""
    is_refused: bool = False
    """Nobody could."""
    look_at: int = NEVER
    """When it is looked at again if nothing happens."""


class Handovers:
    """Those of one instance, from when it is told to go."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._slots = Slots(node)
        self._is_open = False
        self._until = NEVER
        """When no further copies are asked for."""
        self._queue: deque[str] = deque()
        """Models to be looked at, first those used last."""
        self._slice_at = 0
        self._stages: dict[str, Stage] = {}
        self._looks: list[tuple[int, str]] = []
        """A heap of when they are looked at again; what no longer holds is passed over."""
        self._withdrawals: deque[tuple[int, str, int]] = deque()
        """When copies go that their records name no more."""
        self._awaited: dict[str, None] = {}
        """Models used lately that others do not have yet, and may come to."""
        self._again_at = NEVER
        """When those that nobody could take are looked at again, for there is room now."""
        self._room = (0, 0)
        """How many others take loads, and what is free there."""

    @property
    def awaited(self) -> int:
        """Models used lately that others do not have yet, and may come to."""
        return len(self._awaited)

    @property
    def instances(self) -> int:
        """Others that take loads."""
        return self._room[0]

    @property
    def left(self) -> tuple[int, int]:
        """Copies here that answer and are still to be handed over: in all, and of models that nobody can take."""
        refused = sum(stage.is_refused for stage in self._stages.values())
        return sum(entry.is_serving and not entry.is_leaving for entry in self._node.cache.entries.values()), refused

    def begin(self, until: int) -> int:
        """From now on copies here are handed over; how many there are."""
        node = self._node
        self._is_open = True
        self._room = self._room_elsewhere()
        self.limit(until)
        if until <= node.now:
            return 0
        entries, since = node.cache.entries, node.now - node.settings.handover_recent_ms
        latest = [(model, used) for model, used in node.cache.lru.ascending() if entries[model].is_serving]
        latest.reverse()
        self._queue += (model for model, _ in latest)
        self._awaited = {model: None for model, used in latest if used >= since}
        return len(latest)

    def limit(self, until: int) -> None:
        """From this instant on no further copies are asked for."""
        self._until = until

    def clear(self) -> list[tuple[str, int]]:
        """Nothing is handed over any more; the copies (model, gen) that no record names and that are still here."""
        left = [(model, gen) for _, model, gen in self._withdrawals]
        self._is_open, self._again_at = False, NEVER
        self._slots.clear()
        for kept in (self._queue, self._stages, self._looks, self._withdrawals, self._awaited):
            kept.clear()
        return left

    def withdraw(self, model: str, gen: int) -> None:
        """No record names the copy any more: it goes, if it is still there."""
        if self._node.copies.current(model, gen) is not None:
            self._node.copies.remove(model, "another instance answers in its place")

    # -- what happens ------------------------------------------------------------------------------

    def changed(self, model: str) -> None:
        """The copy here came or went."""
        if not self._is_open:
            return
        entry = self._node.cache.entries.get(model)
        if entry is not None and entry.is_serving:
            if self._until > self._node.now:
                self._put(model)
            return
        self._settle(model)
        if self._stages.pop(model, None):
            self._turn(self._slots.free(model))

    def _put(self, model: str) -> None:
        """Look at the model before the others."""
        self._queue.appendleft(model)
        self._slice_at = max(self._slice_at, self._node.now + self._node.settings.slice_pause_ms)

    def _settle(self, model: str) -> None:
        """The end need not wait for the model."""
        if self._awaited.pop(model, NEVER) is None:
            self._node.departure.look()

    def model_seen(self, model: str) -> None:
        """A model's record is another one."""
        if model in self._stages:
            self._judge(model)

    def instance_seen(self, instance: str) -> None:
        """An instance's record is another one."""
        if not self._is_open or instance == self._node.me:
            return
        node, before = self._node, self._room
        self._turn(self._slots.seen(instance))
        self._room = self._room_elsewhere()
        node.departure.look()
        if self._room[0] > before[0] or self._room[1] > before[1]:
            self._again_at = min(self._again_at, node.now + node.settings.handover_again_ms)

    def _room_elsewhere(self) -> tuple[int, int]:
        totals = self._node.view.totals
        return totals.instances, totals.free_units

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The next instant at which there is something to do."""
        return min(
            max(self._slice_at, self._node.now) if self._queue else NEVER,
            self._withdrawals[0][0] if self._withdrawals else NEVER,
            self._next_look(),
            self._again_at,
            self._slots.next_wake(),
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
        while self._withdrawals and self._withdrawals[0][0] <= node.now:
            _, model, gen = self._withdrawals.popleft()
            self.withdraw(model, gen)
        if self._again_at <= node.now:
            self._again()
        self._turn(self._slots.tick())
        while self._next_look() <= node.now:
            _, model = heappop(self._looks)
            self._stages[model].look_at = NEVER
            self._queue.appendleft(model)
        if self._queue and self._slice_at <= node.now:
            self._slice_at = node.now + node.settings.slice_pause_ms
            for _ in range(min(node.settings.slice_models, len(self._queue))):
                self._judge(self._queue.popleft())

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
                self._settle(model)
            return False
        holders = node.routes.holders(model, record)
        stage = self._stages.setdefault(model, Stage(len(holders)))
        if entry.is_leaving:
            self._look_again(model, stage)
            return False
        staying = [holder for holder in holders if self._stays(holder)]
        ready = sum(self._can_answer(holder.instance, holder.load_ts) for holder in staying if holder.is_ready)
        if ready >= stage.wanted or (ready and stage.is_refused):
            self._hand_over(model, entry, min(ready, stage.wanted))
            return False
        if stage.is_asking or stage.is_refused or (stage.is_held and not has_turn):
            return False
        stage.is_held = False
        self._look_again(model, stage)
        if len(staying) >= stage.wanted or self._until <= node.now:
            return False
        self._ask(model, stage, entry, record, holders, has_turn)
        return True

    def _stays(self, holder: Holder) -> bool:
        return holder.instance != self._node.me and not is_going(self._node.view, holder.instance)

    def _can_answer(self, instance: str, load_ts: int) -> bool:
        """Whether a copy that is ready is elsewhere, to be reached, and there to stay."""
        view = self._node.view
        is_there = view.is_live(instance, load_ts) and self._stays(Holder(instance, load_ts, True))
        return is_there and view.health.is_ok(instance, self._node.now)

    def _look_again(self, model: str, stage: Stage) -> None:
        at = self._node.now + self._node.settings.handover_again_ms
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
            stage.is_held = True
            slots.hold(model, record.type, is_first=has_turn)
            return
        stage.is_asking, stage.had_turn, stage.was_full = True, has_turn, False
        last_used = max(1, min(node.cache.last_used(model), node.now))
        inputs: dict[str, int | str] = {"copies": len(holders), "ago_ms": age_ms(last_used, node.now)}
        cause = "another copy is made before this one goes"
        why = node.explain(Reason(Rule.DRAIN, model, node.me, cause, node.view.revision, inputs))
        request = Request(
            model, Op.ENSURE, last_used=last_used, exclude=tuple(holder.instance for holder in holders),
            size_units=entry.weight, is_asked_for=False, is_handover=True,
        )  # fmt: skip
        node.emit(Begin(request, why))

    def out(self, request: Request, kind: str) -> tuple[str, ...]:
        """Instances that are not to be asked for another copy of a type ``kind`` at the moment."""
        return self._slots.out(request, kind)

    def declined(self, instance: str) -> None:
        """It would not make the copy it was asked for."""
        self._slots.decline(instance)

    def placed(self, request: Request, target: str | None, kind: str) -> None:
        """The copy of a type ``kind`` that was asked for is to be made at ``target``, or nowhere at the moment."""
        stage = self._stages.get(request.model)
        if stage is None:
            return
        if target is not None:
            self._turn(self._slots.take(request.model, target))
            return
        stage.was_full = self._slots.is_worth_waiting(request, kind)

    def follow(self, model: str, flow: Flow) -> Flow:
        """The flow of a request for another copy, and what came of it."""
        desk = self._node.desk  # where flows say what they change, so that it is recorded
        try:
            answer = yield from flow
        except Draining:  # what an instance that goes says if there is nobody else
            desk.replacement_ended(model, True)
            raise
        except MeshError:  # neither made nor refused: asked again
            desk.replacement_ended(model, False)
            raise
        assert isinstance(answer, StatusInfo)
        desk.replacement_ended(model, answer.status is Status.LOADING_FAILED)
        return answer

    def asked(self, model: str, is_refused: bool) -> None:
        """Another copy was asked for: it is there, or on its way, or nobody can have it (``is_refused``)."""
        stage, entry = self._stages.get(model), self._node.cache.entries.get(model)
        if stage is None or entry is None:
            return
        stage.is_asking = False
        freed = self._slots.free(model)
        if is_refused and stage.was_full:
            self._turn(freed)
            stage.is_held = True
            self._slots.hold(model, entry.type, is_first=stage.had_turn)
            return
        self._turn(freed or [entry.type])  # where it had a turn and no place the turn is the next one's
        if is_refused:
            self._refused(model, stage)
            self._judge(model)
        else:
            self._look_again(model, stage)

    def _refused(self, model: str, stage: Stage) -> None:
        """Nobody can take it for now."""
        node = self._node
        stage.is_refused = True
        self._settle(model)
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
        if entry is None:
            return
        if error is not None:
            entry.is_leaving = False
            if self._is_open and isinstance(error, StoreAway):
                self._look_again(model, self._stages[model])
            elif self._is_open:
                self._put(model)
        elif self._is_open:
            self._withdrawals.append((node.now + node.settings.handover_news_ms, model, gen))
        else:
            self.withdraw(model, gen)
