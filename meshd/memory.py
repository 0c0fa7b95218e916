"""Gives memory back that large messages took: the C library keeps what is freed for what may come."""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Callable

LARGE_BYTES = 1 << 20
"""From here on a call counts as large: what it took is worth giving back."""

LOOK_S = 1.0


async def give_back(count: Callable[[], int]) -> None:
    """Whenever there were large calls, and none has ended since the last look, return to the system what is free.

    ``count`` answers how many there have been. It never ends; with a C library that cannot do it, it does nothing.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    seen = given = count()
    while True:
        await asyncio.sleep(LOOK_S)
        now = count()
        if trim is not None and now == seen and now != given:
            given = now
            await asyncio.to_thread(trim, 0)  # some milliseconds, in which nobody else has to wait
        seen = now
