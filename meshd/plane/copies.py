"""The copies here as the plane sees them: what is under way on each, what was served, and when the last one ended."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from meshcore.commands import Local
from meshcore.events import Usage


class Overloaded(Exception):
    """As many requests as a copy takes are served or wait there."""


class LocalCopy:
    """One copy that answers, or is being withdrawn. It answers ``limit`` requests at a time, 0: any number."""

    __slots__ = (
        "_running", "_waiting", "count", "ended", "gen", "idle", "in_flight", "last_used", "limit", "model", "most",
        "service_s",
    )  # fmt: skip

    def __init__(self, model: str, local: Local) -> None:
        self.model, self.gen, self.limit, self.most = model, local.gen, local.max_concurrency, local.max_inflight
        self._running = 0
        self._waiting: deque[asyncio.Future[bool]] = deque()
        self.in_flight = 0
        """Requests that are served or wait for their turn."""
        self.count = self.ended = 0
        self.service_s = 0.0
        """How long the runtime worked on those that have ended."""
        self.last_used = 0
        self.idle: asyncio.Future[None] | None = None
        """Set once somebody waits for the last request to end."""

    @property
    def queued(self) -> int:
        """Requests that wait for their turn."""
        return len(self._waiting)

    def admit(self) -> bool:
        """Whether a request that has begun may go to the runtime at once."""
        if self.limit and self._running >= self.limit:
            return False
        self._running += 1
        return True

    async def turn(self) -> bool:
        """Wait for a request before to end, first come first served; False: the copy is withdrawn."""
        turn: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                with suppress(ValueError):  # passed over already
                    self._waiting.remove(turn)
            elif turn.done() and turn.result():
                self.leave()
            raise

    def leave(self) -> None:
        """A request that had its turn is over: it is the next one's."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(True)
                return
        self._running -= 1

    def turn_away(self) -> None:
        """Nobody who waits will have a turn."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(False)


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
            held.turn_away()
            held = None
        if local is not None and held is None:
            self._copies[model] = LocalCopy(model, local)

    def begin(self, model: str, gen: int) -> LocalCopy | None:
        """A request comes to the copy; None: it is not there, or another incarnation. Raises Overloaded."""
        copy = self._copies.get(model)
        if copy is None or copy.gen != gen:
            return None
        if 0 < copy.most <= copy.in_flight:
            raise Overloaded
        copy.in_flight += 1
        self.in_flight += 1
        copy.count += 1
        copy.last_used = self._now()
        self._news[model] = copy
        return copy

    def end(self, copy: LocalCopy, had_turn: bool, service_s: float = 0.0) -> None:
        """A request on the copy is over; if it had its turn, the runtime worked on it for ``service_s``."""
        if had_turn:
            copy.leave()
            copy.ended += 1
            copy.service_s += service_s
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
            done = copy.ended, int(copy.service_s * 1_000_000)
            usages.append(Usage(copy.model, copy.count, copy.last_used, copy.in_flight, *done, copy.queued))
            copy.count = copy.ended = 0
            copy.service_s = 0.0
        self._news.clear()
        return tuple(usages)
