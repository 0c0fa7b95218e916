"""The terminal that ``top`` has for itself: keys come in one by one, and all is as before in the end."""

from __future__ import annotations

import asyncio
import os
import sys
import termios
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mmctl.top.keys import Keys

SETTLE_S = 0.05
"""An ESC that nothing follows for so long was the key of that name; over a slow line the rest comes together, too."""
_SILENCED = termios.VSUSP, termios.VQUIT
"""Ctrl-Z and Ctrl-\\ would leave the terminal as it is now to a shell."""
_READ_BYTES = 1_024


def is_there() -> bool:
    """Whether there is a terminal to show a screen on, and to read keys from."""
    return sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def typed(on_key: Callable[[str], None], on_end: Callable[[], None]) -> Iterator[None]:
    """While this lasts ``on_key`` is told of each key, ``on_end`` when the terminal goes; needs a running loop."""
    fd, keys, loop = sys.stdin.fileno(), Keys(), asyncio.get_running_loop()
    before = termios.tcgetattr(fd)
    settling: asyncio.TimerHandle | None = None

    def tell(found: list[str]) -> None:
        for key in found:
            on_key(key)

    def read() -> None:
        nonlocal settling
        if settling is not None:
            settling.cancel()
        try:
            data = os.read(fd, _READ_BYTES)
        except OSError:
            data = b""
        if not data:
            loop.remove_reader(fd)
            on_end()
            return
        tell(keys.feed(data))
        settling = loop.call_later(SETTLE_S, lambda: tell(keys.settle())) if keys.is_open else None

    try:
        tty.setcbreak(fd)
        mode = termios.tcgetattr(fd)
        for each in _SILENCED:
            mode[6][each] = bytes([os.fpathconf(fd, "PC_VDISABLE")])
        termios.tcsetattr(fd, termios.TCSANOW, mode)
        loop.add_reader(fd, read)
        yield
    finally:
        loop.remove_reader(fd)
        if settling is not None:
            settling.cancel()
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
