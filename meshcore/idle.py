"""Registered models without a copy, the most recently used first, told from their records without reading these."""

from __future__ import annotations

import re
from collections import deque
from heapq import heappop, heappush

from meshcore.view import ClusterView

_LAST_USED = re.compile(rb'"lu"\s*:\s*(\d{1,19})[^\d]')

SPARE = 1_000


class IdleModels:
    """A heap of (minus last use, model), in which what no longer holds is passed over when it comes up.

    It is made by and by from all registrations, and kept up as they change. Who goes through it takes out what comes
    up, and gives it back in the end.
    """

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._heap: list[tuple[int, str]] = []
        self._unseen: deque[str] = deque()
        self._taken: dict[str, None] = {}

    @property
    def is_whole(self) -> bool:
        """Whether every registration was looked at."""
        return not self._unseen

    @property
    def is_spent(self) -> bool:
        """Whether nothing is left to take out."""
        return not self._heap

    def begin(self) -> None:
        """Look at all registrations anew; what was taken out stays out."""
        self._heap.clear()
        self._unseen = deque(self._view.ids())

    def end(self) -> None:
        """Nobody wants to know any more."""
        self._heap.clear()
        self._unseen.clear()
        self._taken.clear()

    def look(self, most: int) -> list[str]:
        """Look at so many registrations that were not looked at yet; these."""
        looked = [self._unseen.popleft() for _ in range(min(most, len(self._unseen)))]
        for model in looked:
            self.seen(model)
        return looked

    def seen(self, model: str) -> None:
        """A registration is another one."""
        last_used = self._last_used(model)
        if last_used is None:
            return
        heappush(self._heap, (-last_used, model))
        if len(self._heap) > 2 * self._view.count + SPARE:
            self.begin()

    def take(self, most: int) -> list[tuple[str, int]]:
        """Go on by ``most`` places; the models that stand there, with their last use, the latest first, equal ones by
        id (D-15)."""
        found: list[tuple[str, int]] = []
        for _ in range(min(most, len(self._heap))):
            place, model = heappop(self._heap)
            if model not in self._taken and self._last_used(model) == -place:
                self._taken[model] = None
                found.append((model, -place))
        return found

    def give_back(self) -> None:
        """What was taken out is to be looked at again."""
        self._unseen += self._taken
        self._taken.clear()

    def _last_used(self, model: str) -> int | None:
        """None: it has a copy, or is not registered."""
        value = self._view.value(model)
        if value is None or self._view.names_copies(model):
            return None
        told = _LAST_USED.search(value)
        return int(told[1]) if told else 0
