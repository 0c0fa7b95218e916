"""``top`` itself: asks, draws, and follows the keys until one of them ends it."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress

from rich.console import Console, Group
from rich.live import Live

from mmctl.output import has_colour
from mmctl.top import terminal
from mmctl.top.feed import Data, Feed
from mmctl.top.screen import STALE_PERIODS, Screen, drawn
from mmctl.top.state import State, pressed

TICK_S = 1.0
"""How often the screen says anew how old the data is, where no answer comes."""


class Top:
    """One session in front of a terminal."""

    def __init__(self, feed: Feed, state: State, data: Data, period_s: float) -> None:
        """``data`` is the first answer: there is something to show from the beginning."""
        self._feed, self._state, self._data, self._period_s = feed, state, data, period_s
        self._over = asyncio.Event()
        self._screen: Screen | None = None
        self._console = Console(no_color=not has_colour(sys.stdout), highlight=False, emoji=False, markup=False)
        self._asking: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Until the person quits, or the terminal goes."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._over.set)
        loop.add_signal_handler(signal.SIGHUP, self._over.set)
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            self._live = live
            loop.add_signal_handler(signal.SIGWINCH, self._draw)
            with terminal.typed(self._key, self._over.set):
                self._draw()
                self._ask()
                try:
                    while not self._over.is_set():
                        with suppress(TimeoutError):
                            await asyncio.wait_for(self._over.wait(), TICK_S)
                        if self._data.error or self._age_s > STALE_PERIODS * self._period_s:
                            self._draw()
                finally:
                    if self._asking is not None:
                        self._asking.cancel()
                        await asyncio.gather(self._asking, return_exceptions=True)
        if self._asking is not None and self._asking.done() and not self._asking.cancelled():
            self._asking.result()  # what ended it by mistake

    @property
    def _age_s(self) -> float:
        return asyncio.get_running_loop().time() - self._data.at_s

    def _key(self, key: str) -> None:
        if self._screen is None:
            return
        state = pressed(self._state, key, self._screen.shown)
        if state is None:
            self._over.set()
            return
        before, now = self._state.frame, state.frame
        is_elsewhere = (now.place, now.subject) != (before.place, before.subject)
        self._state = state
        self._draw()
        if is_elsewhere:
            self._ask()

    def _ask(self) -> None:
        """Begin to ask for the present screen; what was asked for another one is wanted no more."""
        if self._asking is not None:
            self._asking.cancel()
        self._asking = asyncio.create_task(self._ask_on())
        self._asking.add_done_callback(lambda task: None if task.cancelled() else self._over.set())

    async def _ask_on(self) -> None:
        while True:
            frame, begun_s = self._state.frame, asyncio.get_running_loop().time()
            is_new = not self._data.is_about(frame)
            self._data = await self._feed.renewed(self._data, frame)
            self._draw()
            took_s = asyncio.get_running_loop().time() - begun_s
            await asyncio.sleep(0 if is_new else max(0.0, self._period_s - took_s))

    def _draw(self) -> None:
        width, height = self._console.size
        now_ms = int(time.time() * 1000)
        self._screen = drawn(self._state, self._data, width, height, now_ms, self._age_s, self._period_s)
        self._state = self._screen.state
        self._live.update(Group(*self._screen.lines), refresh=True)
