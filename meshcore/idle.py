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

    It is made by and by from all registrations, and kept up as they change.
    """

    def __init__(self, view: ClusterView) -> None:
        self._view = view
        self._heap: list[tuple[int, str]] = []
        self._unseen: deque[str] = deque()

    @property
    def is_whole(self) -> bool:
        """Whether every registration was looked at."""
        return not self._unseen

    def begin(self) -> None:
        """Look at all registrations anew."""
        self._heap.clear()
        self._unseen = deque(self._view.ids())

    def end(self) -> None:
        """Nobody wants to know any more."""
        self._heap.clear()
        self._unseen.clear()

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

    def latest(self, most: int) -> list[tuple[str, int]]:
        """Up to ``most`` models with their last use, the latest first, equal ones by id (D-15)."""
        found: dict[str, int] = {}
        while self._heap and len(found) < most:
            place, model = heappop(self._heap)
            if model not in found and self._last_used(model) == -place:
                found[model] = -place
        for model, last_used in found.items():
            heappush(self._heap, (-last_used, model))
        return list(found.items())

    def _last_used(self, model: str) -> int | None:
        """None: it has a copy, or is not registered."""
        value = self._view.value(model)
        if value is None or self._view.names_copies(model):
            return None
        told = _LAST_USED.search(value)
        return int(told[1]) if told else 0
