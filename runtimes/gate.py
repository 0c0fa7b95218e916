"""A gate that lets through who comes, or holds them until it is told, the first that came first."""

from __future__ import annotations

import asyncio
from collections import deque


class Gate:
    """Open at first."""

    def __init__(self) -> None:
        self.is_shut = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many it holds."""
        return len(self._waiting)

    def shut(self) -> None:
        """Hold whoever comes from now on."""
        self.is_shut = True

    def let(self, count: int) -> None:
        """Let so many of those go on that it holds; fewer are fine."""
        for _ in range(min(count, len(self._waiting))):
            self._waiting.popleft().set_result(None)

    def open(self) -> None:
        """Let all go on, and hold nobody any more."""
        self.is_shut = False
        self.let(len(self._waiting))

    async def passed(self) -> None:
        """Come to the gate, and go on when it lets one."""
        if not self.is_shut:
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        await turn
