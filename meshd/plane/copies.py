"""The copies here as the plane sees them: what is under way on each, what was served, and when the last one ended."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from meshcore.commands import Local
from meshcore.events import Usage


class LocalCopy:
    """One copy that answers, or is being withdrawn."""

    __slots__ = ("count", "gen", "idle", "in_flight", "last_used", "model")

    def __init__(self, model: str, gen: int) -> None:
        self.model, self.gen = model, gen
        self.in_flight = 0
        self.count = 0
        self.last_used = 0
        self.idle: asyncio.Future[None] | None = None
        """Set once somebody waits for the last request to end."""


class LocalCopies:
    """All copies here, and which of them have news since usage was last drained."""

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self._copies: dict[str, LocalCopy] = {}
        self._leaving: dict[tuple[str, int], LocalCopy] = {}
        self._news: dict[str, LocalCopy] = {}
        self.in_flight = 0

    def apply(self, model: str, local: Local | None) -> None:
        """The copy that answers for ``model`` from now on; None: none does."""
        held = self._copies.get(model)
        if held is not None and (local is None or held.gen != local.gen):
            self._leaving[model, held.gen] = self._copies.pop(model)
            held = None
        if local is not None and held is None:
            self._copies[model] = LocalCopy(model, local.gen)

    def begin(self, model: str, gen: int) -> LocalCopy | None:
        """A request starts on the copy; None: it is not there, or another incarnation."""
        copy = self._copies.get(model)
        if copy is None or copy.gen != gen:
            return None
        copy.in_flight += 1
        self.in_flight += 1
        copy.count += 1
        copy.last_used = self._now()
        self._news[model] = copy
        return copy

    def end(self, copy: LocalCopy) -> None:
        """A request on the copy is over."""
        copy.in_flight -= 1
        self.in_flight -= 1
        copy.last_used = self._now()
        if copy.idle is None:
            self._news[copy.model] = copy
        elif not copy.in_flight and not copy.idle.done():
            copy.idle.set_result(None)

    async def withdraw(self, model: str, gen: int, deadline_s: float) -> None:
        """Wait until nothing is under way on a copy that was taken out of the table, or until the deadline."""
        copy = self._leaving.pop((model, gen), None)
        if copy is None or not copy.in_flight:
            return
        copy.idle = asyncio.get_running_loop().create_future()
        self._news.pop(model, None)
        await asyncio.wait((copy.idle,), timeout=deadline_s)

    def drain_usage(self) -> tuple[Usage, ...]:
        """What was served since the last call, for every copy with news."""
        if not self._news:
            return ()
        usages = []
        for copy in self._news.values():
            usages.append(Usage(copy.model, copy.count, copy.last_used, copy.in_flight))
            copy.count = 0
        self._news.clear()
        return tuple(usages)
