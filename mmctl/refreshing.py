"""Asking the same question again and again: each answer with how old it is, and what went wrong since."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmctl.errors import CommandError

T = TypeVar("T")

PERIOD_S = 2.0
LEAST_S = 0.2
_CLEARED = "\x1b[H\x1b[J"


@dataclass(frozen=True, slots=True)
class Answer(Generic[T]):
    """The newest answer, of the instant ``at_s`` of the loop's clock; ``error`` says why there is no newer one."""

    value: T
    at_s: float
    error: str = ""


async def refreshing(ask: Callable[[], Awaitable[T]], period_s: float) -> AsyncIterator[Answer[T]]:
    """An answer each ``period_s``, later where answering takes longer; two questions are never under way at once.

    Where a later question fails the last answer comes again with the error. Raises CommandError if the first fails.
    """
    loop = asyncio.get_running_loop()
    answer: Answer[T] | None = None
    while True:
        begun_s = loop.time()
        try:
            answer = Answer(await ask(), loop.time())
        except CommandError as error:
            if answer is None:
                raise
            answer = Answer(answer.value, answer.at_s, str(error))
        yield answer
        await asyncio.sleep(max(0.0, begun_s + period_s - loop.time()))


def begin_anew(between: str) -> None:
    """Before something is shown again: on a terminal that can it takes the place of what was there, elsewhere
    ``between`` comes first."""
    can_clear = sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"
    sys.stdout.write(_CLEARED if can_clear else between)
