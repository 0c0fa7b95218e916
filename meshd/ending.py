"""The end of an instance: its copies are taken over first, then clients leave, then it does (docs/operations.md)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from meshcore.events import DrainAsked, Idled
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
    return max(min(NOT_READY_S, shutdown_s / 3), shutdown_s - NOT_READY_S - DEREGISTER_S - LAST_CALLS_S)


class Ending:
    """One instance's; the driver tells ``departed`` and ``deregistered`` how far the node is."""

    def __init__(self, shutdown_ms: int) -> None:
        self._shutdown_s = shutdown_ms / 1000
        self.departed = asyncio.Event()
        """Others have what they can have of the copies here."""
        self.deregistered = asyncio.Event()
        """No record names a copy here any more."""

    async def hand_over(self, driver: Driver, budget_s: float) -> None:
        """No new loads; have others take over the copies here, which answer meanwhile. Not longer than ``budget_s``."""
        driver.feed(DrainAsked(int(budget_s * 1000)))
        await self.departed.wait()  # the node keeps the time

    async def run(
        self, driver: Driver, plane: PythonPlane, leave: Callable[[], Awaitable[None]], can_go_on: bool
    ) -> None:
        """All of it within the time for a shutdown: hand over, ``leave`` (not ready any more), let clients go,
        deregister, end what is in flight.

        As long as its copies are in their records others pass requests on: that ends with them, not before.
        """
        loop = asyncio.get_running_loop()
        began, budget_s = loop.time(), handover_s(self._shutdown_s)
        await self.hand_over(driver, budget_s if can_go_on else 0)
        await leave()
        until = began + max(loop.time() - began + NOT_READY_S, self._shutdown_s - DEREGISTER_S)
        await asyncio.sleep(NOT_READY_S)
        left, _ = driver.node.departure.left
        served = (plane.of_clients, plane.of_peers) if left else (plane.of_clients,)
        await _quiet(served, until, lambda: driver.is_awaited)
        await self.deregister(driver)
        await _quiet((plane.of_peers,), until, lambda: bool(plane.of_clients.open))
        if still := plane.of_clients.open + plane.of_peers.open:
            _log.warning("%d calls are still open after %g s", still, loop.time() - began)

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
