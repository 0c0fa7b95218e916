"""A runtime that a test starts, ends and starts again, on the event loop of a mesh's instances."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from runtimes import sdk
from runtimes.behaviour import Behaviour
from runtimes.fake import Fake
from tests.meshd.mesh import MIB, Mesh
from tests.processes import free_port

Make = Callable[[], Any]


def fake(capacity: int = 1024 * MIB, **fields: Any) -> Any:
    """A fake runtime with some of its fields."""
    made = Fake(capacity, Behaviour())
    for name, value in fields.items():
        setattr(made, name, value)
    return made


class RuntimeServer:
    """One address with one runtime after the other behind it; ``fake`` is the one that serves, or served last."""

    def __init__(self, mesh: Mesh, socket: str = "") -> None:
        self._mesh = mesh
        self.port = 0 if socket else free_port()
        self._socket = socket
        self.fake: Any = None
        self._serving: contextlib.AsyncExitStack | None = None
        mesh.at_end(self._kill)

    @property
    def settings(self) -> dict[str, str]:
        """Where the instance finds it."""
        if self._socket:
            return {"INTERNAL_GRPC_PORT": "", "INTERNAL_GRPC_SOCKET_PATH": self._socket}
        return {"INTERNAL_GRPC_PORT": str(self.port)}

    def start(self, **fields: Any) -> None:
        """Serve a fresh fake runtime with these fields."""
        self._mesh.run(self._start(fake(**fields)))

    def kill(self) -> None:
        """It is gone, and what was under way is cut off."""
        self._mesh.run(self._kill())

    def restart(self, **fields: Any) -> None:
        self.kill()
        self.start(**fields)

    async def _start(self, made: Any) -> None:
        self.fake = made
        self._serving = contextlib.AsyncExitStack()
        await self._serving.enter_async_context(sdk.serving(made, sdk.Listen(self.port, self._socket), grace_s=0))

    async def _kill(self) -> None:
        if self._serving is not None:
            serving, self._serving = self._serving, None
            await serving.aclose()


class Relay:
    """Passes connections on to a port, and can cut them all off."""

    def __init__(self, mesh: Mesh, to_port: int) -> None:
        self._mesh, self._to_port = mesh, to_port
        self.port = free_port()
        self.connections = 0
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: Any = None
        mesh.run(self._open())
        mesh.at_end(self._close)

    def cut(self) -> None:
        """End every connection; new ones are taken at once."""
        self._mesh.run(self._cut())

    async def _open(self) -> None:
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", self.port)

    async def _close(self) -> None:
        self._server.close()
        await self._cut()

    async def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        there, onward = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers |= {writer, onward}
        await asyncio.gather(_pump(reader, onward), _pump(there, writer), return_exceptions=True)
        self._writers -= {writer, onward}


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
