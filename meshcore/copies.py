"""The copies on this instance from admission to the last byte given back: what each event makes of them.

Everything goes through the same few moves: a copy is admitted, accepted in the record, queued, loaded, sized, ready;
or it goes: withdrawn, drained, unloaded, taken out of the record.
"""

from __future__ import annotations

from typing import Protocol

from meshcore.admission import Admission
from meshcore.cache import Cache, Evicted
from meshcore.capacity import CacheParams, copy_limits
from meshcore.commands import CancelLoad, Command, Load, Measure, Settle, Withdraw
from meshcore.edits import Deregister, Edit, MarkFailed, MarkReady
from meshcore.entry import Entry, State
from meshcore.errors import CopyGone, FellThrough, LoadFailure, MeshError, NeverFits, NoRoomYet
from meshcore.events import Failing
from meshcore.loadqueue import LoadQueue
from meshcore.loadtimes import LoadTimes
from meshcore.missed import is_missed
from meshcore.reasons import Candidate, Reason, Rule, trimmed
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from meshcore.sizing import Sizing
from meshcore.totals import Totals
from meshcore.units import age_ms, to_units
from meshcore.unloads import Unloads, unload_delay_ms
from meshcore.unsatisfied import Unsatisfied
from meshcore.writer import Ended


class Surroundings(Protocol):
    """What the copies need of the node around them."""

    now: int

    @property
    def settings(self) -> Settings: ...
    @property
    def me(self) -> str: ...
    @property
    def is_runtime_away(self) -> bool: ...
    def totals_for(self, model_type: str) -> Totals: ...
    def emit(self, command: Command) -> None: ...
    def explain(self, reason: Reason) -> Reason: ...
    def edit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None: ...
    def is_live(self, instance: str, load_ts: int) -> bool: ...
    def is_ghost(self, instance: str, load_ts: int) -> bool: ...
    def changed(self, model: str) -> None: ...  # the copy here is ready, or no longer
    def accepted(self) -> None: ...
    def load_ended(self) -> None: ...
    def capacity_changed(self) -> None: ...
    def retry(
        self, model: str, last_used: int, why: Reason, is_asked_for: bool, exclude: tuple[str, ...] = (),
        size_units: int = 0,
    ) -> None: ...  # fmt: skip
    def tried(self, entry: Entry, is_loaded: bool) -> None: ...  # the runtime loaded it, or could not


Gone = tuple[str, Deregister, Reason]
"""A copy that is to be taken out of its model's record, and why."""


class Copies:
    """The life of every copy here; the cache counts them, the queue starts them, the runtime holds them."""

    def __init__(self, around: Surroundings, cache: Cache) -> None:
        self._around, self.cache = around, cache
        self.queue = LoadQueue(cache.params.load_threads)
        self.unloads = Unloads(around, self._memory_back, self._memory_lost)
        self.sizing = Sizing(around)
        self.load_times = LoadTimes()
        self.unsatisfied = Unsatisfied(around, cache)
        self.admission = Admission(around, self)

    # -- coming ------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Start what can start: in order, a loader free, the memory free, the runtime there."""
        around, now = self._around, self._around.now
        if around.is_runtime_away:
            return
        while entry := self.queue.head(self._is_held, self.sizing.asking):
            if entry.is_average:
                entry.is_average = False
                self.sizing.ask_at_turn(entry)
                continue
            if entry.state is State.QUEUED:
                self.queue.begin_wait(entry, now)
            try:
                self._make_room(entry)
            except NoRoomYet:
                return  # until a load under way has ended
            except NeverFits as too_large:  # memory was lost since the load was accepted
                self.fail(entry, too_large.text, None)
                return
            except FellThrough as too_old:
                why = self.admission.refused(entry, too_old)
                self.leave(entry, self.cache.remove(entry), why, too_old)
                continue
            if not self.queue.next_startable(self.cache.is_claimable, self._is_held):
                return
            self.cache.claim(entry)
            self.unloads.load_begins(entry.model)
            entry.to(State.LOADING)
            entry.started_ms = now
            inputs: dict[str, int | str] = {"units": entry.weight, "waited_ms": now - entry.waiting_since}
            why = around.explain(Reason(Rule.LOAD, entry.model, around.me, "next in the queue", inputs=inputs))
            deadline_ms = self.cache.params.load_timeout_ms
            self.unloads.ask_again()
            around.emit(Load(entry.model, entry.gen, entry.type, entry.path, entry.key, deadline_ms, why))

    def _make_room(self, entry: Entry) -> None:
        """Evict for a load whose turn it is, and not before: what waits in the queue pushes nothing out.

        Nor is it pushed out, unless no load is under way whose end could give the room instead.
        """
        cache, now = self.cache, self._around.now
        if entry.is_prioritised:  # who waits for it uses it: what was used since it came is not needed more
            cache.touch(entry.model, now)
        try:
            evicted = cache.make_room(entry, entry.predicted_units, now)
        except NoRoomYet:
            if self.queue.is_running:
                raise
            evicted = cache.make_room(entry, entry.predicted_units, now, takes_loads=True)
        self.queue.weigh(entry)
        self.make_way(evicted, f"room for {entry.model}")

    def _is_held(self, entry: Entry) -> bool:
        """A model's former copy has to be gone from the runtime before it is loaded anew, and its size to be known."""
        return entry.model in self.unloads or self.sizing.is_asking(entry)

    def loaded(self, model: str, gen: int, size_bytes: int, max_concurrency: int) -> None:
        """The runtime has it: it answers from now on, though its size may still be a guess."""
        entry = self.current(model, gen)
        if entry is None:
            self.unloads.load_ended(model, gen)
            return
        around = self._around
        if self.cache.params.limits_concurrency:
            setting = around.settings.max_inflight_per_copy
            entry.max_concurrency, entry.max_inflight = copy_limits(max_concurrency, setting)
        entry.to(State.SIZING)
        load_ms = around.now - entry.started_ms
        self.load_times.took(entry.type, load_ms)
        self.cache.took(entry, load_ms)
        ready = Reason(Rule.READY, model, around.me, "loaded", inputs={"load_ms": load_ms})
        around.edit(model, MarkReady(around.me, entry.load_ts), around.explain(ready))
        around.changed(model)
        around.emit(Settle(model, gen, None))
        if size_bytes:
            self.measured(model, gen, size_bytes)
        else:
            around.emit(Measure(model, gen, around.settings.measure_deadline_ms))

    def measured(self, model: str, gen: int, size_bytes: int) -> None:
        """The size is known (0: it stays the guess); the loader is free for the next."""
        entry = self.current(model, gen)
        if entry is None:
            return
        entry.to(State.ACTIVE)
        self.queue.discard(entry)
        self._around.load_ended()
        self._around.tried(entry, is_loaded=True)
        if size_bytes:
            evicted = self.cache.sized(entry, max(1, to_units(size_bytes)), self._around.now)
            self.make_way(evicted, f"{model} is larger than predicted")
        self.pump()

    def load_failed(self, model: str, gen: int, text: str, how: Failing) -> None:
        """The runtime could not load it."""
        settings, entry = self._around.settings, self.current(model, gen)
        if entry is None:
            self.unloads.load_ended(model, gen)
        else:
            self.fail(entry, text, settings.unload_late_ms if how is Failing.LATE else settings.unload_failed_ms)

    def fail(self, entry: Entry, text: str, unload_in_ms: int | None) -> None:
        """Remember the failure in one unit; a runtime that tried is told to clean up (None: it did not)."""
        around, model = self._around, entry.model
        self.queue.discard(entry)
        around.load_ended()
        entry.to(State.FAILED)
        entry.failure, entry.failed_at = text, around.now
        to_unload = self.cache.fail(entry)
        around.changed(model)
        inputs: dict[str, int | str] = {} if unload_in_ms is None else {"unload_in_ms": unload_in_ms}
        why = around.explain(Reason(Rule.FAIL, model, around.me, text, inputs=inputs))
        if unload_in_ms is not None:
            around.tried(entry, is_loaded=False)
            self.unloads.begin(model, entry.gen, to_unload, why, unload_in_ms)
            self.unloads.free(model, entry.gen)
        last_used = self.cache.last_used(model)
        around.edit(model, MarkFailed(around.me, entry.load_ts, around.now, text, last_used), why)
        around.emit(Settle(model, entry.gen, LoadFailure(text)))
        if not entry.is_awaited:
            me, size_units = (around.me,), entry.predicted_units
            around.retry(model, last_used, why, entry.is_asked_for, exclude=me, size_units=size_units)
        self.pump()

    # -- going -------------------------------------------------------------------------------------

    def remove(self, model: str, cause: str) -> None:
        """Let the copy here go for another cause than room; none here is fine."""
        if entry := self.cache.entries.get(model):
            self._remove(entry, cause)
            self.pump()

    def reprioritise(self, model: str, record: ModelRecord) -> None:
        """The registration may say otherwise by now what the copy here, if there is one, is worth."""
        entry = self.cache.entries.get(model)
        if entry is None or (entry.priority, entry.is_pinned) == (record.priority, record.is_pinned):
            return
        evicted = self.cache.reprioritise(entry, record.priority, record.is_pinned, self._around.now)
        self.make_way(evicted, f"{model} is not pinned any more")
        if evicted:
            self.pump()

    def _remove(self, entry: Entry, cause: str) -> None:
        inputs = self._unload_in(entry, is_eviction=False)
        why = self._around.explain(Reason(Rule.REMOVE, entry.model, self._around.me, cause, inputs=inputs))
        self.leave(entry, self.cache.remove(entry), why)

    def _unload_in(self, entry: Entry, is_eviction: bool) -> dict[str, int | str]:
        """What a reason says of when a copy is unloaded at the earliest; nothing where there is nothing to unload."""
        if entry.is_pending or entry.state is State.FAILED:
            return {}
        return {"unload_in_ms": unload_delay_ms(self._around.settings, entry.state, is_eviction)}

    def make_way(self, evicted: list[Evicted], cause: str) -> None:
        around = self._around
        for victim in evicted:
            model = victim.entry.model
            inputs: dict[str, int | str] = {"age_ms": age_ms(victim.last_used, around.now), "units": victim.units}
            inputs |= self._unload_in(victim.entry, is_eviction=True)
            candidates, more = trimmed([Candidate(model, victim.score), *victim.spared])
            reason = Reason(Rule.EVICT, model, around.me, cause, 0, inputs, candidates, more)
            why, has_a_place = around.explain(reason), is_missed(victim.entry, self.cache.params, around)
            self.leave(victim.entry, victim.last_used, why)
            if has_a_place:
                around.retry(model, victim.last_used, why, False, exclude=(around.me,), size_units=victim.units)
        self.unsatisfied.judge()

    def leave(self, entry: Entry, last_used: int, why: Reason, error: MeshError | None = None) -> None:
        """Take an entry, already out of the cache, through the rest of its life."""
        around, model, state = self._around, entry.model, entry.state
        around.edit(model, self._deregister(entry, last_used), why)
        if state.is_pending:
            self._release(entry, error or CopyGone(why.cause))
            return
        entry.to(State.REMOVED)
        if state is State.FAILED:
            return
        self.queue.discard(entry)
        delay_ms = unload_delay_ms(around.settings, state, why.rule is Rule.EVICT)
        self.unloads.begin(model, entry.gen, entry.weight, why, delay_ms, is_loading=state is State.LOADING)
        around.changed(model)
        if state is State.LOADING:
            around.emit(CancelLoad(model, entry.gen))
            around.emit(Settle(model, entry.gen, CopyGone(why.cause)))
        else:
            around.emit(Withdraw(model, entry.gen, around.settings.drain_copy_ms))

    def _deregister(self, entry: Entry, last_used: int) -> Deregister:
        unloaded_at = self._around.now if entry.is_serving else 0
        return Deregister(self._around.me, entry.load_ts, last_used, unloaded_at)

    def _release(self, entry: Entry, error: MeshError) -> None:
        """End an entry that never reached the runtime."""
        self.queue.discard(entry)
        entry.to(State.REMOVED)
        self._around.changed(entry.model)
        self._around.emit(Settle(entry.model, entry.gen, error))

    def _memory_back(self, model: str, units: int, found_units: int) -> None:
        """An unload worked; ``found_units`` had counted as lost."""
        self.cache.unloaded(units)
        if found_units:
            self.cache.found(found_units)
            self._around.capacity_changed()
        self.pump()

    def _memory_lost(self, model: str, units: int) -> None:
        """An unload was given up: for now this instance does not have that memory."""
        if units:
            self.make_way(self.cache.unload_lost(units, self._around.now), f"{model} cannot be unloaded")
            self._around.capacity_changed()
        self.pump()

    def drop_pending(self, cause: str) -> None:
        """Give up the loads that have not reached the runtime: who waits for one goes elsewhere, others begin there."""
        around = self._around
        for entry in [entry for entry in self.cache.entries.values() if entry.is_pending]:
            model, last_used = entry.model, self.cache.last_used(entry.model)
            self._remove(entry, cause)
            if not entry.is_awaited:
                why = around.explain(Reason(Rule.DRAIN, model, around.me, "its load had not begun: others do it"))
                around.retry(
                    model, last_used, why, entry.is_asked_for, exclude=(around.me,), size_units=entry.predicted_units
                )

    def deregister_all(self, cause: str) -> None:
        """Take every copy out of its record and out of the table; the process ends, so nothing is unloaded."""
        around = self._around
        for entry in list(self.cache.entries.values()):
            why = around.explain(Reason(Rule.DRAIN, entry.model, around.me, cause))
            around.edit(entry.model, self._deregister(entry, self.cache.remove(entry)), why)
            self.queue.discard(entry)
            around.changed(entry.model)
            if entry.state < State.SIZING:
                around.emit(Settle(entry.model, entry.gen, CopyGone(cause)))
            entry.to(State.REMOVED)

    def lose_all(self, cause: str) -> list[Gone]:
        """The runtime has none of the copies any more, nor any memory in use: what is to be deregistered for that.

        Who waits for a load chooses anew, and a load that nobody waits for begins anew.
        """
        around, gone = self._around, []
        for entry in list(self.cache.entries.values()):
            model, state = entry.model, entry.state
            why = around.explain(Reason(Rule.RESTART, model, around.me, cause))
            last_used = self.cache.remove(entry)
            deregister = self._deregister(entry, last_used)
            self.queue.discard(entry)
            entry.to(State.REMOVED)
            around.changed(model)
            if state is State.FAILED:
                continue
            gone.append((model, deregister, why))
            if state.is_serving:
                around.emit(Withdraw(model, entry.gen, around.settings.drain_copy_ms))
                continue
            around.emit(Settle(model, entry.gen, CopyGone(cause)))
            if not entry.is_awaited:
                around.retry(model, last_used, why, entry.is_asked_for)
        self.unloads.forget()
        self.cache.renew(self.cache.params, around.now)
        return gone

    def runtime_back(self, params: CacheParams) -> None:
        """The runtime is there again, empty, and may be another: loads that came meanwhile begin."""
        self.queue.threads = params.load_threads
        self.make_way(self.cache.renew(params, self._around.now), "the runtime has less memory than before")
        self.pump()

    def current(self, model: str, gen: int) -> Entry | None:
        """The copy that an answer is about; None: it is no longer here."""
        entry = self.cache.entries.get(model)
        return entry if entry is not None and entry.gen == gen else None

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The next instant at which waiting turns into something else."""
        return min(self.unloads.next_wake(), self.queue.waiting_since() + self._around.settings.space_wait_ms)

    def tick(self) -> None:
        """Ask for unloads that are due; give up loads that found no memory in time (D-01)."""
        self.unloads.tick()
        now, space_wait_ms = self._around.now, self._around.settings.space_wait_ms
        late = [entry for entry in self.queue.waiting() if now - entry.waiting_since >= space_wait_ms]
        for entry in late:
            self._remove(entry, "no memory came free in time")
        if late:
            self.pump()
