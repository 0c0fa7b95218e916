"""Which peers are worth trying: one that could not be reached is left alone for a while, longer each time."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush

from meshcore.settings import Settings
from meshcore.units import NEVER


@dataclass(slots=True)
class _Ejected:
    pause_ms: int
    until: int
    is_probed: bool = False
    """A request is on its way there to find out."""


class PeerHealth:
    """Ejection of peers after transport errors (docs/design.md, data plane).

    A peer is fine, ejected until an instant, or, after that instant, on probation until a request reaches it: it may
    be tried, by one request at a time, and the next failure ejects it for twice as long.
    """

    NOT_STATE = frozenset({"_first_ms", "_most_ms"})  # settings

    def __init__(self, settings: Settings) -> None:
        self._first_ms = settings.eject_first_ms
        self._most_ms = settings.eject_most_ms
        self._ejected: dict[str, _Ejected] = {}
        self._due: list[tuple[int, str]] = []
        """Heap of (until, instance); entries that no longer hold are skipped when they come up."""

    def failed(self, instance: str, now: int) -> bool:
        """A request could not be passed to ``instance``; True iff that ejects it anew.

        Requests that were under way when it was ejected fail with it and say nothing new.
        """
        held = self._ejected.get(instance)
        if held is None:
            held = self._ejected[instance] = _Ejected(self._first_ms, now)
        elif held.is_probed or held.until <= now:
            held.pause_ms = min(2 * held.pause_ms, self._most_ms)
        else:
            return False
        held.is_probed = False
        self._eject(instance, held, now)
        return True

    def sent(self, instance: str, now: int) -> bool:
        """A request is passed to ``instance``; True iff that makes it the probe of a peer on probation.

        Until the probe comes back, or one more pause has passed without an answer, nobody else need risk it.
        """
        held = self._ejected.get(instance)
        if held is None or held.until > now:
            return False
        held.is_probed = True
        self._eject(instance, held, now)
        return True

    def succeeded(self, instance: str) -> bool:
        """``instance`` was reached, or it is another one under the same name; True iff it was not fine before."""
        return self._ejected.pop(instance, None) is not None

    def is_ok(self, instance: str, now: int) -> bool:
        """Whether ``instance`` is worth trying at ``now``."""
        held = self._ejected.get(instance)
        return held is None or held.until <= now

    def is_on_trial(self, instance: str, now: int) -> bool:
        """Whether ``instance`` may be tried but has not been reached since it was ejected."""
        held = self._ejected.get(instance)
        return held is not None and held.until <= now

    def next_wake(self) -> int:
        """The instant at which the next ejection ends; NEVER if nobody is ejected."""
        self._skip_stale()
        return self._due[0][0] if self._due else NEVER

    def recovered(self, now: int) -> list[str]:
        """The peers whose ejection has ended by ``now``, each told once, ascending by id."""
        told: dict[str, None] = {}
        while self.next_wake() <= now:
            told[heappop(self._due)[1]] = None
        return sorted(told)

    def _eject(self, instance: str, held: _Ejected, now: int) -> None:
        held.until = now + held.pause_ms
        heappush(self._due, (held.until, instance))

    def _skip_stale(self) -> None:
        while self._due:
            until, instance = self._due[0]
            held = self._ejected.get(instance)
            if held is not None and held.until == until:
                return
            heappop(self._due)
