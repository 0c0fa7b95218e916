"""Which accepted load starts next, and how many run at once."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable
from itertools import chain

from meshcore.entry import Entry, State
from meshcore.units import NEVER

Test = Callable[[Entry], bool]


def _turn(entry: Entry) -> tuple[bool, int]:
    return not entry.is_prioritised, entry.arrived


class LoadQueue:
    """Loads in the order of (class, arrival), inference before the rest (D-03), at most ``threads`` running.

    The order is strict: while the first load waits for memory nothing behind it starts, however small. What it waits
    for is on its way already, for its victims are being unloaded and later loads cannot take their memory; letting
    small ones pass would keep taking it, and a large model would wait for ever. What the others lose is bounded by
    the time that a load may wait for memory.
    """

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self._offered: dict[str, Entry] = {}
        """By model, as those that run are."""
        self._queued: list[Entry] = []
        self._running: dict[str, Entry] = {}
        self._waiting: dict[str, Entry] = {}
        """Of those that are queued the few whose turn came."""
        self._needs: dict[str, int] = {}
        """What each that is queued will take beside what it holds already: there may be thousands, and their sum is
        asked for often."""
        self.pending_units = 0
        """The sum of it."""
        self._arrivals = 0

    @property
    def in_progress(self) -> int:
        """Loads admitted and not over: whoever asks next is behind those that no record names yet, too."""
        return len(self._offered) + len(self._queued) + len(self._running)

    @property
    def asked_for(self) -> int:
        """How many of those in progress clients want."""
        return sum(entry.is_asked_for for entry in chain(self._offered.values(), self._queued, self._running.values()))

    @property
    def is_running(self) -> bool:
        """Whether a load is under way."""
        return bool(self._running)

    def offer(self, entry: Entry) -> None:
        """A load is admitted, and is to be queued or discarded when the others know of it."""
        self._offered[entry.model] = entry

    def add(self, entry: Entry) -> None:
        """Queue a load behind those of its class."""
        _discard(self._offered, entry)
        self._arrivals += 1
        entry.arrived = self._arrivals
        insort(self._queued, entry, key=_turn)
        self._needs[entry.model] = 0
        self.weigh(entry)

    def weigh(self, entry: Entry) -> None:
        """What a load will take, or holds, is something else now; fine if it is not queued."""
        if entry.model in self._needs:
            need = max(0, entry.predicted_units - entry.weight)
            self.pending_units += need - self._needs[entry.model]
            self._needs[entry.model] = need

    def begin_wait(self, entry: Entry, now: int) -> None:
        """It is its turn, and it may have to wait for memory."""
        entry.to(State.WAITING)
        entry.waiting_since = now
        self._waiting[entry.model] = entry

    def raise_class(self, entry: Entry) -> None:
        """An inference waits for this load now: it goes before all others that arrived later or wait for nobody."""
        queued = self._take(entry)
        entry.is_prioritised = True
        if queued:
            insort(self._queued, entry, key=_turn)

    def discard(self, entry: Entry) -> None:
        """The load is over, or nobody wants it any more; fine if it is not here."""
        _discard(self._offered, entry)
        _discard(self._running, entry)
        self._leave(entry)

    def head(self, is_held: Test | None = None, taken: int = 0) -> Entry | None:
        """Whose turn it is; None: nobody's, or all threads are busy, ``taken`` of them with something else.

        An entry that ``is_held`` by something else than memory, its model's former copy still being unloaded, say,
        is passed over and keeps its place.
        """
        if len(self._running) + taken >= self.threads:
            return None
        return next((entry for entry in self._queued if is_held is None or not is_held(entry)), None)

    def next_startable(self, can_start: Test, is_held: Test | None = None) -> Entry | None:
        """The entry at the head, now running, if it ``can_start``."""
        entry = self.head(is_held)
        if entry is None or not can_start(entry):
            return None
        self._leave(entry)
        self._running[entry.model] = entry
        return entry

    def waiting(self) -> list[Entry]:
        """Those whose turn came and who wait for memory, in order."""
        return sorted(self._waiting.values(), key=_turn)

    def waiting_since(self) -> int:
        """When the first of ``waiting`` began to; NEVER: nobody waits."""
        return min((entry.waiting_since for entry in self._waiting.values()), default=NEVER)

    def _leave(self, entry: Entry) -> None:
        if self._take(entry):
            _discard(self._waiting, entry)
            self.pending_units -= self._needs.pop(entry.model)

    def _take(self, entry: Entry) -> bool:
        at = bisect_left(self._queued, _turn(entry), key=_turn)
        if self._queued[at : at + 1] != [entry]:
            return False
        del self._queued[at]
        return True


def _discard(entries: dict[str, Entry], entry: Entry) -> None:
    if entries.get(entry.model) is entry:
        del entries[entry.model]
