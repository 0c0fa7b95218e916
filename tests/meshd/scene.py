"""A plane of its own, with somebody behind it who ends every call as a test wants."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from meshcore.asks import Answered, Asked, Done, Failed, Request
from meshcore.events import Event
from meshd.external import InferencePort
from meshd.metrics import Metrics
from meshd.plane.call import Ended, InferenceCall
from meshd.plane.inbound import Retained
from meshd.plane.metadata import Metadata
from meshd.plane.methods import UNARY, Methods
from meshd.plane.python import PythonPlane
from meshd.plane.shadow import Copied
from meshd.spi import RuntimeClient
from meshd.tls import Dialer

KNOWN, ANY = sorted(UNARY)[0], "/some.Service/Method"
"""A method that is known to be unary, and one that may be of any kind."""
REQUEST_BYTES, PROCESS_BYTES = 100, 250
OK = Done(Answered(Ended()))


class Desk:
    """Ends every call that the plane's table does not know as it is told to, once it is let."""

    def __init__(self) -> None:
        self.end: Done | Failed | Exception = OK
        self.asked: list[Asked] = []
        self.calls: list[InferenceCall] = []
        self.may_end = asyncio.Event()
        self.hanging: set[str] = set()
        """Models of which no call ever ends."""

    def feed(self, event: Event) -> None:
        pass

    async def run(self, asked: Asked, call: InferenceCall) -> Done | Failed:
        self.asked.append(asked)
        self.calls.append(call)
        await self.may_end.wait()
        if isinstance(asked, Request) and asked.model in self.hanging:
            await asyncio.Event().wait()
        if isinstance(self.end, Exception):
            raise self.end
        return self.end


class Aborted(Exception):
    """How a call's end with another status than OK looks from inside; the code's name and the text."""


class OneCall:
    """What grpc tells and takes of one unary call."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata

    def invocation_metadata(self) -> Metadata:
        return self._metadata

    def time_remaining(self) -> float | None:
        return None

    async def abort(self, code: Any, text: str, trailing: Metadata = ()) -> None:
        raise Aborted(code.name, text)


class Scene:
    """A plane of its own with a desk behind it."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.runtime = RuntimeClient(("127.0.0.1:1",), max_message_bytes=1, min_churn_age_ms=0)
        buffer = Retained(REQUEST_BYTES, PROCESS_BYTES)
        self.plane = PythonPlane(
            "me", b"key", self.runtime, Methods({}, True), lambda: 0, Random(1), self.metrics, buffer, Dialer()
        )
        self.desk = Desk()
        self.plane.serve_for(self.desk)
        self._port = InferencePort(self.plane, self.metrics, lambda: 0.0)

    async def call(self, metadata: Metadata, body: bytes = b"", path: str = KNOWN) -> bytes:
        """A client's unary call; raises Aborted."""
        return await self._port._serve(path, OneCall(metadata), body)

    @property
    def models(self) -> list[str]:
        """What was asked for so far."""
        return [asked.model for asked in self.desk.asked if isinstance(asked, Request)]

    def send(self, body: bytes = b"body", path: str = KNOWN, given_s: float | None = None) -> Copied:
        shadows = self.plane.shadows
        copied = shadows.begin("shadow", body)
        shadows.send(copied, path, (("x-user", "u"),), False, given_s)
        return copied

    def counts(self) -> dict[str, int]:
        found = {}
        for line in self.metrics.exposition(("meshd_shadow_total",)).decode().splitlines():
            if not line.startswith("#"):
                found[line.split('"')[1]] = int(float(line.rpartition(" ")[2]))
        return found

    async def over(self) -> None:
        """Wait until nothing is under way."""
        await until(lambda: not self.plane.shadows.under_way)


async def until(look: Callable[[], bool]) -> None:
    while not look():  # noqa: ASYNC110
        await asyncio.sleep(0)


def played(scenario: Callable[[Scene], Awaitable[None]]) -> None:
    async def guarded() -> None:
        scene = Scene()
        async with asyncio.timeout(20):
            await scenario(scene)
        assert scene.plane.shadows.buffer.used_bytes == 0
        await scene.runtime.close()

    asyncio.run(guarded())
