"""An asyncio event loop whose time is a number: it jumps to the next timer when nothing else is to be done.

Time is whole milliseconds. At one instant timers run by rank (0 first), then in the order they were set, and all that
one timer set going comes to rest before the next one runs. So what happens does not depend on how many turns of the
loop it takes, and an event queue with the same order tells the same story.
"""

from __future__ import annotations

import asyncio
import contextvars
import math
from collections import deque
from collections.abc import Callable, Coroutine
from heapq import heappop, heappush
from typing import Any, TypeVar

ORDINARY = 1
"""The rank of a timer that asyncio sets."""

_Result = TypeVar("_Result")


class Deadlock(RuntimeError):
    """Every task waits and no timer is set."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Timers, tasks and futures; no sockets, threads, processes or signals."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[int, int, int, asyncio.TimerHandle]] = []
        self._set = 0
        self._is_running = self._is_closed = False
        self._errors: list[dict[str, Any]] = []

    # -- time ------------------------------------------------------------------------------------------

    def time(self) -> float:
        return self.now_ms / 1000

    def at_ms(
        self, instant: int, rank: int, callback: Callable[..., object], *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:  # fmt: skip
        """Call ``callback`` at ``instant`` (ms), before timers of a higher rank."""
        instant = max(instant, self.now_ms)
        handle = asyncio.TimerHandle(instant / 1000, callback, args, self, context)
        self._set += 1
        heappush(self._timers, (instant, rank, self._set, handle))
        return handle

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.at_ms(math.ceil(when * 1000 - 1e-3), ORDINARY, callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is skipped when it comes up."""

    # -- running ---------------------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def run_until_complete(self, future: Any) -> Any:
        awaited = asyncio.ensure_future(future, loop=self)
        self._is_running = True
        asyncio.events._set_running_loop(self)
        try:
            while not awaited.done():
                self._turn()
                if self._errors:
                    raise RuntimeError(f"nobody took this failure: {self._errors}") from self._errors[0].get(
                        "exception"
                    )
            return awaited.result()
        finally:
            self._is_running = False
            asyncio.events._set_running_loop(None)

    def _turn(self) -> None:
        if self._ready:
            self._run(self._ready.popleft())
            return
        while self._timers:
            instant, _, _, handle = heappop(self._timers)
            if not handle.cancelled():
                self.now_ms = instant
                self._run(handle)
                return
        raise Deadlock("every task waits and no timer is set")

    @staticmethod
    def _run(handle: asyncio.Handle) -> None:
        if not handle.cancelled():
            handle._run()

    # -- what asyncio asks of a loop ---------------------------------------------------------------------

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self)

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None, **_: Any) -> asyncio.Task[Any]:
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self._errors.append(context)

    def get_debug(self) -> bool:
        return False

    def set_debug(self, enabled: bool) -> None:
        """There is nothing more to say."""

    def is_running(self) -> bool:
        return self._is_running

    def is_closed(self) -> bool:
        return self._is_closed

    def close(self) -> None:
        self._is_closed = True

    async def shutdown_asyncgens(self) -> None:
        """None are kept."""

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """There is none."""


def run(main: Coroutine[Any, Any, _Result]) -> _Result:
    """What ``main`` returns, run in virtual time from 0; tasks that it leaves behind are cancelled."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)
