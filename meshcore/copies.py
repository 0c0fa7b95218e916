"""The copies on this instance from admission to the last byte given back: what each event makes of them.

Everything goes through the same few moves: a copy is admitted, accepted in the record, queued, loaded, sized, ready;
or it goes: withdrawn, drained, unloaded, taken out of the record.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from meshcore.cache import Cache, Evicted
from meshcore.commands import CancelLoad, Command, Load, Measure, Predict, Settle, Unload, Withdraw
from meshcore.edits import Accept, Deregister, Edit, MarkFailed, MarkReady
from meshcore.entry import Entry, State
from meshcore.errors import ChurnRefused, CopyGone, FellThrough, LoadFailure, MeshError, NeverFits, NoRoomYet
from meshcore.loadqueue import LoadQueue
from meshcore.reasons import Candidate, Reason, Rule, trimmed
from meshcore.records import ModelRecord
from meshcore.settings import Settings
from meshcore.units import NEVER, age_ms, to_units
from meshcore.writer import Ended


class Surroundings(Protocol):
    """What the copies need of the node around them."""

    now: int
    settings: Settings

    @property
    def me(self) -> str: ...
    def emit(self, command: Command) -> None: ...
    def explain(self, reason: Reason) -> Reason: ...
    def edit(self, model: str, edit: Edit, why: Reason, ended: Ended | None = None) -> None: ...
    def is_live(self, instance: str, load_ts: int) -> bool: ...
    def is_ghost(self, instance: str, load_ts: int) -> bool: ...
    def changed(self, model: str) -> None: ...  # the copy here is ready, or no longer
    def accepted(self) -> None: ...
    def load_ended(self) -> None: ...
    def retry_elsewhere(self, model: str, last_used: int, why: Reason) -> None: ...


@dataclass(slots=True)
class _Leaving:
    """Memory of a copy that is no longer in the cache and not yet given back."""

    gen: int
    weight: int
    why: Reason
    is_loading: bool = False
    attempts: int = 0
    retry_at: int = NEVER


class Copies:
    """The life of every copy here; the cache counts them, the queue starts them, the runtime holds them."""

    def __init__(self, around: Surroundings, cache: Cache) -> None:
        self._around, self.cache = around, cache
        self.queue = LoadQueue(cache.params.load_threads)
        self._leaving: dict[str, _Leaving] = {}
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
            self._fail(entry, too_large.text, was_tried=False)
            return
        entry.to(State.QUEUED)
        self.queue.add(entry)
        self.pump()

    def pump(self) -> None:
        """Start what can start: in order, a loader free, the memory free."""
        around, now = self._around, self._around.now
        while entry := self.queue.head(self._is_held):
            if entry.state is State.QUEUED:
                entry.to(State.WAITING)
                entry.waiting_since = now
            try:
                self._make_room(entry)
            except NoRoomYet:
                return  # until a load under way has ended
            except NeverFits as too_large:  # memory was lost since the load was accepted
                self._fail(entry, too_large.text, was_tried=False)
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
        return entry.model in self._leaving

    def loaded(self, model: str, gen: int, size_bytes: int, max_concurrency: int) -> None:
        """The runtime has it: it answers from now on, though its size may still be a guess."""
        entry = self._current(model, gen)
        if entry is None:
            self._load_ended(model, gen)
            return
        around = self._around
        entry.max_concurrency = max_concurrency
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

    def load_failed(self, model: str, gen: int, text: str) -> None:
        """The runtime could not load it."""
        entry = self._current(model, gen)
        if entry is None:
            self._load_ended(model, gen)
        else:
            self._fail(entry, text, was_tried=True)

    def _fail(self, entry: Entry, text: str, was_tried: bool) -> None:
        """Remember the failure in one unit; a runtime that tried is told to clean up."""
        around, model = self._around, entry.model
        self.queue.discard(entry)
        around.load_ended()
        entry.to(State.FAILED)
        entry.failure, entry.failed_at = text, around.now
        to_unload = self.cache.fail(entry)
        around.changed(model)
        why = around.explain(Reason(Rule.FAIL, model, around.me, text))
        if was_tried:
            self._leaving[model] = _Leaving(entry.gen, to_unload, why)
            around.emit(Unload(model, entry.gen, why))
        last_used = self.cache.last_used(model)
        around.edit(model, MarkFailed(around.me, entry.load_ts, around.now, text, last_used), why)
        around.emit(Settle(model, entry.gen, LoadFailure(text)))
        if not entry.is_awaited:
            around.retry_elsewhere(model, last_used, why)
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
        why = self._around.explain(Reason(Rule.REMOVE, entry.model, self._around.me, cause))
        self._leave(entry, self.cache.remove(entry), why)

    def _evict(self, evicted: list[Evicted], cause: str) -> None:
        around = self._around
        for victim in evicted:
            model = victim.entry.model
            inputs: dict[str, int | str] = {"age_ms": age_ms(victim.last_used, around.now), "units": victim.units}
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
        self._leaving[model] = _Leaving(entry.gen, entry.weight, why, is_loading=state is State.LOADING)
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

    def _load_ended(self, model: str, gen: int) -> None:
        """A load that nobody waited for any more is over: clean up after it."""
        leaving = self._leaving.get(model)
        if leaving is not None and leaving.gen == gen and leaving.is_loading:
            leaving.is_loading = False
            self._around.emit(Unload(model, gen, leaving.why))

    def drained(self, model: str, gen: int) -> None:
        """Nothing uses the copy any more: give its memory back."""
        leaving = self._leaving.get(model)
        if leaving is not None and leaving.gen == gen:
            self._around.emit(Unload(model, gen, leaving.why))

    def unloaded(self, model: str, gen: int) -> None:
        """The runtime gave the memory back."""
        leaving = self._leaving.get(model)
        if leaving is not None and leaving.gen == gen:
            del self._leaving[model]
            self.cache.unloaded(leaving.weight)
            self.pump()

    def unload_failed(self, model: str, gen: int, text: str) -> None:
        """Ask again later; what never works is memory that this instance no longer has."""
        leaving = self._leaving.get(model)
        if leaving is None or leaving.gen != gen:
            return
        settings, around = self._around.settings, self._around
        leaving.attempts += 1
        inputs: dict[str, int | str] = {"attempts": leaving.attempts, "units": leaving.weight}
        around.explain(Reason(Rule.UNLOAD, model, around.me, f"failed: {text}", inputs=inputs))
        if leaving.attempts > settings.unload_retries:
            del self._leaving[model]
            self._evict(self.cache.unload_lost(leaving.weight, around.now), f"{model} cannot be unloaded")
            self.pump()
            return
        pause_ms = settings.unload_retry_first_ms if leaving.attempts == 1 else settings.unload_retry_ms
        leaving.retry_at = around.now + pause_ms

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

    def _current(self, model: str, gen: int) -> Entry | None:
        """The copy that an answer is about; None: it is no longer here."""
        entry = self.cache.entries.get(model)
        return entry if entry is not None and entry.gen == gen else None

    # -- time --------------------------------------------------------------------------------------

    def next_wake(self) -> int:
        """The next instant at which waiting turns into something else."""
        retries = (leaving.retry_at for leaving in self._leaving.values())
        return min(min(retries, default=NEVER), self.queue.waiting_since() + self._around.settings.space_wait_ms)

    def tick(self) -> None:
        """Ask again for unloads that failed; give up loads that found no memory in time (D-01)."""
        now = self._around.now
        for model, leaving in list(self._leaving.items()):
            if leaving.retry_at <= now:
                leaving.retry_at = NEVER
                self._around.emit(Unload(model, leaving.gen, leaving.why))
        late = [e for e in self.queue.waiting() if now - e.waiting_since >= self._around.settings.space_wait_ms]
        for entry in late:
            self._remove(entry, "no memory came free in time")
        if late:
            self.pump()
