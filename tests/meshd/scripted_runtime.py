"""A runtime that answers what a test tells it to, and the client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from meshcore.commands import Load, Predict, Unload
from meshcore.reasons import Reason, Rule
from meshd.handshake import RuntimeUnusable
from meshd.spi import RuntimeClient
from protos import model_runtime_pb2 as spi
from protos.model_runtime_pb2_grpc import ModelRuntimeServicer, add_ModelRuntimeServicer_to_server

READY, STARTING, FAILING = (
    spi.RuntimeStatusResponse.READY, spi.RuntimeStatusResponse.STARTING, spi.RuntimeStatusResponse.FAILING,
)  # fmt: skip
GIB = 1 << 30
GUARD_S = 20
WHY = Reason(Rule.LOAD, "m", "i", "test")
SERVICE = "mmesh.ModelRuntime"


def ready(**fields: Any) -> Any:
    least = {
        "status": READY,
        "capacityInBytes": GIB,
        "maxLoadingConcurrency": 6,
        "modelLoadingTimeoutMs": 90_000,
        "defaultModelSizeInBytes": 50 << 20,
    }
    return spi.RuntimeStatusResponse(**{**least, **fields})


Answer = Callable[[Any, Any], Awaitable[Any]]


class FakeRuntime(ModelRuntimeServicer):
    """Says what it is told to say; ``asked`` has every request."""

    def __init__(self, *statuses: Any) -> None:
        self.statuses = list(statuses) or [ready()]
        self.asked: list[Any] = []
        self.answers: dict[str, Answer] = {}
        self.cancelled = asyncio.Event()
        self.entered = asyncio.Event()

    async def runtimeStatus(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        status = self.statuses.pop(0)
        if isinstance(status, grpc.StatusCode):
            await context.abort(status, "not yet")
        return status

    async def loadModel(self, request: Any, context: Any) -> Any:
        return await self._do("load", request, context)

    async def unloadModel(self, request: Any, context: Any) -> Any:
        return await self._do("unload", request, context)

    async def predictModelSize(self, request: Any, context: Any) -> Any:
        return await self._do("predict", request, context)

    async def modelSize(self, request: Any, context: Any) -> Any:
        return await self._do("measure", request, context)

    async def _do(self, name: str, request: Any, context: Any) -> Any:
        self.asked.append(request)
        self.entered.set()
        try:
            return await self.answers[name](request, context)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


async def never(request: Any, context: Any) -> Any:
    await asyncio.Event().wait()


def says(message: Any) -> Answer:
    async def answer(request: Any, context: Any) -> Any:
        return message

    return answer


def fails(code: grpc.StatusCode, text: str = "") -> Answer:
    async def answer(request: Any, context: Any) -> Any:
        await context.abort(code, text)

    return answer


def bytes_of(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def raw(service: str, **answers: bytes) -> Any:
    """A service whose methods answer these bytes."""

    def method(answer: bytes) -> Any:
        return grpc.unary_unary_rpc_method_handler(says(answer))

    return grpc.method_handlers_generic_handler(service, {name: method(answer) for name, answer in answers.items()})


@asynccontextmanager
async def serving(*handlers: Any, servicer: Any = None, address: str = "localhost:0") -> AsyncIterator[str]:
    """A gRPC server; yields the target it is reached at."""
    server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
    if servicer is not None:
        add_ModelRuntimeServicer_to_server(servicer, server)
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port(address)
    await server.start()
    try:
        yield address if address != "localhost:0" else f"localhost:{port}"
    finally:
        await server.stop(None)


@asynccontextmanager
async def client_of(*targets: str, serving_target: str = "", **options: Any) -> AsyncIterator[RuntimeClient]:
    client = RuntimeClient(targets, serving_target, **{"max_message_bytes": 1 << 20, "min_churn_age_ms": -1, **options})
    try:
        yield client
    finally:
        await client.close()


async def given_up(client: RuntimeClient, poll_s: float = 9) -> str:
    """Why a start ends where the runtime never gets ready, in the least time in which that one was heard of at all."""
    for limit_s in (0.2, 2, 10):
        with pytest.raises(RuntimeUnusable) as caught:
            await client.start(limit_s, poll_s)
        when, _, why = str(caught.value).partition(": ")
        assert when == f"Model server container did not start after {limit_s:g} seconds"
        if not why.endswith(" answers nothing"):
            break
    return why


def run(scenario: Awaitable[None]) -> None:
    async def guarded() -> None:
        async with asyncio.timeout(GUARD_S):
            await scenario

    asyncio.run(guarded())


def load(deadline_ms: int = 90_000, model: str = "m", **fields: Any) -> Load:
    return Load(model, 3, **{"type": "t", "path": "p", "key": "k", **fields}, deadline_ms=deadline_ms, why=WHY)


def predict(**fields: Any) -> Predict:
    return Predict(**{"model": "m", "gen": 3, "type": "t", "path": "p", "key": "k", "deadline_ms": 60_000, **fields})


UNLOAD = Unload("m", 3, WHY)


def with_runtime(scenario: Callable[[FakeRuntime, RuntimeClient], Awaitable[None]], **options: Any) -> None:
    """Run a scenario with a client whose handshake is over."""

    async def scene() -> None:
        runtime = FakeRuntime()
        async with serving(servicer=runtime) as target, client_of(target, **options) as client:
            await client.start(poll_s=0)
            runtime.asked.clear()
            await scenario(runtime, client)

    run(scene())


class Echo(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Any method but the management's own, on raw bytes."""

    def service(self, details: Any) -> Any:
        async def answer(request: bytes, context: Any) -> bytes:
            asked = dict(context.invocation_metadata())
            await context.send_initial_metadata((("early", "1"), ("early-bin", b"\x00\xff")))
            context.set_trailing_metadata((("late", asked.get("color", "")),))
            if request == b"fail":
                await context.abort(grpc.StatusCode.DATA_LOSS, "spilt")
            if request == b"deadline":
                return b"%d" % (context.time_remaining() > 0)
            return details.method.encode() + b" " + request

        return grpc.unary_unary_rpc_method_handler(answer)
