"""The copies on this instance from admission to the last byte given back: what each event makes of them.

Everything goes through the same few moves: a copy is admitted, accepted in the record, queued, loaded, sized, ready;
or it goes: withdrawn, drained, unloaded, taken out of the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from meshcore.cache import Cache, Evicted
from meshcore.capacity import CacheParams, copy_limits
from meshcore.commands import CancelLoad, Command, Load, Measure, Predict, Settle, Withdraw
from meshcore.edits import Accept, Deregister, Edit, MarkFailed, MarkReady
from meshcore.entry import Entry, State
from meshcore.errors import ChurnRefused, CopyGone, FellThrough, LoadFailure, MeshError, NeverFits, NoRoomYet
from meshcore.events import Failing
from meshcore.loadqueue import LoadQueue
from meshcore.reasons import Candidate, Reason, Rule, trimmed
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from meshcore.units import NEVER, age_ms, to_units
from meshcore.unloads import Unloads, unload_delay_ms
from meshcore.writer import Ended


class Surroundings(Protocol):
    """What the copies need of the node around them."""

    now: int
    settings: Settings

    @property
    def me(self) -> str: ...
    @property
    def is_runtime_away(self) -> bool: ...
    def emit(self, command: Command) -> None: ...
    def explain(self, reason: Reason) -> Reason: ...
    def edit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None: ...
    def is_live(self, instance: str, load_ts: int) -> bool: ...
    def is_ghost(self, instance: str, load_ts: int) -> bool: ...
    def changed(self, model: str) -> None: ...  # the copy here is ready, or no longer
    def accepted(self) -> None: ...
    def load_ended(self) -> None: ...
    def retry(self, model: str, last_used: int, why: Reason, exclude: tuple[str, ...] = ()) -> None: ...


Gone = tuple[str, Deregister, Reason]
"""A copy that is to be taken out of its model's record, and why."""


class Copies:
    """The life of every copy here; the cache counts them, the queue starts them, the runtime holds them."""

    def __init__(self, around: Surroundings, cache: Cache) -> None:
        self._around, self.cache = around, cache
        self.queue = LoadQueue(cache.params.load_threads)
        self.unloads = Unloads(around, self._memory_back)
        self._gen = 0

    # -- coming ------------------------------------------------------------------------------------

    def admit(
        self, model: str, record: ModelRecord, known: Mapping[str, int], last_used: int, size_units: int,
        is_inference: bool,
    ) -> Entry:  # fmt: skip
        """Begin a load; raises ChurnRefused or FellThrough where it would push out what is needed more.

        ``last_used`` 0 is now; ``size_units`` 0 asks the runtime for a prediction first.
        """
        around, now = self._around, self._around.now
        used_at = min(max(last_used, record.last_used), now) if last_used else now
        if self.cache.churn_refuses(now, used_at, self.queue.pending_units):
            oldest_s = age_ms(self.cache.oldest_ms, now) // 1000
            text = f"Cache churn threshold exceeded: the least recently used model here was used {oldest_s} s ago"
            around.explain(Reason(Rule.REFUSE, model, around.me, text))
            raise ChurnRefused(text)
        self._gen += 1
        stale = record.copies.get(around.me, 0)
        entry = Entry(
            model, self._gen, max(now, min(stale, NEVER - 1) + 1), record.type, record.path, record.key,
            priority=record.priority, is_pinned=record.is_pinned, is_prioritised=is_inference, known=known,
        )  # fmt: skip
        self.queue.offer(entry)
        self._evict(self.cache.insert(entry, used_at, now), f"room for {model}")
        size_units = size_units or to_units(record.size_bytes)
        if size_units:
            self._offer(entry, size_units)
        else:
            deadline_ms = around.settings.predict_deadline_ms
            around.emit(Predict(model, entry.gen, entry.type, entry.path, entry.key, deadline_ms))
        return entry

    def predicted(self, model: str, gen: int, size_bytes: int) -> None:
        """The runtime's guess (0: none) is in: offer the load to the others."""
        if entry := self._current(model, gen):
            self._offer(entry, to_units(size_bytes) or self.cache.params.default_units)

    def _offer(self, entry: Entry, size_units: int) -> None:
        """Name the copy in the record before it takes room: whoever is first loads, the rest wait for it."""
        entry.predicted_units = size_units
        around = self._around
        last_used = self.cache.last_used(entry.model)
        accept = Accept(around.me, entry.load_ts, last_used, entry.known, around.is_live, around.is_ghost)
        why = Reason(Rule.ACCEPT, entry.model, around.me, "asked to load", inputs={"size_units": size_units})
        around.edit(entry.model, accept, around.explain(why), partial(self._accepted, entry.model, entry.gen))

    def _accepted(self, model: str, gen: int, error: MeshError | None) -> None:
        entry = self._current(model, gen)
        if entry is None:
            return
        if error is not None:  # deregistered all the same: a store that fell silent may have written it
            why = self._around.explain(Reason(Rule.REFUSE, model, self._around.me, error.text))
            self._leave(entry, self.cache.remove(entry), why, error)
            self.pump()
            return
        self._around.accepted()
        try:
            self.cache.check_fits(entry.predicted_units)
        except NeverFits as too_large:
            self._fail(entry, too_large.text, None)
            return
        entry.to(State.QUEUED)
        self.queue.add(entry)
        self.pump()

    def pump(self) -> None:
        """Start what can start: in order, a loader free, the memory free, the runtime there."""
        around, now = self._around, self._around.now
        if around.is_runtime_away:
            return
        while entry := self.queue.head(self._is_held):
            if entry.state is State.QUEUED:
                entry.to(State.WAITING)
                entry.waiting_since = now
            try:
                self._make_room(entry)
            except NoRoomYet:
                return  # until a load under way has ended
            except NeverFits as too_large:  # memory was lost since the load was accepted
                self._fail(entry, too_large.text, None)
                return
            except FellThrough as too_old:
                why = around.explain(Reason(Rule.REFUSE, entry.model, around.me, too_old.text))
                self._leave(entry, self.cache.remove(entry), why, too_old)
                continue
            if not self.queue.next_startable(self.cache.is_claimable, self._is_held):
                return
            self.cache.claim(entry)
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
        self._evict(evicted, f"room for {entry.model}")

    def _is_held(self, entry: Entry) -> bool:
        """A model's former copy has to be gone from the runtime before it is loaded anew."""
        return entry.model in self.unloads

    def loaded(self, model: str, gen: int, size_bytes: int, max_concurrency: int) -> None:
        """The runtime has it: it answers from now on, though its size may still be a guess."""
        entry = self._current(model, gen)
        if entry is None:
            self.unloads.load_ended(model, gen)
            return
        around = self._around
        if self.cache.params.limits_concurrency:
            setting = around.settings.max_inflight_per_copy
            entry.max_concurrency, entry.max_inflight = copy_limits(max_concurrency, setting)
        entry.to(State.SIZING)
        ready = Reason(Rule.READY, model, around.me, "loaded", inputs={"load_ms": around.now - entry.started_ms})
        around.edit(model, MarkReady(around.me, entry.load_ts), around.explain(ready))
        around.changed(model)
        around.emit(Settle(model, gen, None))
        if size_bytes:
            self.measured(model, gen, size_bytes)
        else:
            around.emit(Measure(model, gen, around.settings.measure_deadline_ms))

    def measured(self, model: str, gen: int, size_bytes: int) -> None:
        """The size is known (0: it stays the guess); the loader is free for the next."""
        entry = self._current(model, gen)
        if entry is None:
            return
        entry.to(State.ACTIVE)
        self.queue.discard(entry)
        self._around.load_ended()
        if size_bytes:
            evicted = self.cache.sized(entry, max(1, to_units(size_bytes)), self._around.now)
            self._evict(evicted, f"{model} is larger than predicted")
        self.pump()

    def load_failed(self, model: str, gen: int, text: str, how: Failing) -> None:
        """The runtime could not load it."""
        settings, entry = self._around.settings, self._current(model, gen)
        if entry is None:
            self.unloads.load_ended(model, gen)
        else:
            self._fail(entry, text, settings.unload_late_ms if how is Failing.LATE else settings.unload_failed_ms)

    def _fail(self, entry: Entry, text: str, unload_in_ms: int | None) -> None:
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
            self.unloads.begin(model, entry.gen, to_unload, why, unload_in_ms)
            self.unloads.free(model, entry.gen)
        last_used = self.cache.last_used(model)
        around.edit(model, MarkFailed(around.me, entry.load_ts, around.now, text, last_used), why)
        around.emit(Settle(model, entry.gen, LoadFailure(text)))
        if not entry.is_awaited:
            around.retry(model, last_used, why, exclude=(around.me,))
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
        if evicted := self.cache.reprioritise(entry, record.priority, record.is_pinned, self._around.now):
            self._evict(evicted, f"{model} is not pinned any more")
            self.pump()

    def _remove(self, entry: Entry, cause: str) -> None:
        inputs = self._unload_in(entry, is_eviction=False)
        why = self._around.explain(Reason(Rule.REMOVE, entry.model, self._around.me, cause, inputs=inputs))
        self._leave(entry, self.cache.remove(entry), why)

    def _unload_in(self, entry: Entry, is_eviction: bool) -> dict[str, int | str]:
        """What a reason says of when a copy is unloaded at the earliest; nothing where there is nothing to unload."""
        if entry.is_pending or entry.state is State.FAILED:
            return {}
        return {"unload_in_ms": unload_delay_ms(self._around.settings, entry.state, is_eviction)}

    def _evict(self, evicted: list[Evicted], cause: str) -> None:
        around = self._around
        for victim in evicted:
            model = victim.entry.model
            inputs: dict[str, int | str] = {"age_ms": age_ms(victim.last_used, around.now), "units": victim.units}
            inputs |= self._unload_in(victim.entry, is_eviction=True)
            candidates, more = trimmed([Candidate(model, victim.score), *victim.spared])
            reason = Reason(Rule.EVICT, model, around.me, cause, 0, inputs, candidates, more)
            why = around.explain(reason)
            self._leave(victim.entry, victim.last_used, why)

    def _leave(self, entry: Entry, last_used: int, why: Reason, error: MeshError | None = None) -> None:
        """Take an entry, already out of the cache, through the rest of its life."""
        around, model, state = self._around, entry.model, entry.state
        around.edit(model, Deregister(around.me, entry.load_ts, last_used), why)
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

    def _release(self, entry: Entry, error: MeshError) -> None:
        """End an entry that never reached the runtime."""
        self.queue.discard(entry)
        entry.to(State.REMOVED)
        self._around.changed(entry.model)
        self._around.emit(Settle(entry.model, entry.gen, error))

    def _memory_back(self, model: str, units: int, is_back: bool) -> None:
        """An unload is over; if memory did not come back with it, this instance does not have it any more."""
        if is_back:
            self.cache.unloaded(units)
        else:
            self._evict(self.cache.unload_lost(units, self._around.now), f"{model} cannot be unloaded")
        self.pump()

    def drop_pending(self, cause: str) -> None:
        """Give up the loads that have not reached the runtime: who waits for one goes elsewhere."""
        for entry in [entry for entry in self.cache.entries.values() if entry.is_pending]:
            self._remove(entry, cause)

    def deregister_all(self, cause: str) -> None:
        """Take every copy out of its record and out of the table; the process ends, so nothing is unloaded."""
        around = self._around
        for entry in list(self.cache.entries.values()):
            why = around.explain(Reason(Rule.DRAIN, entry.model, around.me, cause))
            around.edit(entry.model, Deregister(around.me, entry.load_ts, self.cache.remove(entry)), why)
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
            self.queue.discard(entry)
            entry.to(State.REMOVED)
            around.changed(model)
            if state is State.FAILED:
                continue
            gone.append((model, Deregister(around.me, entry.load_ts, last_used), why))
            if state.is_serving:
                around.emit(Withdraw(model, entry.gen, around.settings.drain_copy_ms))
                continue
            around.emit(Settle(model, entry.gen, CopyGone(cause)))
            if not entry.is_awaited:
                around.retry(model, last_used, why)
        self.unloads.forget()
        self.cache.renew(self.cache.params, around.now)
        return gone

    def runtime_back(self, params: CacheParams) -> None:
        """The runtime is there again, empty, and may be another: loads that came meanwhile begin."""
        self.queue.threads = params.load_threads
        self._evict(self.cache.renew(params, self._around.now), "the runtime has less memory than before")
        self.pump()

    def _current(self, model: str, gen: int) -> Entry | None:
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
