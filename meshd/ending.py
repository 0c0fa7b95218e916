"""The end of an instance: its copies are taken over first, then clients leave, then it does (docs/operations.md)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from meshcore.events import DrainAsked, Idled, RuntimeLeaving
from meshd.driver import Driver
from meshd.plane.python import Calls, PythonPlane

NOT_READY_S = 2.0
"""Whoever balances over the ready instances needs this long to hear that this one is not."""
IDLE_S = 0.2
"""With no call open for this long an instance that is not ready counts as idle."""
DEREGISTER_S = 5.0
LAST_CALLS_S = 1.0

_log = logging.getLogger(__name__)


def handover_s(shutdown_s: float) -> float:
    """What others have of the time for a shutdown to take over copies: the rest is for clients, and for the store."""
    return max(0.0, min(NOT_READY_S, shutdown_s / 3), shutdown_s - NOT_READY_S - DEREGISTER_S - LAST_CALLS_S)


class Ending:
    """One instance's. ``stop`` set from outside begins it; ``ask`` does too, and says how long it may take."""

    def __init__(self, shutdown_ms: int) -> None:
        self._shutdown_s = shutdown_ms / 1000
        self._driver: Driver | None = None
        self._until: float | None = None
        self._is_under_way = False
        self.stop = asyncio.Event()
        self.departed = asyncio.Event()
        """Told by the driver: others have what they can have of the copies here."""
        self.deregistered = asyncio.Event()
        """Told by the driver: no record names a copy here any more."""
        self.is_over = asyncio.Event()
        """Nothing is in flight any more, or the time is over."""
        self.stopped = asyncio.Event()
        """The last thing to be set: containers beside this one wait for it."""

    def can_begin(self, driver: Driver) -> None:
        """This instance has started: from now on there is something to hand over."""
        self._driver = driver

    async def runtime_may_go(self) -> str:
        """Waits until the runtime is not needed any more, and says why.

        With the end of this instance that is its end; who asks for both at once may be heard with the runtime first.
        Else others take over its copies, and it waits for another runtime.
        """
        if not self.stop.is_set():
            waits: list[Coroutine[Any, Any, Any]] = [asyncio.sleep(NOT_READY_S)]
            if self._driver is not None:
                if not self._driver.node.is_draining:
                    self.departed.clear()
                self._driver.feed(RuntimeLeaving(int(handover_s(self._shutdown_s) * 1000)))
                waits.append(self.departed.wait())
            may_go, told = asyncio.gather(*waits), asyncio.ensure_future(self.stop.wait())
            try:
                await asyncio.wait((may_go, told), return_when=asyncio.FIRST_COMPLETED)
            finally:
                may_go.cancel()
                told.cancel()
        if not self.stop.is_set():
            return "others have taken over"
        await self.stopped.wait()
        return "stopped"

    def ask(self, within_s: float | None = None) -> None:
        """End, within the time for a shutdown or ``within_s``; asked again, the time can only become shorter."""
        self._limit(self._shutdown_s if within_s is None else within_s)
        self.stop.set()

    def _limit(self, within_s: float) -> float:
        now = asyncio.get_running_loop().time()
        if self._until is None or now + within_s < self._until:
            self._until = now + within_s
            if self._is_under_way and self._driver is not None:
                self._driver.feed(DrainAsked(int(handover_s(within_s) * 1000)))
        return self._until

    async def run(
        self, driver: Driver, plane: PythonPlane, leave: Callable[[], Awaitable[None]], can_go_on: bool
    ) -> None:
        """All of it within its time: hand over, ``leave`` (not ready any more), let clients go, deregister, end what is
        in flight. ``can_go_on`` is whether it is of use as long as it is there: else nothing is handed over.

        As long as its copies are in their records others pass requests on: that ends with them, not before.
        """
        loop = asyncio.get_running_loop()
        if self._until is None:
            self._limit(self._shutdown_s)
        assert self._until is not None
        within_s = handover_s(self._until - loop.time()) if can_go_on else 0
        if not driver.node.is_draining:
            self.departed.clear()
        self._is_under_way = True
        plane.shadows.end()
        driver.feed(DrainAsked(int(within_s * 1000)))
        with contextlib.suppress(TimeoutError):  # the node keeps the time; this only keeps a defect from lasting
            await asyncio.wait_for(self.departed.wait(), within_s + DEREGISTER_S)
        await leave()
        until = max(loop.time() + NOT_READY_S, self._until - DEREGISTER_S)
        await asyncio.sleep(NOT_READY_S)
        left, _ = driver.node.departure.handovers.left
        served = (plane.of_clients, plane.of_peers) if left else (plane.of_clients,)
        await _quiet(served, until, lambda: driver.is_awaited)
        await self.deregister(driver)
        await _quiet((plane.of_peers,), until, lambda: bool(plane.of_clients.open))
        if still := plane.of_clients.open + plane.of_peers.open:
            _log.warning("%d calls are still open at the end of the time for a shutdown", still)
        self.is_over.set()

    async def deregister(self, driver: Driver) -> None:
        """Take this instance's copies out of their records."""
        driver.feed(Idled())
        try:
            async with asyncio.timeout(DEREGISTER_S):
                await self.deregistered.wait()
        except TimeoutError:
            _log.warning("not all copies could be taken out of their records in %g s", DEREGISTER_S)


async def _quiet(calls: tuple[Calls, ...], until: float, is_busy: Callable[[], bool]) -> None:
    """Wait until no call was open for IDLE_S, and nothing else is busy, or until an instant of the loop's clock."""
    loop = asyncio.get_running_loop()
    while (left_s := until - loop.time()) > 0:
        before = [some.begun for some in calls]
        await asyncio.sleep(min(IDLE_S, left_s))
        is_open = any(some.open for some in calls)
        if not is_open and [some.begun for some in calls] == before and not is_busy():
            return
