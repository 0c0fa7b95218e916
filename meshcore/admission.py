"""From the wish for a copy here to its place in the queue: judged, sized, and named in the record."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from meshcore.edits import Accept
from meshcore.entry import Entry, State
from meshcore.errors import ChurnRefused, FellThrough, MeshError, NeverFits
from meshcore.reasons import Reason, Rule
from meshcore.records import ModelRecord
from meshcore.units import NEVER, age_ms, to_units

if TYPE_CHECKING:
    from meshcore.copies import Copies, Surroundings


class Admission:
    """Brings copies into the cache of ``copies`` and, if nobody else was first, into its queue."""

    def __init__(self, around: Surroundings, copies: Copies) -> None:
        self._around, self._copies = around, copies
        self._gen = 0
        self._at = 0
        self._begun: dict[str, int] = {}
        """Loads that began at the instant ``_at``, by model: no two of one model began together, or they would be taken
        for the same. What the record says does not suffice, as it may not have been written."""

    def admit(
        self, model: str, record: ModelRecord, known: Mapping[str, int], last_used: int, size_units: int,
        is_inference: bool, is_asked_for: bool, count: int,
    ) -> Entry:  # fmt: skip
        """Begin a load; raises ChurnRefused or FellThrough where it would push out what is needed more.

        ``last_used`` 0 is now; ``size_units`` 0: not known to whoever asks; ``count`` copies there shall be.
        """
        around, copies, now = self._around, self._copies, self._around.now
        cache = copies.cache
        used_at = min(max(last_used, record.last_used), now) if last_used else now
        if text := self._churns(record, used_at):
            around.explain(Reason(Rule.REFUSE, model, around.me, text))
            raise ChurnRefused(text)
        self._gen += 1
        if now != self._at:
            self._at = now
            self._begun.clear()
        stale = max(record.copies.get(around.me, 0), self._begun.get(model, 0))
        load_ts = self._begun[model] = max(now, min(stale, NEVER - 1) + 1)
        entry = self._entry(model, load_ts, record, size_units)
        entry.is_prioritised, entry.is_asked_for, entry.known, entry.copies = is_inference, is_asked_for, known, count
        copies.queue.offer(entry)
        try:
            evicted = cache.insert(entry, used_at, now)
        except FellThrough as too_old:
            copies.queue.discard(entry)
            self.refused(entry, too_old)
            raise
        copies.make_way(evicted, f"room for {model}")
        if size_units or record.size_bytes or entry.is_average:
            self._offer(entry)
        else:
            copies.sizing.ask(entry)
        return entry

    def foresee(self, model: str, record: ModelRecord) -> tuple[str, ...]:
        """Whose copies a load for a request would push out now, as far as its size is known before it begins.

        Raises ChurnRefused or FellThrough as ``admit`` would; nothing is changed.
        """
        now, cache = self._around.now, self._copies.cache
        if text := self._churns(record, now):
            raise ChurnRefused(text)
        entry = self._entry(model, now, record, 0)
        entry.is_asked_for = True
        evicts = cache.foresee(entry, now, now)
        return evicts if record.size_bytes or entry.is_average else ()

    def _churns(self, record: ModelRecord, used_at: int) -> str:
        """Why a load would push out what was used only just; empty: it would not."""
        copies, now = self._copies, self._around.now
        if record.is_pinned or not copies.cache.churn_refuses(now, used_at, copies.queue.pending_units):
            return ""
        oldest_s = age_ms(copies.cache.oldest_ms, now) // 1000
        return f"Cache churn threshold exceeded: the least recently used model here was used {oldest_s} s ago"

    def _entry(self, model: str, load_ts: int, record: ModelRecord, size_units: int) -> Entry:
        """A copy as it would be admitted; ``size_units`` 0: as the record, the average or the default says."""
        copies, params = self._copies, self._copies.cache.params
        size_units = size_units or to_units(record.size_bytes)
        average_units = 0 if size_units else copies.sizing.average(record.type, copies.queue.in_progress, params)
        return Entry(
            model, self._gen, load_ts, record.type, record.path, record.key,
            priority=record.priority, is_pinned=record.is_pinned,
            predicted_units=size_units or average_units or params.default_units, is_average=bool(average_units),
            load_ms=copies.load_times.expected_ms(record.type, params.assume_loaded_ms),
        )  # fmt: skip

    def refused(self, entry: Entry, error: MeshError) -> Reason:
        """A load has no place here."""
        if entry.is_pinned and isinstance(error, FellThrough):
            self._copies.unsatisfied.refused(entry.model, error.text)
        return self._around.explain(Reason(Rule.REFUSE, entry.model, self._around.me, error.text))

    def predicted(self, model: str, gen: int, size_bytes: int) -> None:
        """The runtime's guess (0: none) is in: offer the load to the others or, if it had its turn, begin it."""
        copies = self._copies
        had_its_turn, entry = copies.sizing.answered(gen), copies.current(model, gen)
        if entry is not None:
            units = to_units(size_bytes) or copies.cache.params.default_units
            entry.predicted_units = max(entry.predicted_units, units) if had_its_turn else units
            copies.queue.weigh(entry)
        if had_its_turn:
            copies.pump()
        elif entry is not None:
            self._offer(entry)

    def _offer(self, entry: Entry) -> None:
        """Name the copy in the record before it takes room: whoever is first loads, the rest wait for it."""
        around = self._around
        last_used = self._copies.cache.last_used(entry.model)
        accept = Accept(around.me, entry.load_ts, last_used, entry.known, around.is_live, around.is_ghost, entry.copies)
        inputs: dict[str, int | str] = {"size_units": entry.predicted_units}
        if entry.is_average:
            inputs["is_average"] = 1
        why = Reason(Rule.ACCEPT, entry.model, around.me, "asked to load", inputs=inputs)
        around.edit(entry.model, accept, around.explain(why), partial(self._accepted, entry.model, entry.gen))

    def _accepted(self, model: str, gen: int, error: MeshError | None) -> None:
        copies, entry = self._copies, self._copies.current(model, gen)
        if entry is None:
            return
        if error is not None:  # deregistered all the same: a store that fell silent may have written it
            why = self.refused(entry, error)
            copies.leave(entry, copies.cache.remove(entry), why, error)
            copies.pump()
            return
        self._around.accepted()
        try:
            if not entry.is_average:
                copies.cache.check_fits(entry.predicted_units)
        except NeverFits as too_large:
            copies.fail(entry, too_large.text, None)
            return
        entry.to(State.QUEUED)
        copies.queue.add(entry)
        copies.pump()
