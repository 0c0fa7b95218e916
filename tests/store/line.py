"""A TCP line to a server that a test can cut, heal, and make swallow what either end says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from tests.ports import free_port


class Line:
    """Listens at ``address`` and carries bytes to and from the server at ``target``."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._target_port = int(port)
        self._port = free_port()
        self._listener: asyncio.Server | None = None
        self._ends: set[asyncio.StreamWriter] = set()
        self._carrying: set[asyncio.Task[None]] = set()
        self.is_mute = False
        """While set, requests arrive and replies are thrown away."""
        self.is_deaf = False
        """While set, nothing arrives."""
        self.swallowed = asyncio.Event()
        """Set when something was thrown away."""

    @property
    def address(self) -> str:
        return f"{self._host}:{self._port}"

    async def heal(self) -> None:
        """Take connections (again), always at the same port."""
        self.is_mute = self.is_deaf = False
        self._listener = await asyncio.start_server(self._accept, self._host, self._port)

    async def cut(self) -> None:
        """Break every connection and take no new one."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        for end in self._ends:
            end.transport.abort()
        if self._carrying:
            await asyncio.wait(self._carrying)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        self._ends.add(writer)
        try:
            with suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(self._host, self._target_port)
                self._ends.add(far_writer)
                await asyncio.gather(
                    self._pump(reader, far_writer, is_reply=False), self._pump(far_reader, writer, is_reply=True)
                )
                self._ends.discard(far_writer)
        finally:
            self._ends.discard(writer)
            self._carrying.discard(task)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_reply: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.is_deaf or (is_reply and self.is_mute):
                    self.swallowed.set()
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def line_to(target: str) -> AsyncIterator[Line]:
    """A line that stands, gone at the end."""
    line = Line(target)
    await line.heal()
    try:
        yield line
    finally:
        await line.cut()
